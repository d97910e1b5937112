//! `--auto-fix`: after a group was asked, what a declared fix can mend is shown, mended, and asked again.

use std::sync::Arc;

use checks::{Check, Context, Need, Place, Spot, kinds};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::ListParams};
use phases::{
    ActionContext, ActionError, Journal,
    fixes::{self, Change, Fix, Look},
};
use reports::{
    archive,
    folder::LogFolder,
    model::{ActionRecord, ActionState, Mode, Outcome, Phase, Progress},
};
use tokio::time::Instant;

use super::{ask, ordered::Run};
use crate::{
    cleanup,
    event::Event,
    exit::Halt,
    text::{clean, count},
};

/// Objects that earlier runs of this program left behind, as a fix without a check.
pub(super) const LEFTOVERS: &str = "fix::leftovers";

/// The rights of all fixes, each with the fix.
pub(crate) fn needs() -> Vec<(&'static str, Need)> {
    let declared = fixes::ALL
        .iter()
        .flat_map(|fix| fix.needs.iter().map(|need| (fix.id, *need)));
    // Whether a run about another node is going on is asked of its Lease.
    let leases = Need::list(&kinds::LEASES).at(Place::In(Spot::Lock));
    let leftovers = cleanup::NEEDS.iter().copied().chain([leases]);
    declared
        .chain(leftovers.map(|need| (LEFTOVERS, need)))
        .collect()
}

/// A reason of a check that a fix mends.
struct Broken {
    check: &'static Check,
    reason: String,
    message: String,
    fix: &'static Fix,
}

impl Run<'_> {
    /// What of these checks a fix could mend.
    fn broken(&self, checks: &[&'static Check]) -> Vec<Broken> {
        let report = self.recorder.report();
        let of = |check: &&'static Check| {
            let ended = report.case(check.id)?.ended()?;
            let unwell = matches!(
                ended.outcome,
                Outcome::Fail | Outcome::Error | Outcome::Warn
            );
            let fix = fixes::of(check.id, &ended.reason).filter(|_| unwell)?;
            Some(Broken {
                check,
                reason: ended.reason.clone(),
                message: ended.message.clone(),
                fix,
            })
        };
        checks.iter().filter_map(of).collect()
    }

    /// What the program's own runs have recorded about this node: this one, and every archived one of this cluster.
    fn own_records(&self) -> Vec<ActionRecord> {
        let report = self.recorder.report();
        let mut records = report.actions.clone();
        let archived = LogFolder::open(&self.options.log_dir)
            .ok()
            .flatten()
            .and_then(|logs| archive::all(&logs, &report.node).ok())
            .unwrap_or_default();
        // Only the newest run of each kind: what an older one did has been gone over since.
        for mode in [Mode::Rollback, Mode::Onboard] {
            let newest = archived.reports.iter().rev().find(|one| {
                one.report.mode == mode && one.report.cluster.uid == report.cluster.uid
            });
            records.extend(
                newest
                    .into_iter()
                    .flat_map(|one| one.report.actions.clone()),
            );
        }
        records
    }

    /// Mends what can be mended of a group, and asks what was mended, and what was blocked by it, again.
    pub(super) fn mend(
        &self,
        phase: Phase,
        checks: &[&'static Check],
        live: &Context,
        deadline: Instant,
    ) -> Result<(), Halt> {
        let broken = self.broken(checks);
        if broken.is_empty() {
            return Ok(());
        }
        let records = self.own_records();
        let mut mended = Vec::new();
        for one in broken {
            if self.stop.asked() {
                return Ok(());
            }
            let cx = self.mending_context(&one, live, deadline, self.recorder.clone());
            if let Some(facts) = self.mend_one(&one, &cx, &records)? {
                mended.push((one, facts));
            }
        }
        if mended.is_empty() {
            return Ok(());
        }
        let report = self.recorder.report();
        let again: Vec<&'static Check> = checks
            .iter()
            .copied()
            .filter(|check| {
                let outcome = report
                    .case(check.id)
                    .and_then(reports::model::Case::outcome);
                mended.iter().any(|(one, _)| one.check.id == check.id)
                    || outcome == Some(Outcome::Blocked)
            })
            .collect();
        self.recorder.update(|report| {
            for check in &again {
                if let Some(case) = report.case_mut(check.id) {
                    case.progress = Progress::NotStarted;
                }
            }
        })?;
        // What was awaited in vain has used the phase's time up; what was mended gets as much to come about.
        let limit = self.options.timeouts.get(&phase).copied();
        self.asked(
            phase,
            &again,
            live,
            Instant::now() + limit.unwrap_or_default(),
        );
        for (one, facts) in mended {
            self.settled(&one, facts)?;
        }
        Ok(())
    }

    /// Shows and sends what one fix would change; what was sent, or nothing when it was not safe.
    fn mend_one(
        &self,
        one: &Broken,
        cx: &ActionContext,
        records: &[ActionRecord],
    ) -> Result<Option<Vec<String>>, Halt> {
        let look = Look { cx, records };
        let id = one.fix.id;
        let changes = match self.on_account_of(id, one.fix.look(&look)) {
            Ok(changes) if changes.is_empty() => return Ok(None),
            Ok(changes) => changes,
            Err(error) => {
                self.not_mended(one.fix.id, one.check.id, &error);
                return Ok(None);
            }
        };
        let facts: Vec<String> = changes.iter().map(Change::sentence).collect();
        self.recorder.tell(&Event::Mends {
            fix: one.fix.id.to_owned(),
            check: one.check.id.to_owned(),
            parts: facts.clone(),
        });
        self.record(one.fix.id, one.check.id, &facts)?;
        for change in &changes {
            if let Err(error) = self.on_account_of(id, fixes::send(cx, change)) {
                self.not_mended(id, one.check.id, &error);
                return Ok(None);
            }
        }
        if let Some(error) = self.undeclared(one.fix) {
            self.not_mended(id, one.check.id, &error);
            return Ok(None);
        }
        Ok(Some(facts))
    }

    /// As an action has it, with the writing client counted for the fix.
    fn mending_context(
        &self,
        one: &Broken,
        live: &Context,
        deadline: Instant,
        journal: Arc<dyn Journal>,
    ) -> ActionContext {
        ActionContext {
            client: self.client_of(one.fix.id),
            ..self.action_context(live, deadline, journal)
        }
    }

    /// What a fix has asked for and does not declare.
    fn undeclared(&self, fix: &Fix) -> Option<ActionError> {
        let tally = self.meter().case(fix.id);
        ask::undeclared(fix.id, &tally, fix.needs, &self.world.settings)
            .map(|what| ActionError::new(ask::UNDECLARED, what))
    }

    fn not_mended(&self, fix: &str, check: &str, error: &ActionError) {
        let text = format!("{fix} does not mend {check}: {}", error.message);
        self.recorder.tell(&Event::Warning(text));
    }

    /// Written down before anything is sent.
    fn record(&self, fix: &str, check: &str, facts: &[String]) -> Result<(), Halt> {
        let record = ActionRecord {
            id: fix.to_owned(),
            state: ActionState::Begun,
            started: Timestamp::now(),
            finished: None,
            recorded: [
                ("mends", check.to_owned()),
                ("sent", facts.join("; ")),
                ("undo", "nothing: what was wrong is not put back".to_owned()),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
        };
        self.recorder.update(|report| report.actions.push(record))
    }

    /// What the check says now, and that it was mended when it passes.
    fn settled(&self, one: &Broken, facts: Vec<String>) -> Result<(), Halt> {
        let report = self.recorder.report();
        let passes = report
            .case(one.check.id)
            .and_then(reports::model::Case::outcome)
            .is_some_and(Outcome::satisfies);
        let (id, check) = (one.fix.id, one.check.id);
        self.recorder.update(|report| {
            let record = report.actions.iter_mut().rev();
            if let Some(record) = record
                .into_iter()
                .find(|record| record.id == id && record.state == ActionState::Begun)
            {
                record.state = ActionState::Done;
                record.finished = Some(Timestamp::now());
                record
                    .recorded
                    .insert("fixed".to_owned(), passes.to_string());
            }
            if let Some(Progress::Done(ended)) =
                report.case_mut(check).map(|case| &mut case.progress)
                && passes
            {
                ended.message = format!("{} (fixed by {id})", ended.message);
                ended
                    .evidence
                    .push(format!("before: {}: {}", one.reason, one.message));
                ended
                    .evidence
                    .extend(facts.iter().map(|fact| format!("fixed: {fact}")));
            }
        })?;
        if passes {
            self.recorder.tell(&Event::Fixed {
                fix: id.to_owned(),
                check: check.to_owned(),
            });
        } else {
            let text = format!("{id} was carried out, and {check} still does not pass");
            self.recorder.tell(&Event::Warning(text));
        }
        Ok(())
    }

    /// Says what the fixes of a group would send, each tried by the server.
    pub(super) fn preview(&self, checks: &[&'static Check], journal: &Arc<dyn Journal>) {
        let broken = self.broken(checks);
        if broken.is_empty() {
            return;
        }
        let records = self.own_records();
        for one in broken {
            let journal = Arc::clone(journal);
            let cx = self.mending_context(&one, &self.snapshot(), Instant::now(), journal);
            let look = Look {
                cx: &cx,
                records: &records,
            };
            let parts = self.on_account_of(one.fix.id, async {
                let mut parts = Vec::new();
                for change in one.fix.look(&look).await? {
                    let answer = fixes::try_out(&cx, &change).await?;
                    parts.push(format!("{} ({answer})", change.sentence()));
                }
                Ok(parts)
            });
            let parts = match self.undeclared(one.fix) {
                Some(error) => Err(error),
                None => parts,
            };
            match parts {
                Ok(parts) if parts.is_empty() => {}
                Ok(parts) => self.recorder.tell(&Event::Mends {
                    fix: one.fix.id.to_owned(),
                    check: one.check.id.to_owned(),
                    parts,
                }),
                Err(error) => self.not_mended(one.fix.id, one.check.id, &error),
            }
        }
    }

    /// Removes what earlier runs left in the cluster, found as `--cleanup` finds it; nothing of this run is there yet.
    pub(super) fn leftovers(&self) -> Result<(), Halt> {
        let client = self.client_of(LEFTOVERS);
        let namespace = &self.world.settings.probe.namespace;
        let found = self.handle.block_on(cleanup::find(&client, namespace))?;
        if found.is_empty() {
            return Ok(());
        }
        if let Err(why) = self.on_account_of(LEFTOVERS, self.nobody_else()) {
            let text = format!(
                "{LEFTOVERS}: {} left alone: {why}",
                count(found.len(), "object")
            );
            self.recorder.tell(&Event::Warning(text));
            return Ok(());
        }
        let mut parts = Vec::new();
        for one in &found {
            let answer = if self.options.dry_run {
                let tried = cleanup::try_out(client.clone(), one.clone());
                match self.handle.block_on(tried) {
                    Ok(()) => " (server accepts)".to_owned(),
                    Err(error) => format!(" (server refuses: {error})"),
                }
            } else {
                String::new()
            };
            parts.push(clean(&format!("delete {}{answer}", one.shown())));
        }
        self.recorder.tell(&Event::Mends {
            fix: LEFTOVERS.to_owned(),
            check: String::new(),
            parts: parts.clone(),
        });
        if self.options.dry_run {
            return Ok(());
        }
        self.record(LEFTOVERS, "", &parts)?;
        let mut gone = Vec::new();
        for one in found {
            let deleted = self
                .handle
                .block_on(cleanup::delete(client.clone(), one.clone()));
            match deleted {
                Ok(()) => gone.push(one),
                Err(error) => {
                    let text = format!("{LEFTOVERS}: {}: {error}", one.shown());
                    self.recorder.tell(&Event::Warning(clean(&text)));
                }
            }
        }
        // What has a grace period is still there, on its way out.
        let left = self.handle.block_on(cleanup::find(&client, namespace))?;
        let left = left.iter().filter(|one| !gone.contains(one)).count();
        self.recorder.update(|report| {
            if let Some(record) = report
                .actions
                .iter_mut()
                .rev()
                .find(|one| one.id == LEFTOVERS)
            {
                record.state = ActionState::Done;
                record.finished = Some(Timestamp::now());
                record
                    .recorded
                    .insert("fixed".to_owned(), (left == 0).to_string());
            }
        })?;
        if left == 0 {
            self.recorder.tell(&Event::Fixed {
                fix: LEFTOVERS.to_owned(),
                check: String::new(),
            });
        } else {
            let text = format!("{LEFTOVERS}: {} still there", count(left, "object"));
            self.recorder.tell(&Event::Warning(text));
        }
        Ok(())
    }

    /// Whether no run about another node is going on, which may be using what looks left over.
    async fn nobody_else(&self) -> Result<(), String> {
        let namespace = &self.world.settings.lock.namespace;
        let leases: Api<Lease> = Api::namespaced(self.client_of(LEFTOVERS), namespace);
        let all = leases
            .list(&ListParams::default())
            .await
            .map_err(|error| format!("whether another run is going cannot be seen: {error}"))?;
        let ours = format!("onboarding-{}", self.world.settings.node.name);
        let other = all.into_iter().find(|one| {
            let name = one.metadata.name.as_deref().unwrap_or_default();
            let held = one
                .spec
                .as_ref()
                .and_then(|spec| spec.holder_identity.as_ref());
            name.starts_with("onboarding-") && name != ours && held.is_some()
        });
        match other {
            Some(one) => Err(format!(
                "Lease {} is held, so another run may be using them",
                one.metadata.name.unwrap_or_default()
            )),
            None => Ok(()),
        }
    }
}
