//! What stands in a Lease: who holds it, where, since when, in which phase, and until when.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease as Object, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::{SignedDuration, Timestamp},
};
use kube::api::ObjectMeta;

const HOST: &str = "onboarding/host";
const PROCESS: &str = "onboarding/process";
const MODE: &str = "onboarding/mode";
const PHASE: &str = "onboarding/phase";
/// Every identity of ours begins so; the id of the run and a word of chance follow.
const PREFIX: &str = "onboarding-";

/// Who wants the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Me {
    /// `onboarding-<run>-<chance>`. The last part is new for each start: a copied state folder has the same run.
    pub(super) identity: String,
    pub(super) host: String,
    pub(super) mode: &'static str,
    pub(super) duration: Duration,
}

impl Me {
    pub(super) fn new(run: &str, host: &str, mode: &'static str, duration: Duration) -> Self {
        Self {
            identity: format!("{PREFIX}{run}-{:08x}", fastrand::u32(..)),
            host: host.to_owned(),
            mode,
            duration,
        }
    }

    /// The Lease as it is to be, on top of what is there.
    pub(super) fn written(
        &self,
        there: Option<&Object>,
        namespace: &str,
        name: &str,
        phase: Option<&str>,
    ) -> Object {
        let now = MicroTime(Timestamp::now());
        let old = there.and_then(|object| object.spec.clone());
        let mine = old
            .as_ref()
            .is_some_and(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let mut metadata = there.map_or_else(
            || ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            |object| object.metadata.clone(),
        );
        metadata.managed_fields = None;
        let notes = metadata.annotations.get_or_insert_default();
        notes.insert(HOST.into(), self.host.clone());
        notes.insert(PROCESS.into(), std::process::id().to_string());
        notes.insert(MODE.into(), self.mode.into());
        note(notes, PHASE, phase);
        let transitions = old
            .as_ref()
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or_default();
        Object {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(seconds(self.duration)),
                acquire_time: if mine {
                    old.and_then(|spec| spec.acquire_time)
                } else {
                    Some(now.clone())
                },
                renew_time: Some(now),
                lease_transitions: Some(
                    transitions.saturating_add(i32::from(!mine && there.is_some())),
                ),
                ..LeaseSpec::default()
            }),
        }
    }
}

/// The Lease given back: nobody holds it.
pub(super) fn released(there: &Object) -> Object {
    let mut object = there.clone();
    object.metadata.managed_fields = None;
    if let Some(notes) = &mut object.metadata.annotations {
        for key in [HOST, PROCESS, MODE, PHASE] {
            notes.remove(key);
        }
    }
    if let Some(spec) = &mut object.spec {
        spec.holder_identity = None;
        spec.acquire_time = None;
        spec.renew_time = None;
    }
    object
}

fn note(notes: &mut BTreeMap<String, String>, key: &str, value: Option<&str>) {
    match value {
        Some(value) => {
            notes.insert(key.to_owned(), value.to_owned());
        }
        None => {
            notes.remove(key);
        }
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs().max(1)).unwrap_or(i32::MAX)
}

/// Who holds a Lease, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The identity in the Lease.
    pub identity: String,
    /// Name of its machine; empty when the Lease does not say.
    pub host: String,
    /// Its process there; empty when the Lease does not say.
    pub process: String,
    /// What it does: `onboard`, `rollback`.
    pub mode: String,
    /// The phase that it is in; empty before the first.
    pub phase: String,
    /// Since when it has it.
    pub since: Option<Timestamp>,
    /// When it renewed it last, by its own clock.
    pub renewed: Option<Timestamp>,
    /// How long the Lease holds without being renewed.
    pub duration: Duration,
}

impl Holder {
    /// Who holds this Lease; nobody when it was given back.
    pub(super) fn of(object: &Object) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        let identity = spec
            .holder_identity
            .clone()
            .filter(|identity| !identity.is_empty())?;
        let note = |key: &str| {
            let notes = object.metadata.annotations.as_ref();
            reports::text::line(
                notes
                    .and_then(|notes| notes.get(key))
                    .map_or("", String::as_str),
            )
        };
        let duration = spec.lease_duration_seconds.unwrap_or(15).max(1);
        Some(Self {
            identity: reports::text::line(&identity),
            host: note(HOST),
            process: note(PROCESS),
            mode: note(MODE),
            phase: note(PHASE),
            since: spec.acquire_time.as_ref().map(|time| time.0),
            renewed: spec.renew_time.as_ref().map(|time| time.0),
            duration: Duration::from_secs(u64::try_from(duration).unwrap_or(15)),
        })
    }

    /// Whether it is of one of these runs and was begun on this machine by a process that is no more. The name of the
    /// run alone is not enough: a copied state folder has it too, while the original goes on.
    pub(super) fn has_ended(&self, runs: &[String], host: &str) -> bool {
        let of_these = runs
            .iter()
            .any(|run| self.run().is_some_and(|held| held == run));
        of_these && self.host == host && !reports::lock::is_running(&self.process)
    }

    /// Id of the run, when it is one of this program.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        let (run, chance) = self.identity.strip_prefix(PREFIX)?.rsplit_once('-')?;
        (!run.is_empty() && !chance.is_empty()).then_some(run)
    }

    /// Whether it seems to be past its time, by the time of day here. The clocks of two machines may differ, so this
    /// alone takes nothing from anybody.
    pub(super) fn seems_expired(&self, now: Timestamp) -> bool {
        match self.renewed {
            Some(renewed) => {
                let limit = SignedDuration::try_from(self.duration).unwrap_or_default();
                now.duration_since(renewed) > limit
            }
            None => true,
        }
    }

    /// How long ago it was renewed, in words.
    fn age(&self, now: Timestamp) -> String {
        match self.renewed {
            None => "never renewed".to_owned(),
            Some(renewed) => match now.duration_since(renewed).as_secs() {
                ago @ 0.. => format!("renewed {ago} s ago"),
                ahead => format!("renewed {} s ahead of the clock here", -ahead),
            },
        }
    }

    /// One line: who, what, where, in which phase, since when, and how long ago it was renewed.
    #[must_use]
    pub fn sentence(&self, now: Timestamp) -> String {
        let mut facts = Vec::new();
        if !self.mode.is_empty() {
            facts.push(self.mode.clone());
        }
        if !self.process.is_empty() {
            facts.push(format!("process {}", self.process));
        }
        if !self.host.is_empty() {
            facts.push(format!("on {}", self.host));
        }
        if !self.phase.is_empty() {
            facts.push(format!("in {}", self.phase));
        }
        if let Some(since) = self.since {
            facts.push(format!("since {since:.0}"));
        }
        facts.push(self.age(now));
        let who = match self.run() {
            Some(run) => format!("run {run}"),
            None => format!("`{}`", self.identity),
        };
        format!("{who} ({})", facts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Me {
        Me::new("7f3a91c2", "host-a", "onboard", Duration::from_secs(30))
    }

    #[test]
    fn what_is_written_is_read_again_and_names_everything() {
        let me = me();
        let object = me.written(
            None,
            "kube-system",
            "onboarding-k3s2",
            Some("node_join_monitoring"),
        );
        let holder = Holder::of(&object).unwrap();
        assert_eq!(holder.run(), Some("7f3a91c2"));
        let runs = ["00000000".to_owned(), "7f3a91c2".to_owned()];
        assert!(!holder.has_ended(&runs, "host-a"), "it is this process");
        let gone = Holder {
            process: "4294967295".into(),
            ..holder.clone()
        };
        assert!(gone.has_ended(&runs, "host-a"));
        assert!(!gone.has_ended(&runs, "host-b"), "begun elsewhere");
        assert!(!gone.has_ended(&["7f3a91c".into()], "host-a"));
        let said = holder.sentence(Timestamp::now());
        for part in [
            "run 7f3a91c2 (onboard",
            &format!("process {}", std::process::id()),
            "on host-a",
            "in node_join_monitoring",
            "since ",
            "renewed 0 s ago",
        ] {
            assert!(said.contains(part), "{said} has no {part}");
        }
        assert_eq!(Holder::of(&released(&object)), None);
    }

    #[test]
    fn a_renewal_keeps_the_beginning_and_a_take_over_counts_one_transition() {
        let (first, second) = (me(), me());
        assert_ne!(
            first.identity, second.identity,
            "two starts of one run differ"
        );
        let object = first.written(None, "n", "l", None);
        let renewed = first.written(Some(&object), "n", "l", None);
        let spec = |object: &Object| object.spec.clone().unwrap();
        assert_eq!(spec(&renewed).acquire_time, spec(&object).acquire_time);
        assert_eq!(spec(&renewed).lease_transitions, Some(0));
        let taken = second.written(Some(&renewed), "n", "l", None);
        assert_eq!(spec(&taken).lease_transitions, Some(1));
        assert_ne!(spec(&taken).acquire_time, spec(&object).acquire_time);
    }

    #[test]
    fn time_is_judged_by_the_duration_that_the_lease_itself_names() {
        let object = me().written(None, "n", "l", None);
        let holder = Holder::of(&object).unwrap();
        let then = holder.renewed.unwrap();
        let after = |seconds: i64| then + SignedDuration::from_secs(seconds);
        assert!(!holder.seems_expired(after(30)));
        assert!(holder.seems_expired(after(31)));
        assert!(
            !holder.seems_expired(after(-3600)),
            "a clock behind takes nothing"
        );
        assert!(
            holder
                .sentence(after(-60))
                .contains("renewed 60 s ahead of the clock here")
        );
    }

    #[test]
    fn hostile_words_are_made_safe() {
        let mut object = me().written(None, "n", "l", None);
        let notes = object.metadata.annotations.as_mut().unwrap();
        notes.insert(PHASE.into(), "\u{1b}[31mx\ny".into());
        if let Some(spec) = &mut object.spec {
            spec.holder_identity = Some("someone\nelse".into());
        }
        let said = Holder::of(&object).unwrap().sentence(Timestamp::now());
        assert!(!said.contains('\u{1b}') && !said.contains('\n'), "{said}");
        assert!(said.starts_with("`someone else`"), "{said}");
    }
}
