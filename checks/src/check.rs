//! What a check is: data and one function.

use futures::future::BoxFuture;
use reports::model::{Phase, Severity};

use crate::{Context, Verdict, kinds::Kind, view::ReadError};

/// What a check's function returns. A [`ReadError`] that it hands on with `?` becomes the outcome that fits:
/// a missing right is a skip that names the verb, anything that could not be decided is an error.
pub type Answer = Result<Verdict, ReadError>;

/// A check's function. Write it as `async fn name(cx: &Context) -> Answer` and name it with [`ask!`](crate::ask).
pub type Ask = for<'a> fn(&'a Context) -> BoxFuture<'a, Answer>;

/// Makes an [`Ask`] of an `async fn(&Context) -> Answer`.
#[macro_export]
macro_rules! ask {
    ($function:path) => {
        |cx| ::std::boxed::Box::pin($function(cx))
    };
}

/// A question about the cluster or the repository that changes nothing.
///
/// Everything a reader must know of it stands in one place, in the file of its phase; `--list`, `--explain`, the
/// rights that it needs, the documentation and the reports are views of this value.
#[derive(Debug)]
pub struct Check {
    /// `storage::node_ready`: short name of the phase, `::`, what is true when it passes.
    pub id: &'static str,
    /// One sentence that is true when it passes. May name `{node}` and `{control_plane}`.
    pub title: &'static str,
    /// What its failure means for the phase.
    pub severity: Severity,
    /// Ids of checks without which this one makes no sense.
    pub requires: &'static [&'static str],
    /// What it reads.
    pub needs: &'static [Need],
    /// Whether an ordered run waits for it, up to the phase's deadline, before the group is judged.
    pub awaits: bool,
    /// The action of the same phase that must have been done before it can be asked, if any.
    pub after: Option<&'static str>,
    /// The criterion of the specification that it serves.
    pub criterion: Criterion,
    /// Why a person should care, in a sentence or two that needs no knowledge of the component.
    pub why: &'static str,
    /// Every reason that it can give of its own, each with what to do about it.
    pub reasons: &'static [Reason],
    /// How it decides.
    pub ask: Ask,
}

impl Check {
    /// The phase that it belongs to, by its id.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        Phase::of_id(self.id)
    }

    /// What to do about one of its reasons, its own or one that every check may give.
    #[must_use]
    pub fn remedy(&self, code: &str) -> Option<&'static str> {
        self.reasons
            .iter()
            .chain(COMMON_REASONS)
            .find(|reason| reason.code == code)
            .map(|reason| reason.remedy)
    }
}

/// A stable code for an outcome other than pass, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// UpperCamelCase, such as `NodeNotReady`.
    pub code: &'static str,
    /// What to do; a command that can be pasted where there is one. May name `{node}` and `{control_plane}`.
    pub remedy: &'static str,
}

impl Reason {
    /// A reason with its remedy.
    #[must_use]
    pub const fn new(code: &'static str, remedy: &'static str) -> Self {
        Self { code, remedy }
    }
}

/// Reasons that any check may give without declaring them.
pub const COMMON_REASONS: &[Reason] = &[
    Reason::new(
        "MissingPermission",
        "grant the named verb to the user of the kubeconfig, or ask with another user",
    ),
    Reason::new(
        "Unreachable",
        "see whether the API server answers: kubectl get --raw /readyz",
    ),
    Reason::new(
        "TimedOut",
        "the API server did not answer in time: look at its load, then ask again",
    ),
    Reason::new(
        "ServerError",
        "the API server answered with an error: look at its log, then ask again",
    ),
    Reason::new(
        "Malformed",
        "the named object cannot be read as its kind: kubectl get it with -o yaml and look",
    ),
    Reason::new("NotFound", "the named object does not exist"),
    Reason::new(
        "NotServed",
        "the cluster does not serve this kind: install the component that brings it",
    ),
    Reason::new(
        "UndeclaredRight",
        "it asked for something that it does not declare, which is a bug of this program: report it with the log file",
    ),
    Reason::new(
        "Panicked",
        "the check itself broke, which is a bug of this program: report it with the log file",
    ),
    Reason::new(
        "CouldNotDecide",
        "the question could not be decided; the evidence says why",
    ),
    Reason::new("Blocked", "settle the named check first"),
    Reason::new(
        "WebhookRefused",
        "an admission webhook or policy of the cluster does not let the change through: its words say what it wants",
    ),
    Reason::new(
        "LeaseLost",
        "see who holds it: kubectl -n kube-system get lease onboarding-{node} -o yaml; go on with --resume once that run has ended",
    ),
    Reason::new(
        "LeaseLapsed",
        "the API server did not let the lock be renewed in time: see whether it answers, then --resume",
    ),
    Reason::new(
        "NoRepository",
        "name the GitOps repository: --repo PATH, ONBOARDING_REPO or repository.path",
    ),
    Reason::new(
        "NeedsAction",
        "this rests on something that an ordered run does: add --apply to do it",
    ),
    Reason::new(
        "ValidationSkipped",
        "run without --skip-validation to ask it",
    ),
    Reason::new(
        "NotAppliedInDryRun",
        "the change that it rests on is only planned in a dry run",
    ),
];

/// The criterion of the specification that a check serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// Such as `2.3`.
    Of(&'static str),
    /// None of them; the check is worth asking all the same.
    Beyond,
}

impl Criterion {
    /// As it stands in reports.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Of(number) => number,
            Self::Beyond => "beyond the specification",
        }
    }
}

/// One right that a check or an action uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A verb on a kind of object.
    Resource {
        /// `get list watch create update patch delete`.
        verb: &'static str,
        /// Group, empty for core.
        group: &'static str,
        /// Plural, with subresource: `nodes/proxy`.
        resource: &'static str,
        /// Where it is used; what is usual for the kind unless it is said.
        place: Place,
    },
    /// `get` on a path that is no resource, such as `/readyz`.
    Path(&'static str),
    /// Read access to the GitOps repository.
    Repository,
}

/// Where a right is used: the places that checks and actions look at are few, and known from the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// What [`rights`](crate::rights) takes for the kind: Longhorn's objects in its namespace, the new node's own
    /// Node, and so on; otherwise the whole cluster.
    #[default]
    Usual,
    /// The whole cluster.
    Everywhere,
    /// Every object in one namespace.
    In(Spot),
    /// One object; the spot is [`Spot::Cluster`] for kinds that lie in no namespace.
    Object(Spot, Named),
}

/// A namespace that the settings know, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// No namespace.
    Cluster,
    /// `kube-system`
    KubeSystem,
    /// `kube-node-lease`
    NodeLeases,
    /// Flux's.
    Flux,
    /// Longhorn's.
    Longhorn,
    /// Monitoring's; the whole cluster where none is configured.
    Monitoring,
    /// The tool's own.
    Probes,
    /// That of the lock.
    Lock,
    /// `default`
    Default,
}

/// An object whose name the settings know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The new node, and what is called like it.
    Node,
    /// The control-plane node.
    ControlPlane,
    /// The Secret with the new node's password.
    NodePassword,
    /// Flux's GitRepository.
    Source,
    /// Flux's Kustomization.
    Kustomization,
    /// The Lease that keeps a second run out.
    Lock,
    /// The tool's own namespace.
    Probes,
    /// This name.
    Fixed(&'static str),
}

impl Need {
    /// `list` on a kind.
    #[must_use]
    pub const fn list(kind: &'static Kind) -> Self {
        Self::verb("list", kind)
    }

    /// `get` on a kind.
    #[must_use]
    pub const fn get(kind: &'static Kind) -> Self {
        Self::verb("get", kind)
    }

    /// Any verb on a kind.
    #[must_use]
    pub const fn verb(verb: &'static str, kind: &'static Kind) -> Self {
        Self::on(verb, kind.group, kind.plural)
    }

    /// A verb on a resource that is not read as objects, such as `get` on `nodes/proxy`.
    #[must_use]
    pub const fn on(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self::Resource {
            verb,
            group,
            resource,
            place: Place::Usual,
        }
    }

    /// The same right, used only there.
    #[must_use]
    pub const fn at(self, place: Place) -> Self {
        match self {
            Self::Resource {
                verb,
                group,
                resource,
                ..
            } => Self::Resource {
                verb,
                group,
                resource,
                place,
            },
            Self::Path(_) | Self::Repository => self,
        }
    }
}
