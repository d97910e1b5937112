//! One run at a time, across machines: the Lease `onboarding-<node>`.
//!
//! Taken, renewed and given back by compare-and-swap on its resourceVersion, beside the lock of the state folder. Two
//! clocks never have to agree: our own time runs on a clock that does not jump and is counted from before a renewal
//! was sent; somebody else's Lease is taken over only after it has been seen unchanged for its whole duration.

mod clock;
mod permit;
mod record;
mod renew;
#[cfg(test)]
mod tests;

use std::time::Duration;

use checks::{Need, kinds::LEASES, pause::Pause};
use k8s_openapi::{api::coordination::v1::Lease as Object, jiff::Timestamp};
use kube::{Api, Client, api::PostParams};
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

pub use permit::{Permit, Refused, WriteGuard};
pub use record::Holder;

use self::{record::Me, renew::Renewer};
use crate::{
    Stop,
    flux::{FIELD_MANAGER, meaning, words},
    wait::{Observer, Waiting},
};

/// The rights that the lock needs.
pub const NEEDS: &[Need] = &[
    Need::get(&LEASES),
    Need::verb("create", &LEASES),
    Need::verb("update", &LEASES),
];

/// How often a passing trouble is met with another attempt before the lock is given up.
const ATTEMPTS: u32 = 8;
/// How long giving the Lease back may hold up the end of the program.
const GIVING_BACK: Duration = Duration::from_secs(3);

/// Which Lease, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the node that the run is about.
    pub node: String,
    /// Id of the run.
    pub run: String,
    /// Name of this machine.
    pub host: String,
    /// What the run does: `onboard`, `rollback`, `cleanup`.
    pub mode: &'static str,
    /// How long the Lease holds without being renewed; at least one second.
    pub duration: Duration,
    /// Runs that this process knows to have ended: their state folder is locked by it. A Lease of theirs is taken over
    /// at once, if they held it from this machine and their process is no more.
    pub ended: Vec<String>,
}

impl Wanted {
    fn name(&self) -> String {
        format!("onboarding-{}", self.node)
    }

    fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name())
    }

    fn failed(&self, verb: &'static str, error: &kube::Error) -> LeaseError {
        if meaning(error).0 == "MissingPermission" {
            return LeaseError::Forbidden {
                verb,
                namespace: self.namespace.clone(),
                message: words(error),
            };
        }
        LeaseError::Failed {
            place: self.place(),
            message: words(error),
        }
    }
}

/// How a Lease was come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nobody had it.
    Free,
    /// A run of the same state folder had it and has ended without giving it back.
    FromEnded(Holder),
    /// Its holder has not renewed it for its whole duration.
    Expired(Holder),
}

/// Why the Lease was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another run has it.
    #[error("Lease {place} is held by {}", holder.sentence(Timestamp::now()))]
    Held {
        /// Namespace and name.
        place: String,
        /// Who has it.
        holder: Box<Holder>,
    },
    /// The user may not.
    #[error("may not {verb} leases.coordination.k8s.io in namespace {namespace}: {message}")]
    Forbidden {
        /// The verb that is missing.
        verb: &'static str,
        /// Namespace of the Lease.
        namespace: String,
        /// The server's words.
        message: String,
    },
    /// The server did not answer, or not with what was asked.
    #[error("Lease {place} could not be taken: {message}")]
    Failed {
        /// Namespace and name.
        place: String,
        /// Why.
        message: String,
    },
    /// The run was asked to end.
    #[error("the run was asked to end before it had the Lease")]
    Stopped,
}

/// A Lease that is held. Dropped, it is given back.
#[derive(Debug)]
pub struct Lease {
    /// How it was come by.
    pub taken: Taken,
    place: String,
    permit: Permit,
    phase: watch::Sender<Option<String>>,
    renewing: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    handle: Handle,
}

impl Lease {
    /// Takes the Lease and goes on renewing it. From then on the permit says whether it is ours; when it is lost the
    /// run is asked to end.
    ///
    /// # Errors
    /// Another run has it, the rights are missing, the server does not answer, or the run was asked to end.
    pub async fn take(
        client: Client,
        wanted: &Wanted,
        permit: &Permit,
        stop: &Stop,
        observer: &dyn Observer,
    ) -> Result<Self, LeaseError> {
        let taker = Taker {
            api: Api::namespaced(client, &wanted.namespace),
            me: Me::new(&wanted.run, &wanted.host, wanted.mode, wanted.duration),
            wanted,
            permit,
            observer,
        };
        let (taken, object) = tokio::select! {
            taken = taker.take() => taken?,
            () = stop.wait() => return Err(LeaseError::Stopped),
        };
        let (phase, phases) = watch::channel(None);
        let (end, ending) = watch::channel(false);
        let renewer = Renewer {
            api: taker.api,
            me: taker.me,
            place: wanted.place(),
            object,
            permit: permit.clone(),
            stop: stop.clone(),
        };
        Ok(Self {
            taken,
            place: wanted.place(),
            permit: permit.clone(),
            phase,
            renewing: Some((end, tokio::spawn(renewer.run(phases, ending)))),
            handle: Handle::current(),
        })
    }

    /// Gives back what one of the runs that have ended has left, and takes nothing: for whoever has nothing to write.
    /// Who had it; nothing when it is free, or somebody else's.
    ///
    /// # Errors
    /// The rights are missing, or the server does not answer.
    pub async fn give_back_left(
        client: Client,
        wanted: &Wanted,
    ) -> Result<Option<Holder>, LeaseError> {
        let api: Api<Object> = Api::namespaced(client, &wanted.namespace);
        let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(1));
        for attempt in 1.. {
            let (verb, error) = match api.get_opt(&wanted.name()).await {
                Ok(there) => {
                    let holder = there.as_ref().and_then(Holder::of);
                    let left = holder.filter(|one| one.has_ended(&wanted.ended, &wanted.host));
                    let (Some(object), Some(holder)) = (there, left) else {
                        return Ok(None);
                    };
                    let free = record::released(&object);
                    match api.replace(&wanted.name(), &parameters(), &free).await {
                        Ok(_) => return Ok(Some(holder)),
                        Err(error) => ("update", error),
                    }
                }
                Err(error) => ("get", error),
            };
            if attempt >= ATTEMPTS || !meaning(&error).1 {
                return Err(wanted.failed(verb, &error));
            }
            pause.rest().await;
        }
        Ok(None)
    }

    /// Namespace and name.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Tells whoever comes second which phase the run is in.
    pub fn phase(&self, phase: &str) {
        self.phase.send_replace(Some(phase.to_owned()));
    }

    /// Gives it back. Comes back when that is done, or soon after when the server does not answer.
    pub async fn release(mut self) {
        if let Some((end, renewing)) = self.renewing.take() {
            self.permit.give_back();
            end.send_replace(true);
            let _ = tokio::time::timeout(GIVING_BACK, renewing).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((end, renewing)) = self.renewing.take() else {
            return;
        };
        self.permit.give_back();
        end.send_replace(true);
        // Inside the runtime nothing may block; the task gives it back by itself.
        if Handle::try_current().is_err() {
            let _ = self
                .handle
                .block_on(async { tokio::time::timeout(GIVING_BACK, renewing).await });
        }
    }
}

/// Taking the Lease.
struct Taker<'a> {
    api: Api<Object>,
    me: Me,
    wanted: &'a Wanted,
    permit: &'a Permit,
    observer: &'a dyn Observer,
}

/// Why a step of taking it did not end it.
enum Trouble {
    /// The server did not do it; the verb that was tried.
    Server(&'static str, kube::Error),
    /// It is settled that it is not ours.
    Settled(LeaseError),
}

impl Taker<'_> {
    async fn take(&self) -> Result<(Taken, Object), LeaseError> {
        let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(3));
        let mut troubles = 0;
        let mut taken = Taken::Free;
        loop {
            match self.step(&mut taken).await {
                Ok(object) => return Ok((taken, object)),
                Err(Trouble::Settled(error)) => return Err(error),
                Err(Trouble::Server(verb, error)) => {
                    tracing::debug!("{verb} lease {}: {error}", self.wanted.place());
                    troubles += 1;
                    if troubles >= ATTEMPTS || !meaning(&error).1 {
                        return Err(self.wanted.failed(verb, &error));
                    }
                }
            }
            // Somebody else may have been quicker, or it was not answered: who has it is looked at again.
            pause.rest().await;
        }
    }

    /// Looks who has it, and writes it if it may be taken.
    async fn step(&self, taken: &mut Taken) -> Result<Object, Trouble> {
        let there = self.look().await?;
        let Some(object) = there else {
            return self.write(None).await;
        };
        match Holder::of(&object) {
            None => {}
            // An earlier attempt of ours that was not answered has arrived.
            Some(holder) if holder.identity == self.me.identity => {}
            Some(holder) if holder.has_ended(&self.wanted.ended, &self.wanted.host) => {
                *taken = Taken::FromEnded(holder);
            }
            Some(holder) if !holder.seems_expired(Timestamp::now()) => {
                return Err(self.held(holder));
            }
            Some(holder) => {
                self.watch(&object, &holder).await?;
                *taken = Taken::Expired(holder);
            }
        }
        self.write(Some(&object)).await
    }

    async fn look(&self) -> Result<Option<Object>, Trouble> {
        let found = self.api.get_opt(&self.wanted.name()).await;
        found.map_err(|error| Trouble::Server("get", error))
    }

    async fn write(&self, there: Option<&Object>) -> Result<Object, Trouble> {
        let (namespace, name) = (&self.wanted.namespace, self.wanted.name());
        let object = self.me.written(there, namespace, &name, None);
        let parameters = parameters();
        // Counted from before it is sent: the server may write it down at once and answer late.
        let sent = self.permit.clock().now();
        let (verb, answer) = match there {
            None => ("create", self.api.create(&parameters, &object).await),
            Some(_) => (
                "update",
                self.api.replace(&name, &parameters, &object).await,
            ),
        };
        let object = answer.map_err(|error| Trouble::Server(verb, error))?;
        self.permit.hold(sent.saturating_add(self.me.duration));
        Ok(object)
    }

    /// Watches a Lease that seems to be past its time for its whole duration. Its holder may only have another time of
    /// day, and then renews it.
    async fn watch(&self, seen: &Object, holder: &Holder) -> Result<(), Trouble> {
        let begun = self.permit.clock().now();
        let beat = (holder.duration / 4).min(Duration::from_secs(1));
        loop {
            let since = self.permit.clock().now().saturating_sub(begun);
            if since >= holder.duration {
                break;
            }
            self.observer.waiting(&Waiting {
                id: "the lock".to_owned(),
                seen: format!(
                    "{} seems to have gone; taken over unless it renews its Lease",
                    holder.sentence(Timestamp::now())
                ),
                since,
                limit: holder.duration,
            });
            tokio::time::sleep(checks::pause::about(beat)).await;
            match self.look().await? {
                Some(now) if now.metadata.resource_version == seen.metadata.resource_version => {}
                now => {
                    self.observer.waited();
                    return Err(match now.as_ref().and_then(Holder::of) {
                        Some(alive) => self.held(alive),
                        None => return Ok(()),
                    });
                }
            }
        }
        self.observer.waited();
        Ok(())
    }

    fn held(&self, holder: Holder) -> Trouble {
        Trouble::Settled(LeaseError::Held {
            place: self.wanted.place(),
            holder: Box::new(holder),
        })
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
