//! `pre::probe_pod`: what a pod on the control plane reaches, before anything is changed.

use checks::{
    Criterion,
    probe::{BEFORE, host_of},
};
use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;

use crate::{
    Act, Action, ActionContext, ActionError, Done, Plan,
    temporary::{
        self,
        pod::{Target, prober},
        pod_needs,
    },
};

/// The actions of this phase, in order.
pub(super) const ACTIONS: &[Action] = &[Action {
    id: BEFORE,
    title: "a pod on {control_plane} has tried names and the way out",
    requires: &[],
    needs: pod_needs![],
    criterion: Criterion::Of("4.3"),
    why: "What fails for pods already is not the new node's fault; and where a pod cannot be started at all, nothing \
          that comes later can be proven.",
    inverse: "nothing: its pod is removed as soon as it has reported",
    reasons: temporary::REASONS,
    act: &ProbePod,
}];

struct ProbePod;

fn targets(cx: &ActionContext, domain: &str) -> Vec<Target> {
    let mut targets = vec![Target::name(
        "dns_internal",
        &format!("kubernetes.default.svc.{domain}"),
    )];
    let egress = &cx.checks.settings.probe.egress;
    if !egress.is_empty() {
        if let (host, true) = host_of(egress) {
            targets.push(Target::name("dns_external", host));
        }
        targets.push(Target::tcp("egress_registry", egress, egress.as_str()));
    }
    targets
}

async fn manifest(cx: &ActionContext) -> Result<(Value, String, Vec<Target>), ActionError> {
    let image = temporary::image(cx).await?;
    let targets = targets(cx, &temporary::domain(cx).await?);
    let name = temporary::unique(cx, "probe-before");
    let node = &cx.checks.settings.node.control_plane;
    let pod = prober(cx, BEFORE, &name, node, &image, &targets);
    Ok((pod, name, targets))
}

impl Act for ProbePod {
    fn probe<'a>(
        &'a self,
        _: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        // What was so a while ago may not be so now.
        async { Ok(None) }.boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let (pod, ..) = manifest(cx).await?;
            Ok(Plan {
                parts: temporary::planned(cx, &[&temporary::namespace(cx), &pod]).await?,
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let (pod, name, targets) = manifest(cx).await?;
            let node = cx.checks.settings.node.control_plane.clone();
            temporary::begin(cx, BEFORE).await?;
            let work = temporary::Work {
                node,
                name,
                pod,
                targets,
            };
            temporary::probe(cx, BEFORE, vec![work], Done::new(String::new())).await
        }
        .boxed()
    }

    fn is_temporary(&self) -> bool {
        true
    }
}
