//! Trouble on the wire, about one request in seven, the same at every run.

use std::sync::{Arc, Mutex, PoisonError};

use crate::api::{Disturbance, Transport};

use super::engine::Shared;

/// Disturbs requests as the faults say.
pub(crate) struct Wire {
    shared: Arc<Shared>,
    random: Mutex<fastrand::Rng>,
}

impl Wire {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            random: Mutex::new(fastrand::Rng::with_seed(7)),
        }
    }
}

impl Transport for Wire {
    fn disturb(&self, _method: &str, path: &str) -> Disturbance {
        let faults = &self.shared.faults;
        let possible: Vec<Disturbance> = [
            ("api-throttled", Disturbance::Answer(429)),
            ("api-errors", Disturbance::Answer(500)),
            ("api-resets", Disturbance::Reset),
            (
                "api-slow",
                Disturbance::Slow(self.shared.pace.join_step * 8),
            ),
            ("watch-stale", Disturbance::StaleWatch),
        ]
        .into_iter()
        .filter(|(name, _)| faults.on(name))
        .map(|(_, disturbance)| disturbance)
        .collect();
        // What is asked for by a load balancer is answered.
        if possible.is_empty() || path == "/livez" {
            return Disturbance::None;
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if random.u8(..7) != 0 {
            return Disturbance::None;
        }
        let chosen = random.usize(..possible.len());
        possible
            .into_iter()
            .nth(chosen)
            .unwrap_or(Disturbance::None)
    }
}
