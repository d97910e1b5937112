//! The same push by libgit2.
//!
//! It shows a refusal in three ways: an error before anything is sent (not a fast-forward), success with a word about
//! the reference (the server refused), or an error of the connection. Success without any word about our reference is
//! no success.

use std::sync::{Arc, Mutex, PoisonError};

use checks::git::{Oid, Remote, Repository, transport};
use git2::{ErrorClass, ErrorCode, PushOptions};

use super::error::ChangeError;
use super::push::{behind, rejected};

/// What was said about our reference.
#[derive(Debug, Default)]
struct Heard {
    /// Where the server says that the branch is, if that is not where we expected it.
    elsewhere: bool,
    /// Its word at the end: none is yes.
    status: Option<Option<String>>,
}

pub(super) async fn push(
    repository: &Repository,
    remote: &Remote,
    commit: Oid,
    expected: Oid,
) -> Result<(), ChangeError> {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let (asked, told) = (remote.clone(), Arc::clone(&heard));
    let sent = transport::blocking(repository, &remote.push_url, move |handle| {
        Ok(send(handle, &asked, commit, expected, &told))
    })
    .await?;
    let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    match (sent, heard) {
        (
            _,
            Heard {
                elsewhere: true, ..
            },
        ) => Err(behind(remote, expected)),
        (Err(error), _) if error.code() == ErrorCode::NotFastForward => {
            Err(behind(remote, expected))
        }
        (Err(error), _) => {
            Err(checks::git::words::classified_libgit2(&remote.push_url, &error).into())
        }
        (
            Ok(()),
            Heard {
                status: Some(None), ..
            },
        ) => Ok(()),
        (
            Ok(()),
            Heard {
                status: Some(Some(words)),
                ..
            },
        ) => Err(rejected(remote, &words)),
        (Ok(()), Heard { status: None, .. }) => Err(ChangeError::PushFailed {
            words: "the server said nothing about the branch".into(),
        }),
    }
}

fn send(
    repository: &git2::Repository,
    asked: &Remote,
    commit: Oid,
    expected: Oid,
    heard: &Arc<Mutex<Heard>>,
) -> Result<(), git2::Error> {
    let reference = asked.reference();
    let mut remote = repository.find_remote(&asked.name)?;
    let mut callbacks = transport::callbacks(repository)?;
    let (name, told) = (reference.clone(), Arc::clone(heard));
    callbacks.push_negotiation(move |updates| {
        let wrong = updates.iter().any(|update| {
            update.dst_refname_bytes() == name.as_bytes()
                && update.src() != expected
                && update.src() != commit
        });
        if wrong {
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .elsewhere = true;
            return Err(git2::Error::new(
                ErrorCode::User,
                ErrorClass::Callback,
                "the branch is not where it was expected",
            ));
        }
        Ok(())
    });
    let (name, told) = (reference.clone(), Arc::clone(heard));
    callbacks.push_update_reference(move |updated, status| {
        if updated == name {
            told.lock().unwrap_or_else(PoisonError::into_inner).status =
                Some(status.map(str::to_owned));
        }
        Ok(())
    });
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks);
    remote.push(&[format!("{commit}:{reference}")], Some(&mut options))
}
