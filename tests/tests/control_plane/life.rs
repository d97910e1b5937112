//! A control plane starts, works, and leaves nothing behind.

use std::{path::Path, time::Duration};

use libtest_mimic::Completion;
use serde_json::{Value, json};
use tests::control_plane::{ControlPlane, Parts};

use crate::{Outcome, block_on};

pub(crate) fn starts_and_ends() -> Outcome {
    block_on(async {
        let plane = ControlPlane::start(Parts::Server).await?;
        let admin = plane.admin().await?;
        let version: Value = admin
            .request(http::Request::get("/version").body(Vec::new())?)
            .await?;
        assert_eq!(version["major"], "1", "{version}");

        let eve = plane.eve().await?;
        let refused = eve
            .request_text(http::Request::get("/api/v1/nodes").body(Vec::new())?)
            .await;
        assert!(
            matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("eve")),
            "{refused:?}"
        );

        let kubeconfig = plane.kubeconfig();
        let pids = plane.pids();
        assert_eq!(pids.len(), 2, "{:?}", plane.programs());
        drop(plane);
        assert!(!kubeconfig.exists());
        for pid in pids {
            assert!(
                !Path::new(&format!("/proc/{pid}")).exists(),
                "process {pid} is still there"
            );
        }
        Ok(Completion::Completed)
    })
}

/// A ReplicaSet gets its pod: the controller manager and the scheduler do what they are for.
pub(crate) fn controllers_work() -> Outcome {
    block_on(async {
        let plane = ControlPlane::start(Parts::All).await?;
        if plane.programs().len() < 4 {
            return Ok(Completion::ignored_with(
                "the folder has no kube-controller-manager and kube-scheduler",
            ));
        }
        let admin = plane.admin().await?;
        let post = |path: &str, body: Value| {
            http::Request::post(path.to_owned())
                .header("content-type", "application/json")
                .body(body.to_string().into_bytes())
        };
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
        let _: Value = admin.request(post("/api/v1/nodes", node)?).await?;
        let ready = json!({"status": {
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                "lastHeartbeatTime": "2030-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z"}],
        }});
        let patch = http::Request::patch("/api/v1/nodes/n1/status")
            .header("content-type", "application/strategic-merge-patch+json")
            .body(ready.to_string().into_bytes())?;
        let _: Value = admin.request(patch).await?;
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "image:1"}]}},
        }});
        let _: Value = admin
            .request(post("/apis/apps/v1/namespaces/default/replicasets", set)?)
            .await?;
        let mut seen = Value::Null;
        for _ in 0..300 {
            let list =
                http::Request::get("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb")
                    .body(Vec::new())?;
            seen = admin.request(list).await?;
            if seen["items"][0]["spec"]["nodeName"] == "n1" {
                return Ok(Completion::Completed);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("the pod of the ReplicaSet is not on the node after 60 s: {seen}").into())
    })
}
