//! What happened?
//!
//! One value, [`model::Report`], and its views: JUnit XML (the truth, read back by `--resume`), Markdown, and
//! `onboarding-state.json`. Also the folders they live in, and the one place where secrets are struck out.
//! This room knows nothing of Kubernetes.

pub mod model;
