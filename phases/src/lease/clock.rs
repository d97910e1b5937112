//! The clock by which a Lease of our own is judged: it never jumps, and it goes on while the machine is asleep.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Time since some fixed moment. The time of day may be set; this cannot.
///
/// `Instant` stands still while a machine is suspended, and a Lease does not, so the time since the boot is read where
/// the system tells it (`/proc/uptime`, in steps of 10 ms).
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    by_hand: Option<std::sync::Arc<std::sync::Mutex<Duration>>>,
}

impl Clock {
    /// Now.
    pub(crate) fn now(&self) -> Duration {
        #[cfg(test)]
        if let Some(by_hand) = &self.by_hand {
            return *by_hand.lock().unwrap();
        }
        // One of the two for the whole life of the process: they do not begin at the same time.
        static FALLBACK: OnceLock<Option<Instant>> = OnceLock::new();
        match FALLBACK.get_or_init(|| uptime().is_none().then(Instant::now)) {
            Some(begun) => begun.elapsed(),
            // One that could be read a moment ago and cannot now: nothing is within its time any more.
            None => uptime().unwrap_or(Duration::MAX),
        }
    }

    #[cfg(test)]
    pub(super) fn by_hand() -> Self {
        Self {
            by_hand: Some(std::sync::Arc::default()),
        }
    }

    #[cfg(test)]
    pub(super) fn advance(&self, by: Duration) {
        *self.by_hand.as_ref().unwrap().lock().unwrap() += by;
    }
}

fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_never_back() {
        let clock = Clock::default();
        let first = clock.now();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(40) {
            std::thread::yield_now();
        }
        let second = clock.now();
        assert!(second > first && second - first < Duration::from_secs(30));
    }
}
