//! Whether Flux is at the commit that this run is about.

use std::sync::Arc;

use super::declared;
use crate::{
    Context, Verdict,
    git::{Oid, Repository},
};

/// How a revision that Flux shows stands to the commit that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is that commit.
    Same,
    /// It has that commit among its ancestors.
    Newer,
    /// It is another one, without it.
    Other,
    /// This clone does not know it, so whether it has that commit cannot be told.
    Unknown,
}

/// Compares a revision with the wanted commit; both in hex.
pub(crate) async fn standing(
    repository: Option<&Arc<Repository>>,
    found: Option<&str>,
    wanted: &str,
) -> Result<Standing, Verdict> {
    let Some(found) = found else {
        return Ok(Standing::Other);
    };
    if found == wanted {
        return Ok(Standing::Same);
    }
    let (Some(repository), Ok(found), Ok(wanted)) =
        (repository, Oid::from_str(found), Oid::from_str(wanted))
    else {
        return Ok(Standing::Unknown);
    };
    declared::ask(repository, move |repository| {
        if !repository.knows(found)? || !repository.knows(wanted)? {
            return Ok(Standing::Unknown);
        }
        Ok(if repository.contains(found, wanted)? {
            Standing::Newer
        } else {
            Standing::Other
        })
    })
    .await
}

/// The first seven digits, as git prints them.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// The commit that this run has made or found active, if it has come to that.
pub(crate) fn of_this_run(cx: &Context) -> Option<&str> {
    cx.commit()
}
