//! A policy that a real API server evaluates by itself, which the sandbox's does not.

use sandbox::Stage;
use serde_json::json;
use tests::{TestEnvironment, control_plane::PROGRAMS};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const JSON: &str = "application/json";

/// The refusal is told, no other reason is made of it, and the rollback goes on once it has passed.
pub(crate) fn what_it_refuses_for_a_moment_is_asked_again() {
    let world = TestEnvironment::at(Stage::Onboarded, &["longhorn-hard-anti-affinity"]);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "keep"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["longhorn.io"], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["replicas"],
            }]},
            "validations": [{
                "expression": format!("request.userInfo.username == '{PROGRAMS}'"), "message": "they are kept",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "keep"},
        "spec": {"policyName": "keep", "validationActions": ["Deny"]},
    });
    world.send("POST", POLICIES, JSON, &policy);
    world.send("POST", BINDINGS, JSON, &binding);
    let mut running = world.spawn_onboard(&["--rollback", "--yes"]);
    running.until("the refusal is seen", |one| {
        let said = one.said();
        said.contains("may not be deleted") && said.contains("they are kept")
    });
    for kind in [BINDINGS, POLICIES] {
        world.send("DELETE", &format!("{kind}/keep"), JSON, &json!({}));
    }
    let output = running.wait().exits(0);
    output.says("is out");
}
