//! The programs that live in the cluster.
