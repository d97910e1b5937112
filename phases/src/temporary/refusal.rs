//! Why the API server does not take an object of ours, and what else keeps a pod from its work.

use checks::Reason;

use crate::{
    ActionError,
    flux::{WEBHOOK_REFUSED, is_refusal},
};

/// What keeps a pod of ours from its work; each of these is another person's to settle.
pub(crate) const REFUSALS: &[Reason] = &[
    Reason::new(
        "NoImage",
        "name an image with a shell and busybox's tools: [probe] image in onboarding.toml",
    ),
    Reason::new(
        "PodSecurityRefused",
        "the pods keep to the level restricted; a namespace that somebody has prepared must not demand more: kubectl get namespace --show-labels",
    ),
    Reason::new(
        "QuotaExceeded",
        "raise or remove the named ResourceQuota, or name another namespace: [probe] namespace",
    ),
    Reason::new(
        "WebhookRefused",
        "allow pods of this program in the policy that the message names, by their label app.kubernetes.io/managed-by=onboarding",
    ),
    Reason::new(
        "PodInvalid",
        "the API server does not take the manifest, which is a bug of this program: report it with the log file",
    ),
    Reason::new(
        "NamespaceTerminating",
        "see what it waits for: kubectl get namespace -o yaml, status.conditions; or name another: [probe] namespace",
    ),
    Reason::new(
        "ImageNotPulled",
        "the message has the kubelet's words; make the image available to the node, or name another: [probe] image",
    ),
    Reason::new(
        "PodUnschedulable",
        "the message has the scheduler's words: kubectl describe node",
    ),
    Reason::new(
        "PodRejected",
        "the kubelet does not take the pod; the message has its words: kubectl describe node",
    ),
    Reason::new(
        "PodNotStarted",
        "the container did not start in time; the message says what it waits for. On the node: journalctl -u k3s-agent -n 100 (k3s on a server)",
    ),
    Reason::new(
        "PodNotFinished",
        "the pod started and did not report in time: look at the load of the node, then ask again",
    ),
    Reason::new(
        "PodGone",
        "somebody has deleted the pod while it worked: ask again",
    ),
    Reason::new(
        "NoReport",
        "the pod ended without a report; its image must hold sh, sed, nc, nslookup: [probe] image",
    ),
];

/// What an error of a request for an object of ours means.
pub(super) fn meaning(what: &str, error: &kube::Error) -> ActionError {
    let kube::Error::Api(status) = error else {
        return ActionError::new("Unreachable", format!("{what}: {error}"));
    };
    let said = status.message.as_str();
    let reason = match status.code {
        _ if said.contains("violates PodSecurity") => "PodSecurityRefused",
        _ if said.contains("exceeded quota") || said.contains("failed quota") => "QuotaExceeded",
        _ if said.contains("being terminated") => "NamespaceTerminating",
        _ if is_refusal(said) || said.contains("failed calling webhook") => WEBHOOK_REFUSED,
        401 | 403 => "MissingPermission",
        404 => "NotFound",
        409 => "Conflict",
        400 | 422 => "PodInvalid",
        _ => "ServerError",
    };
    ActionError::new(reason, format!("{what}: {said} ({})", status.code))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, message: &str) -> kube::Error {
        let status = Status::failure(message, "").with_code(code);
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn who_refused_is_told_apart_by_the_words_of_the_api_server() {
        let cases = [
            (
                403,
                "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": x",
                "PodSecurityRefused",
            ),
            (
                403,
                "pods \"a\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0",
                "QuotaExceeded",
            ),
            (
                400,
                "admission webhook \"validate.kyverno.svc\" denied the request: no",
                "WebhookRefused",
            ),
            (
                500,
                "Internal error occurred: failed calling webhook \"x\": timeout",
                "WebhookRefused",
            ),
            (
                403,
                "pods \"a\" is forbidden: unable to create new content in namespace x because it is being terminated",
                "NamespaceTerminating",
            ),
            (
                403,
                "pods is forbidden: User \"u\" cannot create resource \"pods\"",
                "MissingPermission",
            ),
            (422, "Pod \"a\" is invalid: spec.containers", "PodInvalid"),
        ];
        for (code, said, reason) in cases {
            let error = meaning("pods a", &api(code, said));
            assert_eq!(error.reason, reason, "{said}");
            assert!(error.message.contains(said), "{}", error.message);
        }
    }

    #[test]
    fn every_reason_can_be_said_with_a_remedy() {
        for reason in REFUSALS {
            assert!(reason.remedy.len() > 20, "{}", reason.code);
        }
    }
}
