//! `network`: is the new node reachable through the VPN, where one is used?
//!
//! A Tailscale subnet router says with `TS_ROUTES` which addresses it leads to
//! (<https://tailscale.com/kb/1282/docker>). Whether the tailnet has approved a route is not to be seen from the
//! cluster, and neither is who may use it.

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::PodSpec,
};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{cidr::Cidr, full_name, node, workload},
    view::{ReadError, Scope},
};

/// The way in through the VPN.
pub const CHECKS: &[Check] = &[Check {
    id: "network::vpn",
    title: "Where a VPN router runs, it leads to {node}.",
    severity: Severity::Warn,
    requires: &["join::registered"],
    needs: &[
        Need::list(&kinds::NODES),
        Need::list(&kinds::DEPLOYMENTS),
        Need::list(&kinds::DAEMONSETS),
        Need::list(&kinds::STATEFULSETS),
    ],
    awaits: false,
    after: None,
    criterion: Criterion::Of("4.4"),
    why: "Whoever looks after the cluster from elsewhere comes in through the VPN. A router that was set up for one \
          node leads to that node only, which shows when the other one is needed.",
    reasons: &[
        Reason::new(
            "NoVpn",
            "no workload runs a Tailscale image: nothing to look at",
        ),
        Reason::new(
            "RouterNotReady",
            "see why it does not run: kubectl -n NAMESPACE describe with the named workload",
        ),
        Reason::new(
            "RoutesNotShown",
            "TS_ROUTES of the named router is not in its pod template: see the routes with tailscale status in its pod",
        ),
        Reason::new(
            "NodeNotRouted",
            "add the named address to TS_ROUTES of the router and approve the route in the admin console of the tailnet",
        ),
    ],
    ask: ask!(vpn),
}];

/// A workload that runs Tailscale.
struct Router {
    name: String,
    trouble: Option<String>,
    routes: Routes,
}

/// Which addresses a router leads to.
enum Routes {
    /// These.
    To(Vec<Cidr>),
    /// It is said elsewhere: in a Secret or a ConfigMap, or with `tailscale set`.
    NotShown,
}

async fn vpn(cx: &Context) -> Answer {
    let deployments = cx
        .view
        .list::<Deployment>(&kinds::DEPLOYMENTS, Scope::all())
        .await?;
    let daemon_sets = cx
        .view
        .list::<DaemonSet>(&kinds::DAEMONSETS, Scope::all())
        .await?;
    let stateful_sets = cx
        .view
        .list::<StatefulSet>(&kinds::STATEFULSETS, Scope::all())
        .await?;
    let mut routers = Vec::new();
    for one in deployments.iter() {
        let template = one.spec.as_ref().and_then(|it| it.template.spec.as_ref());
        let trouble = workload::deployment_trouble(one);
        routers.extend(router(
            "Deployment",
            full_name(&one.metadata),
            template,
            trouble,
        ));
    }
    for one in daemon_sets.iter() {
        let template = one.spec.as_ref().and_then(|it| it.template.spec.as_ref());
        let trouble = workload::daemonset_trouble(one);
        routers.extend(router(
            "DaemonSet",
            full_name(&one.metadata),
            template,
            trouble,
        ));
    }
    for one in stateful_sets.iter() {
        let template = one.spec.as_ref().and_then(|it| it.template.spec.as_ref());
        let trouble = stateful_set_trouble(one);
        routers.extend(router(
            "StatefulSet",
            full_name(&one.metadata),
            template,
            trouble,
        ));
    }
    if routers.is_empty() {
        return Ok(Verdict::skip("NoVpn", "no workload runs a Tailscale image"));
    }
    let new = node::new(cx).await?;
    let address = node::internal_ip(&new).ok_or_else(|| ReadError::Absent {
        what: format!("InternalIP of node {}", cx.node()),
    })?;
    let ip = address.parse().ok();
    let seen: Vec<String> = routers.iter().map(Router::said).collect();
    let leads = |router: &&Router| match &router.routes {
        Routes::To(ranges) => ip.is_some_and(|ip| ranges.iter().any(|one| one.contains(ip))),
        Routes::NotShown => false,
    };
    let names = |routers: Vec<&Router>| {
        let names: Vec<&str> = routers.iter().map(|one| one.name.as_str()).collect();
        names.join(", ")
    };
    let leading: Vec<&Router> = routers.iter().filter(leads).collect();
    let down: Vec<&Router> = routers.iter().filter(|one| one.trouble.is_some()).collect();
    let silent: Vec<&Router> = routers
        .iter()
        .filter(|one| matches!(one.routes, Routes::NotShown))
        .collect();
    Ok(if leading.iter().any(|one| one.trouble.is_none()) {
        Verdict::pass(format!("{} leads to {address}", names(leading)))
    } else if !down.is_empty() {
        Verdict::fail("RouterNotReady", format!("{} is not ready", names(down)))
    } else if !silent.is_empty() {
        Verdict::fail(
            "RoutesNotShown",
            format!("{} does not show its routes", names(silent)),
        )
    } else {
        Verdict::fail(
            "NodeNotRouted",
            format!(
                "no route of {} leads to {address}",
                names(routers.iter().collect())
            ),
        )
    }
    .saw_all(seen))
}

impl Router {
    fn said(&self) -> String {
        let routes = match &self.routes {
            Routes::To(ranges) => {
                let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
                format!("leads to {}", ranges.join(", "))
            }
            Routes::NotShown => "does not show its routes".to_owned(),
        };
        let trouble = self.trouble.as_deref().unwrap_or("ready");
        format!("{}: {trouble}, {routes}", self.name)
    }
}

/// The router in a pod template, if it is one. Tailscale's own operator is none: its proxies are.
fn router(
    kind: &str,
    name: String,
    template: Option<&PodSpec>,
    trouble: Option<String>,
) -> Option<Router> {
    let containers = template?.containers.iter();
    let runs = |image: &str| {
        let image = image.split('@').next().unwrap_or_default();
        let path = image.rsplit_once('/').map_or(image, |(_, last)| last);
        path.split(':').next() == Some("tailscale")
    };
    let container = containers
        .into_iter()
        .find(|one| one.image.as_deref().is_some_and(runs))?;
    let variable = container
        .env
        .iter()
        .flatten()
        .find(|one| one.name == "TS_ROUTES");
    let routes = match variable.and_then(|one| one.value.as_deref()) {
        Some(text) => Routes::To(
            text.split(',')
                .filter_map(|range| range.trim().parse().ok())
                .collect(),
        ),
        None => Routes::NotShown,
    };
    Some(Router {
        name: format!("{kind} {name}"),
        trouble,
        routes,
    })
}

fn stateful_set_trouble(set: &StatefulSet) -> Option<String> {
    let wanted = set
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let ready = set
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or_default();
    (ready < wanted).then(|| format!("{ready} of {wanted} replicas ready"))
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::super::example::node;
    use crate::{
        Verdict,
        testing::{Fixture, check},
    };

    fn router(routes: Option<&str>, available: u32) -> Value {
        let env = routes.map(|routes| json!([{"name": "TS_ROUTES", "value": routes}]));
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "router", "namespace": "tailscale", "generation": 1},
            "spec": {
                "replicas": 1, "selector": {},
                "template": {"spec": {"containers": [
                    {"name": "tailscale", "image": "ghcr.io/tailscale/tailscale:v1.84.0", "env": env},
                ]}},
            },
            "status": {"observedGeneration": 1, "availableReplicas": available},
        })
    }

    async fn ask(router: Value) -> Verdict {
        Fixture::new()
            .with(node("k3s1", 1))
            .with(node("k3s2", 2))
            .with(router)
            .ask(check("network::vpn"))
            .await
    }

    #[tokio::test]
    async fn a_router_leads_to_the_new_node_or_it_is_said() {
        let good = ask(router(Some("10.42.0.0/16,192.168.86.0/24"), 1)).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let other = ask(router(Some("192.168.86.71/32"), 1)).await;
        assert_eq!(other.reason(), "NodeNotRouted");
        assert!(other.message().contains("192.168.86.72"), "{other:?}");
        assert_eq!(ask(router(None, 1)).await.reason(), "RoutesNotShown");
        let down = ask(router(Some("192.168.86.0/24"), 0)).await;
        assert_eq!(down.reason(), "RouterNotReady");
        assert!(
            down.evidence()[0].contains("0 of 1 replicas available"),
            "{down:?}"
        );
    }

    #[tokio::test]
    async fn without_a_router_there_is_nothing_to_ask() {
        let mut operator = router(None, 1);
        operator["spec"]["template"]["spec"]["containers"][0]["image"] =
            "docker.io/tailscale/k8s-operator:v1.84.0".into();
        let verdict = ask(operator).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Skip, "NoVpn")
        );
    }
}
