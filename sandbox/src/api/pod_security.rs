//! Pod Security: what a namespace demands of its pods by its label `pod-security.kubernetes.io/enforce`.
//!
//! The rules and the words are those of the upstream standards, level `baseline` and level `restricted`
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).

use serde_json::Value;

const LABEL: &str = "pod-security.kubernetes.io/enforce";
const BASELINE_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const RESTRICTED_VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
    "image",
];

/// Why a pod may not be in this namespace, in the words of the API server; nothing when it may.
pub(crate) fn refusal(namespace: &Value, pod: &Value) -> Option<String> {
    let labels = &namespace["metadata"]["labels"];
    let level = labels[LABEL].as_str()?;
    let spec = &pod["spec"];
    let mut found = match level {
        "baseline" => baseline(spec),
        "restricted" => {
            let mut found = baseline(spec);
            found.extend(restricted(spec));
            found
        }
        _ => return None,
    };
    found.retain(|one| !one.is_empty());
    if found.is_empty() {
        return None;
    }
    let version = labels[format!("{LABEL}-version")]
        .as_str()
        .unwrap_or("latest");
    Some(format!(
        "violates PodSecurity \"{level}:{version}\": {}",
        found.join(", ")
    ))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|kind| items(&spec[kind]))
}

/// The names of the containers of which something is so, as the API server writes them: `container "a"`,
/// `containers "a", "b"`.
fn those(spec: &Value, so: impl Fn(&Value) -> bool) -> Option<String> {
    let names: Vec<String> = containers(spec)
        .filter(|one| so(one))
        .map(|one| format!("\"{}\"", one["name"].as_str().unwrap_or_default()))
        .collect();
    match names.len() {
        0 => None,
        1 => Some(format!("container {}", names[0])),
        _ => Some(format!("containers {}", names.join(", "))),
    }
}

fn baseline(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let host: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| spec[*field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if !host.is_empty() {
        found.push(format!("host namespaces ({})", host.join(", ")));
    }
    if let Some(who) = those(spec, |one| one["securityContext"]["privileged"] == true) {
        found.push(format!(
            "privileged ({who} must not set securityContext.privileged=true)"
        ));
    }
    let added = |one: &Value| -> bool {
        items(&one["securityContext"]["capabilities"]["add"])
            .iter()
            .any(|it| !BASELINE_CAPABILITIES.contains(&it.as_str().unwrap_or_default()))
    };
    if let Some(who) = those(spec, added) {
        found.push(format!(
            "non-default capabilities ({who} must not include other capabilities in securityContext.capabilities.add)"
        ));
    }
    let paths: Vec<String> = items(&spec["volumes"])
        .iter()
        .filter(|volume| !volume["hostPath"].is_null())
        .map(|volume| format!("\"{}\"", volume["name"].as_str().unwrap_or_default()))
        .collect();
    if !paths.is_empty() {
        let word = if paths.len() == 1 {
            "volume"
        } else {
            "volumes"
        };
        found.push(format!("hostPath volumes ({word} {})", paths.join(", ")));
    }
    let ports = |one: &Value| {
        items(&one["ports"])
            .iter()
            .any(|port| port["hostPort"].as_u64().unwrap_or(0) != 0)
    };
    if let Some(who) = those(spec, ports) {
        found.push(format!("hostPort ({who} uses hostPorts)"));
    }
    let unconfined = |context: &Value| context["seccompProfile"]["type"] == "Unconfined";
    let who = those(spec, |one| unconfined(&one["securityContext"]))
        .or_else(|| unconfined(&spec["securityContext"]).then(|| "pod".to_owned()));
    if let Some(who) = who {
        found.push(format!(
            "seccompProfile ({who} must not set securityContext.seccompProfile.type to \"Unconfined\")"
        ));
    }
    found
}

fn restricted(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let pod = &spec["securityContext"];
    let volumes: Vec<String> = items(&spec["volumes"])
        .iter()
        .filter(|volume| {
            volume.as_object().is_some_and(|fields| {
                fields
                    .keys()
                    .any(|key| key != "name" && !RESTRICTED_VOLUMES.contains(&key.as_str()))
            })
        })
        .map(|volume| format!("\"{}\"", volume["name"].as_str().unwrap_or_default()))
        .collect();
    if !volumes.is_empty() {
        found.push(format!(
            "restricted volume types (volumes {})",
            volumes.join(", ")
        ));
    }
    if let Some(who) = those(spec, |one| {
        one["securityContext"]["allowPrivilegeEscalation"] != false
    }) {
        found.push(format!(
            "allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)"
        ));
    }
    let keeps = |one: &Value| {
        let capabilities = &one["securityContext"]["capabilities"];
        !items(&capabilities["drop"]).iter().any(|it| it == "ALL")
            || items(&capabilities["add"])
                .iter()
                .any(|it| it != "NET_BIND_SERVICE")
    };
    if let Some(who) = those(spec, keeps) {
        found.push(format!(
            "unrestricted capabilities ({who} must set securityContext.capabilities.drop=[\"ALL\"])"
        ));
    }
    let as_root = |one: &Value| {
        let own = &one["securityContext"]["runAsNonRoot"];
        if own.is_null() {
            pod["runAsNonRoot"] != true
        } else {
            own != true
        }
    };
    if let Some(who) = those(spec, as_root) {
        found.push(format!(
            "runAsNonRoot != true (pod or {who} must set securityContext.runAsNonRoot=true)"
        ));
    }
    let zero = those(spec, |one| one["securityContext"]["runAsUser"] == 0)
        .or_else(|| (pod["runAsUser"] == 0).then(|| "pod".to_owned()));
    if let Some(who) = zero {
        found.push(format!("runAsUser=0 ({who} must not set runAsUser=0)"));
    }
    let unfiltered = |one: &Value| {
        let own = &one["securityContext"]["seccompProfile"]["type"];
        let kind = if own.is_null() {
            &pod["seccompProfile"]["type"]
        } else {
            own
        };
        kind != "RuntimeDefault" && kind != "Localhost"
    };
    if let Some(who) = those(spec, unfiltered) {
        found.push(format!(
            "seccompProfile (pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \
             \"Localhost\")"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn space(level: &str) -> Value {
        json!({"metadata": {"name": "x", "labels": {"pod-security.kubernetes.io/enforce": level}}})
    }

    fn good() -> Value {
        json!({"spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "a",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}],
        }})
    }

    #[test]
    fn what_keeps_to_the_level_is_taken() {
        for level in ["privileged", "baseline", "restricted"] {
            assert_eq!(refusal(&space(level), &good()), None, "{level}");
        }
        assert_eq!(
            refusal(
                &json!({"metadata": {}}),
                &json!({"spec": {"hostPID": true}})
            ),
            None
        );
    }

    #[test]
    fn a_plain_pod_is_refused_in_the_words_of_the_api_server() {
        let plain = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(
            refusal(&space("restricted"), &plain).unwrap(),
            "violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"a\" must set \
             securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"a\" must set \
             securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"a\" must set \
             securityContext.runAsNonRoot=true), seccompProfile (pod or container \"a\" must set \
             securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        );
        assert_eq!(refusal(&space("baseline"), &plain), None);
    }

    #[test]
    fn each_single_breach_is_named() {
        let breaches = [
            ("/spec/hostNetwork", json!(true), "hostNetwork=true"),
            (
                "/spec/containers/0/securityContext/privileged",
                json!(true),
                "privileged",
            ),
            (
                "/spec/containers/0/securityContext/allowPrivilegeEscalation",
                json!(true),
                "allowPrivilegeEscalation",
            ),
            (
                "/spec/containers/0/securityContext/capabilities",
                json!({}),
                "unrestricted capabilities",
            ),
            (
                "/spec/containers/0/securityContext/capabilities",
                json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}),
                "non-default capabilities",
            ),
            (
                "/spec/containers/0/securityContext/runAsUser",
                json!(0),
                "runAsUser=0",
            ),
            (
                "/spec/securityContext/runAsNonRoot",
                json!(false),
                "runAsNonRoot",
            ),
            (
                "/spec/securityContext/seccompProfile",
                json!({"type": "Unconfined"}),
                "seccompProfile",
            ),
            (
                "/spec/containers/0/ports",
                json!([{"hostPort": 80}]),
                "hostPort",
            ),
            (
                "/spec/volumes/0",
                json!({"name": "data", "hostPath": {"path": "/"}}),
                "hostPath",
            ),
            (
                "/spec/volumes/0",
                json!({"name": "data", "nfs": {"path": "/"}}),
                "restricted volume types",
            ),
        ];
        for (place, value, word) in breaches {
            let mut pod = good();
            let (parent, key) = place.rsplit_once('/').unwrap();
            let target = pod.pointer_mut(parent).unwrap();
            match key.parse::<usize>() {
                Ok(index) => target[index] = value,
                Err(_) => target[key] = value,
            }
            let said = refusal(&space("restricted"), &pod).unwrap_or_default();
            assert!(said.contains(word), "{place}: {said:?}");
        }
    }
}
