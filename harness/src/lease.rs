//! Taking the Lease for whatever writes: an onboarding, a rollback, a cleanup. What a person is told about it.

use std::{sync::Arc, time::Duration};

use checks::{
    Settings,
    cluster::{Connection, counted},
    pre::permissions::LOCK,
};
use phases::{
    Stop,
    lease::{Lease, LeaseError, Permit, Taken, Wanted},
    wait::{Observer, Waiting},
};
use tokio::runtime::Runtime;

use crate::{
    event::{Event, Sink},
    exit::{Exit, Halt},
};

/// Who takes the Lease.
pub(crate) struct Who {
    /// Id of the run; a resumed run keeps the one of its report.
    pub(crate) run: String,
    /// `onboard`, `rollback`, `cleanup`.
    pub(crate) mode: &'static str,
    /// Runs of the same state folder that have ended, since this process holds its lock: a Lease of theirs is taken
    /// over at once.
    pub(crate) ended: Vec<String>,
}

/// Takes the Lease, or nothing where the configuration says that the lock of the folder is enough. From then on the
/// permit lets the run write.
///
/// # Errors
/// Exit 6 when another run has it, 3 when the rights are missing or the server does not answer, 130 when the run was
/// asked to end.
pub(crate) fn take(
    runtime: &Runtime,
    connection: &Connection,
    permit: &Permit,
    settings: &Settings,
    who: Who,
    stop: &Stop,
    sink: &Arc<dyn Sink>,
) -> Result<Option<Lease>, Halt> {
    let lock = &settings.lock;
    if !lock.lease {
        permit.rest_on_folder();
        return Ok(None);
    }
    let client = locker(runtime, connection)?;
    let wanted = wanted(settings, who);
    let told = Told(Arc::clone(sink));
    let lease = runtime
        .block_on(Lease::take(client, &wanted, permit, stop, &told))
        .map_err(|error| refused(error, lock.duration))?;
    let why = match &lease.taken {
        Taken::Free => return Ok(Some(lease)),
        Taken::FromEnded(holder) => format!(
            "Lease {} was left by {}, which has ended; it is taken over",
            lease.place(),
            said(holder)
        ),
        Taken::Expired(holder) => format!(
            "Lease {} was not renewed for {} s by {}; it is taken over",
            lease.place(),
            holder.duration.as_secs(),
            said(holder)
        ),
    };
    sink.event(&Event::Warning(why));
    Ok(Some(lease))
}

/// Gives back a Lease that a run of the same folder has left, for a start that has nothing to write. That it cannot be
/// given back is said and ends nothing: it ends by itself.
pub(crate) fn give_back_left(
    runtime: &Runtime,
    connection: &Connection,
    settings: &Settings,
    who: Who,
    sink: &dyn Sink,
) -> Result<(), Halt> {
    if !settings.lock.lease || who.ended.is_empty() {
        return Ok(());
    }
    let client = locker(runtime, connection)?;
    let wanted = wanted(settings, who);
    let text = match runtime.block_on(Lease::give_back_left(client, &wanted)) {
        Ok(None) => return Ok(()),
        Ok(Some(holder)) => format!(
            "Lease {}/onboarding-{} was left by {}, which has ended; it is given back",
            wanted.namespace,
            wanted.node,
            said(&holder)
        ),
        Err(error) => format!("{error}; what an ended run has left of it ends by itself"),
    };
    sink.event(&Event::Warning(text));
    Ok(())
}

fn locker(runtime: &Runtime, connection: &Connection) -> Result<kube::Client, Halt> {
    // A client begins a task of its own.
    let _entered = runtime.enter();
    let client = phases::locker(connection)
        .map_err(|error| Halt::cannot_start(error.to_string(), error.hint()))?;
    Ok(counted(&client, &connection.meter().case(LOCK)))
}

fn wanted(settings: &Settings, who: Who) -> Wanted {
    let lock = &settings.lock;
    Wanted {
        namespace: lock.namespace.clone(),
        node: settings.node.name.clone(),
        run: who.run,
        host: reports::lock::host(),
        mode: who.mode,
        duration: lock.duration,
        ended: who.ended,
    }
}

fn said(holder: &phases::lease::Holder) -> String {
    holder.sentence(jiff::Timestamp::now())
}

fn refused(error: LeaseError, duration: Duration) -> Halt {
    let message = error.to_string();
    match error {
        LeaseError::Held { holder, .. } => Halt::new(
            Exit::Locked,
            message,
            format!(
                "wait for it, or end it; a run that is gone loses its Lease {} s after the last renewal",
                holder.duration.max(duration).as_secs()
            ),
        ),
        LeaseError::Forbidden {
            verb, namespace, ..
        } => Halt::cannot_start(
            message,
            format!(
                "grant get, create and update (kubectl auth can-i {verb} leases.coordination.k8s.io -n {namespace}), name \
                 another namespace with lock_namespace, or do without the Lease: lock = \"folder\" in onboarding.toml"
            ),
        ),
        LeaseError::Failed { .. } => Halt::cannot_start(
            message,
            "see whether the API server answers (kubectl get --raw /readyz) and the namespace exists",
        ),
        LeaseError::Stopped => Halt::new(
            Exit::Interrupted,
            "interrupted before anything was changed",
            "",
        ),
    }
}

/// Tells whoever watches the run that a Lease is being watched.
struct Told(Arc<dyn Sink>);

impl Observer for Told {
    fn waiting(&self, waiting: &Waiting) {
        self.0.event(&Event::Waiting(waiting.clone()));
    }

    fn waited(&self) {
        self.0.event(&Event::Waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_cannot_start_and_says_which_and_how_to_do_without() {
        let error = LeaseError::Forbidden {
            verb: "create",
            namespace: "kube-system".into(),
            message: "forbidden (403)".into(),
        };
        let halt = refused(error, Duration::from_secs(30));
        assert_eq!(halt.exit, Exit::CannotStart);
        assert!(
            halt.message
                .starts_with("may not create leases.coordination.k8s.io in namespace kube-system"),
            "{}",
            halt.message
        );
        assert!(halt.hint.contains("lock = \"folder\""), "{}", halt.hint);
        let failed = LeaseError::Failed {
            place: "kube-system/onboarding-k3s2".into(),
            message: "no answer".into(),
        };
        assert_eq!(refused(failed, Duration::ZERO).exit, Exit::CannotStart);
        let stopped = refused(LeaseError::Stopped, Duration::ZERO);
        assert_eq!(stopped.exit, Exit::Interrupted);
    }
}
