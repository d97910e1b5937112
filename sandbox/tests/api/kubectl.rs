//! The server as a stranger with `kubectl` meets it.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, process::Command};

use crate::support::{World, call, pod, widgets};

struct Kubectl {
    home: tempfile::TempDir,
}

impl Kubectl {
    /// `None`, with a line that says so, where `kubectl` is not installed.
    fn new(world: &World) -> Option<Self> {
        let found = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|dir| dir.join("kubectl").is_file())
        });
        if !found {
            println!("kubectl is not installed: asked over plain HTTP instead");
            return None;
        }
        let home = tempfile::tempdir().expect("folder");
        std::fs::write(
            home.path().join("config"),
            world.server.admin_kubeconfig("sandbox"),
        )
        .expect("kubeconfig");
        Some(Self { home })
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(line.split_whitespace())
            .env("HOME", self.path())
            .env("KUBECONFIG", self.path().join("config"));
        command
            .current_dir(self.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a line; whether it succeeded, and everything it said.
    async fn run(&self, line: &str) -> (bool, String) {
        let output = tokio::time::timeout(Duration::from_secs(60), self.command(line).output());
        let output = output.await.expect("in time").expect("kubectl runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Runs a line that must succeed and say all of these.
    async fn says(&self, line: &str, wanted: &[&str]) {
        let (success, text) = self.run(line).await;
        assert!(success, "kubectl {line}\n{text}");
        for part in wanted {
            assert!(
                text.contains(part),
                "kubectl {line}: {part:?} is missing in\n{text}"
            );
        }
    }

    /// Runs a line that must fail and say all of these.
    async fn refuses(&self, line: &str, wanted: &[&str]) {
        let (success, text) = self.run(line).await;
        assert!(!success, "kubectl {line} should fail\n{text}");
        for part in wanted {
            assert!(
                text.contains(part),
                "kubectl {line}: {part:?} is missing in\n{text}"
            );
        }
    }

    fn write(&self, name: &str, object: &Value) {
        std::fs::write(self.path().join(name), object.to_string()).expect("file");
    }
}

fn node() -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1", "labels": { "node-role.kubernetes.io/control-plane": "true" } },
        "status": { "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }], "conditions": [{ "type": "Ready", "status": "True" }],
            "capacity": { "cpu": "4" }, "allocatable": { "cpu": "4" },
            "nodeInfo": { "kubeletVersion": "v1.36.2+k3s1", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "containerd://2" } } })
}

async fn world() -> World {
    let world = World::start().await;
    let mut logged = pod("p1", "n1");
    logged["metadata"]["annotations"] = json!({ "sandbox/log": "first\nlast" });
    logged["status"]["podIP"] = "10.42.0.7".into();
    let event = json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": "e1", "namespace": "default" },
        "involvedObject": { "kind": "Pod", "name": "p1", "namespace": "default" },
        "type": "Normal", "reason": "Pulled", "message": "pulled it", "lastTimestamp": "2026-01-01T00:00:00Z" });
    world
        .server
        .store()
        .load(vec![node(), logged, event])
        .expect("objects");
    world
}

#[tokio::test]
async fn reading() {
    let world = world().await;
    let Some(kubectl) = Kubectl::new(&world) else {
        let client = world.admin().await;
        let nodes = call(&client, "GET", "/api/v1/nodes", Value::Null)
            .await
            .expect("nodes");
        assert_eq!(nodes["items"][0]["metadata"]["name"], "n1");
        return;
    };
    kubectl
        .says("version", &["Server Version:", "v1.36.2+k3s1"])
        .await;
    kubectl
        .says(
            "get nodes",
            &[
                "NAME",
                "STATUS",
                "n1",
                "Ready",
                "control-plane",
                "v1.36.2+k3s1",
            ],
        )
        .await;
    kubectl
        .says(
            "get nodes -o wide",
            &["INTERNAL-IP", "10.0.0.1", "Debian", "containerd://2"],
        )
        .await;
    kubectl
        .says(
            "get pods -A -o wide",
            &["NAMESPACE", "10.42.0.7", "0/1", "Running"],
        )
        .await;
    kubectl
        .says(
            "get pod p1 -o yaml",
            &["kind: Pod", "apiVersion: v1", "nodeName: n1"],
        )
        .await;
    kubectl
        .says("get all", &["pod/p1", "service/kubernetes"])
        .await;
    kubectl
        .says(
            "describe node n1",
            &["Name:               n1", "Non-terminated Pods:", "p1"],
        )
        .await;
    kubectl
        .says("describe pod p1", &["Node:             n1/", "app=p1"])
        .await;
    kubectl.says("logs p1", &["first\nlast"]).await;
    kubectl
        .says(
            "api-resources",
            &["deployments", "deploy", "apps/v1", "poddisruptionbudgets"],
        )
        .await;
    kubectl
        .says("get events", &["LAST SEEN   TYPE", "pod/p1", "pulled it"])
        .await;
    kubectl
        .says("api-versions", &["rbac.authorization.k8s.io/v1"])
        .await;
    kubectl
        .says(
            "explain pod.spec.containers",
            &["FIELD: containers", "image"],
        )
        .await;
    kubectl
        .says(
            "get --raw /readyz?verbose",
            &["[+]etcd ok", "readyz check passed"],
        )
        .await;
    kubectl
        .refuses(
            "get pod nothing",
            &["Error from server (NotFound): pods \"nothing\" not found"],
        )
        .await;
    kubectl
        .refuses(
            "get pods --field-selector color=red",
            &["field label not supported: color"],
        )
        .await;
    kubectl
        .refuses("top nodes", &["Metrics API not available"])
        .await;
}

#[tokio::test]
async fn writing() {
    let world = world().await;
    let Some(kubectl) = Kubectl::new(&world) else {
        let client = world.admin().await;
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" } });
        assert_eq!(
            call(
                &client,
                "POST",
                "/api/v1/namespaces/default/configmaps",
                map
            )
            .await
            .expect("created")["kind"],
            "ConfigMap"
        );
        return;
    };
    kubectl
        .says(
            "create deployment web --image=nginx --replicas=2",
            &["deployment.apps/web created"],
        )
        .await;
    kubectl.says("get deploy web", &["0/2"]).await;
    kubectl
        .says("scale deploy web --replicas=3", &["scaled"])
        .await;
    kubectl
        .says(
            "get deploy web -o jsonpath={.spec.replicas}/{.metadata.generation}",
            &["3/2"],
        )
        .await;
    kubectl
        .says("set image deploy/web nginx=nginx:2", &["image updated"])
        .await;
    kubectl.says("label node n1 color=red", &["labeled"]).await;
    kubectl.says("get nodes -l color=red", &["n1"]).await;
    kubectl
        .says("annotate node n1 note=x", &["node/n1 annotate"])
        .await;
    kubectl
        .says("taint node n1 k=v:NoSchedule", &["tainted"])
        .await;
    kubectl.says("taint node n1 k-", &["untainted"]).await;
    kubectl.says("cordon n1", &["cordoned"]).await;
    kubectl
        .says("get nodes", &["Ready,SchedulingDisabled"])
        .await;
    kubectl
        .says(
            "drain n1 --force --dry-run=server",
            &["evicting pod default/p1 (server dry run)", "drained"],
        )
        .await;
    kubectl.says("get pod p1", &["Running"]).await;
    kubectl.says("uncordon n1", &["uncordoned"]).await;
    kubectl
        .says(
            "create secret generic s --from-literal=a=b",
            &["secret/s created"],
        )
        .await;
    kubectl
        .says("get secret s -o jsonpath={.data.a}", &["Yg=="])
        .await;
    kubectl
        .says("create namespace t", &["namespace/t created"])
        .await;
    kubectl
        .says("create serviceaccount sa -n t", &["created"])
        .await;
    kubectl.says("create token sa -n t", &["eyJ"]).await;
    kubectl
        .says(
            "create rolebinding r -n t --clusterrole=view --serviceaccount=t:sa",
            &["created"],
        )
        .await;
    kubectl
        .says(
            "auth can-i list pods -n t --as=system:serviceaccount:t:sa",
            &["yes"],
        )
        .await;
    kubectl
        .refuses(
            "auth can-i list secrets -n t --as=system:serviceaccount:t:sa",
            &["no"],
        )
        .await;
    kubectl
        .says(
            "auth can-i --list -n t --as=system:serviceaccount:t:sa",
            &["pods/log", "selfsubjectreviews.authentication.k8s.io"],
        )
        .await;
    kubectl
        .says("auth whoami", &["system:admin", "system:masters"])
        .await;
    kubectl
        .says(
            "delete namespace t --timeout=30s",
            &["namespace \"t\" deleted"],
        )
        .await;
    kubectl
        .says("delete pod p1 --wait=false", &["deleted"])
        .await;
    kubectl.says("get pod p1", &["Terminating"]).await;
    kubectl
        .says("delete pod p1 --grace-period=0 --force", &["deleted"])
        .await;
    kubectl.refuses("get pod p1", &["NotFound"]).await;
    kubectl
        .refuses("create namespace Bad_", &["metadata.name: Invalid value"])
        .await;
}

#[tokio::test]
async fn applying_and_definitions() {
    let world = world().await;
    let Some(kubectl) = Kubectl::new(&world) else {
        let client = world.admin().await;
        let made = call(
            &client,
            "POST",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            widgets(),
        )
        .await
        .expect("defined");
        assert_eq!(made["status"]["acceptedNames"]["kind"], "Widget");
        return;
    };
    let widget = |size: i64| json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "a" }, "spec": { "size": size } });
    kubectl.write("crd.json", &widgets());
    kubectl.write("widget.json", &widget(3));
    kubectl.says("apply -f crd.json", &["created"]).await;
    kubectl
        .says(
            "wait --for=condition=Established crd/widgets.example.com --timeout=10s",
            &["condition met"],
        )
        .await;
    kubectl
        .says("apply -f widget.json", &["widget.example.com/a created"])
        .await;
    kubectl.says("apply -f widget.json", &["unchanged"]).await;
    kubectl.says("get wd", &["SIZE", "3"]).await;
    kubectl
        .says("explain widget.spec", &["size", "<integer> -required-"])
        .await;
    kubectl.write("widget.json", &widget(4));
    let (same, text) = kubectl.run("diff -f widget.json").await;
    assert!(
        !same && text.contains("-  size: 3") && text.contains("+  size: 4"),
        "{text}"
    );
    kubectl
        .says("get wd a -o jsonpath={.spec.size}", &["3"])
        .await;
    kubectl
        .refuses(
            "apply --server-side --field-manager=other -f widget.json",
            &["conflict", ".spec.size"],
        )
        .await;
    kubectl
        .says(
            "apply --server-side --field-manager=other --force-conflicts -f widget.json",
            &["serverside-applied"],
        )
        .await;
    kubectl
        .says(
            "patch wd a --type=merge -p {\"spec\":{\"size\":6}}",
            &["patched"],
        )
        .await;
    kubectl.says("patch wd a --type=json -p [{\"op\":\"test\",\"path\":\"/spec/size\",\"value\":6},{\"op\":\"add\",\"path\":\"/metadata/labels\",\"value\":{\"x\":\"y\"}}]", &["patched"]).await;
    kubectl
        .says(
            "get widgets.v1beta1.example.com a -o jsonpath={.apiVersion}{.metadata.labels.x}",
            &["example.com/v1beta1y"],
        )
        .await;
    kubectl.says("delete -f widget.json", &["deleted"]).await;
    kubectl
        .says("delete crd widgets.example.com --timeout=30s", &["deleted"])
        .await;
}

#[tokio::test]
async fn watching() {
    let world = world().await;
    let Some(kubectl) = Kubectl::new(&world) else {
        let client = world.admin().await;
        let rows = call(
            &client,
            "GET",
            "/api/v1/pods?watch=true&timeoutSeconds=1&fieldSelector=metadata.name=p1",
            Value::Null,
        )
        .await
        .expect("one event");
        assert_eq!(rows["type"], "ADDED");
        return;
    };
    let mut watch = kubectl
        .command("get node n1 -w")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let mut out = watch.stdout.take().expect("stdout");
    let mut text = String::new();
    let reading = async {
        let mut buffer = [0; 4096];
        let mut cordoned = false;
        while !text.contains("SchedulingDisabled") {
            let count = out.read(&mut buffer).await.expect("output");
            assert_ne!(count, 0, "the watch ended: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            if text.contains("n1") && !cordoned {
                cordoned = true;
                kubectl.says("cordon n1", &["cordoned"]).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .expect("in time");
    assert_eq!(text.matches("NAME").count(), 1, "one header: {text}");
}
