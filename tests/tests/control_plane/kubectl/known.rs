//! The lines that differ and are meant to, with the reason. A line that no difference needs any more fails the test.

/// A part of the command, a part of the difference, and why.
type Known = (&'static str, &'static str, &'static str);

const KNOWN: &[Known] = &[];

/// What has been explained so far.
pub(super) struct Told {
    used: Vec<usize>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            used: vec![0; KNOWN.len()],
        }
    }

    /// Whether this difference is known.
    pub(super) fn explains(&mut self, command: &str, difference: &str) -> bool {
        let found = KNOWN
            .iter()
            .position(|(row, at, _)| command.contains(row) && difference.contains(at));
        if let Some(index) = found {
            self.used[index] += 1;
        }
        found.is_some()
    }

    /// How many lines were explained.
    pub(super) fn count(&self) -> usize {
        self.used.iter().sum()
    }

    /// What is listed and has not been met.
    pub(super) fn unused(&self) -> Vec<String> {
        let rows = KNOWN.iter().zip(&self.used);
        rows.filter(|(_, count)| **count == 0)
            .map(|((row, at, why), _)| format!("kubectl … {row}: {at} ({why})"))
            .collect()
    }
}
