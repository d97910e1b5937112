//! The operator's own scripts, each a check of its phase: `[[script]]` of the configuration, and with `--with-scripts`
//! the seven scripts that the specification names, from `scripts/` of the GitOps repository.
//!
//! A script may do anything, so it is no part of `checks`: the check that stands for it there only says that it is run
//! in ordered runs and with `--apply`, and this module runs it.

mod process;
mod settings;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use checks::{Answer, Check, Context, Criterion, Reason, Verdict, ask, catalogue};
use phases::actions;
use reports::model::{Phase, Severity};

pub(crate) use settings::{ScriptConfig, known};

use crate::options::Options;

/// One script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Its name: letters, digits and `_`.
    pub(crate) name: String,
    /// The phase that it belongs to.
    pub(crate) phase: Phase,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// After this time its whole process group is ended.
    pub(crate) timeout: Duration,
    /// Where it is started, and what a relative program is relative to; the repository when absent.
    pub(crate) folder: Option<PathBuf>,
    /// Checks that ask what a script of the specification is there to ask.
    pub(crate) instead: &'static [&'static str],
}

impl Script {
    /// Id of its check: `post::script_backup`.
    pub(crate) fn id(&self) -> String {
        format!("{}::script_{}", self.phase.short(), self.name)
    }
}

const REASONS: &[Reason] = &[
    Reason::new(
        "ScriptFailed",
        "its output stands in the evidence; run it by hand with KUBECONFIG and ONBOARDING_NODE set",
    ),
    Reason::new(
        "ScriptWarned",
        "its last line begins with WARN: and says what a person should look at",
    ),
    Reason::new(
        "ScriptSkipped",
        "it ended with exit code 77: it does not apply here",
    ),
    Reason::new(
        "NothingChecked",
        "it ended with 0 and said nothing, so it has checked nothing: let it say what it looked at",
    ),
    Reason::new(
        "ScriptBroken",
        "0 is yes, 1 is no, 77 is not applicable: any other end says that it broke; its output is the evidence",
    ),
    Reason::new(
        "ScriptTimedOut",
        "give it more time (timeout of its [[script]]), or see what it waits for",
    ),
    Reason::new(
        "ScriptNotStarted",
        "see that the file exists and is executable: chmod +x, and a first line such as #!/bin/sh",
    ),
    Reason::new(
        "ScriptAbsent",
        "the repository has no such file: nothing to run",
    ),
    Reason::new(
        "OtherContext",
        "a script is given a kubeconfig and would use its current context: kubectl config use-context with the one of --context",
    ),
];

/// What an inspection says of every script.
async fn only_with_apply(_: &Context) -> Answer {
    Ok(Verdict::skip(
        "NeedsAction",
        "scripts are run in an onboarding and with --apply",
    ))
}

/// Makes every script a check of its phase. The checks live as long as the program.
pub(crate) fn register(scripts: &[Script]) {
    let checks = scripts.iter().map(|script| Check {
        id: script.id().leak(),
        title: format!("The script {} says yes.", script.command.join(" ")).leak(),
        severity: Severity::Fail,
        requires: &[],
        needs: &[],
        awaits: false,
        // What a phase changes is there before somebody else's script looks at it.
        after: actions::of(script.phase).last().map(|action| action.id),
        criterion: Criterion::Beyond,
        why: "Whoever runs this cluster has asked for it.",
        reasons: REASONS,
        ask: ask!(only_with_apply),
    });
    catalogue::add(checks.collect());
}

/// The scripts of a run, ready to be run.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    by_id: HashMap<String, Script>,
    surroundings: Surroundings,
}

/// What scripts are told.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    repository: Option<PathBuf>,
    node: String,
    control_plane: String,
}

impl Scripts {
    /// The scripts of these options, and what they are told.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            by_id: options
                .scripts
                .iter()
                .map(|script| (script.id(), script.clone()))
                .collect(),
            surroundings: Surroundings {
                kubeconfig: options
                    .kubeconfig
                    .clone()
                    .or_else(|| std::env::var_os("KUBECONFIG").map(PathBuf::from)),
                context: options.context.clone(),
                repository: options.settings.repository.path.clone(),
                node: options.settings.node.name.clone(),
                control_plane: options.settings.node.control_plane.clone(),
            },
        }
    }

    /// How long a script may take; nothing for a check that is no script.
    pub(crate) fn limit(&self, id: &str) -> Option<Duration> {
        self.by_id.get(id).map(|script| script.timeout)
    }

    /// Runs a script and says what it said; nothing for a check that is no script. A script whose run is given up is
    /// ended with everything that it has started.
    pub(crate) async fn run(&self, id: &str) -> Option<Verdict> {
        let script = self.by_id.get(id)?;
        Some(process::run(script, &self.surroundings).await)
    }
}
