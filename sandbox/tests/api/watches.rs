//! Watches tell what happens, in order, and say when they cannot.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::watcher,
};
use sandbox::api::Disturbance;
use serde_json::{Value, json};

use crate::support::{World, config_map};

fn map(name: &str, labels: Value) -> ConfigMap {
    serde_json::from_value(config_map(name, labels)).expect("map")
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    let from = maps
        .list(&ListParams::default())
        .await
        .expect("list")
        .metadata
        .resource_version
        .expect("revision");
    let params = WatchParams::default().labels("color=red").timeout(20);
    let mut events = maps.watch(&params, &from).await.expect("watch").boxed();
    maps.create(
        &PostParams::default(),
        &map("blue", json!({ "color": "blue" })),
    )
    .await
    .expect("created");
    maps.create(&PostParams::default(), &map("m", json!({ "color": "red" })))
        .await
        .expect("created");
    for color in ["blue", "red"] {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "color": color } } }));
        maps.patch("m", &PatchParams::default(), &patch)
            .await
            .expect("patched");
    }
    maps.patch(
        "m",
        &PatchParams::default(),
        &Patch::Merge(json!({ "data": { "a": "2" } })),
    )
    .await
    .expect("patched");
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let event = tokio::time::timeout(Duration::from_secs(10), events.try_next())
            .await
            .expect("in time");
        match event.expect("event").expect("the watch goes on") {
            WatchEvent::Added(o) => seen.push(("added", o.metadata.name)),
            WatchEvent::Modified(o) => seen.push(("modified", o.metadata.name)),
            WatchEvent::Deleted(o) => seen.push(("deleted", o.metadata.name)),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => panic!("{status:?}"),
        }
    }
    let m = || Some("m".to_owned());
    assert_eq!(
        seen,
        [
            ("added", m()),
            ("deleted", m()),
            ("added", m()),
            ("modified", m())
        ]
    );
}

#[tokio::test]
async fn watchers_start_by_lists_and_by_streams() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    maps.create(&PostParams::default(), &map("one", json!({})))
        .await
        .expect("created");
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let mut events = watcher(maps.clone(), config.fields("metadata.name=one")).boxed();
        let mut names = Vec::new();
        loop {
            let event = tokio::time::timeout(Duration::from_secs(10), events.try_next())
                .await
                .expect("in time");
            match event.expect("event").expect("the watch goes on") {
                watcher::Event::InitApply(o) => names.push(o.metadata.name),
                watcher::Event::InitDone => break,
                _ => {}
            }
        }
        assert_eq!(names, [Some("one".to_owned())]);
    }
}

#[tokio::test]
async fn a_restarted_server_is_the_same_cluster_and_ends_old_watches() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    let made = maps
        .create(&PostParams::default(), &map("m", json!({})))
        .await
        .expect("created");
    let uid_of = |objects: &[Value]| {
        objects
            .iter()
            .find(|o| o["kind"] == "Namespace" && o["metadata"]["name"] == "kube-system")
            .expect("namespace")["metadata"]["uid"]
            .clone()
    };
    let objects = world.server.store().dump();
    let uid = uid_of(&objects);
    world.server.shutdown().await;

    let world = World::with(objects).await;
    assert_eq!(uid_of(&world.server.store().dump()), uid);
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    let again = maps.get("m").await.expect("still there");
    assert_eq!(
        (&again.metadata.uid, &again.metadata.resource_version),
        (&made.metadata.uid, &made.metadata.resource_version)
    );
    let old = made.metadata.resource_version.expect("revision");
    let mut events = maps
        .watch(&WatchParams::default(), &old)
        .await
        .expect("watch")
        .boxed();
    match events.try_next().await.expect("event") {
        Some(WatchEvent::Error(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (410, "Expired"))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stale_wire_expires_watches() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    *world.wire.0.lock().expect("lock") = Disturbance::StaleWatch;
    assert!(
        maps.list(&ListParams::default()).await.is_ok(),
        "only watches are stale"
    );
    let mut events = maps
        .watch(&WatchParams::default(), "0")
        .await
        .expect("watch")
        .boxed();
    match events.try_next().await.expect("event") {
        Some(WatchEvent::Error(status)) => assert_eq!(status.code, 410),
        other => panic!("{other:?}"),
    }
}
