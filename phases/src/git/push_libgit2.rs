//! The same push by libgit2.
//!
//! It shows a refusal in three ways: an error before anything is sent (not a fast-forward), success with a word about
//! the reference (the server refused), or an error of the connection. Success without any word about our reference is
//! no success.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use checks::git::{Oid, Remote, Repository, transport, words};
use git2::{ErrorClass, ErrorCode, PushOptions};

use super::error::ChangeError;
use super::push::{behind, rejected, said};

/// What was said while the push went on.
#[derive(Debug, Default)]
struct Heard {
    /// The branch is not where we expected it.
    elsewhere: bool,
    /// What the hooks of the server printed.
    printed: Vec<u8>,
    /// The server's last word about our reference.
    word: Option<Word>,
}

#[derive(Debug)]
enum Word {
    Yes,
    No(String),
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn push(
    repository: &Repository,
    remote: &Remote,
    commit: Oid,
    expected: Oid,
) -> Result<(), ChangeError> {
    let ear = Ear::default();
    let (asked, listening) = (remote.clone(), ear.clone());
    let sent = transport::blocking(repository, &remote.push_url, move |handle| {
        Ok(send(handle, &asked, commit, expected, &listening))
    })
    .await?;
    let heard = std::mem::take(&mut *ear.heard());
    match (sent, heard.word) {
        _ if heard.elsewhere => Err(behind(remote, expected)),
        (Err(error), _) if error.code() == ErrorCode::NotFastForward => {
            Err(behind(remote, expected))
        }
        (Err(error), _) => Err(words::classified_libgit2(&remote.push_url, &error).into()),
        (Ok(()), Some(Word::Yes)) => Ok(()),
        (Ok(()), Some(Word::No(reason))) => {
            let printed = String::from_utf8_lossy(&heard.printed).into_owned();
            Err(rejected(remote, &said(&reason, printed.lines())))
        }
        (Ok(()), None) => Err(ChangeError::PushFailed {
            words: "the server said nothing about the branch".into(),
        }),
    }
}

fn send(
    repository: &git2::Repository,
    asked: &Remote,
    commit: Oid,
    expected: Oid,
    ear: &Ear,
) -> Result<(), git2::Error> {
    let reference = asked.reference();
    let mut remote = repository.find_remote(&asked.name)?;
    let mut callbacks = transport::callbacks(repository)?;
    let (name, listening) = (reference.clone(), ear.clone());
    callbacks.push_negotiation(move |updates| {
        let mut ours = updates
            .iter()
            .filter(|update| update.dst_refname_bytes() == name.as_bytes());
        if ours.all(|update| update.src() == expected || update.src() == commit) {
            return Ok(());
        }
        listening.heard().elsewhere = true;
        let message = "the branch is not where it was expected";
        Err(git2::Error::new(
            ErrorCode::User,
            ErrorClass::Callback,
            message,
        ))
    });
    let listening = ear.clone();
    callbacks.sideband_progress(move |bytes| {
        let mut heard = listening.heard();
        let room = 4096_usize.saturating_sub(heard.printed.len());
        heard.printed.extend(bytes.iter().take(room));
        true
    });
    let (name, listening) = (reference.clone(), ear.clone());
    callbacks.push_update_reference(move |updated, refusal| {
        if updated == name {
            let word = refusal.map_or(Word::Yes, |reason| Word::No(reason.to_owned()));
            listening.heard().word = Some(word);
        }
        Ok(())
    });
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks);
    remote.push(&[format!("{commit}:{reference}")], Some(&mut options))
}
