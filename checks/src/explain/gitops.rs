//! How the checks of `gitops` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "gitops::repository",
        "Opens the clone and looks at its state: HEAD must point to a branch with at least one commit, and no merge, \
         rebase, cherry-pick or bisection may be under way.",
    ),
    (
        "gitops::followed_repository",
        "Compares the URL of the remote that the branch follows with spec.url of Flux's GitRepository, after both are \
         brought into one form: scheme, user, port, a trailing .git and the short ssh spelling make no difference.",
    ),
    (
        "gitops::branch",
        "Compares the branch that is checked out, and the remote branch that it pushes to, with spec.ref.branch of \
         Flux's GitRepository. A tag or a commit there means that no push can change anything.",
    ),
    (
        "gitops::remote",
        "Asks the remote itself where the branch stands (what git ls-remote does) with the credentials of this machine. \
         The clone must have that commit and all before it. No answer, refused credentials and an absent repository are \
         different reasons.",
    ),
    (
        "gitops::no_unpushed_commits",
        "Lists the commits between the remote branch as last fetched and HEAD. There must be none, except the commit \
         that this run made itself.",
    ),
    (
        "gitops::identity",
        "Asks git's configuration, the environment included, for user.name and user.email; both must be there.",
    ),
    (
        "gitops::signing",
        "Reads commit.gpgsign, gpg.format and user.signingkey as git would. Unsigned is a warning, and a no where \
         spec.verify of the GitRepository demands signatures. A key file that is named must exist.",
    ),
    (
        "gitops::node_config",
        "Parses the kustomization file and looks for the node's entry under resources, active or commented out: it must \
         stand there exactly once. Then the folder is built as if the entry were active, every file that it names must \
         exist, and each of these files must be as in the last commit, because Flux sees nothing else.",
    ),
    (
        "gitops::node_manifest",
        "Looks for the one Longhorn Node of this name in what the folder builds: in Longhorn's namespace, with \
         spec.name, spec.allowScheduling true, at least one disk that is switched on, and a path of its own for each. A \
         disk without diskType is a warning.",
    ),
    (
        "gitops::single_owner",
        "Builds the folder of every Flux Kustomization of this repository, of the cluster's and of those that the \
         repository declares, and counts which of them contain the Longhorn Node. It must be exactly the configured \
         one, and it must put the object into Longhorn's namespace.",
    ),
    (
        "gitops::api_versions_served",
        "Collects group, version and kind of every manifest that a Kustomization of this repository builds, and \
         compares them with what /apis serves. A group that is not served at all may be about to be installed and is \
         only mentioned. Where Flux builds nothing of this repository, that is a warning.",
    ),
    (
        "gitops::entry_active",
        "Reads the kustomization file out of the commit of this run (out of HEAD, where the run made none), not out of \
         the work tree, and looks whether the entry is active there.",
    ),
    (
        "gitops::commit_pushed",
        "Asks the remote where the branch stands. It must be at the commit of this run or at one that contains it. \
         Where this run made no commit, the entry must be active in the remote's newest one.",
    ),
    (
        "gitops::revision_fetched",
        "Compares the revision of the GitRepository's artifact with the commit of this run, or with the remote's newest \
         one. The same or a later commit passes; suspended or Stalled ends the wait at once.",
    ),
    (
        "gitops::revision_attempted",
        "Compares status.lastAttemptedRevision of the Kustomization with the commit. The same or a later one passes, \
         also when it is not Ready yet. The reason BuildFailed is a no, ReconciliationFailed a warning.",
    ),
];
