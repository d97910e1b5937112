//! The sandbox as a stranger with kubectl meets it.

use std::process::Command;

use sandbox::Stage;
use serde_json::{Value, json};
use tests::TestEnvironment;

/// One plain request as the cluster's administrator; the answer's body, also where it is a refusal.
pub(crate) fn raw(env: &TestEnvironment, method: &str, path: &str, body: Option<&Value>) -> Value {
    let kubeconfig = env.sandbox().kubeconfig();
    env.runtime().block_on(async {
        let connection = checks::cluster::Connection::open(Some(&kubeconfig), None, "stranger")
            .await
            .unwrap();
        let client = phases::writer(&connection, &phases::lease::Permit::by_folder()).unwrap();
        let patch = method == "PATCH";
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(
                "content-type",
                if patch {
                    "application/merge-patch+json"
                } else {
                    "application/json"
                },
            )
            .body(
                body.map(|body| serde_json::to_vec(body).unwrap())
                    .unwrap_or_default(),
            )
            .unwrap();
        match client.request::<Value>(request).await {
            Ok(answer) => answer,
            Err(kube::Error::Api(status)) => serde_json::to_value(&*status).unwrap(),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    })
}

/// kubectl with the sandbox's kubeconfig; nothing without kubectl.
struct Kubectl<'a>(&'a TestEnvironment);

impl<'a> Kubectl<'a> {
    fn find(env: &'a TestEnvironment) -> Option<Self> {
        if Command::new("kubectl")
            .args(["version", "--client"])
            .output()
            .is_ok_and(|out| out.status.success())
        {
            Some(Self(env))
        } else {
            println!("skipped: no kubectl");
            None
        }
    }

    fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let out = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.0.sandbox().kubeconfig())
            .arg("--request-timeout=30s")
            .args(arguments)
            .env("HOME", self.0.home())
            .env_remove("KUBECONFIG")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.success(), text(out.stdout), text(out.stderr))
    }

    #[track_caller]
    fn says(&self, arguments: &str, words: &[&str]) -> String {
        let list: Vec<&str> = arguments.split(' ').collect();
        let (good, out, err) = self.run(&list);
        assert!(good, "kubectl {arguments}: {err}{out}");
        for word in words {
            assert!(
                out.contains(word),
                "kubectl {arguments}: {word:?} is not in\n{out}{err}"
            );
        }
        out
    }
}

#[test]
fn a_stranger_looks_around() {
    let env = TestEnvironment::at(Stage::Onboarded, &[]);
    let nodes = raw(&env, "GET", "/api/v1/nodes", None);
    assert_eq!(nodes["items"].as_array().unwrap().len(), 2);
    let refused = raw(&env, "GET", "/api/v1/nodes/nobody", None);
    assert_eq!(refused["code"], 404, "{refused}");
    let Some(kubectl) = Kubectl::find(&env) else {
        return;
    };

    let table = kubectl.says(
        "get nodes",
        &["NAME", "ROLES", "AGE", "VERSION", "k3s1", "k3s2", "Ready"],
    );
    let master = table.lines().find(|line| line.starts_with("k3s1")).unwrap();
    assert!(master.contains("control-plane"), "{table}");
    assert!(
        !table.contains("<invalid>") && !table.contains("<unknown>"),
        "{table}"
    );
    kubectl.says(
        "get nodes -o wide",
        &[
            "INTERNAL-IP",
            "OS-IMAGE",
            "KERNEL-VERSION",
            "CONTAINER-RUNTIME",
            "containerd://",
        ],
    );
    kubectl.says(
        "get node k3s2 -o yaml",
        &["kind: Node", "name: k3s2", "podCIDR:"],
    );
    kubectl.says("get nodes -o name", &["node/k3s1", "node/k3s2"]);
    kubectl.says(
        "get nodes -l kubernetes.io/hostname=k3s2 --no-headers",
        &["k3s2"],
    );
    kubectl.says(
        "get nodes -o jsonpath={.items[*].metadata.name}",
        &["k3s1 k3s2"],
    );
    let described = kubectl.says(
        "describe node k3s2",
        &[
            "Name:",
            "Conditions:",
            "MemoryPressure",
            "Capacity:",
            "Allocatable:",
            "Non-terminated Pods:",
            "Allocated resources:",
            "Events:",
        ],
    );
    assert!(
        !described.contains("<invalid>") && !described.contains("rror"),
        "{described}"
    );
    let pods = kubectl.says(
        "get pods -A -o wide",
        &["NAMESPACE", "RESTARTS", "NODE", "longhorn-manager", "k3s2"],
    );
    assert!(
        pods.lines()
            .skip(1)
            .all(|line| line.contains("Running") || line.contains("Completed")),
        "{pods}"
    );
    kubectl.says(
        "get all -n longhorn-system",
        &["pod/", "service/", "daemonset.apps/"],
    );
    kubectl.says(
        "get kustomizations -A",
        &["flux-system", "READY", "True", "Applied revision"],
    );
    kubectl.says(
        "get gitrepositories -A",
        &["URL", "READY", "stored artifact"],
    );
    let longhorn = kubectl.says(
        "-n longhorn-system get nodes.longhorn.io,volumes,replicas",
        &[
            "node.longhorn.io/k3s2",
            "volume.longhorn.io/",
            "replica.longhorn.io/",
        ],
    );
    assert!(
        longhorn.contains("STATE") && longhorn.contains("ROBUSTNESS"),
        "{longhorn}"
    );
    kubectl.says(
        "-n longhorn-system describe nodes.longhorn.io k3s2",
        &["Disk Status:", "Conditions:"],
    );
    kubectl.says("top nodes", &["k3s1", "k3s2", "%"]);
    kubectl.says("get events -A", &[]);
    kubectl.says("events -A", &[]);
    kubectl.says(
        "api-resources",
        &["nodes", "kustomizations", "volumes", "deployments"],
    );
    kubectl.says("api-versions", &["v1", "longhorn.io/v1beta2", "apps/v1"]);
    kubectl.says("explain node", &["KIND:       Node", "FIELDS", "spec"]);
    kubectl.says("explain deployment.spec.replicas", &["integer"]);
    kubectl.says("version", &["Server Version", "k3s"]);
    kubectl.says("cluster-info", &["running at"]);
    kubectl.says("get --raw /readyz?verbose", &["[+]", "check passed"]);
    kubectl.says("auth can-i delete nodes", &["yes"]);
    kubectl.says("auth can-i --list", &["*.*"]);
    kubectl.says("auth whoami", &["system:admin"]);
    let (_, no, _) = kubectl.run(&[
        "auth",
        "can-i",
        "delete",
        "nodes",
        "--as",
        "system:serviceaccount:default:default",
    ]);
    assert_eq!(no.trim(), "no");
    let (good, _, err) = kubectl.run(&["get", "node", "nobody"]);
    assert!(
        !good && err.contains("NotFound") && err.contains("\"nobody\" not found"),
        "{err}"
    );
    let (good, _, err) = kubectl.run(&["get", "nonsense"]);
    assert!(
        !good && err.contains("the server doesn't have a resource type"),
        "{err}"
    );
}

#[test]
fn a_stranger_changes_things() {
    let env = TestEnvironment::at(Stage::Onboarded, &[]);
    let made = raw(
        &env,
        "POST",
        "/api/v1/namespaces/default/configmaps",
        Some(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raw"}, "data": {"a": "1"}}),
        ),
    );
    assert_eq!(made["data"]["a"], "1", "{made}");
    let patched = raw(
        &env,
        "PATCH",
        "/api/v1/namespaces/default/configmaps/raw",
        Some(&json!({"data": {"a": null, "b": "2"}})),
    );
    assert_eq!(patched["data"], json!({"b": "2"}), "{patched}");
    let gone = raw(
        &env,
        "DELETE",
        "/api/v1/namespaces/default/configmaps/raw",
        None,
    );
    assert_eq!(gone["status"], "Success", "{gone}");
    let Some(kubectl) = Kubectl::find(&env) else {
        return;
    };

    kubectl.says(
        "create configmap mine --from-literal=a=1",
        &["configmap/mine created"],
    );
    kubectl.says("label configmap mine team=blue", &["labeled"]);
    kubectl.says("annotate configmap mine note=hello", &["annotated"]);
    kubectl.says("get configmap -l team=blue", &["mine"]);
    kubectl.says(
        "patch configmap mine --type merge -p {\"data\":{\"b\":\"2\"}}",
        &["patched"],
    );
    kubectl.says("get configmap mine -o jsonpath={.data.b}", &["2"]);
    let (good, _, err) = kubectl.run(&["label", "configmap", "mine", "team=red"]);
    assert!(!good && err.contains("already has a value"), "{err}");
    let file = env.root().join("deployment.yaml");
    let manifest = |replicas: u32| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: default\nspec:\n  replicas: {replicas}\n  selector:\n    matchLabels: {{app: web}}\n  \
             template:\n    metadata:\n      labels: {{app: web}}\n    spec:\n      containers:\n        - name: web\n          image: registry.invalid/web:1\n"
        )
    };
    std::fs::write(&file, manifest(1)).unwrap();
    let file = file.display().to_string();
    kubectl.says(
        &format!("apply -f {file}"),
        &["deployment.apps/web created"],
    );
    kubectl.says(&format!("apply -f {file}"), &["unchanged"]);
    std::fs::write(&file, manifest(2)).unwrap();
    let (_, diff, _) = kubectl.run(&["diff", "-f", &file]);
    assert!(diff.contains("replicas: 2"), "{diff}");
    kubectl.says(&format!("apply -f {file}"), &["configured"]);
    kubectl.says(
        "rollout status deployment/web --timeout=30s",
        &["successfully rolled out"],
    );
    kubectl.says(
        &format!("apply --server-side --force-conflicts -f {file}"),
        &["serverside-applied"],
    );
    kubectl.says("scale deployment web --replicas=1", &["scaled"]);
    kubectl.says(
        "wait --for=condition=Available deployment/web --timeout=30s",
        &["condition met"],
    );
    kubectl.says("delete configmap mine", &["deleted"]);
    kubectl.says(&format!("delete -f {file}"), &["deleted"]);

    kubectl.says("cordon k3s2", &["cordoned"]);
    kubectl.says("get node k3s2", &["Ready,SchedulingDisabled"]);
    kubectl.says(
        "drain k3s2 --ignore-daemonsets --delete-emptydir-data --dry-run=server",
        &["(server dry run)"],
    );
    kubectl.says("uncordon k3s2", &["uncordoned"]);
    kubectl.says("taint node k3s2 a=b:NoSchedule", &["tainted"]);
    kubectl.says("describe node k3s2", &["a=b:NoSchedule"]);
    kubectl.says("taint node k3s2 a-", &["untainted"]);
}

#[test]
fn a_stranger_watches() {
    let env = TestEnvironment::at(Stage::Onboarded, &[]);
    let Some(kubectl) = Kubectl::find(&env) else {
        return;
    };
    let file = env.root().join("watched");
    let mut watching = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(env.sandbox().kubeconfig())
        .args(["get", "configmaps", "-n", "default", "-w", "--no-headers"])
        .env("HOME", env.home())
        .stdout(std::fs::File::create(&file).unwrap())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut seen = String::new();
    let mut count = 0;
    while !seen.contains("seen-") && std::time::Instant::now() < deadline {
        // Made again and again, since nobody says when the watch has begun.
        count += 1;
        kubectl.says(&format!("create configmap seen-{count}"), &["created"]);
        seen = std::fs::read_to_string(&file).unwrap();
    }
    let _ = watching.kill();
    let _ = watching.wait();
    assert!(seen.contains("seen-"), "the watch saw nothing: {seen}");
}
