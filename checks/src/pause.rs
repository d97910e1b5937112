//! The pause between two attempts: each twice as long as the one before, and half of it left to chance.

use std::time::Duration;

/// A pause that grows up to a limit. Half of it is random, so that many clients do not come back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    next: Duration,
    most: Duration,
}

impl Pause {
    /// Begins with `first` and grows up to `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, most }
    }

    /// How long to rest now, between half of the pause and all of it; the next pause is twice as long.
    pub fn take(&mut self) -> Duration {
        let pause = self.next.min(self.most);
        self.next = (self.next * 2).min(self.most);
        pause / 2 + pause.mul_f64(fastrand::f64() / 2.0)
    }

    /// Rests.
    pub async fn rest(&mut self) {
        tokio::time::sleep(self.take()).await;
    }
}

/// A beat that many clients do not keep together: a quarter more or less.
#[must_use]
pub fn about(beat: Duration) -> Duration {
    beat.mul_f64(0.75 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_its_limit_and_half_of_it_is_random() {
        let mut pause = Pause::new(Duration::from_millis(100), Duration::from_millis(300));
        for whole in [100, 200, 300, 300] {
            let whole = Duration::from_millis(whole);
            let taken = pause.take();
            assert!(
                taken >= whole / 2 && taken <= whole,
                "{taken:?} of {whole:?}"
            );
        }
    }

    #[test]
    fn a_beat_is_a_quarter_more_or_less() {
        for _ in 0..100 {
            let beat = about(Duration::from_millis(400));
            assert!(beat >= Duration::from_millis(300) && beat <= Duration::from_millis(500));
        }
    }
}
