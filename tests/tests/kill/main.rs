//! Nothing lost, nothing repeated: killed runs, damaged and unwritable reports, trouble on the wire, and what the
//! archive tells afterwards.
//!
//! What is left to chance comes from a seed that is printed; `ONBOARDING_SEED` sets it, and the variables that each
//! module names set how much is done.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking, and one that leaves something to chance says what"
)]

mod damage;
mod full;
mod history;
mod journey;
mod kills;
mod noise;
mod random;
mod support;
