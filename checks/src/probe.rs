//! What temporary pods found out, and what a check makes of it.
//!
//! A pod cannot be asked by a check, because a check changes nothing. An action starts the pod, writes down what it
//! found ([`Finding`]) under the name of the question, and removes it again; the check judges what is written down.

use serde::{Deserialize, Serialize};

use crate::{Context, Reason, Verdict};

/// The label of everything that this program makes for itself, as `key=value`.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=onboarding";
/// The label that names the run which made an object.
pub const RUN: &str = "onboarding/run";

/// The action that asks from the control plane before anything is changed.
pub const BEFORE: &str = "pre::probe_pod";
/// The action that sends packets between the nodes.
pub const TRAFFIC: &str = "network::probe_pods";
/// The action that runs a pod as any workload.
pub const WORKLOAD: &str = "health::test_workload";
/// The action that writes to a volume of two replicas.
pub const VOLUME: &str = "health::test_volume";

/// What came of one try to reach something, as the pod says it in its termination message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It was reached, or the name has an address.
    Ok,
    /// Something answered that nobody listens there.
    Refused,
    /// Nothing answered.
    Timeout,
    /// The name has no address.
    Noname,
    /// Anything else; the detail says what.
    Failed,
}

impl Word {
    /// The word as the pod writes it.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Some(match word {
            "ok" => Self::Ok,
            "refused" => Self::Refused,
            "timeout" => Self::Timeout,
            "noname" => Self::Noname,
            "failed" => Self::Failed,
            _ => return None,
        })
    }

    /// What it means, in a few words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ok => "reached",
            Self::Refused => "refused",
            Self::Timeout => "no answer",
            Self::Noname => "no such name",
            Self::Failed => "failed",
        }
    }
}

/// What one pod found about one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The node that the pod ran on.
    pub node: String,
    /// `tcp://host:port` or `dns:name`, as the pod was told.
    pub target: String,
    /// What stands there, for a person: `a pod on k3s1`.
    pub what: String,
    /// What came of it.
    pub word: Word,
    /// What the pod said beside that.
    pub detail: String,
}

impl Finding {
    /// One line: from where to where, and what came of it.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "from a pod on {} to {} ({}): {}",
            self.node,
            self.target,
            self.what,
            self.word.text()
        );
        if !self.detail.is_empty() {
            line.push_str(": ");
            line.push_str(&self.detail);
        }
        line
    }
}

/// What became of the pod that was to run as any workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its name.
    pub pod: String,
    /// How far it came.
    pub stage: WorkloadStage,
    /// What the scheduler, the kubelet or the pod said.
    pub said: String,
}

/// How far a pod came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadStage {
    /// The scheduler has not placed it.
    Unscheduled,
    /// It was placed and its container did not start.
    Unstarted,
    /// Its container ended with an error.
    Failed,
    /// It ran and ended well.
    Ran,
}

/// What became of the test volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestVolume {
    /// Name of the claim.
    pub claim: String,
    /// Name of the volume in Longhorn, empty while there is none.
    pub volume: String,
    /// How far it came.
    pub stage: VolumeStage,
    /// Longhorn's word on it: `healthy`, `degraded`.
    pub robustness: String,
    /// The nodes with a whole copy.
    pub nodes: Vec<String>,
    /// What was seen or said last.
    pub said: String,
}

/// How far a volume came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeStage {
    /// The claim has no volume.
    Unbound,
    /// The pod waits for the volume.
    Unattached,
    /// The pod could not write, or read something else.
    Unwritten,
    /// What was written was read back.
    Written,
}

/// The reasons of a check that judges a finding; the remedies are the check's own.
#[must_use]
pub const fn reasons(
    refused: &'static str,
    timeout: &'static str,
    noname: &'static str,
    failed: &'static str,
) -> [Reason; 4] {
    [
        Reason::new("TargetRefused", refused),
        Reason::new("TargetTimedOut", timeout),
        Reason::new("NameNotFound", noname),
        Reason::new("NotReached", failed),
    ]
}

/// What an action of this run wrote down under a key; a verdict that says why there is nothing otherwise.
pub(crate) fn recorded<'a>(cx: &'a Context, action: &str, key: &str) -> Result<&'a str, Verdict> {
    cx.recorded(action, key).ok_or_else(|| {
        Verdict::skip(
            "NeedsAction",
            format!("rests on {action}, which makes temporary objects in the cluster: add --apply"),
        )
    })
}

/// Judges what an action of this run found under a key.
#[track_caller]
pub(crate) fn judge(cx: &Context, action: &str, key: &str) -> Verdict {
    let text = match recorded(cx, action, key) {
        Ok(text) => text,
        Err(verdict) => return verdict,
    };
    let finding: Finding = match serde_json::from_str(text) {
        Ok(finding) => finding,
        Err(error) => {
            let what = format!("what {action} wrote down under {key} cannot be read: {error}");
            return Verdict::error("Malformed", what);
        }
    };
    let (what, node) = (&finding.what, &finding.node);
    let verdict = match finding.word {
        Word::Ok => Verdict::pass(format!("{what}, from a pod on {node}")),
        Word::Refused => Verdict::fail(
            "TargetRefused",
            format!("{what} refuses connections from a pod on {node}"),
        ),
        Word::Timeout => Verdict::fail(
            "TargetTimedOut",
            format!("{what} does not answer a pod on {node}"),
        ),
        Word::Noname => Verdict::fail(
            "NameNotFound",
            format!("{what} is not found by a pod on {node}"),
        ),
        Word::Failed => Verdict::fail(
            "NotReached",
            format!("{what} cannot be reached by a pod on {node}"),
        ),
    };
    verdict.saw(finding.line())
}

/// The host of `host:port`, and whether it is a name and no address.
#[must_use]
pub fn host_of(place: &str) -> (&str, bool) {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    (host, bare.parse::<std::net::IpAddr>().is_err())
}

/// The image of the first container in the pod template of local-path-provisioner's configuration.
#[must_use]
pub fn helper_image(template: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Pod {
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Spec {
        containers: Vec<Container>,
    }
    #[derive(Deserialize)]
    struct Container {
        image: String,
    }
    let pod: Pod = serde_saphyr::from_str(template).ok()?;
    let first = pod.spec.containers.into_iter().next()?;
    Some(first.image).filter(|image| !image.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use jiff::Timestamp;
    use reports::model::{ActionRecord, ActionState, Outcome};

    use super::*;
    use crate::testing::{Fixture, empty_report};

    /// A context in which an action has written this down.
    pub(crate) fn after(fixture: Fixture, action: &str, facts: &[(&str, &str)]) -> Context {
        let mut report = empty_report();
        report.actions.push(ActionRecord {
            id: action.into(),
            state: ActionState::Undone,
            started: Timestamp::UNIX_EPOCH,
            finished: Some(Timestamp::UNIX_EPOCH),
            recorded: facts
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        });
        Context {
            report: Arc::new(report),
            ..fixture.context()
        }
    }

    /// A finding as an action writes it down.
    pub(crate) fn finding(word: Word, detail: &str) -> String {
        serde_json::to_string(&Finding {
            node: "k3s2".into(),
            target: "tcp://10.42.0.9:8080".into(),
            what: "a pod on k3s1".into(),
            word,
            detail: detail.into(),
        })
        .unwrap()
    }

    #[tokio::test]
    async fn each_word_is_an_answer_of_its_own() {
        let said = |word| {
            let text = finding(word, "nc: said so");
            let cx = after(Fixture::new(), TRAFFIC, &[("x", &text)]);
            judge(&cx, TRAFFIC, "x")
        };
        assert_eq!(said(Word::Ok).outcome(), Outcome::Pass);
        let reasons: Vec<&str> = [Word::Refused, Word::Timeout, Word::Noname, Word::Failed]
            .map(|word| said(word).reason())
            .to_vec();
        assert_eq!(
            reasons,
            [
                "TargetRefused",
                "TargetTimedOut",
                "NameNotFound",
                "NotReached"
            ]
        );
        let evidence = said(Word::Timeout).evidence().join("");
        assert_eq!(
            evidence,
            "from a pod on k3s2 to tcp://10.42.0.9:8080 (a pod on k3s1): no answer: nc: said so"
        );
    }

    #[tokio::test]
    async fn without_the_action_it_says_how_to_ask() {
        let cx = Fixture::new().context();
        let verdict = judge(&cx, TRAFFIC, "x");
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Skip, "NeedsAction")
        );
        assert!(
            verdict.message().contains("--apply"),
            "{}",
            verdict.message()
        );
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_an_error() {
        let cx = after(Fixture::new(), TRAFFIC, &[("x", "{")]);
        let verdict = judge(&cx, TRAFFIC, "x");
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Error, "Malformed")
        );
    }

    #[test]
    fn the_image_of_a_helper_pod_is_read_as_k3s_writes_it() {
        let template = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: helper-pod\nspec:\n  containers:\n  - name: helper-pod\n    image: \"rancher/mirrored-library-busybox:1.36.1\"\n    imagePullPolicy: IfNotPresent\n";
        let image = helper_image(template);
        assert_eq!(
            image.as_deref(),
            Some("rancher/mirrored-library-busybox:1.36.1")
        );
        assert_eq!(helper_image("spec: {containers: []}"), None);
        assert_eq!(helper_image("not: [yaml"), None);
    }

    #[test]
    fn names_and_addresses_are_told_apart() {
        assert_eq!(host_of("registry.example:443"), ("registry.example", true));
        assert_eq!(host_of("192.0.2.1:443"), ("192.0.2.1", false));
        assert_eq!(host_of("[2001:db8::1]:443"), ("[2001:db8::1]", false));
    }
}
