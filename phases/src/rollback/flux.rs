//! Flux kept from putting back what is taken away, and let go again afterwards.

use checks::{
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS},
    resources::flux::{Health, Kustomization},
    view::Scope,
};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::{
    forecast::owners,
    git::{self, COMMIT},
    seen::Seen,
};
use crate::{
    Act, ActionContext, ActionError, Done, Plan,
    actions::reconcile,
    flux::{self, Followed},
    wait::Look,
};

pub(super) const SUSPEND: &str = "rollback::suspend_flux";
const RESUME: &str = "rollback::resume_flux";

/// `before flux-system/infrastructure-storage`: whether it was suspended before, `true` or `false`.
fn key(one: &Kustomization) -> String {
    format!("before {}", one.metadata.full_name())
}

/// Whether this rollback has suspended it.
pub(super) fn was_suspended_by_us(cx: &ActionContext, one: &Kustomization) -> bool {
    cx.recorded(SUSPEND, &key(one)).as_deref() == Some("false")
}

/// `rollback::suspend_flux`
pub(super) struct Suspend;

impl Suspend {
    /// The Kustomizations that are to be suspended and are not; nothing when nothing of the node is in the cluster.
    async fn open(cx: &ActionContext) -> Result<Vec<Kustomization>, ActionError> {
        let seen = Seen::now(cx).await?;
        let left = seen.node().is_some()
            || seen.storage.node(&seen.name).is_some()
            || seen.storage.on(&seen.name).next().is_some();
        if !left {
            return Ok(Vec::new());
        }
        Ok(owners(&seen, &cx.checks.settings)
            .into_iter()
            .filter(|one| !one.spec.suspend)
            .cloned()
            .collect())
    }
}

impl Act for Suspend {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let open = Self::open(cx).await?;
            Ok(open
                .is_empty()
                .then(|| Done::new("nothing that Flux could put back, or it is suspended already")))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let open = Self::open(cx).await?;
            let patch = json!({"spec": {"suspend": true}});
            let mut parts = Vec::new();
            for one in &open {
                let (namespace, name) = (&one.metadata.namespace, &one.metadata.name);
                let said = flux::answered(cx, &KUSTOMIZATIONS, namespace, name, &patch).await?;
                parts.push(format!(
                    "patch kustomization {namespace}/{name} {patch}{said}"
                ));
            }
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let open = Self::open(cx).await?;
            let mut done = Done::new(match open.len() {
                1 => "1 Kustomization suspended".to_owned(),
                count => format!("{count} Kustomizations suspended"),
            });
            for one in &open {
                // Written down first and once: what is suspended by us must not be taken for suspended before.
                cx.journal
                    .record(SUSPEND, &key(one), &one.spec.suspend.to_string())?;
                let patch = json!({"spec": {"suspend": true}});
                let (namespace, name) = (&one.metadata.namespace, &one.metadata.name);
                flux::merge_patch(cx, &KUSTOMIZATIONS, namespace, name, &patch).await?;
                done = done.saw(format!("kustomization {}", one.metadata.full_name()));
            }
            Ok(done)
        }
        .boxed()
    }
}

/// `rollback::resume_flux`
pub(super) struct Resume;

/// What is left for Flux to do.
struct Left {
    /// Suspended by this rollback.
    suspended: Vec<Kustomization>,
    /// Suspended by somebody else before.
    by_others: Vec<String>,
    /// The commit that Flux is to come to, where it has not yet.
    commit: Option<String>,
}

impl Resume {
    async fn left(cx: &ActionContext) -> Result<Left, ActionError> {
        let view = cx.checks.view.anew();
        let names = &cx.checks.settings.flux;
        let scope = Scope::namespace(&names.namespace);
        let all = view.list::<Kustomization>(&KUSTOMIZATIONS, scope).await?;
        let suspended: Vec<Kustomization> = all
            .iter()
            .filter(|one| one.spec.suspend)
            .filter(|one| was_suspended_by_us(cx, one))
            .cloned()
            .collect();
        let own = all
            .iter()
            .find(|one| one.metadata.name == names.kustomization);
        let by_others: Vec<String> = own
            .iter()
            .filter(|one| one.spec.suspend)
            .map(|one| one.metadata.full_name())
            .filter(|name| {
                !suspended
                    .iter()
                    .any(|one| one.metadata.full_name() == *name)
            })
            .collect();
        let mut commit = cx.recorded(COMMIT, "commit").filter(|_| own.is_some());
        if let (Some(wanted), Some(one)) = (&commit, own) {
            let followed = Followed::new(cx, wanted);
            let applied = one.status.last_applied_revision.as_str();
            if one.health() == Health::Ready && followed.is_in(applied).await {
                commit = None;
            }
        }
        Ok(Left {
            suspended,
            by_others,
            commit,
        })
    }
}

impl Act for Resume {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let left = Self::left(cx).await?;
            let nothing =
                left.suspended.is_empty() && (left.commit.is_none() || !left.by_others.is_empty());
            if !nothing {
                return Ok(None);
            }
            Ok(Some(match left.by_others.first() {
                Some(name) => Done::new(format!(
                    "Kustomization {name} was suspended before and stays so"
                ))
                .warn("SuspendedBefore"),
                None => Done::new("Flux is not suspended by this rollback"),
            }))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let mut parts = Vec::new();
            let seen = Seen::now(cx).await?;
            let left = Self::left(cx).await?;
            if git::commits(&cx.checks)? {
                parts.extend(reconcile::plan(cx).await?.parts);
            }
            let patch = json!({"spec": {"suspend": false}});
            for one in owners(&seen, &cx.checks.settings) {
                let ours = left
                    .suspended
                    .iter()
                    .any(|other| other.metadata.full_name() == one.metadata.full_name());
                if ours || !one.spec.suspend {
                    let (namespace, name) = (&one.metadata.namespace, &one.metadata.name);
                    let said = flux::answered(cx, &KUSTOMIZATIONS, namespace, name, &patch).await?;
                    parts.push(format!(
                        "patch kustomization {namespace}/{name} {patch}, and wait until it has applied the commit{said}"
                    ));
                }
            }
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let left = Self::left(cx).await?;
            let names = &cx.checks.settings.flux;
            let token = format!("onboarding-{}-rollback-{:08x}", cx.run, fastrand::u32(..));
            let commit = cx.recorded(COMMIT, "commit");
            if let Some(commit) = &commit {
                // The source first: what is resumed while it has the old artifact puts the node's objects back.
                flux::request(cx, &GIT_REPOSITORIES, &names.source, &token).await?;
                flux::fetched(cx, RESUME, commit, &token).await?;
            }
            let mut done = Done::new(match left.suspended.len() {
                0 => "Flux was not suspended".to_owned(),
                1 => "1 Kustomization resumed".to_owned(),
                count => format!("{count} Kustomizations resumed"),
            });
            for one in &left.suspended {
                let patch = json!({"spec": {"suspend": false}});
                let (namespace, name) = (&one.metadata.namespace, &one.metadata.name);
                flux::merge_patch(cx, &KUSTOMIZATIONS, namespace, name, &patch).await?;
                done = done.saw(format!("kustomization {}", one.metadata.full_name()));
            }
            let Some(commit) = commit.filter(|_| left.by_others.is_empty()) else {
                return Ok(done);
            };
            flux::request(cx, &KUSTOMIZATIONS, &names.kustomization, &token).await?;
            applied(cx, &commit).await?;
            done.message = format!("{}, and at {}", done.message, flux::short(&commit));
            Ok(done)
        }
        .boxed()
    }
}

/// Waits until the Kustomization has applied the commit and is Ready there.
async fn applied(cx: &ActionContext, commit: &str) -> Result<(), ActionError> {
    let names = &cx.checks.settings.flux;
    let name = format!("{}/{}", names.namespace, names.kustomization);
    let name = name.as_str();
    let followed = &Followed::new(cx, commit);
    let met = flux::wait(cx, RESUME)
        .until(|| async move {
            let found = cx
                .checks
                .view
                .get::<Kustomization>(&KUSTOMIZATIONS, &names.namespace, &names.kustomization)
                .await;
            let one = match found {
                Ok(one) => one,
                Err(error) => return Look::from(error),
            };
            let there = followed.is_in(&one.status.last_applied_revision).await;
            match one.health() {
                Health::Ready if there => Look::Done(()),
                Health::Stalled(why) => Look::Never(ActionError::new(
                    "KustomizationStalled",
                    format!("Kustomization {name} is stalled: {why}"),
                )),
                health => Look::NotYet(format!(
                    "Kustomization {name} has not applied {} yet: {}",
                    flux::short(commit),
                    match health {
                        Health::NotReady(why) | Health::Progressing(why) => why,
                        Health::Suspended => "it is suspended".into(),
                        Health::Ready | Health::Stalled(_) => "it is at another revision".into(),
                    }
                )),
            }
        })
        .await;
    met.map_err(|unmet| {
        let what = format!(
            "Kustomization {name} did not apply commit {}",
            flux::short(commit)
        );
        flux::unmet_error(unmet, "RevisionNotApplied", &what)
    })
}
