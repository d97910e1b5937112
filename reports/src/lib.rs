//! What happened?
//!
//! One value, [`model::Report`], and its views: JUnit XML (the truth, read back by `--resume`), Markdown, and
//! `onboarding-state.json`. Also the folders they live in, and the one place where secrets are struck out.
//! This room knows nothing of Kubernetes.

mod clean;
mod files;

pub mod archive;
pub mod folder;
pub mod history;
pub mod junit;
pub mod lock;
pub mod log;
pub mod markdown;
pub mod model;
pub mod redact;
pub mod state_json;
pub mod status;
pub mod store;
pub mod text;
pub mod words;

pub use clean::cleaned;
pub use files::FileError;
