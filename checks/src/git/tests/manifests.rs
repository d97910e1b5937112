//! What folders build, on a small copy of the trouble that real GitOps repositories have.

use std::path::Path;

use super::super::Manifests;
use super::{FILE, World};

const ENTRY: &str = "../k3s2-node-config/";

fn world() -> World {
    let world = World::new();
    world.write(
        "infrastructure/storage/a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n",
    );
    world.write(
        "infrastructure/k3s2-node-config/kustomization.yaml",
        "resources:\n  - k3s2-node.yaml\npatches:\n  - target:\n      kind: Node\n      name: k3s2\n    patch: |-\n      - op: add\n        path: /metadata/annotations/node.longhorn.io~1paths\n        value: /mnt/sdb1\n",
    );
    world.write(
        "infrastructure/k3s2-node-config/k3s2-node.yaml",
        "apiVersion: longhorn.io/v1beta2\nkind: Node\nmetadata:\n  name: k3s2\n  namespace: longhorn-system\nspec:\n  name: k3s2\n",
    );
    let flux = |name: &str, path: &str, more: &str| {
        let text = format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: {name}\n  namespace: flux-system\nspec:\n  path: {path}\n  sourceRef:\n    kind: GitRepository\n    name: flux-system\n{more}"
        );
        world.write(&format!("clusters/{name}.yaml"), &text);
    };
    flux("storage", "./infrastructure/storage", "  wait: true\n");
    flux(
        "k3s2-disks",
        "./infrastructure/k3s2-node-config",
        "  targetNamespace: default\n  dependsOn:\n    - name: storage\n",
    );
    world
}

#[test]
fn an_entry_s_folder_builds_with_its_patches() {
    let world = world();
    let manifests = Manifests::of(&world.repository());
    let folder = Manifests::entry_folder(Path::new(FILE), ENTRY);
    assert_eq!(folder, Path::new("infrastructure/k3s2-node-config"));
    let build = manifests.folder(&folder);
    assert_eq!(build.problems, []);
    let [node] = build.documents.as_slice() else {
        panic!("one object, found {:?}", build.documents)
    };
    assert_eq!(
        (node.group(), node.kind(), node.name(), node.namespace()),
        ("longhorn.io", "Node", "k3s2", Some("longhorn-system"))
    );
    assert_eq!(
        node.text("/metadata/annotations/node.longhorn.io~1paths"),
        "/mnt/sdb1"
    );
    assert_eq!(
        node.file,
        Path::new("infrastructure/k3s2-node-config/k3s2-node.yaml")
    );
}

#[test]
fn what_does_not_exist_or_parse_is_a_problem_of_the_file_that_says_it() {
    let world = world();
    let manifests = Manifests::of(&world.repository());
    world.write(
        "broken/kustomization.yaml",
        "resources:\n  - none.yaml\n  - ../../outside\n  - tabs.yaml\n  - ../broken\n  - https://example.org/x?ref=1\nconfigMapGenerator:\n  - name: c\n    files: [key=none.txt]\n",
    );
    world.write("broken/tabs.yaml", "a: [\n");
    let build = manifests.folder(Path::new("broken"));
    let problems: Vec<String> = build.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("broken/none.yaml, which does not exist")),
        "{problems:#?}"
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.starts_with("broken/tabs.yaml: is no YAML")),
        "{problems:#?}"
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("refers back to itself")),
        "{problems:#?}"
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("broken/none.txt")),
        "{problems:#?}"
    );
    assert_eq!(build.remote, ["https://example.org/x?ref=1"]);
    assert_eq!(manifests.folder(Path::new("nowhere")).problems.len(), 1);
}

#[test]
fn every_flux_kustomization_of_the_repository_is_found() {
    let world = world();
    let (found, problems) = Manifests::of(&world.repository()).flux_kustomizations();
    assert_eq!(problems, []);
    let [disks, storage] = found.as_slice() else {
        panic!("two, found {found:?}")
    };
    assert_eq!(
        (disks.name.as_str(), disks.target_namespace.as_deref()),
        ("k3s2-disks", Some("default"))
    );
    assert_eq!(disks.depends_on, ["storage"]);
    assert_eq!(
        (storage.path.as_path(), storage.wait),
        (Path::new("infrastructure/storage"), true)
    );
    assert_eq!(storage.source, "GitRepository/flux-system");
}

#[test]
fn an_object_that_two_would_build_has_two_owners_after_activation() {
    let world = world();
    let manifests = Manifests::of(&world.repository());
    let owners = |manifests: &Manifests| -> Vec<(String, String)> {
        let owners = manifests.owners("longhorn.io", "Node", "k3s2");
        owners
            .iter()
            .map(|owner| {
                (
                    owner.kustomization.name.clone(),
                    owner.document.namespace().unwrap_or_default().to_owned(),
                )
            })
            .collect()
    };
    let disks = ("k3s2-disks".to_owned(), "default".to_owned());
    assert_eq!(owners(&manifests), std::slice::from_ref(&disks));
    let after = manifests.assuming(Path::new(FILE), ENTRY);
    assert_eq!(
        owners(&after),
        [disks, ("storage".to_owned(), "longhorn-system".to_owned())]
    );
}

#[test]
fn a_folder_without_a_kustomization_builds_all_below_it() {
    let world = world();
    let build = Manifests::of(&world.repository()).documents_under(Path::new("clusters"));
    assert_eq!(build.problems, []);
    assert_eq!(build.documents.len(), 2);
    let all = Manifests::of(&world.repository()).documents_under(Path::new("infrastructure"));
    assert_eq!(
        all.documents
            .iter()
            .map(|document| document.name())
            .collect::<Vec<_>>(),
        ["k3s2", "a"]
    );
}

#[test]
fn a_real_repository_shows_its_traps() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/gitops");
    if !data.is_dir() {
        eprintln!("no copy of a real GitOps repository beside the project: this story is not told");
        return;
    }
    let world = World::new();
    let copied = std::process::Command::new("cp")
        .args(["-r", "--no-target-directory"])
        .args([data, world.path("work")])
        .status();
    assert!(copied.unwrap().success());
    let manifests = Manifests::of(&world.repository());
    let build = manifests.folder(&Manifests::entry_folder(Path::new(FILE), ENTRY));
    assert_eq!(build.problems, []);
    let [node] = build.documents.as_slice() else {
        panic!("one object, found {:?}", build.documents)
    };
    // The traps of this node: no spec.name, and a second Kustomization that puts it elsewhere.
    assert_eq!((node.name(), node.text("/spec/name")), ("k3s2", ""));
    let owners = manifests.owners("longhorn.io", "Node", "k3s2");
    let found: Vec<_> = owners
        .iter()
        .map(|owner| {
            (
                owner.kustomization.name.as_str(),
                owner.document.namespace(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("infrastructure-storage", Some("longhorn-system")),
            ("k3s2-longhorn-disks", Some("default"))
        ]
    );
}
