//! A panic says one clean line and spills nothing: neither a backtrace nor what it had in its hands.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
};

use crate::{term, text::clean};

/// What a closed pipe says when somebody else's `println!` meets it.
const CLOSED_PIPE: &str = "Broken pipe";

/// From now on, for every thread.
pub(crate) fn be_brief() {
    std::panic::set_hook(Box::new(|info| {
        if let Some(line) = line(info) {
            term::err(&line);
        }
    }));
}

/// Runs something; nothing comes back when it panicked.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn line(info: &PanicHookInfo<'_>) -> Option<String> {
    let place = info
        .location()
        .map(|at| format!(" at {}:{}", at.file(), at.line()))
        .unwrap_or_default();
    sentence(info.payload(), &place)
}

fn sentence(payload: &dyn Any, place: &str) -> Option<String> {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    // Whoever closed the pipe (`| head`) has seen enough.
    if message.contains(CLOSED_PIPE) {
        return None;
    }
    Some(format!(
        "internal error{place}, which is a bug of this program: {}",
        clean(message)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_clean_line_and_a_closed_pipe_is_none() {
        let said = sentence(&"a\u{1b}[2J\nb", " at x.rs:3").unwrap();
        assert!(said.starts_with("internal error at x.rs:3, which is a bug of this program: a"));
        assert!(!said.chars().any(char::is_control));
        let closed = String::from("failed printing to stdout: Broken pipe (os error 32)");
        assert_eq!(sentence(&closed, ""), None);
        let wrapped = "called `Result::unwrap()` on an `Err` value: Os { code: 32, kind: BrokenPipe, message: \"Broken pipe\" }";
        assert_eq!(sentence(&wrapped, ""), None);
        assert!(sentence(&7_u8, "").unwrap().ends_with("no message"));
    }

    #[test]
    fn what_panics_gives_nothing_back() {
        assert_eq!(contained(|| 3), Some(3));
        assert_eq!(
            contained(|| if std::env::args().count() > 0 {
                panic!("x")
            } else {
                3
            }),
            None
        );
    }
}
