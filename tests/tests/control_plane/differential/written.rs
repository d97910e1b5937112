//! Requests that change something: patch types, dry runs, conflicts, preconditions, evictions, finalizers.

use serde_json::{Value, json};

use super::{
    compare::OURS,
    objects::{config_map, meta, pod},
    step::Step,
};

const MAPS: &str = "/api/v1/namespaces/table/configmaps";
const PODS: &str = "/api/v1/namespaces/table/pods";

pub(super) fn steps() -> Vec<Step> {
    [
        patches(),
        dry_runs(),
        conflicts(),
        preconditions(),
        invalid(),
        evictions(),
        finalizers(),
    ]
    .concat()
}

fn at(name: &str) -> String {
    format!("{MAPS}/{name}")
}

fn patches() -> Vec<Step> {
    let class = "patch type";
    vec![
        Step::post("create", MAPS, config_map("patched")),
        Step::patch(
            class,
            &at("patched"),
            "merge",
            json!({"data": {"b": "2", "a": null}}),
        ),
        Step::patch(
            class,
            &at("patched"),
            "json",
            json!([{"op": "add", "path": "/data/c", "value": "3"}]),
        ),
        Step::patch(
            class,
            &at("patched"),
            "json",
            json!([{"op": "test", "path": "/data/c", "value": "4"}]),
        ),
        Step::patch(
            class,
            &at("patched"),
            "json",
            json!([{"op": "remove", "path": "/data/absent"}]),
        ),
        Step::patch(
            class,
            &at("patched"),
            "strategic",
            json!({"metadata": {"annotations": {"note": "x"}}}),
        ),
        Step::patch(
            class,
            "/apis/apps/v1/namespaces/table/deployments/web",
            "strategic",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}, {"name": "side", "image": "side:1"}]}}}}),
        ),
        Step::patch(
            class,
            "/apis/apps/v1/namespaces/table/deployments/web",
            "strategic",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}),
        ),
        Step::patch(
            class,
            "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/first",
            "strategic",
            json!({"spec": {"size": "1"}}),
        ),
        Step::patch(
            class,
            "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/first",
            "merge",
            json!({"spec": {"allowScheduling": false}}),
        ),
        Step::patch(
            class,
            "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/first/status",
            "merge",
            json!({"spec": {"size": "ignored"}, "status": {"state": "ready"}}),
        ),
        Step::patch(
            class,
            &format!("{}?fieldManager=one", at("applied")),
            "apply",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied", "labels": {OURS: "table"}}, "data": {"a": "1"}}),
        ),
        Step::patch(
            class,
            &format!("{}?fieldManager=two", at("applied")),
            "apply",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "2"}}),
        ),
        Step::patch(
            class,
            &format!("{}?fieldManager=two&force=true", at("applied")),
            "apply",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "2", "b": "1"}}),
        ),
        Step::patch(
            class,
            &format!("{}?fieldManager=two", at("applied")),
            "apply",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "2"}}),
        ),
        Step::patch(
            class,
            &at("applied"),
            "apply",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}}),
        ),
        Step::patch(class, &at("absent"), "merge", json!({"data": {"a": "1"}})),
        Step::patch(class, &at("patched"), "merge", json!({"data": {"a": "1"}}))
            .media("application/x-unknown"),
        Step::patch(
            class,
            "/api/v1/nodes/k3s2",
            "strategic",
            json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}], "unschedulable": true}}),
        ),
        Step::patch(
            class,
            "/api/v1/nodes/k3s2",
            "json",
            json!([{"op": "remove", "path": "/spec/taints"}, {"op": "remove", "path": "/spec/unschedulable"}]),
        ),
    ]
}

fn dry_runs() -> Vec<Step> {
    let class = "dry run";
    vec![
        Step::post(class, &format!("{MAPS}?dryRun=All"), config_map("never")),
        Step::get(class, &at("never")),
        Step::patch(
            class,
            &format!("{}?dryRun=All", at("patched")),
            "merge",
            json!({"data": {"z": "9"}}),
        ),
        Step::get(class, &at("patched")),
        Step::delete(class, &format!("{}?dryRun=All", at("patched"))),
        Step::get(class, &at("patched")),
        Step::post(class, &format!("{MAPS}?dryRun=Some"), config_map("never")),
        Step::patch(
            class,
            &format!("{}?dryRun=All&fieldManager=three", at("fresh")),
            "apply",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fresh"}, "data": {"a": "2"}}),
        ),
        Step::get(class, &at("fresh")),
        Step::post(
            class,
            &format!("{PODS}/one/eviction?dryRun=All"),
            eviction("one", Value::Null),
        ),
        Step::get(class, &format!("{PODS}/one")),
    ]
}

fn conflicts() -> Vec<Step> {
    let class = "conflict";
    let with = |version: &str| {
        let mut map = config_map("contested");
        map["metadata"]["resourceVersion"] = version.into();
        map["data"]["a"] = version.into();
        map
    };
    vec![
        Step::post("create", MAPS, config_map("contested"))
            .keep("old", "/metadata/resourceVersion"),
        Step::post(class, MAPS, config_map("contested")),
        Step::put(class, &at("contested"), with("{old}")).only(&["/kind", "/metadata/name"]),
        Step::put(class, &at("contested"), with("{old}")),
        Step::patch(
            class,
            &at("contested"),
            "merge",
            json!({"metadata": {"resourceVersion": "{old}"}, "data": {"b": "1"}}),
        ),
        Step::put(class, &at("contested"), config_map("contested")),
        Step::put(class, &at("contested"), config_map("other")),
        Step::put(class, &at("absent"), config_map("absent")),
        Step::post(class, MAPS, with("{old}")),
        Step::put(
            class,
            "/api/v1/namespaces/table/configmaps/contested",
            with("not-a-number"),
        ),
    ]
}

fn preconditions() -> Vec<Step> {
    let class = "precondition";
    let on = |preconditions: Value| json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
    vec![
        Step::post("create", MAPS, config_map("guarded"))
            .keep("guarded", "/metadata/uid")
            .keep("guardedVersion", "/metadata/resourceVersion"),
        Step::delete(class, &at("guarded"))
            .body(on(json!({"uid": "{guarded}"})))
            .media("application/merge-patch+json")
            .only(&["/reason", "/code"]),
        Step::delete(class, &at("guarded"))
            .body(on(json!({"uid": "00000000-0000-4000-8000-000000000000"})))
            .only(&["/reason", "/code", "/details/name", "/details/kind"]),
        Step::delete(class, &at("guarded"))
            .body(on(json!({"resourceVersion": "1"})))
            .only(&["/reason", "/code", "/details/name", "/details/kind"]),
        Step::delete(class, &at("guarded"))
            .body(on(json!({"uid": "{guarded}", "resourceVersion": "1"})))
            .only(&["/reason", "/code", "/details/name", "/details/kind"]),
        Step::patch(
            class,
            &at("guarded"),
            "merge",
            json!({"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}}),
        )
        .only(&["/reason", "/code"]),
        Step::delete(class, &at("guarded")).body(on(
            json!({"uid": "{guarded}", "resourceVersion": "{guardedVersion}"}),
        )),
        Step::delete(class, &at("guarded")).body(on(json!({"uid": "{guarded}"}))),
    ]
}

fn invalid() -> Vec<Step> {
    let class = "refusal";
    vec![
        Step::post(class, MAPS, config_map("Not_A_Name")),
        Step::post(
            class,
            PODS,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("empty"), "spec": {"containers": []}}),
        ),
        Step::post(
            class,
            MAPS,
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("kind")}),
        ),
        Step::post(
            class,
            MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {OURS: "table"}}}),
        ),
        Step::post(
            class,
            "/api/v1/namespaces/absent/configmaps",
            config_map("nowhere"),
        ),
        Step::post(
            class,
            &format!("{MAPS}?fieldValidation=Strict"),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("strict"), "dada": {"a": "1"}}),
        ),
        Step::get(class, "/apis/absent.example.com/v1/things"),
        Step::get(class, "/api/v1/things"),
        Step::put(class, MAPS, config_map("all")),
        Step::post(class, MAPS, config_map("eve")).eve(),
        Step::get(class, "/api/v1/nodes").eve(),
        Step::get(class, "/api/v1/namespaces/table/pods").eve(),
        Step::delete(class, "/api/v1/nodes/k3s2").eve(),
        Step::get(
            class,
            "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes",
        )
        .eve(),
    ]
}

fn eviction(name: &str, options: Value) -> Value {
    let mut eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "table"}});
    if !options.is_null() {
        eviction["deleteOptions"] = options;
    }
    eviction
}

fn evictions() -> Vec<Step> {
    let class = "eviction";
    let guarded = |name: &str| {
        let mut pod = pod(name, "k3s2");
        pod["metadata"]["labels"]["guarded"] = "yes".into();
        pod
    };
    let running = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let budget = "/apis/policy/v1/namespaces/table/poddisruptionbudgets/guard/status";
    let allows = |allowed: i32| json!({"status": {"disruptionsAllowed": allowed, "currentHealthy": 1 + allowed, "desiredHealthy": 1, "expectedPods": 2, "observedGeneration": 1}});
    let evict = |name: &str| {
        Step::post(
            class,
            &format!("{PODS}/{name}/eviction"),
            eviction(name, Value::Null),
        )
    };
    vec![
        Step::post("create", PODS, guarded("kept")),
        Step::post("create", PODS, guarded("spare")),
        Step::patch(
            class,
            &format!("{PODS}/kept/status"),
            "strategic",
            running.clone(),
        ),
        Step::patch(class, &format!("{PODS}/spare/status"), "strategic", running),
        Step::patch(class, budget, "merge", allows(0)),
        evict("kept"),
        Step::post(
            class,
            &format!("{PODS}/kept/eviction?dryRun=All"),
            eviction("kept", Value::Null),
        ),
        Step::patch(class, budget, "merge", allows(1)),
        Step::post(
            class,
            &format!("{PODS}/kept/eviction?dryRun=All"),
            eviction("kept", Value::Null),
        ),
        evict("spare"),
        evict("kept"),
        Step::get(
            class,
            "/apis/policy/v1/namespaces/table/poddisruptionbudgets/guard",
        )
        .only(&[
            "/status/disruptionsAllowed",
            "/status/disruptedPods/spare",
            "/spec",
        ]),
        evict("absent"),
        Step::post(
            class,
            &format!("{PODS}/three/eviction"),
            eviction("three", json!({"gracePeriodSeconds": 0})),
        ),
        Step::get(class, &format!("{PODS}/three")),
        Step::post(
            class,
            &format!("{PODS}/two/eviction"),
            eviction("other", Value::Null),
        ),
        Step::post(
            class,
            &format!("{PODS}/two/eviction"),
            eviction(
                "two",
                json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}}),
            ),
        )
        .only(&["/reason", "/code"]),
        Step::post(
            class,
            &format!("{PODS}/two/eviction"),
            eviction("two", Value::Null),
        )
        .eve(),
    ]
}

fn finalizers() -> Vec<Step> {
    let class = "finalizer";
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let mut bad = config_map("bad");
    bad["metadata"]["finalizers"] = json!(["nosuch"]);
    let options = |policy: &str| json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    vec![
        Step::post(class, MAPS, held),
        Step::post(class, MAPS, bad),
        Step::delete(class, &at("held")),
        Step::get(class, &at("held")),
        Step::delete(class, &at("held")),
        Step::patch(
            class,
            &at("held"),
            "merge",
            json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}),
        ),
        Step::patch(
            class,
            &at("held"),
            "merge",
            json!({"metadata": {"finalizers": null}}),
        ),
        Step::get(class, &at("held")),
        Step::delete(class, "/apis/apps/v1/namespaces/table/deployments/web")
            .body(options("Foreground")),
        Step::get(class, "/apis/apps/v1/namespaces/table/deployments/web")
            .only(&["/metadata/finalizers", "/metadata/deletionTimestamp"]),
        Step::delete(class, "/apis/apps/v1/namespaces/table/daemonsets/each")
            .body(options("Orphan")),
        Step::delete(class, "/apis/apps/v1/namespaces/table/statefulsets/db")
            .body(options("Nonsense")),
        Step::delete(class, "/apis/apps/v1/namespaces/table/statefulsets/db")
            .body(options("Background")),
        Step::delete(class, &format!("{PODS}/waiting")),
        Step::get(class, &format!("{PODS}/waiting")),
        Step::delete(class, &format!("{PODS}/one")),
        Step::get(class, &format!("{PODS}/one")),
        Step::delete(class, &format!("{PODS}/one?gracePeriodSeconds=0")),
        Step::get(class, &format!("{PODS}/one")),
    ]
}
