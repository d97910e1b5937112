//! Causes of trouble in the world, by name.

/// One cause of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name that switches it, such as `longhorn-disk-full`.
    pub name: &'static str,
    /// What happens in the world, in one sentence.
    pub what: &'static str,
}

/// Every fault that the sandbox knows.
#[must_use]
pub fn catalogue() -> &'static [Fault] {
    &[]
}
