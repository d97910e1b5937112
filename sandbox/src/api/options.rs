//! Options of requests that are not valid: an unknown `dryRun`, an unknown way to delete.

use serde_json::{Value, json};

use super::{
    call::Call,
    refusal::{Cause, Refusal},
};

/// Refuses what the query of a request may not say.
pub(crate) fn check(call: &Call) -> Result<(), Refusal> {
    let kind = match call.verb.as_str() {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => return Ok(()),
    };
    refuse(kind, dry_run(&asked(call)).into_iter().collect())
}

/// Refuses what the options of a deletion may not say, in the query or the body.
pub(crate) fn check_delete(call: &Call, body: &Value) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    let policy = body["propagationPolicy"]
        .as_str()
        .or_else(|| call.query.get("propagationPolicy"));
    if let Some(policy) = policy {
        let orphans = body["orphanDependents"].is_boolean();
        if orphans {
            causes.push(Cause::invalid(
                "propagationPolicy",
                &policy.into(),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        } else if !matches!(policy, "Foreground" | "Background" | "Orphan") {
            causes.push(Cause::unsupported(
                "propagationPolicy",
                &policy.into(),
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
    }
    let mut values = asked(call);
    values.extend(
        body["dryRun"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str().map(str::to_owned)),
    );
    causes.extend(dry_run(&values));
    refuse("DeleteOptions", causes)
}

fn asked(call: &Call) -> Vec<String> {
    let pairs = call.query.0.iter().filter(|(key, _)| key == "dryRun");
    pairs.map(|(_, value)| value.clone()).collect()
}

fn dry_run(values: &[String]) -> Option<Cause> {
    let known = values.iter().all(|value| value == "All");
    (!known).then(|| Cause::unsupported("dryRun", &json!(values), &["All"]))
}

fn refuse(kind: &str, causes: Vec<Cause>) -> Result<(), Refusal> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::options(kind, &causes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_are_refused_and_named() {
        let call = Call::read("POST", "/api/v1/namespaces/a/configmaps", "dryRun=Some");
        let refusal = check(&call).expect_err("Some is no way to run dry");
        assert_eq!(refusal.code, 422);
        assert_eq!(
            refusal.message,
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""
        );
        let call = Call::read("POST", "/api/v1/namespaces/a/configmaps", "dryRun=All");
        assert!(check(&call).is_ok());
        let call = Call::read("DELETE", "/api/v1/namespaces/a/configmaps/b", "");
        let refusal = check_delete(&call, &json!({ "propagationPolicy": "Nonsense" }));
        assert_eq!(refusal.expect_err("no such policy").code, 422);
        assert!(check_delete(&call, &json!({ "propagationPolicy": "Orphan" })).is_ok());
    }
}
