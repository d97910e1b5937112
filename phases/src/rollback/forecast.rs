//! What taking the node out would do and what stands in the way, from reads only.

use std::collections::{BTreeMap, BTreeSet};

use checks::{
    Context, Settings,
    resources::{
        condition::Seen as Condition, flux::Kustomization, full_name, longhorn::DRIVER, node,
    },
};
use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use serde::Serialize;

use super::{
    copies::{Copies, Fate},
    git, leftovers,
    seen::{Seen, is_silent},
};
use crate::{
    ActionError,
    drain::{Judge, PodFate},
};

/// Something that stands in the way, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// Stable UpperCamelCase code.
    pub reason: &'static str,
    /// `pod apps/notes-0`: what it is about.
    pub object: String,
    /// Why it stands in the way.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl Blocker {
    /// A blocker with its words.
    pub(crate) fn new(
        reason: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self {
            reason,
            object: object.into(),
            message: message.into(),
            hint,
        }
    }
}

/// A pod that is evicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evicted {
    /// `apps/notes-0`
    pub pod: String,
    /// Flags that cover it: its data, or the pod itself, does not come back.
    pub covered_by: Vec<&'static str>,
}

/// A replica on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// Name of the Replica object.
    pub replica: String,
    /// The volume, with the claim that it serves.
    pub volume: String,
    /// What becomes of it, in words.
    pub fate: String,
    /// Whether it is the last healthy copy, and no other node can take it.
    pub last: bool,
}

/// What taking the node out would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// `Ready`, `silent`, `absent`, or what its condition says.
    pub node: String,
    /// Pods that would be evicted.
    pub evicted: Vec<Evicted>,
    /// Pods that go with the node.
    pub staying: usize,
    /// Replicas on the node.
    pub copies: Vec<Copy>,
    /// Volumes that would be lost, as `--lose-volume` allows.
    pub lost: Vec<String>,
    /// Kustomizations of Flux that would put the node's objects back, and are suspended meanwhile.
    pub owners: Vec<String>,
    /// What of the change in git is to be taken back, in words; empty when nothing is.
    pub git: String,
    /// What stands in the way.
    pub blockers: Vec<Blocker>,
}

impl Forecast {
    /// Reads the cluster and the repository.
    ///
    /// # Errors
    /// Something of it cannot be read; then nothing may be begun.
    pub async fn read(cx: &Context) -> Result<Self, ActionError> {
        // What is decided by is read now, and not when somebody looked last.
        let view = cx.view.anew();
        let seen = Seen::read(&view, &cx.settings).await?;
        let mut forecast = of(&seen, &cx.settings, &cx.report.run);
        forecast.git = git::outlook(cx)?;
        Ok(forecast)
    }

    /// Volumes whose last healthy copy would go.
    #[must_use]
    pub fn at_risk(&self) -> usize {
        self.copies.iter().filter(|one| one.last).count()
    }

    /// `1 pod to evict, 0 volumes at risk`
    #[must_use]
    pub fn in_short(&self) -> String {
        let count = |number: usize, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        let pods = count(self.evicted.len(), "pod");
        let volumes = count(self.at_risk(), "volume");
        let blocked = match self.blockers.len() {
            0 => String::new(),
            number => format!(", {} in the way", count(number, "thing")),
        };
        if self.node == "absent" {
            return format!("the node is not in the cluster, so only git and Flux{blocked}");
        }
        format!("{pods} to evict, {volumes} at risk{blocked}")
    }
}

/// The forecast for what was seen; git apart.
fn of(seen: &Seen, settings: &Settings, run: &str) -> Forecast {
    let mut forecast = Forecast {
        node: seen.node().map_or_else(|| "absent".into(), state),
        owners: owners(seen, settings)
            .iter()
            .map(|one| one.metadata.full_name())
            .collect(),
        ..Forecast::default()
    };
    guard(seen, settings, &mut forecast);
    pods(seen, settings, &mut forecast);
    copies(seen, settings, run, &mut forecast);
    by_hand(seen, &mut forecast);
    local(seen, settings, &mut forecast);
    forecast
}

fn state(node: &Node) -> String {
    let ready: Condition<'_> = node::condition(node, "Ready");
    if ready.is_true() {
        "Ready".into()
    } else if is_silent(node) {
        "silent".into()
    } else {
        ready.to_string()
    }
}

/// What no flag allows.
fn guard(seen: &Seen, settings: &Settings, forecast: &mut Forecast) {
    let Some(leaving) = seen.node() else { return };
    if node::is_control_plane(leaving) || seen.name == settings.node.control_plane {
        forecast.blockers.push(Blocker::new(
            "ControlPlane",
            format!("node {}", seen.name),
            "it is a server of the cluster, and this takes out workers only",
            "name the worker with --node",
        ));
    }
    let stays = seen.nodes.iter().any(|one| {
        let cordoned = one.spec.as_ref().and_then(|spec| spec.unschedulable);
        node::name(one) != seen.name && node::is_ready(one) && cordoned != Some(true)
    });
    if !stays {
        forecast.blockers.push(Blocker::new(
            "NoNodeLeft",
            format!("node {}", seen.name),
            "no other node is Ready and takes pods",
            "bring another node back first: kubectl get nodes",
        ));
    }
}

fn pods(seen: &Seen, settings: &Settings, forecast: &mut Forecast) {
    let judge = Judge {
        budgets: &seen.budgets,
        sets: Some(&seen.sets),
        consent: &settings.consent,
        storage: &settings.longhorn.namespace,
    };
    if seen.node().is_none() {
        // What is left of its pods is collected without anybody's help.
        return;
    }
    for pod in seen.pods.iter() {
        match judge.fate(pod) {
            PodFate::Evicted { covered } => forecast.evicted.push(Evicted {
                pod: full_name(&pod.metadata),
                covered_by: covered,
            }),
            PodFate::Stays | PodFate::Ending => forecast.staying += 1,
            PodFate::Blocked(blockers) => forecast.blockers.extend(blockers),
        }
    }
    forecast.evicted.sort_by(|a, b| a.pod.cmp(&b.pod));
}

fn copies(seen: &Seen, settings: &Settings, run: &str, forecast: &mut Forecast) {
    let storage = &seen.storage;
    let mut known = Copies::new(storage, &seen.nodes, &seen.name, seen.can_evacuate());
    for replica in storage.on(&seen.name) {
        let name = &replica.spec.volume_name;
        // A test's volume goes with its claim, first of all.
        let test = |one| leftovers::test_of(&settings.probe.namespace, one);
        let tested_by = storage.volume(name).and_then(test);
        if tested_by == Some(run) {
            continue;
        }
        let fate = known.fate(replica);
        let claim = storage
            .volume(name)
            .map(|one| &one.status.kubernetes_status)
            .filter(|one| !one.pvc_name.is_empty())
            .map(|one| format!(" ({}/{})", one.namespace, one.pvc_name))
            .unwrap_or_default();
        let volume = format!("{name}{claim}");
        let consented = settings.consent.volumes.contains(name);
        let last = fate == Fate::Last;
        if last && consented {
            forecast.lost.push(volume.clone());
        } else if last {
            forecast.blockers.push(Blocker::new(
                "LastReplica",
                format!("volume {volume}"),
                format!(
                    "its last healthy copy is replica {}, and no other node can take it",
                    replica.metadata.name
                ),
                match tested_by {
                    // Nobody but that run can say that nobody needs it.
                    Some(_) => "it looks like the test of another run: --cleanup removes what such runs have left",
                    None => {
                        "make another healthy copy or a backup first; --lose-volume NAME lets it go for good"
                    }
                },
            ));
        }
        forecast.copies.push(Copy {
            replica: replica.metadata.name.clone(),
            volume,
            fate: match fate {
                Fate::Moves { to } => format!("Longhorn copies it to {to}"),
                Fate::Removed { copy } => format!(
                    "no other node can take it, a healthy copy is on {copy}: its Replica object is deleted"
                ),
                Fate::Unused => "holds nothing that is not elsewhere: it is deleted".into(),
                Fate::Last if consented => "the last healthy copy, LOST by --lose-volume".into(),
                Fate::Last => "the last healthy copy".into(),
            },
            last,
        });
    }
    forecast.copies.sort_by(|a, b| a.volume.cmp(&b.volume));
}

/// Volumes that somebody has attached to the node without Kubernetes: no eviction ever lets them go.
fn by_hand(seen: &Seen, forecast: &mut Forecast) {
    let attached: BTreeSet<String> = seen.attached().into_iter().collect();
    for volume in seen.storage.volumes.iter() {
        let here = volume.spec.node_id == seen.name;
        // What a claim stands for may only be on its way out after its pod; the wait for replicas names it if it stays.
        let claimed = !volume.status.kubernetes_status.pv_name.is_empty();
        if here && !claimed && !attached.contains(&volume.metadata.name) {
            forecast.blockers.push(Blocker::new(
                "AttachedByHand",
                format!("volume {}", volume.metadata.name),
                format!(
                    "it is attached to {} and no pod asked for that, so no eviction detaches it",
                    seen.name
                ),
                "detach it in Longhorn: its interface, or spec.nodeID of the volume",
            ));
        }
    }
}

/// PersistentVolumes that lie on the node itself.
fn local(seen: &Seen, settings: &Settings, forecast: &mut Forecast) {
    if seen.node().is_none() {
        return;
    }
    for volume in seen.volumes.iter().filter(|one| lies_on(one, &seen.name)) {
        let name = volume.metadata.name.clone().unwrap_or_default();
        let claim = volume
            .spec
            .as_ref()
            .and_then(|spec| spec.claim_ref.as_ref())
            .map(|claim| {
                format!(
                    " ({}/{})",
                    claim.namespace.as_deref().unwrap_or_default(),
                    claim.name.as_deref().unwrap_or_default()
                )
            })
            .unwrap_or_default();
        if settings.consent.volumes.contains(&name) {
            forecast.lost.push(format!("{name}{claim}"));
        } else {
            forecast.blockers.push(Blocker::new(
                "LocalVolume",
                format!("persistentvolume {name}{claim}"),
                format!("its data lies on {} itself and goes with it", seen.name),
                "copy the data away and delete the claim; --lose-volume NAME lets it go for good",
            ));
        }
    }
}

/// Whether a bound volume can be used on this node only.
fn lies_on(volume: &PersistentVolume, node: &str) -> bool {
    let Some(spec) = &volume.spec else {
        return false;
    };
    let phase = volume.status.as_ref().and_then(|one| one.phase.as_deref());
    if phase != Some("Bound") || spec.csi.as_ref().is_some_and(|csi| csi.driver == DRIVER) {
        return false;
    }
    let terms = spec
        .node_affinity
        .as_ref()
        .and_then(|affinity| affinity.required.as_ref())
        .map(|required| required.node_selector_terms.as_slice())
        .unwrap_or_default();
    !terms.is_empty()
        && terms.iter().all(|term| {
            let labels = term.match_expressions.iter().flatten();
            let fields = term.match_fields.iter().flatten();
            labels.chain(fields).any(|one| {
                let about = ["kubernetes.io/hostname", "metadata.name"].contains(&one.key.as_str());
                about
                    && one.operator == "In"
                    && one.values.as_deref() == Some(&[node.to_owned()][..])
            })
        })
}

/// The Kustomizations that would put the node's objects back: those whose labels its objects carry, those that have it
/// in their inventory, and the one that builds the entry.
pub(crate) fn owners<'a>(seen: &'a Seen, settings: &Settings) -> Vec<&'a Kustomization> {
    const NAME: &str = "kustomize.toolkit.fluxcd.io/name";
    const NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";
    let mut wanted: BTreeSet<(String, String)> = BTreeSet::from([(
        settings.flux.namespace.clone(),
        settings.flux.kustomization.clone(),
    )]);
    let mut add = |labels: &BTreeMap<String, String>| {
        if let (Some(name), Some(namespace)) = (labels.get(NAME), labels.get(NAMESPACE)) {
            wanted.insert((namespace.clone(), name.clone()));
        }
    };
    if let Some(one) = seen.storage.node(&seen.name) {
        add(&one.metadata.labels);
    }
    if let Some(labels) = seen.node().and_then(|one| one.metadata.labels.as_ref()) {
        add(labels);
    }
    let entries = [
        format!(
            "{}_{}_longhorn.io_Node",
            settings.longhorn.namespace, seen.name
        ),
        format!("_{}__Node", seen.name),
    ];
    seen.kustomizations
        .iter()
        .filter(|one| {
            let key = (one.metadata.namespace.clone(), one.metadata.name.clone());
            let listed = one
                .status
                .inventory
                .iter()
                .flat_map(|inventory| &inventory.entries)
                .any(|entry| entries.contains(&entry.id));
            wanted.contains(&key) || listed
        })
        .collect()
}
