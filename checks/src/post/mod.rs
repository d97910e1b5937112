//! `post`: is everything that was right before still right?
//!
//! - [`again`]: the cluster, network, storage and monitoring questions of `pre`, now over all nodes.
//! - [`compared`]: what `pre` of this run found, held against what is found now.

pub mod again;
pub mod compared;
