//! What is being waited for, on standard error: one redrawn line on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use phases::wait::Waiting;

use crate::{
    term::{self, Look},
    text::{clean, columns, cut, duration},
};

/// Without a terminal, a wait in which nothing changes says so at this pace.
const REMINDER: Duration = Duration::from_secs(15);

/// A cluster that has said nothing for so long is slow, and whoever waits should know what for: with what comes before,
/// the first line stands there within a tenth of a second.
pub(crate) const FIRST: Duration = Duration::from_millis(50);

/// Shows waits. Everything that prints a line prints it through [`Progress::suspend`].
pub(crate) struct Progress {
    width: Option<usize>,
    bar: Mutex<Option<ProgressBar>>,
    told: Mutex<Told>,
}

impl Progress {
    /// For a standard error that looks like this.
    pub(crate) fn new(stderr: Look) -> Self {
        Self {
            width: stderr.width,
            bar: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Something is awaited; comes at least once a second. Says whether it is worth a line in a log.
    pub(crate) fn waiting(&self, waiting: &Waiting) -> bool {
        let news = lock(&self.told).is_news(waiting);
        match self.width {
            // The spinner takes two columns.
            Some(width) => self.draw(fitted(waiting, width.saturating_sub(2))),
            None if news => term::err(&format!("PROGRESS {}", sentence(waiting))),
            None => {}
        }
        news
    }

    /// Something short is being done; only a terminal shows it.
    pub(crate) fn doing(&self, text: &str) {
        if self.width.is_some() {
            self.draw(clean(text));
        }
    }

    /// Awaits an answer of the cluster, and says so when it does not come at once.
    pub(crate) async fn answer<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answered = &mut answer => return answered,
            () = tokio::time::sleep(FIRST) => {}
        }
        match self.width {
            Some(_) => self.doing("waiting for the cluster"),
            None => term::err("PROGRESS waiting for the cluster"),
        }
        let answered = answer.await;
        self.rest();
        answered
    }

    /// Nothing is awaited any more.
    pub(crate) fn rest(&self) {
        lock(&self.told).forget();
        if let Some(bar) = lock(&self.bar).take() {
            bar.finish_and_clear();
        }
    }

    /// Prints something without the redrawn line getting in between.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        match lock(&self.bar).as_ref() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn draw(&self, text: String) {
        let mut bar = lock(&self.bar);
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(text);
    }
}

/// `waiting for join::registered · S2 registered, no pod range yet · 41 s of 5 min`
pub(crate) fn sentence(waiting: &Waiting) -> String {
    fitted(waiting, usize::MAX)
}

/// The same in so many columns: what is seen gives way, not the time.
fn fitted(waiting: &Waiting, width: usize) -> String {
    let seen = clean(&waiting.seen);
    let seen = if seen.is_empty() {
        "nothing seen yet".to_owned()
    } else {
        seen
    };
    let before = format!("waiting for {} · ", clean(&waiting.id));
    let after = format!(
        " · {} of {}",
        whole_seconds(waiting.since),
        whole_seconds(waiting.limit)
    );
    let room = width.saturating_sub(columns(&before) + columns(&after));
    format!("{before}{}{after}", cut(&seen, room))
}

fn whole_seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        "0 s".to_owned()
    } else {
        duration(Duration::from_secs(time.as_secs())).replace(".0 s", " s")
    }
}

/// What has been said about each wait: what was seen, and how long it had taken then.
#[derive(Default)]
pub(crate) struct Told(BTreeMap<String, (String, Duration)>);

impl Told {
    /// Whether this is the beginning of a wait, shows something else than before, or is due again.
    pub(crate) fn is_news(&mut self, waiting: &Waiting) -> bool {
        let old = match self.0.get(&waiting.id) {
            Some((seen, since)) => {
                // A wait that has taken less time than before is another one.
                *seen == waiting.seen
                    && waiting.since >= *since
                    && waiting.since - *since < REMINDER
            }
            None => false,
        };
        if !old {
            self.0
                .insert(waiting.id.clone(), (waiting.seen.clone(), waiting.since));
        }
        !old
    }

    /// The next wait is a new one.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// A panic while the lock was held has left a whole value behind: nothing here is changed in two steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(seen: &str, millis: u64) -> Waiting {
        Waiting {
            id: "join::registered".into(),
            seen: seen.into(),
            since: Duration::from_millis(millis),
            limit: Duration::from_secs(300),
        }
    }

    #[test]
    fn a_line_says_what_since_when_and_the_limit() {
        assert_eq!(
            sentence(&waiting("S2 registered, no pod range yet", 41_300)),
            "waiting for join::registered · S2 registered, no pod range yet · 41 s of 5 min"
        );
        assert_eq!(
            sentence(&waiting("\u{1b}[2J\n", 300))
                .matches('\u{1b}')
                .count(),
            0
        );
        assert_eq!(
            fitted(&waiting("S2 registered, no pod range yet", 41_300), 60),
            "waiting for join::registered · S2 registere… · 41 s of 5 min"
        );
        assert!(sentence(&waiting("", 3_900)).ends_with("nothing seen yet · 3 s of 5 min"));
    }

    #[test]
    fn a_log_gets_the_beginning_every_change_and_a_reminder() {
        let mut told = Told::default();
        let news: Vec<bool> = [
            ("S1", 0),
            ("S1", 1_000),
            ("S2", 2_000),
            ("S2", 3_000),
            ("S2", 16_900),
            ("S2", 17_000),
            ("S2", 18_000),
            ("S2", 500),
        ]
        .into_iter()
        .map(|(seen, millis)| told.is_news(&waiting(seen, millis)))
        .collect();
        assert_eq!(news, [true, false, true, false, false, true, false, true]);
        told.forget();
        assert!(told.is_news(&waiting("S2", 600)));
    }
}
