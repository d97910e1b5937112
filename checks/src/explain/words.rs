//! Words of the field that a reader may not know.

/// A word and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it stands in texts.
    pub word: &'static str,
    /// One sentence.
    pub meaning: &'static str,
    /// Other spellings that mean it too.
    also: &'static [&'static str],
}

const fn word(word: &'static str, meaning: &'static str, also: &'static [&'static str]) -> Word {
    Word {
        word,
        meaning,
        also,
    }
}

const WORDS: &[Word] = &[
    word(
        "k3s",
        "a small Kubernetes in one program; a server carries the control plane, an agent only work",
        &[],
    ),
    word(
        "kubelet",
        "the part of a node that starts its pods and reports how the node is",
        &["kubelets"],
    ),
    word(
        "cordon",
        "to tell the scheduler that no new pod is to be placed on a node",
        &["cordoned", "uncordon"],
    ),
    word(
        "taint",
        "a mark on a node that keeps pods away which do not tolerate it",
        &["taints", "tolerations"],
    ),
    word(
        "condition",
        "one line of an object's status: a type, True, False or Unknown, and a reason",
        &["conditions"],
    ),
    word(
        "Lease",
        "a small object that its holder renews, so that others see that it lives",
        &["Leases"],
    ),
    word(
        "DaemonSet",
        "one pod on every node that its selector and tolerations allow",
        &["DaemonSets"],
    ),
    word(
        "endpoint",
        "a pod that takes the traffic of a Service",
        &["endpoints"],
    ),
    word(
        "node port",
        "a port that every node opens for a Service",
        &["node ports", "NodePort", "nodeport"],
    ),
    word(
        "externalTrafficPolicy",
        "whether a node may hand traffic on to pods elsewhere (Cluster) or only to its own (Local)",
        &[],
    ),
    word(
        "flannel",
        "what joins the pod networks of the nodes; in k3s it is built in and shows itself only by annotations",
        &["Flannel"],
    ),
    word(
        "VXLAN",
        "a tunnel that carries packets between pods of different nodes",
        &["tunnel"],
    ),
    word(
        "kube-proxy",
        "turns the address of a Service into that of one of its pods",
        &[],
    ),
    word(
        "Flux",
        "applies what stands in a git repository to the cluster, and keeps it so",
        &[],
    ),
    word(
        "GitRepository",
        "Flux's object that says which repository and branch to fetch",
        &["git source", "git sources"],
    ),
    word(
        "artifact",
        "the copy of one commit that Flux has fetched and applies from",
        &[],
    ),
    word(
        "Kustomization",
        "Flux's object that builds one folder of the repository and applies it",
        &["Kustomizations"],
    ),
    word(
        "suspended",
        "switched off for a while by a person: an object of Flux then does nothing and keeps its old status",
        &["suspend", "spec.suspend"],
    ),
    word(
        "Stalled",
        "Flux has given up until something is changed",
        &[],
    ),
    word(
        "Longhorn",
        "storage in the cluster: it keeps copies of each volume on the disks of several nodes",
        &["Longhorn's"],
    ),
    word(
        "volume",
        "a disk that Longhorn serves to one pod",
        &["volumes"],
    ),
    word(
        "replica",
        "one copy of a volume, on one disk of one node",
        &["replicas"],
    ),
    word(
        "engine",
        "the process that serves a volume to a pod and writes to all its replicas",
        &["engines", "engine image"],
    ),
    word(
        "instance manager",
        "Longhorn's pod on each node in which engines and replicas run",
        &["InstanceManager", "instance managers"],
    ),
    word(
        "longhorn-manager",
        "Longhorn's program on each node that looks after disks, volumes and replicas",
        &["Longhorn manager", "manager"],
    ),
    word(
        "robustness",
        "how many of a volume's copies are well: healthy all, degraded some, faulted none",
        &["faulted", "degraded"],
    ),
    word(
        "over-provisioning",
        "how much more than its size a disk may promise to replicas, in percent",
        &[],
    ),
    word(
        "CSI",
        "how Kubernetes attaches storage to a node: a driver that registers with the kubelet",
        &["CSIDriver", "CSINode", "driver.longhorn.io"],
    ),
    word(
        "StorageClass",
        "the kind of storage that a claim asks for",
        &["StorageClasses"],
    ),
    word(
        "claim",
        "a workload's request for a volume (PersistentVolumeClaim)",
        &["claims"],
    ),
    word(
        "webhook",
        "a program that the API server asks before it takes a change",
        &["webhooks"],
    ),
    word(
        "Prometheus",
        "collects numbers from programs (scrapes its targets) and raises alerts",
        &["scrape", "scraped", "scrapes"],
    ),
    word(
        "node-exporter",
        "the pod on each node that reports what the machine uses",
        &[],
    ),
    word(
        "service proxy",
        "a way through the API server to a program in the cluster, without opening a port",
        &[],
    ),
    word(
        "SOPS",
        "encrypts values in files, so that they may lie in git",
        &[],
    ),
    word(
        "quota",
        "a limit on what a namespace may use",
        &["ResourceQuota", "quotas"],
    ),
    word(
        "SubjectAccessReview",
        "a question to the API server: may this user do this?",
        &[],
    ),
];

/// The words of the list that stand in a text, in the order of the list.
#[must_use]
pub fn words_in(text: &str) -> Vec<&'static Word> {
    let stands = |wanted: &str| {
        text.match_indices(wanted).any(|(at, _)| {
            let letter = |one: Option<char>| {
                one.is_some_and(|one| one.is_alphanumeric() || matches!(one, '_' | '-'))
            };
            !letter(text[..at].chars().next_back())
                && !letter(text[at + wanted.len()..].chars().next())
        })
    };
    WORDS
        .iter()
        .filter(|one| stands(one.word) || one.also.iter().any(|other| stands(other)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        words_in(text).iter().map(|one| one.word).collect()
    }

    #[test]
    fn whole_words_are_found_in_their_other_forms_too() {
        assert_eq!(found("A replica that is cordoned."), ["cordon", "replica"]);
        assert_eq!(found("The engine's replicas."), ["replica", "engine"]);
        assert_eq!(found("volumeless, kubeletry and pre-volume"), [""; 0]);
    }

    #[test]
    fn every_word_is_used_by_a_check() {
        let all: String = crate::catalogue::all()
            .flat_map(|check| {
                [
                    check.title,
                    check.why,
                    super::super::decided(check.id).unwrap_or_default(),
                ]
            })
            .fold(String::new(), |all, text| all + "\n" + text);
        let used = found(&all);
        let idle: Vec<&str> = WORDS
            .iter()
            .map(|one| one.word)
            .filter(|word| !used.contains(word))
            .collect();
        assert!(idle.is_empty(), "no check speaks of {idle:?}");
    }
}
