//! CustomResourceDefinitions: small structural schemas of our own that keep every field.

use serde_json::{Value, json};

use crate::world::{make::object, seed::workload::namespace};

type Column = (&'static str, &'static str, &'static str);

const READY: Column = (
    "Ready",
    "string",
    ".status.conditions[?(@.type==\"Ready\")].status",
);
const STATUS: Column = (
    "Status",
    "string",
    ".status.conditions[?(@.type==\"Ready\")].message",
);
const AGE: Column = ("Age", "date", ".metadata.creationTimestamp");
const STATE: Column = ("State", "string", ".status.state");
const CURRENT: Column = ("State", "string", ".status.currentState");
const NODE: Column = ("Node", "string", ".spec.nodeID");

/// Group, version, kind, plural, short names, columns.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [Column],
);

const TABLE: &[Row] = &[
    (
        "source.toolkit.fluxcd.io",
        "v1",
        "GitRepository",
        "gitrepositories",
        &["gitrepo"],
        &[("URL", "string", ".spec.url"), AGE, READY, STATUS],
    ),
    (
        "source.toolkit.fluxcd.io",
        "v1",
        "HelmRepository",
        "helmrepositories",
        &["helmrepo"],
        &[("URL", "string", ".spec.url"), AGE, READY, STATUS],
    ),
    (
        "source.toolkit.fluxcd.io",
        "v1",
        "HelmChart",
        "helmcharts",
        &["hc"],
        &[AGE, READY, STATUS],
    ),
    (
        "source.toolkit.fluxcd.io",
        "v1",
        "Bucket",
        "buckets",
        &[],
        &[AGE, READY, STATUS],
    ),
    (
        "source.toolkit.fluxcd.io",
        "v1",
        "OCIRepository",
        "ocirepositories",
        &["ocirepo"],
        &[AGE, READY, STATUS],
    ),
    (
        "kustomize.toolkit.fluxcd.io",
        "v1",
        "Kustomization",
        "kustomizations",
        &["ks"],
        &[AGE, READY, STATUS],
    ),
    (
        "helm.toolkit.fluxcd.io",
        "v2",
        "HelmRelease",
        "helmreleases",
        &["hr"],
        &[AGE, READY, STATUS],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "Node",
        "nodes",
        &["lhn"],
        &[
            READY,
            ("AllowScheduling", "boolean", ".spec.allowScheduling"),
            (
                "Schedulable",
                "string",
                ".status.conditions[?(@.type==\"Schedulable\")].status",
            ),
            AGE,
        ],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "Volume",
        "volumes",
        &["lhv"],
        &[
            STATE,
            ("Robustness", "string", ".status.robustness"),
            ("Size", "string", ".spec.size"),
            ("Node", "string", ".status.currentNodeID"),
            AGE,
        ],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "Replica",
        "replicas",
        &["lhr"],
        &[CURRENT, NODE, AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "Engine",
        "engines",
        &["lhe"],
        &[CURRENT, NODE, AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "InstanceManager",
        "instancemanagers",
        &["lhim"],
        &[CURRENT, ("Type", "string", ".spec.type"), NODE, AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "EngineImage",
        "engineimages",
        &["lhei"],
        &[STATE, ("Image", "string", ".spec.image"), AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "Setting",
        "settings",
        &["lhs"],
        &[("Value", "string", ".value"), AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "BackupTarget",
        "backuptargets",
        &["lhbt"],
        &[
            ("URL", "string", ".spec.backupTargetURL"),
            ("Available", "boolean", ".status.available"),
        ],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "Backup",
        "backups",
        &["lhb"],
        &[STATE, AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "BackingImage",
        "backingimages",
        &["lhbi"],
        &[AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "RecurringJob",
        "recurringjobs",
        &["lhrj"],
        &[AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "ShareManager",
        "sharemanagers",
        &["lhsm"],
        &[STATE, AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "Snapshot",
        "snapshots",
        &["lhsnap"],
        &[AGE],
    ),
    (
        "longhorn.io",
        "v1beta2",
        "VolumeAttachment",
        "volumeattachments",
        &["lhva"],
        &[AGE],
    ),
    (
        "monitoring.coreos.com",
        "v1",
        "Prometheus",
        "prometheuses",
        &["prom"],
        &[("Version", "string", ".spec.version"), AGE],
    ),
    (
        "monitoring.coreos.com",
        "v1",
        "Alertmanager",
        "alertmanagers",
        &["am"],
        &[("Version", "string", ".spec.version"), AGE],
    ),
    (
        "monitoring.coreos.com",
        "v1",
        "ServiceMonitor",
        "servicemonitors",
        &["smon"],
        &[AGE],
    ),
    (
        "monitoring.coreos.com",
        "v1",
        "PodMonitor",
        "podmonitors",
        &["pmon"],
        &[AGE],
    ),
    (
        "monitoring.coreos.com",
        "v1",
        "PrometheusRule",
        "prometheusrules",
        &["promrule"],
        &[AGE],
    ),
    (
        "monitoring.coreos.com",
        "v1",
        "Probe",
        "probes",
        &["prb"],
        &[AGE],
    ),
    (
        "monitoring.coreos.com",
        "v1alpha1",
        "ScrapeConfig",
        "scrapeconfigs",
        &["scfg"],
        &[AGE],
    ),
    (
        "monitoring.coreos.com",
        "v1alpha1",
        "AlertmanagerConfig",
        "alertmanagerconfigs",
        &["amcfg"],
        &[AGE],
    ),
];

pub(super) fn objects() -> Vec<Value> {
    let mut all: Vec<Value> = TABLE.iter().map(definition).collect();
    all.extend([
        namespace("default", "baseline"),
        namespace("kube-public", "baseline"),
        namespace("kube-node-lease", "baseline"),
        namespace("flux-system", "restricted"),
        namespace("longhorn-system", "privileged"),
        namespace("monitoring", "privileged"),
        namespace("ingress-nginx", "privileged"),
    ]);
    all
}

fn definition((group, version, kind, plural, short, columns): &Row) -> Value {
    let columns: Vec<Value> = columns
        .iter()
        .map(|(name, kind, path)| json!({"name": name, "type": kind, "jsonPath": path}))
        .collect();
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let mut properties = json!({
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": open, "status": open,
    });
    if *kind == "Setting" {
        properties["value"] = json!({"type": "string"});
    }
    if *group == "longhorn.io" && *kind == "Node" {
        properties["spec"]["properties"] = json!({
            "name": {"type": "string"}, "allowScheduling": {"type": "boolean"},
            "evictionRequested": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}},
        });
    }
    let names = json!({
        "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
        "shortNames": short,
    });
    let now = crate::world::make::now();
    let told = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now});
    object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "",
        &format!("{plural}.{group}"),
        json!({
            "spec": {
                "group": group, "names": names, "scope": "Namespaced", "conversion": {"strategy": "None"},
                "versions": [{
                    "name": version, "served": true, "storage": true, "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
                }],
            },
            "status": {
                "acceptedNames": names, "storedVersions": [version],
                "conditions": [told("NamesAccepted", "NoConflicts"), told("Established", "InitialNamesAccepted")],
            },
        }),
    )
}
