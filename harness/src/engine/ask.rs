//! Asking one check: its deadline, its panics, its requests counted, and what its verdict means for the run.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use checks::{
    Check, Context, Need, Settings, Verdict,
    cluster::{Meter, Tally},
    rights,
};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp, Zoned};
use reports::model::{Ended, Outcome, Severity};

use crate::scripts::Scripts;

/// One check may take this long. Waiting is not in it: a wait asks again and again.
const CHECK: Duration = Duration::from_secs(60);

/// Asks a check, or runs the script that it stands for, and says what came out, whatever happens to it.
pub(super) async fn ask(check: &'static Check, cx: &Context, scripts: &Scripts) -> (Ended, bool) {
    let started = Timestamp::now();
    let begun = Instant::now();
    let tally = cx.view.reader().meter().case(check.id);
    // A script ends itself at its limit; ours is there for what holds that up.
    let limit = scripts.limit(check.id).map_or(CHECK, |limit| limit + CHECK);
    let question = async {
        match scripts.run(check.id).await {
            Some(verdict) => Ok(verdict),
            None => (check.ask)(cx).await,
        }
    };
    let asked = Meter::count_for(tally.clone(), tokio::time::timeout(limit, question));
    let verdict = match AssertUnwindSafe(asked).catch_unwind().await {
        Ok(Ok(Ok(verdict))) => verdict,
        Ok(Ok(Err(error))) => Verdict::from(error),
        Ok(Err(_)) => Verdict::error(
            "TimedOut",
            format!("no answer within {} s", limit.as_secs()),
        ),
        Err(payload) => Verdict::error(
            "Panicked",
            format!("the check broke: {}", words(payload.as_ref())),
        ),
    };
    let verdict = match undeclared(check.id, &tally, check.needs, &cx.settings) {
        Some(what) => Verdict::error(UNDECLARED, what),
        None => verdict,
    };
    let hopeless = verdict.is_hopeless();
    let mut ended = judge(check, &cx.settings, verdict);
    ended.started = started;
    ended.duration = SignedDuration::try_from(begun.elapsed()).unwrap_or_default();
    ended.requests = tally.count().requests;
    (ended, hopeless)
}

/// The reason of whoever asks for something that it does not declare.
pub(super) const UNDECLARED: &str = "UndeclaredRight";

/// Set by the tests, to any value: see [`undeclared`].
const STRICT: &str = "ONBOARDING_STRICT_RIGHTS";

/// What a check, an action or a fix has asked for and does not declare, as a sentence. Its rights would be wrong in
/// `--rbac` and in `pre::permissions`, so it is an error in every test. A person in the middle of a run, who was allowed
/// to ask for it after all, only finds it in the log.
pub(super) fn undeclared(
    id: &str,
    tally: &Tally,
    needs: &[Need],
    settings: &Settings,
) -> Option<String> {
    let undeclared = rights::undeclared(&tally.asked(), needs, settings);
    if undeclared.is_empty() {
        return None;
    }
    let what = undeclared.join("; ");
    tracing::warn!("{id} asked for {what}, which it does not declare");
    let strict = cfg!(test) || std::env::var_os(STRICT).is_some();
    strict.then(|| format!("asked for {what}, which it does not declare"))
}

/// What a verdict means: a check of severity W only ever warns.
fn judge(check: &Check, settings: &Settings, verdict: Verdict) -> Ended {
    let mut evidence = verdict.evidence().to_vec();
    let (outcome, reason) = match (verdict.outcome(), check.severity) {
        (Outcome::Fail, Severity::Warn) => (Outcome::Warn, verdict.reason()),
        (Outcome::Error, Severity::Warn) => {
            evidence.insert(0, format!("{}: {}", verdict.reason(), verdict.message()));
            (Outcome::Warn, "CouldNotDecide")
        }
        (outcome, _) => (outcome, verdict.reason()),
    };
    let (outcome, message) = accept(check, settings, outcome, verdict.message(), &mut evidence);
    let hint = match verdict.own_hint() {
        Some(hint) => hint.to_owned(),
        // The remedy of the reason that the check itself gave says more than that of `CouldNotDecide`.
        None => check
            .remedy(verdict.reason())
            .unwrap_or_default()
            .to_owned(),
    };
    Ended {
        outcome,
        reason: reason.to_owned(),
        message,
        evidence,
        hint: settings.fill(&hint),
        blocked_by: Vec::new(),
        started: Timestamp::UNIX_EPOCH,
        duration: SignedDuration::ZERO,
        requests: 0,
        at: verdict.at(),
    }
}

/// A failure that somebody has accepted becomes a warning that says so; one whose time is over counts again. What could
/// not be decided is no failure and cannot be accepted.
fn accept(
    check: &Check,
    settings: &Settings,
    outcome: Outcome,
    message: &str,
    evidence: &mut Vec<String>,
) -> (Outcome, String) {
    let today = Zoned::now().date();
    let mut about = settings
        .accept
        .iter()
        .filter(|one| one.check == check.id && one.covers(message, evidence));
    let found = match outcome {
        Outcome::Fail => about
            .clone()
            .find(|one| one.holds(today))
            .or_else(|| about.next()),
        Outcome::Warn => about.find(|one| one.holds(today)),
        _ => None,
    };
    match found {
        Some(one) if one.holds(today) => {
            evidence.insert(0, one.words());
            (Outcome::Warn, format!("{message} ({})", one.words()))
        }
        Some(one) => {
            evidence.insert(0, format!("no longer {}", one.words()));
            (outcome, message.to_owned())
        }
        None => (outcome, message.to_owned()),
    }
}

/// The end of a case that was not asked.
pub(super) fn unasked(
    outcome: Outcome,
    reason: &str,
    message: String,
    hint: &str,
    blocked_by: Vec<String>,
) -> Ended {
    Ended {
        outcome,
        reason: reason.to_owned(),
        message,
        evidence: Vec::new(),
        hint: hint.to_owned(),
        blocked_by,
        started: Timestamp::now(),
        duration: SignedDuration::ZERO,
        requests: 0,
        at: String::new(),
    }
}

/// The text of a panic.
pub(super) fn words(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod tests {
    use checks::{Accepted, Criterion, Need, Reason, ask, kinds, view::Scope};

    use super::*;

    async fn never(_: &Context) -> checks::Answer {
        Ok(Verdict::pass(""))
    }

    async fn secretly_listing(cx: &Context) -> checks::Answer {
        // Nobody answers; that it was asked for is what counts.
        let pods = cx
            .view
            .list::<serde_json::Value>(&kinds::PODS, Scope::all());
        let _ = tokio::time::timeout(Duration::from_millis(20), pods).await;
        Ok(Verdict::pass(""))
    }

    #[tokio::test]
    async fn whoever_asks_for_what_it_does_not_declare_does_not_pass() {
        const SECRETIVE: Check = Check {
            ask: ask!(secretly_listing),
            ..check(Severity::Fail)
        };
        static CHECKS: [Check; 2] = [
            SECRETIVE,
            Check {
                id: "pre::y",
                needs: &[Need::list(&kinds::PODS)],
                ..SECRETIVE
            },
        ];
        let cx = crate::testing::unserved().await;
        let (secretive, _) = ask(&CHECKS[0], &cx, &Scripts::default()).await;
        assert_eq!(secretive.reason, "UndeclaredRight");
        assert!(
            secretive.message.contains("asked for list pods"),
            "{}",
            secretive.message
        );
        let (honest, _) = ask(&CHECKS[1], &cx, &Scripts::default()).await;
        assert_eq!(honest.outcome, Outcome::Pass);
    }

    const REASONS: &[Reason] = &[Reason::new("Broken", "mend {node}")];

    const fn check(severity: Severity) -> Check {
        Check {
            id: "pre::x",
            title: "x",
            severity,
            requires: &[],
            needs: &[Need::Path("/")],
            awaits: false,
            after: None,
            criterion: Criterion::Beyond,
            why: "x",
            reasons: REASONS,
            ask: ask!(never),
        }
    }

    #[test]
    fn a_check_of_severity_w_only_warns() {
        let settings = Settings::default();
        let found = judge(
            &check(Severity::Warn),
            &settings,
            Verdict::fail("Broken", "it is"),
        );
        assert_eq!(
            (found.outcome, found.reason.as_str(), found.hint.as_str()),
            (Outcome::Warn, "Broken", "mend k3s2")
        );
        let undecided = judge(
            &check(Severity::Warn),
            &settings,
            Verdict::error("TimedOut", "no answer"),
        );
        assert_eq!(
            (undecided.outcome, undecided.reason.as_str()),
            (Outcome::Warn, "CouldNotDecide")
        );
        assert_eq!(undecided.evidence, ["TimedOut: no answer"]);
        let failed = judge(
            &check(Severity::Fail),
            &settings,
            Verdict::fail("Broken", "it is"),
        );
        assert_eq!(failed.outcome, Outcome::Fail);
    }

    #[test]
    fn an_accepted_failure_warns_until_its_day_is_over() {
        let accepted = |check: &str, object: &str, expires: &str| Accepted {
            check: check.into(),
            object: object.into(),
            owner: "me".into(),
            reason: "known".into(),
            expires: expires.parse().unwrap(),
        };
        let judged = |accept: Vec<Accepted>, verdict: Verdict| {
            let settings = Settings {
                accept,
                ..Settings::default()
            };
            judge(&check(Severity::Fail), &settings, verdict)
        };
        let broken = || Verdict::fail("Broken", "it is").saw("volume a");
        let far = "9999-01-01";
        let one = judged(vec![accepted("pre::x", "", far)], broken());
        assert_eq!(
            (one.outcome, one.reason.as_str()),
            (Outcome::Warn, "Broken")
        );
        assert_eq!(
            one.message,
            "it is (accepted by me until 9999-01-01: known)"
        );
        assert_eq!(one.evidence.len(), 2);
        assert_eq!(one.hint, "mend k3s2");
        let object = judged(vec![accepted("pre::x", "a", far)], broken());
        assert_eq!(object.outcome, Outcome::Warn);
        for (accept, evidence) in [
            (accepted("pre::x", "b", far), 1),
            (accepted("pre::y", "", far), 1),
            (accepted("pre::x", "", "2020-01-01"), 2),
        ] {
            let counts = judged(vec![accept], broken());
            assert_eq!(counts.outcome, Outcome::Fail);
            assert_eq!(counts.evidence.len(), evidence, "{:?}", counts.evidence);
        }
        let undecided = Verdict::error("TimedOut", "no answer");
        let error = judged(vec![accepted("pre::x", "", far)], undecided);
        assert_eq!(error.outcome, Outcome::Error);
    }
}
