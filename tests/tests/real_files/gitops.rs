//! A GitOps repository that a stranger wrote: the checks find what is wrong in it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use checks::{
    Context, Settings, Verdict, catalogue,
    cluster::Connection,
    git::{Environment, Manifests, Repository},
    view::View,
};
use libtest_mimic::Failed;
use phases::git::edit::{activate, deactivate};
use reports::model::Outcome;
use tests::TestEnvironment;

const ENTRY: &str = "../k3s2-node-config/";
const STORAGE: &str = "infrastructure/storage/kustomization.yaml";

/// Shaped as the join token of a cluster is, and of no cluster.
const TOKEN: &str =
    "K10aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa::server:0123456789abcdef";

/// What the repository has besides, of which the folder tells only: the files that concern no node are left out of it.
/// What stands in them is as `domain-facts` describes it: plaintext Secrets, and a join token in a script.
fn others() -> Vec<(&'static str, String)> {
    let secret = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: monitoring\nstringData:\n  admin-password: prom-operator\n"
        )
    };
    let map = |name: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: longhorn-system\n"
        )
    };
    vec![
        (
            "infrastructure/monitoring/core/grafana-secret.yaml",
            secret("grafana"),
        ),
        (
            "infrastructure/cloud-init/server.yaml",
            format!("#cloud-config\nruncmd:\n  - K3S_TOKEN={TOKEN} sh install.sh\n"),
        ),
        (
            "infrastructure/storage/disk-discovery-daemonset.yaml",
            map("one"),
        ),
        (
            "infrastructure/storage/disk-discovery-rbac.yaml",
            map("two"),
        ),
        (
            "infrastructure/storage/storage-health-validator.yaml",
            map("three"),
        ),
        (
            "infrastructure/storage/longhorn-node-validator.yaml",
            map("four"),
        ),
        (
            "infrastructure/longhorn/base/kustomization.yaml",
            "resources:\n  - helm-release.yaml\n".to_owned(),
        ),
        (
            "infrastructure/core/kustomization.yaml",
            "resources:\n  - ../nginx-ingress/release.yaml\n".to_owned(),
        ),
        (
            "clusters/k3s-flux/example-app-kustomization.yaml",
            map("five"),
        ),
    ]
}

/// What a check must say: id, outcome, reason, and words that must stand in its message or evidence.
type Trap = (&'static str, Outcome, &'static str, &'static [&'static str]);

const TRAPS: &[Trap] = &[
    // The entry itself is in order, and what it names builds.
    ("gitops::node_config", Outcome::Pass, "", &["active"]),
    (
        "gitops::node_manifest",
        Outcome::Fail,
        "SpecNameMissing",
        &[
            "infrastructure/k3s2-node-config/k3s2-node.yaml",
            "SchedulingOff",
            "DiskTypeMissing: disk sdb1",
        ],
    ),
    (
        "gitops::single_owner",
        Outcome::Fail,
        "SeveralOwners",
        &[
            "infrastructure-storage builds infrastructure/k3s2-node-config/k3s2-node.yaml into namespace longhorn-system",
            "k3s2-longhorn-disks builds infrastructure/k3s2-node-config/k3s2-node.yaml into namespace default",
        ],
    ),
    (
        "gitops::api_versions_served",
        Outcome::Fail,
        "VersionNotServed",
        &[
            "Kustomization kustomize.toolkit.fluxcd.io/v1beta2",
            "clusters/k3s-flux/k3s1-longhorn-disks.yaml",
            "clusters/k3s-flux/k3s2-longhorn-disks.yaml",
            "HelmRelease helm.toolkit.fluxcd.io/v2beta1",
            "infrastructure/longhorn/base/helm-release.yaml",
            "infrastructure/nginx-ingress/release.yaml",
        ],
    ),
    (
        "security::plaintext_secrets",
        Outcome::Fail,
        "PlaintextSecret",
        &["infrastructure/monitoring/core/grafana-secret.yaml"],
    ),
    (
        "security::join_token_in_git",
        Outcome::Fail,
        "KeyInGit",
        &["infrastructure/cloud-init/server.yaml", "k3s join token"],
    ),
    // No Kustomization has spec.decryption, and nothing is encrypted: that there is an age key proves nothing.
    (
        "security::sops_configured",
        Outcome::Skip,
        "NothingEncrypted",
        &[],
    ),
];

/// Once something there is encrypted, that nobody decrypts is found.
const ENCRYPTED: &Trap = &(
    "security::sops_configured",
    Outcome::Fail,
    "NotConfigured",
    &["flux-system/infrastructure-core"],
);

fn encrypt_something(root: &Path) -> Result<(), Failed> {
    let folder = root.join("infrastructure/core");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\n  namespace: infrastructure\nstringData:\n  \
        token: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\nsops:\n  \
        mac: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\n  version: 3.9.0\n";
    fs::write(folder.join("token.yaml"), secret)?;
    let list = "resources:\n  - ../nginx-ingress/release.yaml\n  - token.yaml\n";
    fs::write(folder.join("kustomization.yaml"), list)?;
    Ok(())
}

/// Asks a check; what it does not say, and what it should not.
fn judge(
    environment: &TestEnvironment,
    cx: &Context,
    (id, outcome, reason, words): &Trap,
) -> Result<Vec<String>, Failed> {
    let check = catalogue::find(id).ok_or_else(|| format!("no check is called {id}"))?;
    let verdict = environment
        .runtime()
        .block_on((check.ask)(cx))
        .unwrap_or_else(Verdict::from);
    let said = format!("{}\n{}", verdict.message(), verdict.evidence().join("\n"));
    let told = format!("{} {}: {said}", verdict.outcome().name(), verdict.reason());
    let mut missed = Vec::new();
    if verdict.outcome() != *outcome || (!reason.is_empty() && verdict.reason() != *reason) {
        let wanted = outcome.name();
        missed.push(format!("{id}: expected {wanted} {reason}, found {told}"));
    }
    let unsaid = words.iter().filter(|words| !said.contains(**words));
    missed.extend(unsaid.map(|words| format!("{id}: does not say {words:?}: {told}")));
    if said.contains(TOKEN) || said.contains("prom-operator") {
        missed.push(format!("{id}: shows a secret"));
    }
    Ok(missed)
}

pub(crate) fn find_every_trap(folder: &Path) -> Result<(), Failed> {
    let environment = TestEnvironment::new();
    let root = environment.root().join("real");
    let files = build(&environment, folder, &root)?;
    let reader = environment.runtime().block_on(async {
        // The root Kustomization of that repository follows a folder that the sandbox's own has not.
        let sandbox = environment.sandbox();
        root_kustomization(&sandbox.kubeconfig()).await?;
        let opened = Connection::open(Some(&sandbox.kubeconfig()), None, "tests").await?;
        Ok::<_, Failed>(opened.reader()?)
    })?;
    let git = Environment::isolated(&environment.home());
    let repository = Repository::open_in(&root, git)?;
    let cx = Context {
        view: View::snapshot(reader),
        settings: Arc::new(Settings::default()),
        repository: Some(Arc::new(repository)),
        report: Arc::new(tests::nothing_done()),
    };
    let mut missed = Vec::new();
    for trap in TRAPS {
        missed.extend(judge(&environment, &cx, trap)?);
    }
    encrypt_something(&root)?;
    missed.extend(judge(&environment, &cx, ENCRYPTED)?);
    println!(
        "{files} files of a real repository, {} verdicts",
        TRAPS.len() + 1
    );
    if missed.is_empty() {
        Ok(())
    } else {
        Err(missed.join("\n").into())
    }
}

pub(crate) fn edit_and_inverse(folder: &Path) -> Result<(), Failed> {
    let file = Path::new(STORAGE);
    let real = fs::read(folder.join(file))?;
    let off =
        deactivate(file, &real, ENTRY, None)?.ok_or("the entry is active in the real file")?;
    let changed: Vec<_> = String::from_utf8_lossy(&off.after)
        .lines()
        .zip(String::from_utf8_lossy(&real).lines())
        .filter(|(new, old)| new != old)
        .map(|(new, old)| (new.to_owned(), old.to_owned()))
        .collect();
    if changed != [(format!("  # - {ENTRY}"), format!("  - {ENTRY}"))] {
        return Err(
            format!("more or something else than one line has changed: {changed:?}").into(),
        );
    }
    let on = activate(file, &off.after, ENTRY)?.ok_or("the entry is commented out now")?;
    if on.after != real {
        return Err(format!("the file is not what it was:\n{}", on.diff()).into());
    }
    // And the other way round, from the file as a repository before the activation has it.
    let again = deactivate(file, &on.after, ENTRY, Some("  # - "))?.ok_or("it is active again")?;
    if again.after != off.after {
        return Err(format!("taken back, the file differs:\n{}", again.diff()).into());
    }
    // Nothing is lost in files without an end of line either.
    let mut cut = real.clone();
    while cut.last() == Some(&b'\n') {
        cut.pop();
    }
    let off = deactivate(file, &cut, ENTRY, None)?.ok_or("active without an end of line too")?;
    let on = activate(file, &off.after, ENTRY)?.ok_or("and commented out")?;
    if on.after != cut {
        return Err("the end of the file has changed".into());
    }
    if activate(file, &real, ENTRY)?.is_some() {
        return Err("an active entry is made active again".into());
    }
    Ok(())
}

/// Makes a repository of the folder; how many files are in it.
fn build(environment: &TestEnvironment, folder: &Path, root: &Path) -> Result<usize, Failed> {
    let mut count = copy(folder, root)?;
    for (path, text) in others() {
        let path = root.join(path);
        if path.exists() {
            continue;
        }
        fs::create_dir_all(path.parent().ok_or("a file lies in a folder")?)?;
        fs::write(path, text)?;
        count += 1;
    }
    for arguments in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &[
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.com",
            "commit",
            "-q",
            "-m",
            "as its owner wrote it",
        ],
    ] {
        let _ = environment.git(root, arguments);
    }
    let problems = Manifests::of(&Repository::open_in(
        root,
        Environment::isolated(&environment.home()),
    )?)
    .folder(Path::new("clusters/k3s-flux"))
    .problems;
    if let Some(problem) = problems.first() {
        return Err(format!("the files made up for this test do not fit: {problem}").into());
    }
    Ok(count)
}

fn copy(from: &Path, to: &Path) -> Result<usize, Failed> {
    fs::create_dir_all(to)?;
    let mut count = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            count += copy(&entry.path(), &target)?;
        } else {
            fs::write(target, fs::read(entry.path())?)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Says in the cluster which folder of that repository Flux follows; suspended, since its files are in no remote.
async fn root_kustomization(kubeconfig: &Path) -> Result<(), Failed> {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    let client = kube::Client::try_from(config)?;
    let object = serde_json::json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "k3s-flux", "namespace": "flux-system"},
        "spec": {"path": "./clusters/k3s-flux", "prune": false, "suspend": true, "interval": "10m",
            "sourceRef": {"kind": "GitRepository", "name": "flux-system"}},
    });
    let request = http::Request::post(
        "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations",
    )
    .header("content-type", "application/json")
    .body(object.to_string().into_bytes().into())?;
    let response = client.send(request).await?;
    if response.status() == 201 {
        Ok(())
    } else {
        Err(format!("the Kustomization is refused: {}", response.status()).into())
    }
}
