//! Trouble on the wire, about one request in seven, the same at every run; or as much as a test asks for.

use std::sync::{Arc, Mutex, PoisonError};

use crate::api::{Disturbance, Transport};

use super::engine::Shared;

/// How much trouble there is on the wire while faults of the wire are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// So many requests of a hundred are refused, and as many of the others are slow where `api-slow` is on.
    pub per_cent: u8,
    /// Where chance begins.
    pub seed: u64,
}

/// Disturbs requests as the faults say.
pub(crate) struct Wire {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

struct State {
    random: fastrand::Rng,
    noise: Option<Noise>,
}

impl Wire {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            state: Mutex::new(State {
                random: fastrand::Rng::with_seed(7),
                noise: None,
            }),
        }
    }

    /// So much trouble from now on; `None`: about one request in seven.
    pub(crate) fn set_noise(&self, noise: Option<Noise>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.random = fastrand::Rng::with_seed(noise.map_or(7, |noise| noise.seed));
        state.noise = noise;
    }
}

impl State {
    /// What befalls a request of all that is possible.
    fn draw(&mut self, possible: Vec<Disturbance>) -> Disturbance {
        let Some(noise) = self.noise else {
            return if self.random.u8(..7) == 0 {
                self.one(possible)
            } else {
                Disturbance::None
            };
        };
        // Being slow is no refusal: it comes on top.
        let (slow, mut refused): (Vec<_>, Vec<_>) = possible
            .into_iter()
            .partition(|one| matches!(one, Disturbance::Slow(_)));
        // A connection may as well break when the server has done what was asked.
        if refused.contains(&Disturbance::Reset) {
            refused.push(Disturbance::Lost);
        }
        for these in [refused, slow] {
            if self.random.u8(..100) < noise.per_cent && !these.is_empty() {
                return self.one(these);
            }
        }
        Disturbance::None
    }

    fn one(&mut self, of: Vec<Disturbance>) -> Disturbance {
        let chosen = self.random.usize(..of.len());
        of.into_iter().nth(chosen).unwrap_or(Disturbance::None)
    }
}

impl Transport for Wire {
    fn version(&self) -> Option<String> {
        let unknown = self.shared.faults.on("server-version-unknown");
        unknown.then(|| "v1.99.0+k3s1".to_owned())
    }

    fn ahead(&self) -> i64 {
        if self.shared.faults.on("server-clock-ahead") {
            300
        } else {
            0
        }
    }

    fn hides(&self, group: &str) -> bool {
        let faults = &self.shared.faults;
        (group.ends_with(".toolkit.fluxcd.io") && faults.on("flux-definitions-gone"))
            || (group == "longhorn.io" && faults.on("longhorn-definitions-gone"))
    }

    fn demotes(&self) -> Option<&'static str> {
        let faults = &self.shared.faults;
        let left = [
            ("rights-reduced", super::fate::ONLOOKERS),
            ("rights-without-storage", super::fate::WITHOUT_STORAGE),
        ];
        left.into_iter()
            .find(|(fault, _)| faults.on(fault))
            .map(|(_, group)| group)
    }

    fn certificate_ends(&self) -> bool {
        self.shared.faults.on("api-certificate-ends")
    }

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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.draw(possible)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn as_much_trouble_as_asked_for_and_the_same_with_the_same_seed() {
        let possible = vec![
            Disturbance::Answer(429),
            Disturbance::Slow(Duration::from_millis(1)),
            Disturbance::Reset,
        ];
        let drawn = |seed| {
            let mut state = State {
                random: fastrand::Rng::with_seed(seed),
                noise: Some(Noise { per_cent: 20, seed }),
            };
            let mut all = Vec::new();
            all.resize_with(10_000, || state.draw(possible.clone()));
            all
        };
        let first = drawn(1);
        assert_eq!(first, drawn(1));
        assert_ne!(first, drawn(2));
        let share = |what: fn(&Disturbance) -> bool| first.iter().filter(|one| what(one)).count();
        let refused = share(|one| !matches!(one, Disturbance::None | Disturbance::Slow(_)));
        let slow = share(|one| matches!(one, Disturbance::Slow(_)));
        assert!((1_800..2_200).contains(&refused), "{refused} of 10000");
        assert!(first.contains(&Disturbance::Lost));
        assert!((1_400..1_800).contains(&slow), "{slow} of 10000");
    }
}
