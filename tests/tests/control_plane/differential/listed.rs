//! Requests that read many: selectors, pages, watches, reviews, tables and bare metadata.

use serde_json::{Value, json};

use super::{
    objects::{config_map, meta},
    step::{METADATA, METADATA_LIST, Step, TABLE},
};

/// A kind of which every new namespace has none.
const PAGED: &str = "/apis/coordination.k8s.io/v1/namespaces/flux-system/leases";
const PODS: &str = "/api/v1/namespaces/table/pods";

pub(super) fn steps() -> Vec<Step> {
    [
        selectors(),
        pages(),
        watches(),
        reviews(),
        tables(),
        metadata(),
        collections(),
    ]
    .concat()
}

fn lease(name: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta(name), "spec": {"holderIdentity": name}})
}

fn selectors() -> Vec<Step> {
    let class = "selector";
    let labels = [
        "app%3Dsettings",
        "app%21%3Dsettings",
        "app+in+(settings,patched)",
        "app+notin+(settings)",
        "%21absent",
        "app",
        "app%3D%3Dsettings,made-by%3Dtable",
        "app%3D%3D%3Dx",
        "app+in+settings",
        "a+b",
    ];
    let fields = [
        "metadata.name%3Dsettings",
        "metadata.name%21%3Dsettings",
        "metadata.namespace%3Dtable",
        "data.a%3D1",
        "metadata.name",
    ];
    let mut steps: Vec<Step> = labels
        .iter()
        .map(|it| {
            Step::get(
                class,
                &format!("/api/v1/namespaces/table/configmaps?labelSelector={it}"),
            )
        })
        .collect();
    steps.extend(fields.iter().map(|it| {
        Step::get(
            class,
            &format!("/api/v1/namespaces/table/configmaps?fieldSelector={it}"),
        )
    }));
    steps.extend(
        [
            "status.phase%3DPending",
            "status.phase%21%3DRunning,spec.nodeName%3Dk3s2",
            "spec.restartPolicy%3DAlways",
        ]
        .iter()
        .map(|it| Step::get(class, &format!("{PODS}?fieldSelector={it}"))),
    );
    steps.push(Step::get(
        class,
        "/apis/longhorn.io/v1beta2/nodes?fieldSelector=spec.size%3D1",
    ));
    steps.push(Step::get(
        class,
        "/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue",
    ));
    steps
}

fn pages() -> Vec<Step> {
    let class = "pagination";
    let mut steps: Vec<Step> = (0..5)
        .map(|index| Step::post("create", PAGED, lease(&format!("page-{index}"))))
        .collect();
    steps.extend([
        Step::get(
            class,
            &format!("{PAGED}?limit=2&labelSelector=made-by%3Dtable"),
        )
        .keep("next", "/metadata/continue"),
        Step::get(class, &format!("{PAGED}?limit=2")).keep("next", "/metadata/continue"),
        Step::delete(class, &format!("{PAGED}/page-3")),
        Step::get(class, &format!("{PAGED}?limit=2&continue={{next}}"))
            .keep("last", "/metadata/continue"),
        Step::get(class, &format!("{PAGED}?limit=2&continue={{last}}")),
        Step::get(class, &format!("{PAGED}?limit=2&continue=nonsense")),
        Step::get(class, &format!("{PAGED}?limit=0")),
        Step::get(class, &format!("{PAGED}?limit=-1")),
        Step::get(class, &format!("{PAGED}?limit=2&resourceVersion=0")).only(&["/kind"]),
    ]);
    steps
}

fn watches() -> Vec<Step> {
    let class = "watch";
    let path = "/api/v1/namespaces/monitoring/configmaps";
    let watch = |rest: &str| Step::get(class, &format!("{path}?watch=true&timeoutSeconds=1{rest}"));
    vec![
        Step::get(class, path).keep("before", "/metadata/resourceVersion"),
        Step::post("create", path, config_map("seen")),
        Step::patch(
            class,
            &format!("{path}/seen"),
            "merge",
            json!({"data": {"a": "2"}}),
        ),
        Step::post("create", path, config_map("gone")),
        Step::delete(class, &format!("{path}/gone")),
        watch("&resourceVersion={before}"),
        watch("&resourceVersion={before}&allowWatchBookmarks=true").only(&["/0", "/1", "/2"]),
        watch("&resourceVersion={before}&fieldSelector=metadata.name%3Dseen"),
        watch("&resourceVersion={before}&labelSelector=app%3Dgone"),
        watch(""),
        watch("&resourceVersion=0"),
        watch("&resourceVersion=1").only(&["/0/type", "/0/object/code", "/0/object/reason"]),
        watch("&resourceVersion=abc"),
        watch("&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")
            .only(&["/0/type", "/0/object/metadata/name"]),
        watch("&resourceVersion={before}")
            .accept("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
        Step::get(class, "/api/v1/nodes?watch=true&timeoutSeconds=1").eve(),
    ]
}

fn reviews() -> Vec<Step> {
    let class = "access review";
    let group = "authorization.k8s.io/v1";
    let own = |spec: Value| {
        Step::post(
            class,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            json!({"apiVersion": group, "kind": "SelfSubjectAccessReview", "spec": spec}),
        )
    };
    let other = |spec: Value| {
        Step::post(
            class,
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            json!({"apiVersion": group, "kind": "SubjectAccessReview", "spec": spec}),
        )
    };
    vec![
        own(json!({"resourceAttributes": {"verb": "delete", "resource": "nodes"}})).only(&["/status/allowed"]),
        own(json!({"resourceAttributes": {"verb": "delete", "resource": "nodes"}})).eve(),
        own(json!({"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "table"}})).eve(),
        own(json!({"resourceAttributes": {"verb": "list", "resource": "pods"}})).eve(),
        // Two bindings allow it; which one a server finds first is its own business.
        own(json!({"nonResourceAttributes": {"verb": "get", "path": "/version"}})).eve().only(&["/status/allowed"]),
        own(json!({})),
        other(json!({"user": "nobody", "resourceAttributes": {"verb": "get", "resource": "nodes", "subresource": "proxy"}})),
        other(json!({"user": "eve", "resourceAttributes": {"verb": "get", "group": "longhorn.io", "resource": "nodes", "namespace": "longhorn-system"}})),
        other(json!({"user": "x", "groups": ["system:masters"], "resourceAttributes": {"verb": "*", "resource": "*"}})).only(&["/status/allowed"]),
        other(json!({"user": "eve", "resourceAttributes": {"verb": "get", "resource": "nodes"}})).eve(),
        Step::post(class, "/apis/authorization.k8s.io/v1/namespaces/table/localsubjectaccessreviews", json!({"apiVersion": group, "kind": "LocalSubjectAccessReview", "metadata": {"namespace": "table"}, "spec": {"user": "eve", "groups": ["team"], "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "table"}}})),
        Step::post(class, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json!({"apiVersion": group, "kind": "SelfSubjectRulesReview", "spec": {"namespace": "table"}})).eve().only(&["/status/incomplete", "/kind"]),
        Step::post(class, "/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})).eve().only(&["/status/userInfo/username", "/status/userInfo/groups"]),
    ]
}

fn tables() -> Vec<Step> {
    let names = &["/kind", "/columnDefinitions"];
    let class = "table";
    let mut steps: Vec<Step> = [
        "/api/v1/nodes",
        PODS,
        "/apis/apps/v1/namespaces/table/daemonsets",
        "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes",
        "/api/v1/namespaces/table/configmaps",
        "/api/v1/namespaces/table/services",
        "/apis/policy/v1/namespaces/table/poddisruptionbudgets",
        "/apis/storage.k8s.io/v1/storageclasses",
        "/apis/batch/v1/namespaces/table/jobs",
    ]
    .iter()
    .map(|path| {
        let step = Step::get(class, path).accept(TABLE);
        // Descriptions are prose; what kubectl shows is name, type, format and priority of a column, and the cells.
        step.only(names)
    })
    .collect();
    steps.extend([
        Step::get(
            class,
            "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/first",
        )
        .accept(TABLE)
        .only(&["/rows/0/cells/0", "/rows/0/cells/1", "/rows/0/object/kind"]),
        Step::get(class, "/api/v1/nodes?includeObject=None")
            .accept(TABLE)
            .only(&[
                "/rows/0/object",
                "/rows/0/cells/0",
                "/rows/0/cells/1",
                "/rows/0/cells/2",
                "/rows/0/cells/4",
            ]),
        Step::get(class, &format!("{PODS}/two?includeObject=Object"))
            .accept(TABLE)
            .only(&[
                "/rows/0/object/spec/nodeName",
                "/rows/0/cells/0",
                "/rows/0/cells/1",
                "/rows/0/cells/2",
            ]),
        Step::get(class, &format!("{PODS}/absent")).accept(TABLE),
    ]);
    steps
}

fn metadata() -> Vec<Step> {
    let class = "metadata only";
    vec![
        Step::get(class, "/api/v1/nodes/k3s1").accept(METADATA),
        Step::get(
            class,
            "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/first",
        )
        .accept(METADATA),
        Step::get(class, PODS).accept(METADATA_LIST),
        Step::get(class, "/apis/longhorn.io/v1beta2/nodes?limit=1").accept(METADATA_LIST),
        Step::get(class, &format!("{PODS}/absent")).accept(METADATA),
        Step::get(class, PODS)
            .accept("application/yaml")
            .only(&["/kind"]),
        Step::get(class, PODS).accept("text/html"),
    ]
}

fn collections() -> Vec<Step> {
    let class = "collection";
    vec![
        Step::delete(class, &format!("{PAGED}?labelSelector=app%3Dpage-1")),
        Step::get(class, &format!("{PAGED}?labelSelector=made-by%3Dtable")),
        Step::delete(
            class,
            &format!("{PAGED}?fieldSelector=metadata.name%3Dpage-2&dryRun=All"),
        ),
        Step::delete(class, PAGED).eve(),
        Step::delete(class, &format!("{PAGED}?labelSelector=made-by%3Dtable")),
        Step::get(class, &format!("{PAGED}?labelSelector=made-by%3Dtable")),
    ]
}
