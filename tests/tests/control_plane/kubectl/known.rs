//! The lines that differ and are meant to, with the reason. A line that no difference needs any more fails the test.

/// A part of the command, a part of the difference, and why.
type Known = (&'static str, &'static str, &'static str);

const KNOWN: &[Known] = &[
    (
        "get nodes -o wide",
        "6.1",
        "the architecture stands beside the kernel since 1.34",
    ),
    (
        "get pods -n shop -o yaml",
        "lastProbeTime: null",
        "a time that was never set is null there, and absent here",
    ),
    (
        "get pods -n shop -o yaml",
        "lastTransitionTime: ",
        "the line moves, since the one above is absent here",
    ),
    ("get --raw", "{", "the keys of an object have no order"),
    (
        "/metadata/labels/absent",
        "The request is invalid",
        "the sandbox says which operation failed, which helps whoever reads it",
    ),
    (
        "'{\"data\":{\"colour\":1}}'",
        "patch: Invalid value",
        "the real text shows the whole object, the sandbox's the patch",
    ),
    (
        "api-resources --no-headers",
        "real: componentstatuses",
        "deprecated since 1.19, and nobody asks for it",
    ),
    (
        "api-resources --no-headers",
        "resource.k8s.io/v1",
        "devices came with 1.34 and are no part of a storage node",
    ),
    (
        "api-resources --no-headers",
        "real: mutatingadmissionpolic",
        "came with 1.36, and the sandbox enforces no policies",
    ),
    (
        "api-resources --no-headers",
        "real: volumeattributesclasses",
        "came with 1.34, and Longhorn has none",
    ),
    (
        "api-versions",
        "real: autoscaling/v1",
        "only the newer version of what scales is served",
    ),
    (
        "api-versions",
        "real: resource.k8s.io/v1",
        "devices came with 1.34 and are no part of a storage node",
    ),
    (
        "explain pod.spec",
        "real:   hostnameOverride",
        "came with 1.34, and the sandbox's types are of 1.33",
    ),
    (
        "explain pod.spec",
        "real:   schedulingGroup",
        "came with 1.36, and the sandbox's types are of 1.33",
    ),
    (
        "explain pod.spec.containers",
        "real:   restartPolicyRules",
        "came with 1.34, and the sandbox's types are of 1.33",
    ),
];

/// What has been explained so far.
pub(super) struct Told {
    used: Vec<usize>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            used: vec![0; KNOWN.len()],
        }
    }

    /// Whether this difference is known.
    pub(super) fn explains(&mut self, command: &str, difference: &str) -> bool {
        let found = KNOWN
            .iter()
            .position(|(row, at, _)| command.contains(row) && difference.contains(at));
        if let Some(index) = found {
            self.used[index] += 1;
        }
        found.is_some()
    }

    /// How many lines were explained.
    pub(super) fn count(&self) -> usize {
        self.used.iter().sum()
    }

    /// What is listed and has not been met.
    pub(super) fn unused(&self) -> Vec<String> {
        let rows = KNOWN.iter().zip(&self.used);
        rows.filter(|(_, count)| **count == 0)
            .map(|((row, at, why), _)| format!("kubectl … {row}: {at} ({why})"))
            .collect()
    }
}
