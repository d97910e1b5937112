//! Being asked to end: Ctrl-C and SIGTERM.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks everything that holds a [`Stop`] to end.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<watch::Sender<bool>>);

/// Tells whether the run was asked to end.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stopper {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stopper {
    /// Asks to end. Asking twice is asking once.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// For whoever is to listen.
    #[must_use]
    pub fn listener(&self) -> Stop {
        Stop(Arc::clone(&self.0))
    }
}

impl Stop {
    /// Whether the run was asked to end.
    #[must_use]
    pub fn asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Asks to end, from inside the run: it may not go on.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Comes back once the run is asked to end.
    pub async fn wait(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`, so this ends only by being asked.
        let _ = receiver.wait_for(|asked| *asked).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_listens_is_told_also_afterwards() {
        let stopper = Stopper::default();
        let before = stopper.listener();
        assert!(!before.asked());
        stopper.stop();
        before.wait().await;
        assert!(stopper.listener().asked());
    }
}
