//! `monitoring`: would we see it fail?
//!
//! What Prometheus knows is asked through the API server's service proxy, so that no port needs to be open and no
//! password is used. A series that is absent and a series with the value 0 are two different findings.

mod alerting;
pub mod collected;
pub mod exporter;
pub mod prometheus;
pub mod shown;
