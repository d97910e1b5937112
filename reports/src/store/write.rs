//! Where a report is written, and in which order.

use std::fs;

use super::{Copies, StoreError};
use crate::{
    clean::cleaned,
    files::replace,
    folder::StateFolder,
    junit,
    markdown::{self, MarkdownOptions},
    model::Report,
    state_json,
};

/// The files of one run.
#[derive(Debug)]
pub(super) struct Target {
    folder: Option<StateFolder>,
    copies: Copies,
}

impl Target {
    pub(super) const fn new(folder: Option<StateFolder>, copies: Copies) -> Self {
        Self { folder, copies }
    }

    /// JUnit first: after a crash in between, the truth is the newer one.
    pub(super) fn write(&self, report: &Report) -> Result<(), StoreError> {
        let wanted =
            self.folder.is_some() || self.copies.junit.is_some() || self.copies.markdown.is_some();
        if !wanted {
            return Ok(());
        }
        let report = &cleaned(report);
        let xml = junit::write_clean(report, self.copies.options)?;
        let text = markdown::render_clean(report, &MarkdownOptions::default());
        if let Some(folder) = &self.folder {
            replace(&folder.junit(), &xml)?;
            replace(&folder.markdown(), text.as_bytes())?;
            replace(
                &folder.state_json(),
                state_json::render_clean(report, jiff::Timestamp::now()).as_bytes(),
            )?;
        }
        if let Some(path) = &self.copies.junit {
            replace(path, &xml)?;
        }
        if let Some(path) = &self.copies.markdown {
            replace(path, text.as_bytes())?;
        }
        Ok(())
    }

    /// Removes temporary files that a killed run left; the lock says that nobody is writing them now.
    pub(super) fn clear_leftovers(&self) {
        let Some(folder) = &self.folder else { return };
        let Ok(entries) = fs::read_dir(folder.path()) else {
            return;
        };
        for entry in entries.flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(crate::files::TEMPORARY)
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
