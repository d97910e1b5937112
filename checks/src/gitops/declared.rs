//! What the repository declares for the new node: the entry in the kustomization file, and the objects that the
//! folder of that file builds.

use std::{path::PathBuf, sync::Arc};

use reports::model::Outcome;

use crate::{
    Context, Settings, Verdict,
    git::{EntryState, GitError, Manifests, Repository, Resources, manifests},
};

/// What the repository declares for the new node.
pub(crate) struct Declared {
    /// The kustomization file, from the root of the work tree.
    pub(crate) file: PathBuf,
    /// The entry in it.
    pub(crate) entry: EntryState,
    /// What the folder of the kustomization file builds: with the entry if it is active or `assumed`.
    pub(crate) whole: manifests::Build,
}

impl Declared {
    /// The Longhorn Nodes of this name, as they would be applied.
    pub(crate) fn longhorn_nodes<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a manifests::Document> {
        self.whole
            .documents
            .iter()
            .filter(move |one| is_longhorn_node(one) && one.name() == name)
    }
}

/// Whether this is a Node of Longhorn; Kubernetes has a kind of the same name.
pub(crate) fn is_longhorn_node(document: &manifests::Document) -> bool {
    document.group() == "longhorn.io" && document.kind() == "Node"
}

/// The repository of this run, or the skip that says that there is none.
pub(crate) fn repository(cx: &Context) -> Result<Arc<Repository>, Verdict> {
    cx.repository.clone().ok_or_else(|| {
        Verdict::skip(
            "NoRepository",
            "no GitOps repository is named, so nothing is known of what git declares",
        )
    })
}

/// Asks the repository something that reads files, off the threads that serve the network.
pub(crate) async fn ask<T: Send + 'static>(
    repository: &Arc<Repository>,
    question: impl FnOnce(&Repository) -> Result<T, GitError> + Send + 'static,
) -> Result<T, Verdict> {
    let repository = Arc::clone(repository);
    match tokio::task::spawn_blocking(move || question(&repository)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(refused(&error)),
        Err(error) => Err(Verdict::error("Panicked", error.to_string())),
    }
}

/// What an error of git means for the check that met it: what it can be told by its reason, a no.
#[track_caller]
pub(crate) fn refused(error: &GitError) -> Verdict {
    let message = error.to_string();
    let verdict = match error {
        GitError::Unreadable { .. } | GitError::Libgit2 { .. } => {
            Verdict::error("CouldNotDecide", message)
        }
        _ => Verdict::fail(error.reason(), message),
    };
    verdict.hint(error.hint())
}

/// As [`refused`], for a check whose question is another one: what went wrong on the way keeps it from being decided.
pub(crate) fn undecided(verdict: Verdict, own: &[&str]) -> Verdict {
    if verdict.outcome() != Outcome::Fail || own.contains(&verdict.reason()) {
        return verdict;
    }
    let changed = Verdict::error("CouldNotDecide", verdict.message()).saw_all(
        std::iter::once(format!("git: {}", verdict.reason())).chain(verdict.evidence().to_vec()),
    );
    match verdict.own_hint() {
        Some(hint) => changed.hint(hint),
        None => changed,
    }
}

/// Reads what is declared; with `assumed` as if the entry were active, which is what an activation would make.
pub(crate) async fn read(
    cx: &Context,
    repository: &Arc<Repository>,
    assumed: bool,
) -> Result<Declared, Verdict> {
    let settings = Arc::clone(&cx.settings);
    ask(repository, move |repository| {
        read_now(repository, &settings, assumed)
    })
    .await
}

fn read_now(
    repository: &Repository,
    settings: &Settings,
    assumed: bool,
) -> Result<Declared, GitError> {
    let file = PathBuf::from(&settings.repository.kustomization);
    let wanted = settings.entry();
    let text = String::from_utf8_lossy(&repository.work_file(&file)?).into_owned();
    let entry = Resources::read(&file, &text)?.state(&wanted);
    let mut manifests = Manifests::of(repository);
    if assumed && matches!(entry, EntryState::Commented { .. }) {
        manifests = manifests.assuming(&file, &wanted);
    }
    let parent = file.parent().map(PathBuf::from).unwrap_or_default();
    let whole = manifests.folder(&parent);
    Ok(Declared { file, entry, whole })
}
