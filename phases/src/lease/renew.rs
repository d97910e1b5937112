//! Renewing the Lease at a third of its time, and giving it back.

use std::time::Duration;

use checks::pause::Pause;
use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::Api;
use tokio::sync::watch;

use super::{
    Holder, Permit, parameters,
    record::{self, Me},
};
use crate::{Stop, flux::words};

/// The task that keeps a Lease.
pub(super) struct Renewer {
    pub(super) api: Api<Object>,
    pub(super) me: Me,
    pub(super) place: String,
    pub(super) object: Object,
    pub(super) permit: Permit,
    pub(super) stop: Stop,
}

/// What came of a renewal.
enum Renewed {
    Yes,
    /// It may come right; it is tried again at once or after a pause.
    NotYet,
    /// It is not ours any more.
    Lost(String),
}

impl Renewer {
    /// Renews until told to end or until the Lease is lost, and gives it back at the end.
    pub(super) async fn run(
        mut self,
        mut phase: watch::Receiver<Option<String>>,
        mut ending: watch::Receiver<bool>,
    ) {
        let third = self.me.duration / 3;
        let mut due = self.permit.clock().now().saturating_add(third);
        let mut pause = Pause::new(Duration::from_millis(100), third / 2);
        loop {
            tokio::select! {
                biased;
                // Dropping the Lease ends it, too.
                _ = ending.wait_for(|end| *end) => break,
                changed = phase.changed() => if changed.is_err() { break },
                () = self.until(due) => {}
            }
            let current = phase.borrow_and_update().clone();
            let renewed = tokio::select! {
                biased;
                renewed = self.renew(current.as_deref()) => renewed,
                _ = ending.wait_for(|end| *end) => break,
            };
            let now = self.permit.clock().now();
            match renewed {
                Renewed::Yes => {
                    due = now.saturating_add(third);
                    pause = Pause::new(Duration::from_millis(100), third / 2);
                }
                Renewed::NotYet => due = now.saturating_add(pause.take()),
                Renewed::Lost(why) => {
                    tracing::warn!("Lease {} is lost: {why}", self.place);
                    self.permit
                        .lose(format!("Lease {} is lost: {why}", self.place));
                    self.stop.ask();
                    return;
                }
            }
        }
        self.give_back().await;
    }

    /// Until a moment of the clock, looked at in small steps: a timer does not run while the machine is asleep.
    async fn until(&self, due: Duration) {
        while let Some(left) = due
            .checked_sub(self.permit.clock().now())
            .filter(|left| !left.is_zero())
        {
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
        }
    }

    fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    async fn renew(&mut self, phase: Option<&str>) -> Renewed {
        let written = self.me.written(Some(&self.object), "", "", phase);
        let sent = self.permit.clock().now();
        let answer = tokio::time::timeout(
            self.me.duration / 3,
            self.api.replace(self.name(), &parameters(), &written),
        )
        .await;
        match answer {
            Ok(Ok(object)) => {
                self.object = object;
                self.permit.hold(sent.saturating_add(self.me.duration));
                Renewed::Yes
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => self.look_again().await,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                Renewed::Lost("somebody has deleted it".into())
            }
            Ok(Err(error)) => {
                tracing::debug!("renewing lease {}: {}", self.place, words(&error));
                Renewed::NotYet
            }
            Err(_) => Renewed::NotYet,
        }
    }

    /// Somebody has written it since: we, in a renewal that was not answered, or somebody else.
    async fn look_again(&mut self) -> Renewed {
        match self.api.get_opt(self.name()).await {
            Ok(Some(object)) => match Holder::of(&object) {
                Some(holder) if holder.identity == self.me.identity => {
                    self.object = object;
                    Renewed::NotYet
                }
                Some(holder) => Renewed::Lost(format!(
                    "it was taken over by {}",
                    holder.sentence(k8s_openapi::jiff::Timestamp::now())
                )),
                None => Renewed::Lost("somebody has given it back in our place".into()),
            },
            Ok(None) => Renewed::Lost("somebody has deleted it".into()),
            Err(_) => Renewed::NotYet,
        }
    }

    async fn give_back(mut self) {
        let mut pause = Pause::new(Duration::from_millis(50), Duration::from_millis(400));
        for _ in 0..8 {
            let released = record::released(&self.object);
            match self
                .api
                .replace(self.name(), &parameters(), &released)
                .await
            {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code == 404 => return,
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    if !matches!(self.look_again().await, Renewed::NotYet) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!("giving lease {} back: {}", self.place, words(&error))
                }
            }
            pause.rest().await;
        }
    }
}
