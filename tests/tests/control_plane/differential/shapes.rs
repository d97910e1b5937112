//! The requests that an onboarding sends, one row a shape.

use serde_json::json;

use super::step::Step;

/// Lists that are followed by a watch from their version.
const WATCHED: &[&str] = &[
    "/api/v1/nodes",
    "/api/v1/services",
    "/api/v1/pods",
    "/apis/apps/v1/daemonsets",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
    "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/engineimages",
    "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/engines",
    "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/instancemanagers",
    "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes",
    "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/settings",
    "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/replicas",
    "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/volumes",
    "/apis/source.toolkit.fluxcd.io/v1/gitrepositories",
    "/apis/storage.k8s.io/v1/csinodes",
    "/api/v1/namespaces/table/pods",
    "/api/v1/persistentvolumes",
    "/api/v1/configmaps",
    "/api/v1/namespaces",
    "/api/v1/persistentvolumeclaims",
    "/api/v1/secrets",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/storage.k8s.io/v1/volumeattachments",
];

const LISTED: &[&str] = &[
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/apiregistration.k8s.io/v1/apiservices",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "/apis/coordination.k8s.io/v1/namespaces/table/leases",
    "/apis/metrics.k8s.io/v1beta1/nodes",
    "/apis/metrics.k8s.io/v1beta1/pods",
    "/apis/monitoring.coreos.com/v1/podmonitors",
    "/apis/monitoring.coreos.com/v1/prometheuses",
    "/apis/monitoring.coreos.com/v1/prometheusrules",
    "/apis/monitoring.coreos.com/v1/servicemonitors",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/api/v1/endpoints",
    "/api/v1/events",
    "/api/v1/limitranges",
    "/api/v1/namespaces/table/configmaps",
    "/api/v1/namespaces/table/persistentvolumeclaims",
    "/api/v1/namespaces/table/secrets",
    "/api/v1/replicationcontrollers",
    "/api/v1/serviceaccounts",
    "/api/v1/resourcequotas",
    "/apis/networking.k8s.io/v1/ingressclasses",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/api/v1/namespaces/table/pods",
    "/apis/apps/v1/deployments",
    "/apis/helm.toolkit.fluxcd.io/v2/helmreleases",
    "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations",
    "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/backuptargets",
    "/apis/longhorn.io/v1beta2/nodes",
    "/apis/networking.k8s.io/v1/ingresses",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/storage.k8s.io/v1/csidrivers",
    "/apis/apps/v1/replicasets",
    "/apis/apps/v1/statefulsets",
    "/apis/batch/v1/cronjobs",
    "/apis/batch/v1/jobs",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
];

/// Lists of one object by its name, as a wait does it, with the watch that follows.
const NAMED: &[(&str, &str)] = &[
    ("/api/v1/nodes", "k3s2"),
    (
        "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations",
        "first",
    ),
    (
        "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories",
        "first",
    ),
    (
        "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes",
        "first",
    ),
    ("/api/v1/namespaces", "table"),
    (
        "/apis/coordination.k8s.io/v1/namespaces/table/leases",
        "first",
    ),
    ("/api/v1/namespaces/table/secrets", "keys"),
    ("/api/v1/namespaces/table/services", "web"),
    ("/api/v1/namespaces/table/pods", "two"),
    ("/api/v1/namespaces/table/persistentvolumeclaims", "data"),
];

/// Lists of what carries a label, as a run looks for what is its own, with the watch that follows.
const LABELLED: &[(&str, &str)] = &[
    ("/api/v1/namespaces/table/pods", "app%3Dtwo"),
    (
        "/api/v1/namespaces/table/persistentvolumeclaims",
        "app%3Ddata",
    ),
    ("/apis/storage.k8s.io/v1/storageclasses", "app%3Dlonghorn"),
];

pub(super) fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::get("path", "/version").only(&["/major", "/minor", "/gitVersion"]),
        Step::get("path", "/version?timeout=5s").only(&["/major", "/minor", "/gitVersion"]),
        Step::get("path", "/readyz?verbose=").only(&["/kind"]),
        Step::get("path", "/livez"),
        Step::get("path", "/readyz"),
        Step::get("path", "/api").only(&["/kind", "/versions"]),
        Step::get("path", "/apis").only(&["/kind", "/apiVersion"]),
        Step::get("path", "/apis/apps").only(&["/kind", "/name", "/versions", "/preferredVersion"]),
        Step::get("path", "/apis/absent.example.com"),
        Step::get("path", "/nothing"),
        Step::get("path", "/").eve(),
        Step::get("verb", "/api/v1/namespaces/kube-system").only(&[
            "/kind",
            "/metadata/name",
            "/status",
        ]),
        Step::get("verb", "/api/v1/nodes/k3s1"),
        Step::get("verb", "/api/v1/nodes/absent"),
        Step::get(
            "verb",
            "/api/v1/namespaces/kube-system/secrets/absent.node-password.k3s",
        ),
        Step::get("path", "/apis/metrics.k8s.io/v1beta1/nodes/k3s2"),
        Step::get("verb", "/api/v1/nodes/absent/proxy/configz"),
        Step::get("verb", "/api/v1/namespaces/table/services/web"),
        Step::get("verb", "/apis/storage.k8s.io/v1/storageclasses/longhorn"),
        Step::get(
            "selector",
            "/api/v1/secrets?limit=500&fieldSelector=type!%3Dhelm.sh/release.v1",
        ),
        Step::get(
            "verb",
            "/api/v1/namespaces/table/services/web:80/proxy/api/health",
        ),
        Step::get(
            "verb",
            "/api/v1/namespaces/table/services/web:80/proxy/api/v1/query?query=up",
        ),
        Step::get(
            "verb",
            "/api/v1/namespaces/table/services/web:80/proxy/api/v1/targets?state=active",
        ),
        Step::get(
            "verb",
            "/api/v1/namespaces/table/services/web:80/proxy/api/v1/rules?type=alert",
        ),
        Step::get("selector", "/api/v1/configmaps?limit=500&labelSelector=app"),
        Step::get(
            "selector",
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dk3s2&limit=500",
        ),
        Step::get(
            "selector",
            "/api/v1/events?limit=500&fieldSelector=type%3DWarning",
        ),
        Step::get(
            "selector",
            "/api/v1/events?limit=500&fieldSelector=involvedObject.name%3Dk3s2,involvedObject.kind%3DNode",
        ),
        Step::get("selector", "/api/v1/pods?limit=500&labelSelector=app%3Dtwo"),
        Step::get(
            "selector",
            "/api/v1/namespaces/table/pods?limit=500&labelSelector=app%3Dtwo",
        ),
        Step::get(
            "selector",
            "/api/v1/namespaces/table/persistentvolumeclaims?limit=500&labelSelector=app%3Ddata",
        ),
        Step::get(
            "selector",
            "/api/v1/persistentvolumeclaims?limit=500&labelSelector=app%3Ddata",
        ),
        Step::post(
            "access review",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": {"user": "eve", "groups": ["team"], "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "table"}},
            }),
        ),
    ];
    for path in WATCHED {
        let kept: &'static str = "version";
        steps.push(
            Step::get("verb", &format!("{path}?limit=500")).keep(kept, "/metadata/resourceVersion"),
        );
        steps.push(watch(path, ""));
    }
    for path in LISTED {
        steps.push(Step::get("verb", &format!("{path}?limit=500")));
    }
    for (path, name) in NAMED {
        let selector = format!("fieldSelector=metadata.name%3D{name}&");
        steps.push(
            Step::get("selector", &format!("{path}?{selector}limit=500"))
                .keep("version", "/metadata/resourceVersion"),
        );
        steps.push(watch(path, &selector));
    }
    for (path, label) in LABELLED {
        let selector = format!("labelSelector={label}&");
        steps.push(Step::get(
            "selector",
            &format!("{path}?labelSelector={label}"),
        ));
        steps.push(
            Step::get("selector", &format!("{path}?{selector}limit=500"))
                .keep("version", "/metadata/resourceVersion"),
        );
        steps.push(watch(path, &selector));
    }
    steps.push(
        Step::get(
            "selector",
            "/api/v1/pods?limit=500&fieldSelector=spec.nodeName%3Dk3s2",
        )
        .keep("version", "/metadata/resourceVersion"),
    );
    steps.push(watch("/api/v1/pods", "fieldSelector=spec.nodeName%3Dk3s2&"));
    let annotate =
        json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "token"}}});
    steps.extend([
        Step::patch("patch type", "/api/v1/nodes/k3s2?fieldManager=onboarding", "merge", json!({"metadata": {"labels": {"storage": "longhorn"}}})),
        Step::patch("patch type", "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/first?fieldManager=onboarding", "merge", annotate.clone()),
        Step::patch("patch type", "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/first?fieldManager=onboarding", "merge", annotate),
    ]);
    steps
}

/// A watch from the version of the list before it, which ends by itself; nothing happens meanwhile.
fn watch(path: &str, selector: &str) -> Step {
    Step::get(
        "watch",
        &format!(
            "{path}?watch=true&timeoutSeconds=1&{selector}allowWatchBookmarks=true&resourceVersion={{version}}"
        ),
    )
}
