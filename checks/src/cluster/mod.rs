//! The way to the cluster: kubeconfig, client, counting, and the guard that keeps checks from changing anything.

mod asked;
mod connection;
mod guard;
mod meter;
mod reader;

pub use asked::Asked;
pub use connection::{ConnectError, Connection};
pub use guard::{ReadOnly, is_question};
pub use meter::{Count, Meter, MeterLayer, Tally, counted};
pub(crate) use reader::chain;
pub use reader::{Raw, Reader};
