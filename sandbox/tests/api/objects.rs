//! Objects come, change and go as on a real server.

use std::{collections::HashSet, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{World, call, config_map, pod, send, send_as, widgets};

#[tokio::test]
async fn stale_and_doubled_writes_are_conflicts() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    let map: ConfigMap = serde_json::from_value(config_map("m", json!({}))).expect("map");
    let first = maps
        .create(&PostParams::default(), &map)
        .await
        .expect("created");
    assert!(first.metadata.uid.is_some() && first.metadata.creation_timestamp.is_some());
    let doubled = maps
        .create(&PostParams::default(), &map)
        .await
        .expect_err("exists");
    assert!(
        matches!(&doubled, kube::Error::Api(s) if s.reason == "AlreadyExists" && s.message == "configmaps \"m\" already exists"),
        "{doubled}"
    );

    let mut second = first.clone();
    second.data = Some([("a".to_owned(), "2".to_owned())].into());
    let second = maps
        .replace("m", &PostParams::default(), &second)
        .await
        .expect("replaced");
    assert_ne!(
        first.metadata.resource_version,
        second.metadata.resource_version
    );
    let stale = maps
        .replace("m", &PostParams::default(), &first)
        .await
        .expect_err("stale");
    assert!(
        matches!(&stale, kube::Error::Api(s) if s.code == 409 && s.reason == "Conflict"),
        "{stale}"
    );

    let same = maps
        .patch(
            "m",
            &PatchParams::default(),
            &Patch::Merge(json!({ "data": { "a": "2" } })),
        )
        .await
        .expect("no change");
    assert_eq!(
        same.metadata.resource_version, second.metadata.resource_version,
        "a write that changes nothing is none"
    );
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let shown = maps
        .patch("m", &dry, &Patch::Merge(json!({ "data": { "a": "3" } })))
        .await
        .expect("dry run");
    assert_eq!(shown.data.expect("data")["a"], "3");
    assert_eq!(
        maps.get("m").await.expect("map").data.expect("data")["a"],
        "2"
    );

    maps.delete("m", &DeleteParams::default())
        .await
        .expect("deleted");
    let gone = maps.get("m").await.expect_err("gone");
    assert!(
        matches!(&gone, kube::Error::Api(s) if s.code == 404 && s.message == "configmaps \"m\" not found"),
        "{gone}"
    );
}

#[tokio::test]
async fn pages_show_one_moment() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    for at in 0..25 {
        let map: ConfigMap =
            serde_json::from_value(config_map(&format!("m{at:02}"), json!({ "n": "x" })))
                .expect("map");
        maps.create(&PostParams::default(), &map)
            .await
            .expect("created");
    }
    let mut params = ListParams::default().labels("n=x").limit(10);
    let page = maps.list(&params).await.expect("first page");
    let mut names: Vec<String> = page
        .items
        .iter()
        .filter_map(|m| m.metadata.name.clone())
        .collect();
    let mut token = page.metadata.continue_.clone();
    assert_eq!(names.len(), 10);
    // What happens between the pages is not seen in them.
    maps.delete("m15", &DeleteParams::default())
        .await
        .expect("deleted");
    let late: ConfigMap =
        serde_json::from_value(config_map("m155", json!({ "n": "x" }))).expect("map");
    maps.create(&PostParams::default(), &late)
        .await
        .expect("created");
    while let Some(next) = token.filter(|t| !t.is_empty()) {
        params.continue_token = Some(next);
        let page = maps.list(&params).await.expect("page");
        names.extend(page.items.iter().filter_map(|m| m.metadata.name.clone()));
        token = page.metadata.continue_.clone();
    }
    let wanted: Vec<String> = (0..25).map(|at| format!("m{at:02}")).collect();
    assert_eq!(names, wanted);
    let now: HashSet<String> = maps
        .list(&ListParams::default().labels("n=x"))
        .await
        .expect("list")
        .into_iter()
        .filter_map(|m| m.metadata.name)
        .collect();
    assert!(now.contains("m155") && !now.contains("m15"));
}

#[tokio::test]
async fn many_objects_are_listed_in_pages_without_losing_any() {
    let world = World::start().await;
    let pods: Vec<Value> = (0..3000)
        .map(|at| pod(&format!("p{at:05}"), &format!("n{}", at % 50)))
        .collect();
    world.server.store().load(pods).expect("loaded");
    let pods: Api<Pod> = Api::all(world.admin().await);
    let (mut count, mut token) = (0, None);
    loop {
        let params = ListParams {
            limit: Some(500),
            continue_token: token,
            ..ListParams::default()
        };
        let page = pods.list_metadata(&params).await.expect("page");
        count += page.items.len();
        token = page.metadata.continue_.clone().filter(|t| !t.is_empty());
        if token.is_none() {
            break;
        }
        assert_eq!(
            page.metadata.remaining_item_count,
            Some(3000 - count as i64)
        );
    }
    assert_eq!(count, 3000);
    let on_node = pods
        .list(&ListParams::default().fields("spec.nodeName=n7"))
        .await
        .expect("list");
    assert_eq!(on_node.items.len(), 60);
}

#[tokio::test]
async fn definitions_serve_their_resources_at_once_in_every_version() {
    let world = World::start().await;
    let client = world.admin().await;
    let crd = call(
        &client,
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        widgets(),
    )
    .await
    .expect("defined");
    assert_eq!(crd["status"]["conditions"][1]["type"], "Established");
    let path = "/apis/example.com/v1/namespaces/default/widgets";
    let wanted = json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w" }, "spec": { "size": 1 }, "status": { "seen": 1 } });
    let made = call(&client, "POST", path, wanted).await.expect("created");
    assert_eq!(
        (&made["metadata"]["generation"], &made["spec"]["mode"]),
        (&json!(1), &json!("slow"))
    );
    assert!(made.get("status").is_none(), "status is a subresource");
    let patch = json!({ "status": { "seen": 2 }, "spec": { "size": 9 } });
    let one = format!("{path}/w");
    let text = send_as(
        &client,
        "PATCH",
        &format!("{one}/status"),
        "application/merge-patch+json",
        &patch.to_string(),
    )
    .await
    .expect("patched");
    let after: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (
            &after["spec"]["size"],
            &after["status"]["seen"],
            &after["metadata"]["generation"]
        ),
        (&json!(1), &json!(2), &json!(1))
    );
    let text = send_as(
        &client,
        "PATCH",
        &one,
        "application/merge-patch+json",
        &patch.to_string(),
    )
    .await
    .expect("patched");
    let after: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&after["spec"]["size"], &after["metadata"]["generation"]),
        (&json!(9), &json!(2))
    );
    let old = call(
        &client,
        "GET",
        "/apis/example.com/v1beta1/namespaces/default/widgets/w",
        Value::Null,
    )
    .await
    .expect("old version");
    assert_eq!(old["apiVersion"], "example.com/v1beta1");
    let refused = send_as(
        &client,
        "PATCH",
        &one,
        "application/strategic-merge-patch+json",
        "{}",
    )
    .await
    .expect_err("strategic");
    assert_eq!(refused.code, 415);
    let bad = json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "x" }, "spec": { "size": "big" } });
    let refused = call(&client, "POST", path, bad)
        .await
        .expect_err("not an integer");
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    assert_eq!(
        refused.details.as_ref().expect("details").causes[0].field,
        "spec.size"
    );

    call(
        &client,
        "DELETE",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com",
        Value::Null,
    )
    .await
    .expect("deleted");
    let gone = async {
        while send(&client, "GET", path, "").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the resource goes with its definition");
}

#[tokio::test]
async fn appliers_own_fields() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    let data = |data: Value| {
        Patch::Apply(
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": data }),
        )
    };
    maps.patch(
        "m",
        &PatchParams::apply("one"),
        &data(json!({ "a": "1", "b": "1" })),
    )
    .await
    .expect("created by applying");
    let refused = maps
        .patch("m", &PatchParams::apply("two"), &data(json!({ "a": "2" })))
        .await
        .expect_err("conflict");
    assert!(
        matches!(&refused, kube::Error::Api(s) if s.code == 409 && s.message == "Apply failed with 1 conflict: conflict with \"one\": .data.a"),
        "{refused}"
    );
    maps.patch(
        "m",
        &PatchParams::apply("two").force(),
        &data(json!({ "a": "2" })),
    )
    .await
    .expect("forced");
    let left = maps
        .patch("m", &PatchParams::apply("one"), &data(json!({})))
        .await
        .expect("one lets go");
    assert_eq!(
        left.data.expect("data"),
        [("a".to_owned(), "2".to_owned())].into()
    );
}

#[tokio::test]
async fn finalizers_and_kubelets_hold_what_is_deleted() {
    let world = World::start().await;
    let client = world.admin().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    maps.create(
        &PostParams::default(),
        &serde_json::from_value(held).expect("map"),
    )
    .await
    .expect("created");
    let wrong = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: Some("other".into()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let refused = maps.delete("held", &wrong).await.expect_err("another uid");
    assert!(
        matches!(&refused, kube::Error::Api(s) if s.code == 409),
        "{refused}"
    );
    maps.delete("held", &DeleteParams::default())
        .await
        .expect("marked");
    assert!(
        maps.get("held")
            .await
            .expect("still there")
            .metadata
            .deletion_timestamp
            .is_some()
    );
    maps.patch(
        "held",
        &PatchParams::default(),
        &Patch::Merge(json!({ "metadata": { "finalizers": null } })),
    )
    .await
    .expect("released");
    assert!(maps.get_opt("held").await.expect("answer").is_none());

    world
        .server
        .store()
        .load(vec![pod("p", "n1")])
        .expect("pod");
    let pods: Api<Pod> = Api::default_namespaced(client);
    pods.delete("p", &DeleteParams::default())
        .await
        .expect("marked");
    let going = pods.get("p").await.expect("the kubelet has not ended it");
    assert_eq!(going.metadata.deletion_grace_period_seconds, Some(30));
    pods.delete("p", &DeleteParams::default().grace_period(0))
        .await
        .expect("ended");
    assert!(pods.get_opt("p").await.expect("answer").is_none());
}

#[tokio::test]
async fn namespaces_empty_themselves_and_take_nothing_new() {
    let world = World::start().await;
    let client = world.admin().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": "t" } })).expect("namespace");
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .expect("created");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "t");
    assert!(
        maps.get("kube-root-ca.crt")
            .await
            .expect("root certificate")
            .data
            .expect("data")["ca.crt"]
            .contains("BEGIN CERTIFICATE")
    );
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    maps.create(
        &PostParams::default(),
        &serde_json::from_value(held).expect("map"),
    )
    .await
    .expect("created");
    namespaces
        .delete("t", &DeleteParams::default())
        .await
        .expect("marked");
    let late: ConfigMap = serde_json::from_value(config_map("late", json!({}))).expect("map");
    let refused = maps
        .create(&PostParams::default(), &late)
        .await
        .expect_err("terminating");
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!(
        (
            status.code,
            status.details.as_ref().expect("details").causes[0]
                .reason
                .as_str()
        ),
        (403, "NamespaceTerminating")
    );
    maps.patch(
        "held",
        &PatchParams::default(),
        &Patch::Merge(json!({ "metadata": { "finalizers": null } })),
    )
    .await
    .expect("released");
    let gone = async {
        while namespaces.get_opt("t").await.expect("answer").is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the namespace goes");
    let absent: Api<ConfigMap> = Api::namespaced(client, "nowhere");
    let refused = absent
        .create(&PostParams::default(), &late)
        .await
        .expect_err("no namespace");
    assert!(
        matches!(&refused, kube::Error::Api(s) if s.code == 404 && s.message == "namespaces \"nowhere\" not found"),
        "{refused}"
    );
}

#[tokio::test]
async fn evictions_ask_the_budget() {
    let world = World::start().await;
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "b", "namespace": "default" },
        "spec": { "selector": { "matchLabels": { "app": "p" } } },
        "status": { "observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1 } });
    world
        .server
        .store()
        .load(vec![pod("p", "n1"), budget])
        .expect("objects");
    let client = world.admin().await;
    let path = "/api/v1/namespaces/default/pods/p/eviction";
    let eviction = |name: &str| json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name, "namespace": "default" } });
    assert_eq!(
        call(&client, "POST", path, eviction("q"))
            .await
            .expect_err("another name")
            .code,
        400
    );
    let refused = call(&client, "POST", path, eviction("p"))
        .await
        .expect_err("no disruption allowed");
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            429,
            "Cannot evict pod as it would violate the pod's disruption budget."
        )
    );
    assert_eq!(
        refused.details.as_ref().expect("details").causes[0].reason,
        "DisruptionBudget"
    );
    let status = json!({ "status": { "disruptionsAllowed": 1 } }).to_string();
    send_as(
        &client,
        "PATCH",
        "/apis/policy/v1/namespaces/default/poddisruptionbudgets/b/status",
        "application/merge-patch+json",
        &status,
    )
    .await
    .expect("patched");
    call(&client, "POST", path, eviction("p"))
        .await
        .expect("evicted");
    let pods: Api<Pod> = Api::default_namespaced(client);
    assert!(
        pods.get("p")
            .await
            .expect("pod")
            .metadata
            .deletion_timestamp
            .is_some()
    );
}
