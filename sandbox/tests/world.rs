//! The world as a client sees it: given this cluster, with this fault, the objects say this.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on says so by panicking"
)]

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use git2::Repository;
use kube::{Client, Config};
use sandbox::{Options, Sandbox, Speed, Stage};
use serde_json::{Value, json};

const LONGHORN: &str = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system";
const KUSTOMIZATIONS: &str =
    "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations";
const SOURCE: &str =
    "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/flux-system";

fn options(stage: Stage) -> Options {
    Options {
        stage,
        speed: Speed::Test,
        ..Options::default()
    }
}

async fn client(sandbox: &Sandbox) -> Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(sandbox.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn start(options: Options) -> (Sandbox, Client) {
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = client(&sandbox).await;
    (sandbox, client)
}

async fn try_get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    client
        .request(http::Request::get(path).body(Vec::new()).unwrap())
        .await
}

async fn get(client: &Client, path: &str) -> Value {
    try_get(client, path).await.unwrap_or(Value::Null)
}

async fn patch(client: &Client, path: &str, patch: Value) {
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(patch.to_string().into_bytes())
        .unwrap();
    client.request::<Value>(request).await.unwrap();
}

/// Asks again until it is so; the last answer stands in the failure.
async fn until(client: &Client, what: &str, path: &str, so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let object = get(client, path).await;
        if so(&object) {
            return object;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not come true: {object:#}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let list = object["status"]["conditions"].as_array();
    list.and_then(|list| list.iter().find(|it| it["type"] == kind))
        .unwrap_or(&Value::Null)
}

fn is(object: &Value, kind: &str, status: &str) -> bool {
    condition(object, kind)["status"] == status
}

fn disk_is(node: &Value, kind: &str, status: &str) -> bool {
    let list = node["status"]["diskStatus"]["ssd1"]["conditions"].as_array();
    list.is_some_and(|list| {
        list.iter()
            .any(|it| it["type"] == kind && it["status"] == status)
    })
}

/// Uncomments the entry, commits and pushes, as the person at the keyboard would. Returns the commit.
fn activate(sandbox: &Sandbox) -> String {
    let repository = Repository::open(sandbox.checkout()).unwrap();
    let file = Path::new("infrastructure/storage/kustomization.yaml");
    let text = std::fs::read_to_string(sandbox.checkout().join(file)).unwrap();
    let active = text.replace("# - ../k3s2-node-config/", "- ../k3s2-node-config/");
    assert_ne!(text, active);
    std::fs::write(sandbox.checkout().join(file), active).unwrap();
    let mut index = repository.index().unwrap();
    index.add_path(file).unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    index.write().unwrap();
    let parent = repository.head().unwrap().peel_to_commit().unwrap();
    let who = repository.signature().unwrap();
    let commit = repository
        .commit(
            Some("HEAD"),
            &who,
            &who,
            "storage: adds k3s2\n",
            &tree,
            &[&parent],
        )
        .unwrap();
    let mut remote = repository.find_remote("origin").unwrap();
    remote
        .push(&["refs/heads/main:refs/heads/main"], None)
        .unwrap();
    commit.to_string()
}

async fn reconcile(client: &Client, path: &str, token: &str) {
    let ask = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
    patch(client, path, ask).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stage_starts_as_it_says() {
    let (sandbox, client) = start(options(Stage::New)).await;
    let nodes = get(&client, "/api/v1/nodes").await;
    assert_eq!(nodes["items"].as_array().unwrap().len(), 1, "{nodes}");
    assert!(get(&client, "/api/v1/nodes/k3s2").await.is_null());
    sandbox.shutdown().await;

    let (sandbox, client) = start(options(Stage::Joining)).await;
    until(
        &client,
        "the node joins by itself",
        "/api/v1/nodes/k3s2",
        |node| is(node, "Ready", "True"),
    )
    .await;
    sandbox.shutdown().await;

    let (sandbox, client) = start(options(Stage::Onboarded)).await;
    for node in ["k3s1", "k3s2"] {
        assert!(is(
            &get(&client, &format!("/api/v1/nodes/{node}")).await,
            "Ready",
            "True"
        ));
        let disks = get(&client, &format!("{LONGHORN}/nodes/{node}")).await;
        assert!(disk_is(&disks, "Schedulable", "True"), "{disks:#}");
    }
    let list = get(&client, KUSTOMIZATIONS).await;
    for kustomization in list["items"].as_array().unwrap() {
        assert!(is(kustomization, "Ready", "True"), "{kustomization:#}");
    }
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_entry_in_git_brings_the_node_in() {
    let (sandbox, client) = start(options(Stage::New)).await;
    let commit = activate(&sandbox);
    let storage = format!("{KUSTOMIZATIONS}/infrastructure-storage");
    let at = |value: &Value| {
        value
            .as_str()
            .is_some_and(|revision| revision.ends_with(&commit))
    };
    let began = Instant::now();
    reconcile(&client, SOURCE, "one").await;
    until(&client, "the source has the commit", SOURCE, |it| {
        at(&it["status"]["artifact"]["revision"])
    })
    .await;
    reconcile(&client, &storage, "one").await;
    until(&client, "the commit is attempted", &storage, |it| {
        at(&it["status"]["lastAttemptedRevision"])
    })
    .await;
    until(&client, "the node is Ready", "/api/v1/nodes/k3s2", |node| {
        is(node, "Ready", "True")
    })
    .await;
    let labels =
        json!({"metadata": {"labels": {"node.longhorn.io/create-default-disk": "config"}}});
    patch(&client, "/api/v1/nodes/k3s2", labels).await;
    let known = format!("{LONGHORN}/nodes/k3s2");
    until(&client, "Longhorn knows the node", &known, |node| {
        is(node, "Ready", "True")
    })
    .await;
    reconcile(&client, SOURCE, "two").await;
    reconcile(&client, &storage, "two").await;
    until(&client, "the disk takes replicas", &known, |node| {
        disk_is(node, "Schedulable", "True")
    })
    .await;
    until(&client, "storage is Ready at the commit", &storage, |it| {
        is(it, "Ready", "True")
            && at(&it["status"]["lastAppliedRevision"])
            && it["status"]["lastHandledReconcileAt"] == "two"
    })
    .await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    until(
        &client,
        "all Kustomizations follow",
        KUSTOMIZATIONS,
        |list| {
            list["items"].as_array().is_some_and(|all| {
                all.iter()
                    .all(|it| at(&it["status"]["lastAppliedRevision"]))
            })
        },
    )
    .await;
    until(
        &client,
        "every replica finds its second node",
        &format!("{LONGHORN}/replicas"),
        |list| {
            let all = list["items"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            all.iter()
                .filter(|it| it["spec"]["nodeID"] == "k3s2" && it["spec"]["healthyAt"] != "")
                .count()
                == 3
        },
    )
    .await;
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_shows_and_goes() {
    let (sandbox, client) = start(options(Stage::Onboarded)).await;
    let node = "/api/v1/nodes/k3s2";
    let disks = &format!("{LONGHORN}/nodes/k3s2");
    let storage = &format!("{KUSTOMIZATIONS}/infrastructure-storage");
    let exporter = "/apis/apps/v1/namespaces/monitoring/daemonsets/kube-prometheus-stack-prometheus-node-exporter";
    type Shows = fn(&Value) -> bool;
    let cases: [(&str, &str, Shows); 13] = [
        ("node-not-ready", node, |it| {
            condition(it, "Ready")["message"]
                .as_str()
                .is_some_and(|it| it.contains("cni plugin not initialized"))
        }),
        ("cni-lease-missing", node, |it| {
            it["metadata"]["annotations"]["flannel.alpha.coreos.com/public-ip"].is_null()
        }),
        ("node-disk-pressure", node, |it| {
            is(it, "DiskPressure", "True")
        }),
        ("node-unreachable", node, |it| is(it, "Ready", "Unknown")),
        ("agent-joined-as-server", node, |it| {
            it["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] == "true"
        }),
        ("longhorn-disk-full", disks, |it| {
            disk_is(it, "Schedulable", "False")
        }),
        ("longhorn-disk-not-ready", disks, |it| {
            disk_is(it, "Ready", "False")
        }),
        ("longhorn-packages-missing", disks, |it| {
            is(it, "RequiredPackages", "False")
        }),
        ("longhorn-manager-crashing-on-node", disks, |it| {
            condition(it, "Ready")["reason"] == "ManagerPodDown"
        }),
        (
            "longhorn-csi-missing-on-node",
            "/apis/storage.k8s.io/v1/csinodes/k3s2",
            |it| it["spec"]["drivers"].as_array().is_some_and(Vec::is_empty),
        ),
        ("flux-source-unreachable", SOURCE, |it| {
            condition(it, "Ready")["reason"] == "GitOperationFailed"
        }),
        ("flux-kustomization-stalled", storage, |it| {
            it["status"]["conditions"][0]["type"] == "Stalled"
        }),
        ("node-exporter-missing-on-node", exporter, |it| {
            it["status"]["numberReady"] == 1
        }),
    ];
    for (fault, path, shows) in cases {
        assert!(
            !shows(&get(&client, path).await),
            "{fault} shows before it is on"
        );
        sandbox.set_fault(fault, true).await.unwrap();
        until(&client, fault, path, shows).await;
        sandbox.set_fault(fault, false).await.unwrap();
        until(&client, &format!("the end of {fault}"), path, |it| {
            !it.is_null() && !shows(it)
        })
        .await;
    }
    until(&client, "storage recovers", storage, |it| {
        is(it, "Ready", "True")
    })
    .await;
    until(
        &client,
        "the volumes recover",
        &format!("{LONGHORN}/volumes"),
        |list| {
            list["items"]
                .as_array()
                .is_some_and(|all| all.iter().all(|it| it["status"]["robustness"] == "healthy"))
        },
    )
    .await;
    assert!(sandbox.set_fault("no-such-fault", true).await.is_err());
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_stops_where_its_fault_says() {
    let mut joining = options(Stage::Joining);
    joining.faults = vec!["node-password-conflict".into()];
    let (sandbox, client) = start(joining).await;
    let secret = "/api/v1/namespaces/kube-system/secrets/k3s2.node-password.k3s";
    let left = until(&client, "the old password is there", secret, |it| {
        !it.is_null()
    })
    .await;
    let created: jiff::Timestamp = left["metadata"]["creationTimestamp"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(jiff::Timestamp::now().duration_since(created).as_secs() > 600);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(
        get(&client, "/api/v1/nodes/k3s2").await.is_null(),
        "a rejected agent registers no Node"
    );
    client
        .request::<Value>(http::Request::delete(secret).body(Vec::new()).unwrap())
        .await
        .unwrap();
    until(&client, "the agent gets in", "/api/v1/nodes/k3s2", |node| {
        is(node, "Ready", "True")
    })
    .await;
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_refused_while_the_fault_is_on() {
    let (sandbox, _client) = start(options(Stage::New)).await;
    sandbox.set_fault("push-refused", true).await.unwrap();
    let repository = Repository::open(sandbox.checkout()).unwrap();
    let head = repository.head().unwrap().peel_to_commit().unwrap();
    let who = repository.signature().unwrap();
    repository
        .commit(
            Some("HEAD"),
            &who,
            &who,
            "empty\n",
            &head.tree().unwrap(),
            &[&head],
        )
        .unwrap();
    let push = || {
        Command::new("git")
            .args(["push", "origin", "main"])
            .current_dir(sandbox.checkout())
            .output()
    };
    let Ok(refused) = push() else {
        return sandbox.shutdown().await;
    };
    assert!(!refused.status.success());
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("pre-receive hook declined"),
        "{refused:?}"
    );
    sandbox.set_fault("push-refused", false).await.unwrap();
    assert!(push().unwrap().status.success());
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_the_same_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let kept = |stage| Options {
        dir: Some(dir.path().join("home")),
        ..options(stage)
    };
    let (sandbox, first) = start(kept(Stage::Onboarded)).await;
    let system = get(&first, "/api/v1/namespaces/kube-system").await;
    let config = std::fs::read_to_string(sandbox.kubeconfig()).unwrap();
    patch(
        &first,
        "/api/v1/nodes/k3s2",
        json!({"metadata": {"labels": {"remember": "me"}}}),
    )
    .await;
    assert!(
        Sandbox::start(kept(Stage::New)).await.is_err(),
        "one process at a time"
    );
    let other = Sandbox::attach(&dir.path().join("home")).await.unwrap();
    other.set_fault("node-disk-pressure", true).await.unwrap();
    until(
        &first,
        "another process switches a fault",
        "/api/v1/nodes/k3s2",
        |it| is(it, "DiskPressure", "True"),
    )
    .await;
    other.set_fault("node-disk-pressure", false).await.unwrap();
    assert!(
        other
            .requests()
            .iter()
            .any(|request| request.verb == "patch" && request.name == "k3s2")
    );
    sandbox.shutdown().await;
    assert!(Sandbox::attach(&dir.path().join("home")).await.is_err());

    let (sandbox, second) = start(kept(Stage::New)).await;
    assert_eq!(
        get(&second, "/api/v1/namespaces/kube-system").await["metadata"]["uid"],
        system["metadata"]["uid"]
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.kubeconfig()).unwrap(),
        config
    );
    assert_eq!(
        get(&second, "/api/v1/nodes/k3s2").await["metadata"]["labels"]["remember"],
        "me"
    );
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(sandbox.dir().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    for file in [
        "kubeconfig",
        "secrets.json",
        "objects.json",
        "sandbox.json",
        "requests.jsonl",
        "faults",
    ] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    assert_eq!(mode("."), 0o700);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitoring_stack_answers_through_the_service_proxy() {
    let (sandbox, client) = start(options(Stage::Onboarded)).await;
    let prometheus =
        "/api/v1/namespaces/monitoring/services/kube-prometheus-stack-prometheus:9090/proxy";
    let query = |text: &str| format!("{prometheus}/api/v1/query?query={text}");
    let uname = get(
        &client,
        &query("node_uname_info%7Bnodename%3D%22k3s2%22%7D"),
    )
    .await;
    assert_eq!(
        uname["data"]["result"].as_array().unwrap().len(),
        1,
        "{uname}"
    );
    let up = query("up%7Bjob%3D%22node-exporter%22%7D%20%3D%3D%201");
    assert_eq!(
        get(&client, &up).await["data"]["result"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let targets = get(
        &client,
        &format!("{prometheus}/api/v1/targets?state=active"),
    )
    .await;
    let found = targets["data"]["activeTargets"]
        .as_array()
        .unwrap()
        .iter()
        .any(|target| {
            target["discoveredLabels"]["__meta_kubernetes_pod_node_name"] == "k3s2"
                && target["health"] == "up"
        });
    assert!(found, "{targets}");
    sandbox.set_fault("target-down", true).await.unwrap();
    assert_eq!(
        get(&client, &up).await["data"]["result"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let grafana =
        "/api/v1/namespaces/monitoring/services/kube-prometheus-stack-grafana:80/proxy/api/health";
    assert_eq!(get(&client, grafana).await["database"], "ok");
    let kubelet = get(&client, "/api/v1/nodes/k3s2/proxy/configz").await;
    assert_eq!(
        kubelet["kubeletconfig"]["authentication"]["anonymous"]["enabled"],
        false
    );
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_pods_report_what_they_reach() {
    let (sandbox, client) = start(options(Stage::Onboarded)).await;
    let probe = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app.kubernetes.io/managed-by": "onboarding"}},
            "spec": {"nodeName": "k3s2", "restartPolicy": "Never", "containers": [{
                "name": "probe", "image": "busybox",
                "args": ["dns:kubernetes.default.svc.cluster.local.", "tcp://10.43.0.1:443", "dns:nowhere.invalid"],
            }]},
        })
    };
    let create = |name: &'static str| {
        let body = probe(name).to_string().into_bytes();
        let client = client.clone();
        async move {
            let request = http::Request::post("/api/v1/namespaces/default/pods")
                .header("content-type", "application/json")
                .body(body)
                .unwrap();
            client.request::<Value>(request).await.unwrap();
            let path = format!("/api/v1/namespaces/default/pods/{name}");
            let done = until(&client, "the probe ends", &path, |it| {
                it["status"]["phase"] == "Succeeded"
            })
            .await;
            done["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
                .as_str()
                .unwrap()
                .to_owned()
        }
    };
    let message = create("probe-well").await;
    assert_eq!(message.lines().count(), 3);
    assert!(
        message.contains("dns:kubernetes.default.svc.cluster.local. ok 10.43.0.1"),
        "{message}"
    );
    assert!(message.contains("tcp://10.43.0.1:443 ok"), "{message}");
    assert!(message.contains("dns:nowhere.invalid noname"), "{message}");
    sandbox.set_fault("overlay-blocked", true).await.unwrap();
    let message = create("probe-cut").await;
    assert!(
        !message.contains("dns:kubernetes.default.svc.cluster.local. ok"),
        "{message}"
    );
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_ports_answer_where_a_local_controller_runs() {
    let (sandbox, client) = start(options(Stage::Onboarded)).await;
    let node = get(&client, "/api/v1/nodes/k3s2").await;
    let address = node["status"]["addresses"][0]["address"]
        .as_str()
        .unwrap()
        .to_owned();
    let place = format!("{address}:30080");
    assert!(tokio::net::TcpStream::connect(&place).await.is_ok());
    sandbox.set_fault("ingress-down", true).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while tokio::net::TcpStream::connect(&place).await.is_ok() {
        assert!(Instant::now() < deadline, "the node port stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_the_nodes() {
    let (sandbox, _client) = start(options(Stage::Onboarded)).await;
    let kubectl = |args: &[&str]| {
        Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(sandbox.kubeconfig())
            .args(args)
            .output()
    };
    if let Ok(output) = kubectl(&["get", "nodes", "-o", "wide"]) {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            text.lines()
                .filter(|line| line.contains(" Ready ") && line.contains("v1.33.5+k3s1"))
                .count()
                == 2,
            "{text}"
        );
    }
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_can_be_undone() {
    let (sandbox, client) = start(options(Stage::Onboarded)).await;
    for fault in sandbox::faults::catalogue() {
        sandbox.set_fault(fault.name, true).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        sandbox.set_fault(fault.name, false).await.unwrap();
    }
    assert!(sandbox.faults().is_empty());
    let every = |list: &Value, so: fn(&Value) -> bool| {
        list["items"]
            .as_array()
            .is_some_and(|all| !all.is_empty() && all.iter().all(so))
    };
    for (what, path, so) in [
        (
            "nodes are well",
            "/api/v1/nodes",
            (|it| is(it, "Ready", "True") && it["spec"]["taints"].is_null()) as fn(&Value) -> bool,
        ),
        ("pods are well", "/api/v1/pods", |it| {
            is(it, "Ready", "True")
        }),
        ("Flux is well", KUSTOMIZATIONS, |it| is(it, "Ready", "True")),
        ("daemons are complete", "/apis/apps/v1/daemonsets", |it| {
            it["status"]["numberReady"] == 2
        }),
        ("volumes are well", &format!("{LONGHORN}/volumes"), |it| {
            it["status"]["robustness"] == "healthy"
        }),
        ("disks are well", &format!("{LONGHORN}/nodes"), |it| {
            disk_is(it, "Schedulable", "True") && it["spec"]["allowScheduling"] == true
        }),
    ] {
        until(&client, what, path, |list| every(list, so)).await;
    }
    for path in [
        "/apis/storage.k8s.io/v1/storageclasses/longhorn",
        "/apis/storage.k8s.io/v1/csidrivers/driver.longhorn.io",
        "/apis/metrics.k8s.io/v1beta1/nodes/k3s2",
    ] {
        until(&client, "what was missing is back", path, |it| {
            !it.is_null()
        })
        .await;
    }
    sandbox.shutdown().await;
}
