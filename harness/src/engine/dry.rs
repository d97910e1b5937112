//! The dry run: every check that can hold now, and the plan of every action. Nothing is changed, waited for or locked.
//!
//! What keeps it from changing anything is not in this file: the permit refuses every request that is not sent with the
//! server's own `dryRun=All`, the repository is opened for reading only, and no state folder is opened for writing.

use std::{panic::AssertUnwindSafe, path::PathBuf, sync::Arc, time::Instant};

use checks::{Check, cluster::Meter, view::View};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use phases::{
    Action, ActionContext, ActionError, Done, Journal, Plan, Stop,
    order::{Step, steps},
};
use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    model::{ActionRecord, Ended as CaseEnded, Mode, Outcome, Phase, PhaseState, Report},
    store::Store,
};
use tokio::runtime::Runtime;

use super::{
    Ended, act, ask, copies, ending,
    logbook::Logbook,
    named, new_report,
    ordered::Run,
    recorder::Recorder,
    resume::{self, Begin},
    start::World,
    started, unarchived, unwritable, warned,
};
use crate::{
    event::{Event, Sink},
    exit::{Exit, Halt},
    options::{Options, Purpose, Selection},
};

/// Why what comes after a planned action is not asked, and why a planned action is not done.
pub(super) const REASON: &str = "NotAppliedInDryRun";
const HINT: &str = "run without --dry-run";

/// Carries out the dry run of an onboarding, of one that is resumed, or of the selected phases.
///
/// # Errors
/// It could not start, or the report of an earlier run cannot be used: then the run itself could not go on either.
pub(super) fn run(
    options: &Options,
    world: &World,
    runtime: &Runtime,
    sink: Arc<dyn Sink>,
    stop: Stop,
    id: String,
    begin: Begin,
) -> Result<Ended, Halt> {
    let refused = |error: reports::folder::FolderError| Halt::cannot_start(error.to_string(), "");
    let state_folder = StateFolder::open(&options.state_dir).map_err(refused)?;
    let new = new_report(&id, Mode::Onboard, world);
    let begun = resume::begin(begin, new, state_folder.as_ref())?;
    let logs = LogFolder::open_or_create(&options.log_dir).map_err(refused)?;
    let log = ending::log(options, &logs, Mode::DryRun)?;
    let log_path = log.path().map(std::path::Path::to_owned);
    let sink: Arc<dyn Sink> = Arc::new(Logbook::new(log, sink));
    let resumed = begun.report.resumed > 0;
    let (report, records) = pretended(begun.report, id.clone());
    let run = report.run.clone();
    let store = Store::begin(None, report, copies(options)).map_err(unwritable)?;
    sink.event(&started(
        world,
        &id,
        begin.ordered(),
        resumed,
        log_path.clone(),
    ));
    if let Some(warning) = begun.warning {
        sink.event(&Event::Warning(warning));
    }
    if let Some(run) = &begun.replaced {
        let namespace = &world.settings.probe.namespace;
        let looked = phases::temporary::would_leave(&world.client, namespace, run);
        match runtime.block_on(looked) {
            Ok(parts) if parts.is_empty() => {}
            Ok(parts) => sink.event(&Event::Mends {
                fix: super::fix::LEFTOVERS.to_owned(),
                check: String::new(),
                parts,
            }),
            Err(error) => sink.event(&Event::Warning(format!(
                "what run {run} has left cannot be seen: {error}"
            ))),
        }
    }
    let recorder = Arc::new(Recorder::new(store, sink, world.connection.meter()));
    let run = Run {
        options,
        world,
        recorder: Arc::clone(&recorder),
        handle: runtime.handle().clone(),
        stop: stop.clone(),
        run,
        backup: PathBuf::new(),
        lease: None,
    };
    let exit = warned(options, &recorder, run.dry(records)?);
    let report = ending::finish(&run, exit)?;
    let now = Timestamp::now();
    let junit = archive::write_junit(&logs, &report, now).map_err(unarchived)?;
    let markdown = if options.report {
        Some(archive::write_markdown(&logs, &report, now).map_err(unarchived)?)
    } else {
        None
    };
    let files = named([
        ("log", log_path),
        ("report", markdown),
        ("junit", Some(junit)),
    ]);
    Ok(Ended {
        exit,
        report,
        files,
        last_words: Vec::new(),
    })
}

/// The report of a run as that of a dry run, and what its actions have recorded so far.
fn pretended(report: Report, id: String) -> (Report, Vec<ActionRecord>) {
    let mut report = report;
    report.mode = Mode::DryRun;
    report.run = id;
    report.started = Timestamp::now();
    report.sequence = 0;
    let records = std::mem::take(&mut report.actions);
    (report, records)
}

/// What came of looking at an action.
pub(super) enum Planned {
    /// It is already so.
    Already(Done),
    /// It would change this.
    Would(Plan),
    /// It would not get through.
    Fails(ActionError),
}

/// Looks at one action: whether it is already so, and otherwise what it would change. `pending` says that what
/// this one builds on need not be there yet: an earlier action is only planned, or a check says that it is missing.
pub(super) async fn look(action: &'static Action, cx: &ActionContext, pending: bool) -> Planned {
    let looked = AssertUnwindSafe(async {
        let probed = match action.act.probe(cx).await {
            Ok(Some(done)) => return Planned::Already(done),
            Ok(None) => None,
            Err(error) if pending => Some(error),
            Err(error) => return Planned::Fails(error),
        };
        match (action.act.plan(cx).await, probed) {
            (Ok(plan), None) if plan.parts.is_empty() => {
                Planned::Already(Done::new("there is nothing to change"))
            }
            (Ok(plan), _) => Planned::Would(plan),
            (Err(_), Some(error)) | (Err(error), None) => Planned::Fails(error),
        }
    });
    looked.catch_unwind().await.unwrap_or_else(|payload| {
        let words = ask::words(payload.as_ref());
        Planned::Fails(ActionError::new("Panicked", format!("it broke: {words}")))
    })
}

/// Whether an action leaves something behind that later checks look at. One that only asks for something, or that
/// removes what it made, changes nothing for them.
pub(super) fn is_lasting(action: &Action) -> bool {
    !action.inverse.starts_with("nothing")
}

/// What is planned so far.
#[derive(Default)]
pub(super) struct Pending {
    /// Every planned action.
    ids: Vec<&'static str>,
    /// The first of them that would leave something behind.
    lasting: Option<&'static str>,
}

impl Pending {
    /// Takes an action that would change something.
    pub(super) fn add(&mut self, action: &'static Action) {
        self.ids.push(action.id);
        if is_lasting(action) {
            self.lasting.get_or_insert(action.id);
        }
    }

    /// Whether an action that leaves something behind is only planned.
    pub(super) const fn is_lasting(&self) -> bool {
        self.lasting.is_some()
    }

    /// The planned action that keeps a check from being asked.
    fn before(&self, check: &Check) -> Option<&'static str> {
        check
            .after
            .filter(|after| self.ids.contains(after))
            .or(self.lasting)
    }
}

impl Run<'_> {
    /// All selected phases that are not through.
    fn dry(&self, records: Vec<ActionRecord>) -> Result<Exit, Halt> {
        let journal: Arc<dyn Journal> = Arc::new(Recorded(records));
        let everything = Selection::default();
        let selection = match self.purpose() {
            Purpose::Onboard { .. } => &everything,
            Purpose::Inspect { .. } | Purpose::Rollback { .. } => &self.options.selection,
        };
        let skips = matches!(
            self.purpose(),
            Purpose::Onboard {
                skip_validation: true,
                ..
            }
        );
        let mut pending = Pending::default();
        let mut failed = false;
        for phase in Phase::ALL {
            let state = self.recorder.report().phase(phase).map(|one| one.state);
            let ordered = matches!(self.purpose(), Purpose::Onboard { .. });
            if ordered && matches!(state, Some(PhaseState::Completed | PhaseState::Skipped)) {
                self.recorder.tell(&Event::PhaseSkipped {
                    phase,
                    why: "through since an earlier start".into(),
                });
                continue;
            }
            let state = if phase == Phase::PreValidation && skips {
                self.left_out(phase)?
            } else {
                match self.dry_phase(phase, selection, &journal, &mut pending)? {
                    Some(state) => state,
                    None => continue,
                }
            };
            failed |= state == PhaseState::Failed;
            if self.stop.asked() {
                return Ok(Exit::Interrupted);
            }
        }
        Ok(if failed { Exit::Failed } else { Exit::Passed })
    }

    /// One phase; nothing when nothing of it is selected.
    fn dry_phase(
        &self,
        phase: Phase,
        selection: &Selection,
        journal: &Arc<dyn Journal>,
        pending: &mut Pending,
    ) -> Result<Option<PhaseState>, Halt> {
        let selected = |id: &str| selection.takes(id);
        let steps: Vec<Step> = steps(phase)
            .into_iter()
            .map(|step| match step {
                Step::Checks(checks) => {
                    Step::Checks(checks.into_iter().filter(|one| selected(one.id)).collect())
                }
                action @ Step::Action(_) => action,
            })
            .collect();
        let count: usize = steps
            .iter()
            .map(|step| match step {
                Step::Checks(checks) => checks.len(),
                Step::Action(action) => usize::from(selected(action.id)),
            })
            .sum();
        if count == 0 {
            return Ok(None);
        }
        let before = self.requests();
        self.recorder.phase_started(phase, count, selected)?;
        if self.options.auto_fix && phase == Phase::PreValidation {
            self.leftovers()?;
        }
        let mut whole = true;
        for step in steps {
            if self.stop.asked() {
                return Ok(Some(PhaseState::InProgress));
            }
            match step {
                Step::Checks(checks) => {
                    whole &= self.dry_checks(phase, checks.clone(), pending);
                    if self.options.auto_fix {
                        self.preview(&checks, journal);
                    }
                }
                Step::Action(action) if selected(action.id) => {
                    whole &= self.dry_action(action, journal, pending);
                }
                Step::Action(_) => {}
            }
            self.recorder.whole()?;
        }
        let error = self.failure(phase, selection);
        let report = self.recorder.report();
        let mut cases = report.phase(phase).into_iter().flat_map(|one| &one.cases);
        let whole = whole && !cases.any(|case| case.outcome() == Some(Outcome::Blocked));
        let state = match (&error, whole) {
            (Some(_), _) => PhaseState::Failed,
            (None, true) => PhaseState::Completed,
            // Not all of it could be asked, so nobody may take it for done.
            (None, false) => PhaseState::Skipped,
        };
        self.recorder
            .phase_ended(phase, state, error, self.requests() - before)?;
        Ok(Some(state))
    }

    /// Asks what can hold now; whether that was all.
    fn dry_checks(&self, phase: Phase, checks: Vec<&'static Check>, pending: &Pending) -> bool {
        let mut now = Vec::new();
        let mut later = false;
        for check in checks {
            let Some(action) = pending.before(check) else {
                now.push(check);
                continue;
            };
            later = true;
            let message = format!("not asked: it comes after {action}, which is only planned");
            let ended = ask::unasked(Outcome::Skip, REASON, message, HINT, Vec::new());
            self.recorder.unasked(check.id, ended);
        }
        self.ask(&now, self.snapshot(), self.known(phase));
        !later
    }

    /// Looks at an action; whether it is already so.
    fn dry_action(
        &self,
        action: &'static Action,
        journal: &Arc<dyn Journal>,
        pending: &mut Pending,
    ) -> bool {
        let cx = self.action_context(
            &self.context(View::snapshot(self.world.reader.clone())),
            tokio::time::Instant::now(),
            Arc::clone(journal),
        );
        let (begun, started) = (Instant::now(), Timestamp::now());
        // What the action builds on may be missing because it is only planned, or because a check says so already.
        let blocking = self.blocking(action);
        let missing = pending.is_lasting() || !blocking.is_empty();
        let (looked, tally) = self.handle.block_on(async {
            let (cx, tally) = act::counted_for(action.id, &cx);
            let looking = Meter::count_for(tally.clone(), look(action, &cx, missing));
            (looking.await, tally)
        });
        let mut ended = match looked {
            Planned::Already(done) => act::through(action, &cx, done).0,
            Planned::Fails(error) => act::failed(action, &cx, error),
            Planned::Would(plan) => {
                pending.add(action);
                self.recorder.tell(&Event::Planned {
                    id: action.id.to_owned(),
                    parts: plan.parts.clone(),
                });
                would(&plan, &blocking)
            }
        };
        ended.started = started;
        ended.duration = SignedDuration::try_from(begun.elapsed()).unwrap_or_default();
        ended.requests = tally.count().requests;
        let settings = &self.world.settings;
        if let Some(what) = ask::undeclared(action.id, &tally, action.needs, settings) {
            (ended.outcome, ended.reason, ended.message) =
                (Outcome::Error, ask::UNDECLARED.into(), what);
        }
        let already = ended.outcome.satisfies();
        self.recorder.unasked(action.id, ended);
        already
    }
}

/// The end of an action that would change something.
pub(super) fn would(plan: &Plan, blocking: &[String]) -> CaseEnded {
    let mut first: Vec<&str> = plan
        .parts
        .iter()
        .filter_map(|part| part.lines().next())
        .collect();
    let more = first.len().saturating_sub(3);
    first.truncate(3);
    let mut message = format!("would {}", first.join("; "));
    if more > 0 {
        message.push_str(&format!("; and {more} more"));
    }
    if !blocking.is_empty() {
        message.push_str(&format!(
            ". As it stands it would not be done, because {} did not pass",
            blocking.join(", ")
        ));
    }
    let mut ended = ask::unasked(Outcome::Skip, REASON, message, HINT, Vec::new());
    ended.evidence = plan
        .parts
        .iter()
        .flat_map(|part| part.lines().map(str::to_owned))
        .collect();
    ended
}

/// What earlier starts have recorded; nothing is added to it.
struct Recorded(Vec<ActionRecord>);

impl Journal for Recorded {
    fn record(&self, action: &str, key: &str, _: &str) -> Result<(), ActionError> {
        Err(ActionError::new(
            "DryRun",
            format!("a dry run records nothing, and {action} wanted to record {key}"),
        ))
    }

    fn recorded(&self, action: &str, key: &str) -> Option<String> {
        let record = self.0.iter().rev().find(|one| one.id == action)?;
        record.recorded.get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use phases::actions;

    use super::*;

    #[test]
    fn only_what_leaves_something_behind_keeps_later_checks_from_being_asked() {
        let check = |id: &str| checks::catalogue::find(id).unwrap();
        let mut pending = Pending::default();
        pending.add(actions::find("storage::reconcile").unwrap());
        assert!(!pending.is_lasting());
        assert_eq!(
            pending.before(check("storage::disks_ready")),
            Some("storage::reconcile")
        );
        assert_eq!(pending.before(check("network::pod_cidrs_disjoint")), None);
        pending.add(actions::find("join::label").unwrap());
        assert_eq!(
            pending.before(check("network::pod_cidrs_disjoint")),
            Some("join::label")
        );
    }

    #[test]
    fn a_plan_is_summed_up_in_one_line_and_kept_whole() {
        let plan = Plan {
            parts: vec!["change a\n-x\n+y".into(), "push b".into()],
        };
        let ended = would(&plan, &["pre::x".into()]);
        assert_eq!(ended.outcome, Outcome::Skip);
        assert!(
            ended.message.starts_with("would change a; push b."),
            "{}",
            ended.message
        );
        assert!(ended.message.contains("because pre::x did not pass"));
        assert_eq!(ended.evidence, ["change a", "-x", "+y", "push b"]);
    }

    #[test]
    fn the_journal_of_a_dry_run_only_remembers() {
        let record = ActionRecord {
            id: "gitops::commit".into(),
            state: reports::model::ActionState::Done,
            started: Timestamp::UNIX_EPOCH,
            finished: None,
            recorded: BTreeMap::from([("commit".to_owned(), "abc".to_owned())]),
        };
        let journal = Recorded(vec![record]);
        assert_eq!(
            journal.recorded("gitops::commit", "commit").as_deref(),
            Some("abc")
        );
        assert_eq!(journal.recorded("gitops::push", "commit"), None);
        assert!(journal.record("gitops::commit", "commit", "def").is_err());
    }
}
