//! The engine: actors that run, woken by changes, each as a client of the API like everybody else.

use std::{path::PathBuf, sync::Arc, time::Duration};

use kube::Client;
use tokio::task::JoinSet;

use super::{
    cast::{Cast, Pace},
    controllers::Controllers,
    events::Reporter,
    flux::Flux,
    hand::{Hand, follow},
    k3s::K3s,
    kinds::Res,
    longhorn::Longhorn,
    mirror::Mirror,
    scene::{Actor, Faults, Scene, Timers},
};

/// What everything in a world shares.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Who takes part.
    pub(crate) cast: Cast,
    /// How long things take.
    pub(crate) pace: Pace,
    /// The objects as last seen.
    pub(crate) mirror: Arc<Mirror>,
    /// What is wrong on purpose.
    pub(crate) faults: Faults,
}

/// A world that moves. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Engine {
    tasks: JoinSet<()>,
}

impl Engine {
    /// Starts the programs of the machines: k3s, Flux, Longhorn. The mirror holds what the API holds; each kind is
    /// followed from the revision at which it was looked at.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        client: &Client,
        store: PathBuf,
        seen: Vec<(&'static Res, String)>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        for (res, revision) in seen {
            tasks.spawn(follow(client.clone(), shared.mirror.clone(), res, revision));
        }
        let mut engine = Self { tasks };
        engine.add(shared, client, K3s::new(store.clone(), false));
        engine.add(shared, client, Flux::new(&shared.cast, store));
        engine.add(shared, client, Longhorn);
        engine.add(shared, client, Reporter::default());
        engine
    }

    /// A world in which nothing moves by itself: what is there can be asked for.
    pub(crate) fn still() -> Self {
        Self {
            tasks: JoinSet::new(),
        }
    }

    /// Starts what a real control plane has by itself.
    pub(crate) fn add_controllers(&mut self, shared: &Arc<Shared>, client: &Client) {
        self.add(shared, client, Controllers);
    }

    /// Starts one more actor.
    pub(crate) fn add(&mut self, shared: &Arc<Shared>, client: &Client, actor: impl Actor) {
        let hand = Hand::new(client.clone(), shared.mirror.clone());
        self.tasks.spawn(drive(shared.clone(), hand, actor));
    }

    /// Adds a task that ends with the world.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Stops everything.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn drive(shared: Arc<Shared>, hand: Hand, mut actor: impl Actor) {
    let timers = Timers::default();
    let mut changed = shared.mirror.subscribe();
    loop {
        changed.mark_unchanged();
        let changes = {
            let scene = Scene {
                mirror: &shared.mirror,
                cast: &shared.cast,
                pace: shared.pace,
                faults: &shared.faults,
                timers: &timers,
            };
            actor.step(&scene)
        };
        let busy = !changes.is_empty();
        for change in changes {
            hand.apply(change, &timers).await;
        }
        // Several changes often come together; and an actor must leave room for the others.
        tokio::time::sleep(Duration::from_millis(if busy { 2 } else { 8 })).await;
        let _ = tokio::time::timeout(shared.pace.tick, changed.changed()).await;
    }
}
