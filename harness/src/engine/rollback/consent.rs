//! Whether a rollback may begin: nothing stands in the way, and somebody agrees.

use std::{
    io::{BufRead as _, IsTerminal as _},
    sync::mpsc,
    time::Duration,
};

use phases::{
    Stop,
    rollback::{self, Forecast},
};

use crate::{
    exit::{Exit, Halt},
    term,
};

/// Whether nothing stands in the way. A budget that was spent by a drain which has begun is waited for by the drain
/// itself.
pub(super) fn unhindered(forecast: &Forecast, draining: bool) -> Result<(), Halt> {
    let blockers: Vec<&rollback::Blocker> = forecast
        .blockers
        .iter()
        .filter(|one| !(draining && one.reason == "DisruptionBudget"))
        .collect();
    if let Some(first) = blockers.first() {
        let more = match blockers.len() {
            1 => String::new(),
            number => format!(", and {} more", number - 1),
        };
        return Err(Halt::new(
            Exit::RollbackIncomplete,
            format!(
                "{}: {}: {}{more}; nothing was changed",
                first.reason, first.object, first.message
            ),
            format!("{}; then --rollback again", first.hint),
        ));
    }
    Ok(())
}

/// Whether somebody agrees.
pub(super) fn agreed(node: &str, yes: bool, stop: &Stop) -> Result<(), Halt> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Halt::cannot_start(
            "nobody can be asked whether to go on, since standard input is no terminal; nothing was changed",
            "add --yes to go on without being asked",
        ));
    }
    term::err(&format!("Take {node} out of the cluster? [y/N]"));
    match answer(stop) {
        None => Err(Halt::new(
            Exit::Interrupted,
            "interrupted before anything was changed",
            "",
        )),
        Some(text) if matches!(text.trim(), "y" | "Y" | "yes") => Ok(()),
        Some(_) => Err(Halt::new(
            Exit::RollbackIncomplete,
            "answered no; nothing was changed",
            "",
        )),
    }
}

/// What somebody types; nothing when the program is asked to end first.
fn answer(stop: &Stop) -> Option<String> {
    let (told, heard) = mpsc::channel();
    // The thread ends with the process: nothing can take a terminal's read back.
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::stdin().lock().read_line(&mut text);
        let _ = told.send(text);
    });
    loop {
        match heard.recv_timeout(Duration::from_millis(100)) {
            Ok(text) => return Some(text),
            Err(mpsc::RecvTimeoutError::Timeout) if !stop.asked() => {}
            Err(mpsc::RecvTimeoutError::Timeout) => return None,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Some(String::new()),
        }
    }
}
