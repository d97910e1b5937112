//! What do we change, and how do we undo it?
//!
//! An action is a step of a phase that changes something: data ([`Action`]) and an [`Act`] that can look whether it is
//! already so, say what it would change, and change it. [`order`] puts actions between the check groups of their
//! phase; [`wait`] is the one place where time passes.

mod action;
pub mod actions;
mod client;
mod drain;
pub mod explain;
pub mod fixes;
mod flux;
pub mod git;
pub mod lease;
pub mod order;
mod own_commit;
pub mod rollback;
mod stop;
pub mod temporary;
pub mod wait;

pub use action::{Act, Action, ActionContext, ActionError, Done, Journal, Plan};
pub use client::{locker, writer};
pub use flux::{Tried, tried};
pub use stop::{Stop, Stopper};
