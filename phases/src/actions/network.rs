//! `network::probe_pods`: pods on both nodes that try to reach each other, and the rest of the cluster.
//!
//! Each node gets two: one that listens, and one that tries. A pod is told in its arguments whom to reach, and nobody
//! knows an address before the pod that has it runs; so the listeners come first, and whoever tries is started when
//! both are Ready. They listen until everything has been tried: nobody is too early or too late.

use checks::{
    Criterion, Need,
    kinds::{NODES, SERVICES},
    probe::TRAFFIC,
    resources::node::internal_ip,
};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{Node, Service};
use serde_json::Value;

use crate::{
    Act, Action, ActionContext, ActionError, Done, Plan,
    temporary::{
        self, Work,
        pod::{PORT, Target, listener, prober},
        pod_needs,
    },
};

/// The actions of this phase, in order.
pub(super) const ACTIONS: &[Action] = &[Action {
    id: TRAFFIC,
    title: "pods on {control_plane} and {node} have tried to reach each other, Services, names and the API server",
    requires: &[],
    needs: pod_needs![Need::get(&NODES), Need::get(&SERVICES)],
    criterion: Criterion::Of("4.2"),
    why: "Everything that can be read of a network is how it is meant to be. Whether packets arrive is known only when \
          one has been sent.",
    inverse: "nothing: its pods are removed as soon as they have reported",
    reasons: temporary::REASONS,
    act: &ProbePods,
}];

struct ProbePods;

/// What stands still while the pods are tried: names, images, addresses of the cluster.
struct Plans {
    image: String,
    control_plane: String,
    node: String,
    /// Everything that the new node's pod tries beside the other pod.
    targets: Vec<Target>,
}

async fn plans(cx: &ActionContext) -> Result<Plans, ActionError> {
    let settings = &cx.checks.settings;
    let (control_plane, node) = (
        settings.node.control_plane.clone(),
        cx.checks.node().to_owned(),
    );
    let once = temporary::once(cx);
    let service = once
        .view
        .get::<Service>(&SERVICES, "default", "kubernetes")
        .await?;
    let server = once.view.get::<Node>(&NODES, "", &control_plane).await?;
    let mut targets = Vec::new();
    let address = service
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ip.clone());
    if let Some(address) = address.filter(|address| address != "None") {
        let place = format!("{address}:443");
        let what = format!("Service default/kubernetes at {place}");
        targets.push(Target::tcp("service_from_node", &place, what));
    }
    let domain = temporary::domain(cx).await?;
    let name = format!("kubernetes.default.svc.{domain}");
    targets.push(Target::name("dns_from_node", &name));
    if let Some(address) = internal_ip(&server) {
        let place = format!("{address}:6443");
        let what = format!("the API server at {place}");
        targets.push(Target::tcp("api_from_node", &place, what));
    }
    if !settings.probe.egress.is_empty() {
        let place = &settings.probe.egress;
        targets.push(Target::tcp("egress_from_node", place, place.as_str()));
    }
    Ok(Plans {
        image: temporary::image(cx).await?,
        control_plane,
        node,
        targets,
    })
}

impl Plans {
    fn listener(&self, cx: &ActionContext, purpose: &str, node: &str) -> (String, Value) {
        let name = temporary::unique(cx, purpose);
        let pod = listener(cx, TRAFFIC, &name, node, &self.image);
        (name, pod)
    }

    /// The pods that try, once it is known where the listeners are.
    fn probers(&self, cx: &ActionContext, on_control_plane: &str, on_node: &str) -> Vec<Work> {
        let across = |key, address: &str, node: &str| {
            let what = format!("a pod on {node} at {address}");
            Target::tcp(key, &format!("{address}:{PORT}"), what)
        };
        let from_server = vec![across("pod_to_pod_from_control_plane", on_node, &self.node)];
        let mut from_node = vec![across(
            "pod_to_pod_from_node",
            on_control_plane,
            &self.control_plane,
        )];
        from_node.extend(self.targets.iter().cloned());
        [
            ("probe-server", &self.control_plane, from_server),
            ("probe-node", &self.node, from_node),
        ]
        .into_iter()
        .map(|(purpose, node, targets)| {
            let name = temporary::unique(cx, purpose);
            Work {
                node: node.clone(),
                pod: prober(cx, TRAFFIC, &name, node, &self.image, &targets),
                name,
                targets,
            }
        })
        .collect()
    }
}

impl Act for ProbePods {
    fn probe<'a>(
        &'a self,
        _: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        // What crossed a while ago may not cross now.
        async { Ok(None) }.boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let plans = plans(cx).await?;
            let mut manifests = vec![temporary::namespace(cx)];
            for (purpose, node) in [
                ("listen-server", &plans.control_plane),
                ("listen-node", &plans.node),
            ] {
                manifests.push(plans.listener(cx, purpose, node).1);
            }
            let probers = plans.probers(cx, "ADDRESS-OF-LISTEN-SERVER", "ADDRESS-OF-LISTEN-NODE");
            manifests.extend(probers.into_iter().map(|work| work.pod));
            let manifests: Vec<&serde_json::Value> = manifests.iter().collect();
            Ok(Plan {
                parts: temporary::planned(cx, &manifests).await?,
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let plans = plans(cx).await?;
            temporary::begin(cx, TRAFFIC).await?;
            let (on_server, server_pod) = plans.listener(cx, "listen-server", &plans.control_plane);
            let (on_node, node_pod) = plans.listener(cx, "listen-node", &plans.node);
            for pod in [&server_pod, &node_pod] {
                temporary::create_pod(cx, pod).await?;
            }
            let names = [on_server, on_node];
            let addresses =
                temporary::pods_until(cx, TRAFFIC, &names, cx.deadline, temporary::serving).await?;
            let [server_address, node_address] = addresses.as_slice() else {
                return Err(ActionError::new(
                    "PodNotStarted",
                    "the listeners have no addresses",
                ));
            };
            let done = Done::new(String::new()).saw(format!(
                "listening: {} at {server_address}:{PORT} on {}, {} at {node_address}:{PORT} on {}",
                names[0], plans.control_plane, names[1], plans.node
            ));
            let work = plans.probers(cx, server_address, node_address);
            temporary::probe(cx, TRAFFIC, work, done).await
        }
        .boxed()
    }

    fn is_temporary(&self) -> bool {
        true
    }
}
