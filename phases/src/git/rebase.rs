//! Makes our one commit again on top of what somebody else has pushed, and takes an own commit back.
//!
//! Both move the branch and a few files of the work tree. Everything is looked at first; files are only touched where
//! the user's copy is clean; the branch moves by compare-and-swap, and if it cannot, the files are put back.

use std::path::{Path, PathBuf};

use checks::git::transport::{self, Carrier};
use checks::git::{FileStatus, GitError, Oid, Remote, Repository, Transport, short, words};
use git2::build::CheckoutBuilder;

use super::commit::{self, Prepared, Proposal};
use super::edit::{self, Edit, Wanted};
use super::error::ChangeError;

/// What came of making the commit again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebased {
    /// It was made again, on this commit of the remote.
    Onto {
        /// The new commit, whose parent is the remote's tip; the branch is there.
        commit: Prepared,
        /// The edit that it makes.
        edit: Edit,
    },
    /// The remote has the change already; the branch is where the remote is and our commit is dropped.
    AlreadyThere {
        /// The remote's tip.
        tip: Oid,
    },
}

/// The change that is to be made again.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The file, from the root of the repository.
    pub file: &'a Path,
    /// The entry in it.
    pub entry: &'a str,
    /// What is to become of the entry.
    pub wanted: Wanted,
    /// The message of the commit.
    pub message: &'a str,
    /// Whether an unsigned commit is an error.
    pub require_signed: bool,
}

/// Fetches the followed branch into its remote-tracking branch and returns its tip.
///
/// # Errors
/// As [`Repository::remote_tip`], and [`GitError::RemoteBranchAbsent`].
pub async fn fetch(
    repository: &Repository,
    remote: &Remote,
    carrier: Transport,
) -> Result<Oid, ChangeError> {
    repository.writable()?;
    let refspec = format!("+{}:{}", remote.reference(), remote.tracking_reference());
    match carrier.carrier(repository, &remote.fetch_url)? {
        Carrier::Git => {
            let finished = transport::git(repository)
                .args([
                    "fetch",
                    "--quiet",
                    "--no-tags",
                    "--no-recurse-submodules",
                    &remote.name,
                    &refspec,
                ])
                .run()
                .await
                .map_err(|error| words::tool_failed(&remote.fetch_url, error))?;
            if !finished.status.success() {
                return Err(words::classified(&remote.fetch_url, &finished.stderr).into());
            }
        }
        Carrier::Libgit2 => {
            let asked = remote.clone();
            transport::blocking(repository, &remote.fetch_url, move |handle| {
                let mut options = git2::FetchOptions::new();
                options
                    .remote_callbacks(transport::callbacks(handle)?)
                    .download_tags(git2::AutotagOption::None);
                handle
                    .find_remote(&asked.name)?
                    .fetch(&[refspec], Some(&mut options), None)
            })
            .await?;
        }
    }
    repository.tracking_tip(remote)?.ok_or_else(|| {
        GitError::RemoteBranchAbsent {
            url: remote.shown_url(),
            branch: remote.branch.clone(),
        }
        .into()
    })
}

/// After a push that was not a fast-forward: fetches, makes the one commit again on the remote's tip, and moves the
/// branch and the files that changed there. Does it once; if somebody pushes again meanwhile, so be it.
///
/// # Errors
/// [`ChangeError::NotNewest`], [`ChangeError::HistoryRewritten`], [`ChangeError::RebaseConflict`],
/// [`ChangeError::WorkTreeInTheWay`], [`ChangeError::BranchMoved`], and what fetching and signing may say. After an
/// error branch and files are as they were.
pub async fn rebase_once(
    repository: &Repository,
    remote: &Remote,
    carrier: Transport,
    change: &Change<'_>,
    own: Oid,
) -> Result<Rebased, ChangeError> {
    repository.writable()?;
    repository.require_calm()?;
    let base = parent_of_newest(repository, own)?;
    // Commits of somebody else below ours would be left behind.
    repository.require_pushed(remote, &[own])?;
    commit::settle_index(repository, change.file)?;
    let tip = fetch(repository, remote, carrier).await?;
    if !repository.contains(tip, base)? {
        return Err(ChangeError::HistoryRewritten { base: short(base) });
    }
    let conflict = |why: String| ChangeError::RebaseConflict {
        tip: short(tip),
        why,
    };
    let theirs = repository
        .file_at(tip, change.file)?
        .ok_or_else(|| conflict(format!("{} is not there any more", change.file.display())))?;
    let again = edit::edit(change.file, &theirs, change.entry, &change.wanted)
        .map_err(|error| conflict(error.to_string()))?;
    let branch = repository.branch()?;
    let mut files = changed_between(repository, base, tip)?;
    if !files.iter().any(|file| file == change.file) {
        files.push(change.file.to_owned());
    }
    require_clean(repository, own, &files)?;
    let Some(edit) = again else {
        switch(
            repository,
            &branch,
            own,
            tip,
            &files,
            "onboarding: the remote has the change already",
        )?;
        return Ok(Rebased::AlreadyThere { tip });
    };
    let proposal = Proposal {
        file: change.file.to_owned(),
        content: edit.after.clone(),
        message: change.message.to_owned(),
        require_signed: change.require_signed,
    };
    // The bytes come from the store and go back to it: no line endings to convert.
    let blob = repository
        .libgit2()?
        .blob(&edit.after)
        .map_err(ChangeError::doing("store the file"))?;
    let commit = commit::on_top_of(repository, tip, branch, &proposal, blob).await?;
    let reflog = format!("onboarding: made again on {}", short(tip));
    switch(repository, &commit.branch, own, commit.id, &files, &reflog)?;
    Ok(Rebased::Onto { commit, edit })
}

/// Takes back an own commit that never reached the remote: the branch goes back to its parent and the file with it.
/// Returns the parent.
///
/// # Errors
/// [`ChangeError::AlreadyPushed`], [`ChangeError::NotNewest`], [`ChangeError::WorkTreeInTheWay`],
/// [`ChangeError::BranchMoved`], and what asking the remote may say.
pub async fn take_back(
    repository: &Repository,
    remote: &Remote,
    carrier: Transport,
    file: &Path,
    own: Oid,
) -> Result<Oid, ChangeError> {
    repository.writable()?;
    repository.require_calm()?;
    let tip = fetch(repository, remote, carrier).await?;
    if repository.contains(tip, own)? {
        return Err(ChangeError::AlreadyPushed { commit: short(own) });
    }
    let parent = parent_of_newest(repository, own)?;
    commit::settle_index(repository, file)?;
    let files = [file.to_owned()];
    require_clean(repository, own, &files)?;
    switch(
        repository,
        &repository.branch()?,
        own,
        parent,
        &files,
        "onboarding: taken back",
    )?;
    Ok(parent)
}

fn parent_of_newest(repository: &Repository, own: Oid) -> Result<Oid, ChangeError> {
    if repository.head()? != own {
        return Err(ChangeError::NotNewest { commit: short(own) });
    }
    let handle = repository.libgit2()?;
    let parent = handle
        .find_commit(own)
        .and_then(|commit| commit.parent_id(0));
    parent.map_err(ChangeError::doing("read the commit's parent"))
}

fn changed_between(
    repository: &Repository,
    old: Oid,
    new: Oid,
) -> Result<Vec<PathBuf>, ChangeError> {
    let handle = repository.libgit2()?;
    let compare = || -> Result<Vec<PathBuf>, git2::Error> {
        let (old, new) = (
            handle.find_commit(old)?.tree()?,
            handle.find_commit(new)?.tree()?,
        );
        let diff = handle.diff_tree_to_tree(Some(&old), Some(&new), None)?;
        let mut files: Vec<PathBuf> = diff
            .deltas()
            .flat_map(|delta| [delta.old_file().path(), delta.new_file().path()])
            .flatten()
            .map(Path::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    };
    compare().map_err(ChangeError::doing("compare with the remote branch"))
}

/// Demands that the user's copies of these files are as in `own`, or absent as there.
fn require_clean(repository: &Repository, own: Oid, files: &[PathBuf]) -> Result<(), ChangeError> {
    let mut in_the_way = Vec::new();
    for file in files {
        let expected = match repository.file_at(own, file)? {
            Some(_) => FileStatus::Clean,
            None => FileStatus::Absent,
        };
        if repository.file_status(file)? != expected {
            in_the_way.push(file.clone());
        }
    }
    if in_the_way.is_empty() {
        Ok(())
    } else {
        Err(ChangeError::WorkTreeInTheWay { files: in_the_way })
    }
}

/// Brings the files to another commit, then the branch; if the branch cannot be moved, the files go back.
fn switch(
    repository: &Repository,
    branch: &str,
    from: Oid,
    to: Oid,
    files: &[PathBuf],
    reflog: &str,
) -> Result<(), ChangeError> {
    checkout(repository, to, files, false)?;
    commit::move_branch(repository, branch, from, to, reflog).inspect_err(|_| {
        // They were clean a moment ago and are now what we made of them; nothing of the user's is lost.
        if let Err(error) = checkout(repository, from, files, true) {
            tracing::warn!(%error, "the files could not be put back; git status shows them");
        }
    })
}

fn checkout(
    repository: &Repository,
    commit: Oid,
    files: &[PathBuf],
    force: bool,
) -> Result<(), ChangeError> {
    let handle = repository.libgit2()?;
    let run = || -> Result<(), git2::Error> {
        let tree = handle.find_commit(commit)?.into_object();
        let mut options = CheckoutBuilder::new();
        if force {
            options.force();
        } else {
            options.safe();
        }
        options.disable_pathspec_match(true);
        for file in files {
            options.path(file);
        }
        handle.checkout_tree(&tree, Some(&mut options))
    };
    run().map_err(ChangeError::doing("update the files of the work tree"))
}
