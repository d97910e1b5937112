//! The differences that are known: those that are meant, and the faults of the sandbox that nobody has mended yet.
//!
//! A difference that is not here fails the test, and so does a line here that no difference needs any more.

use super::step::Step;

/// One known difference.
struct Deviation {
    /// A part of the row, as it is shown.
    row: &'static str,
    /// A part of the difference, as it is shown.
    at: &'static str,
    why: &'static str,
    /// Whether the sandbox is wrong, rather than meant to differ.
    open: bool,
}

const fn meant(row: &'static str, at: &'static str, why: &'static str) -> Deviation {
    Deviation {
        row,
        at,
        why,
        open: false,
    }
}

const fn open(row: &'static str, at: &'static str, why: &'static str) -> Deviation {
    Deviation {
        row,
        at,
        why,
        open: true,
    }
}

const KNOWN: &[Deviation] = &[
    meant(
        "services/web:80/proxy",
        "status:",
        "without its controllers a real cluster keeps no Endpoints, which the sandbox always does",
    ),
    meant(
        "/persistentvolumeclaims",
        "/metadata/finalizers",
        "no controller of the sandbox would take the protection of claims away again",
    ),
    meant(
        "json-patch+json",
        "/message",
        "the sandbox says which operation failed, which helps whoever reads it",
    ),
    meant(
        "application/x-unknown",
        "/message",
        "the sandbox says which media types it takes",
    ),
    meant(
        "/two/eviction",
        "/message",
        "the sandbox says which name the Eviction has",
    ),
    meant(
        "/kept/eviction",
        "/details/causes/0/message",
        "the text is that of servers before 1.36",
    ),
    meant(
        "labelSelector=",
        "/message",
        "the sandbox shows the whole requirement that it cannot parse",
    ),
    meant(
        "fieldSelector=data.a",
        "/message",
        "the sandbox has one text for fields it does not select by",
    ),
    meant(
        "continue=nonsense",
        "/message",
        "the sandbox's tokens have no inner form to complain of",
    ),
    meant(
        "\"kind\":\"Secret\"",
        "/message",
        "the text names Go types, which the sandbox has not",
    ),
    meant(
        "(application/yaml)",
        "/kind",
        "the sandbox answers in JSON always",
    ),
    meant(
        "(text/html)",
        "status:",
        "the sandbox answers in JSON always",
    ),
    meant(
        "selfsubjectaccessreviews application",
        "",
        "the kind is lost in the real server's refusal, and named in the sandbox's",
    ),
    open(
        "/nodes",
        "/spec/podCIDRs",
        "podCIDRs is not filled in from podCIDR",
    ),
    open(
        "/nodes",
        "/spec/taints",
        "a new Node gets no not-ready taint by admission",
    ),
    open(
        "/nodes",
        "/status: real {\"daemonEndpoints",
        "a Node without status shows no zero values",
    ),
    open("/nodes", "/cells/4", "an empty version is shown as null"),
    open(
        "/pods",
        "/status/qosClass",
        "the class of service is not worked out from requests and limits",
    ),
    open(
        "/pods",
        "/status/conditions",
        "an evicted pod gets no condition DisruptionTarget",
    ),
    open(
        "/pods/",
        "/metadata/",
        "a pod that is removed at once does not show its deletion",
    ),
    open(
        "/apis/apps/v1/",
        "",
        "defaults and zero values of DaemonSet and StatefulSet; a propagation policy that there is not is taken",
    ),
    open("/jobs", "", "defaults of Job, and its columns"),
    open(
        "/endpointslices",
        "/metadata/generation",
        "an EndpointSlice has no generation",
    ),
    open(
        "/poddisruptionbudgets",
        "/status",
        "a budget without status shows no zero values",
    ),
    open("/csidrivers", "/spec/", "defaults of CSIDriver"),
    open(
        "metrics.k8s.io",
        ": real",
        "a group that there is not answers in text, here with a Status",
    ),
    open(
        "GET /api/v1/things",
        ": real",
        "a resource that there is not in a group that there is answers with a Status, here in text",
    ),
    open(
        "/applied?",
        "conflict with",
        "the manager's version is named in the conflict",
    ),
    open(
        "/applied ",
        "/details",
        "a missing field manager has no causes",
    ),
    open("dryRun=Some", "status:", "any value of dryRun is taken"),
    open(
        "fieldValidation=Strict",
        "status:",
        "unknown fields of built-in kinds are taken in spite of strict validation",
    ),
    open(
        "PUT /api/v1/namespaces/table/configmaps ",
        "status:",
        "PUT on a collection is not 405",
    ),
    open(
        "[conflict]",
        "status:",
        "malformed and unwanted resource versions are 500 on a real server",
    ),
    open(
        "[precondition] DELETE",
        "/details/kind",
        "the details of a failed precondition name the plural, not the kind",
    ),
    open(
        "[precondition] PATCH",
        "status:",
        "a changed UID is a conflict, not invalid",
    ),
    open(
        "[finalizer] POST",
        "status:",
        "finalizers without a domain are taken",
    ),
    open(
        "/held ",
        "/details/causes",
        "the causes of a refused finalizer differ",
    ),
    open(
        "[selector] GET /api/v1/namespaces/table/configmaps",
        "/items",
        "shows what the rows before should have refused",
    ),
    open("limit=-1", "status:", "a negative limit is refused"),
    open(
        "resourceVersion=abc",
        "status:",
        "a malformed version of a watch is 500 on a real server",
    ),
];

/// What has been explained so far.
pub(super) struct Told {
    /// Whether each difference is shown, for who mends them: `DIFFERENCES=show`.
    shows: bool,
    used: std::collections::BTreeMap<usize, usize>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            shows: std::env::var_os("DIFFERENCES").is_some(),
            used: std::collections::BTreeMap::new(),
        }
    }

    /// Whether this difference is known.
    pub(super) fn explains(&mut self, step: &Step, difference: &str) -> bool {
        let row = step.to_string();
        let found = KNOWN
            .iter()
            .position(|known| row.contains(known.row) && difference.contains(known.at));
        if let Some(index) = found {
            *self.used.entry(index).or_default() += 1;
            if self.shows {
                println!("{row}\n  known ({}): {difference}", KNOWN[index].why);
            }
        }
        found.is_some()
    }

    /// How many differences were meant, and how many are faults.
    pub(super) fn counts(&self) -> (usize, usize) {
        let sum = |open: bool| {
            self.used
                .iter()
                .filter(|(index, _)| KNOWN[**index].open == open)
                .map(|(_, count)| count)
                .sum()
        };
        (sum(false), sum(true))
    }

    /// What is listed and has not been met.
    pub(super) fn unused(&self) -> Vec<String> {
        let unused = KNOWN
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.used.contains_key(index));
        unused
            .map(|(_, known)| format!("{} {} ({})", known.row, known.at, known.why))
            .collect()
    }
}
