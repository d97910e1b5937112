//! `pods/eviction`: deleting a pod as far as its PodDisruptionBudgets allow.

use serde_json::{Value, json};

use super::{
    call::Call,
    delete::{self, DeleteOptions},
    refusal::Refusal,
    resource::Resource,
    selector::LabelSelector,
    store::{Store, now},
    transaction::Transaction,
};

/// Evicts; the answer is the `Status` of success.
pub(crate) fn evict(store: &Store, call: &Call, body: &Value) -> Result<Value, Refusal> {
    let named = body["metadata"]["name"].as_str().unwrap_or_default();
    if named != call.name {
        return Err(Refusal::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let mut options = DeleteOptions::read(call, &body["deleteOptions"]);
    options.dry |= body["dryRun"]
        .as_array()
        .is_some_and(|d| d.iter().any(|d| d == "All"));
    let (Some(pods), Some(budgets)) = (
        store.registry.find("", "pods"),
        store.registry.find("policy", "poddisruptionbudgets"),
    ) else {
        return Err(Refusal::no_such_resource());
    };
    let mut transaction = store.begin(options.dry);
    let Some(pod) = transaction.get(&pods, &call.namespace, &call.name) else {
        return Err(Refusal::not_found("", "pods", &call.name));
    };
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let exempt = matches!(phase, "Succeeded" | "Failed" | "Pending")
        || pod["metadata"].get("deletionTimestamp").is_some();
    if !exempt {
        let mut matching = transaction.all(&budgets, &call.namespace);
        matching.retain(|budget| {
            let selector = &budget["spec"]["selector"];
            selector.is_object() && LabelSelector::from_object(selector).matches(&pod)
        });
        if matching.len() > 1 {
            let mut refusal = Refusal::internal("");
            refusal.message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.".to_owned();
            refusal.details = json!({ "causes": [{ "message": refusal.message }] });
            return Err(refusal);
        }
        if let [budget] = matching.as_slice() {
            let ready = pod["status"]["conditions"].as_array().is_some_and(|list| {
                list.iter()
                    .any(|c| c["type"] == "Ready" && c["status"] == "True")
            });
            let status = &budget["status"];
            let (healthy, wanted) = (
                status["currentHealthy"].as_i64().unwrap_or(0),
                status["desiredHealthy"].as_i64().unwrap_or(0),
            );
            let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            // A pod that is not ready takes nothing from a budget that is satisfied.
            let free = !ready && (always || (healthy >= wanted && wanted > 0));
            if !free {
                let new = spend(budget, &call.name)?;
                let key = (call.namespace.clone(), text(&budget["metadata"]["name"]));
                transaction.put(&budgets, key, new);
            }
        }
    }
    delete::preconditions(&pods, &pod, &options)?;
    if !transaction.dry {
        mark(&mut transaction, &pods, &pod);
    }
    delete::delete(
        &mut transaction,
        &pods,
        &(call.namespace.clone(), call.name.clone()),
        &options,
    )?;
    Ok(
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }),
    )
}

/// Says in the pod's conditions why it ends.
fn mark(transaction: &mut Transaction<'_>, pods: &Resource, pod: &Value) {
    let mut new = pod.clone();
    let condition = json!({ "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastTransitionTime": now() });
    match new["status"]["conditions"].as_array_mut() {
        Some(list) => {
            list.retain(|c| c["type"] != "DisruptionTarget");
            list.push(condition);
        }
        None => new["status"]["conditions"] = json!([condition]),
    }
    let key = (
        text(&pod["metadata"]["namespace"]),
        text(&pod["metadata"]["name"]),
    );
    transaction.put(pods, key, new);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Takes one disruption from a budget, or says why it has none.
fn spend(budget: &Value, pod: &str) -> Result<Value, Refusal> {
    let name = budget["metadata"]["name"].as_str().unwrap_or_default();
    let status = &budget["status"];
    let observed = status["observedGeneration"].as_i64().unwrap_or(0);
    if observed < budget["metadata"]["generation"].as_i64().unwrap_or(1) {
        let cause = format!("The disruption budget {name} is still being processed by the server.");
        let details = json!({ "retryAfterSeconds": 10, "causes": [{ "reason": "DisruptionBudget", "message": cause }] });
        return Err(Refusal::too_many(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            details,
        ));
    }
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or(0);
    if allowed <= 0 {
        let (wanted, healthy) = (
            status["desiredHealthy"].as_i64().unwrap_or(0),
            status["currentHealthy"].as_i64().unwrap_or(0),
        );
        let cause = format!(
            "The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
        );
        let details = json!({ "causes": [{ "reason": "DisruptionBudget", "message": cause }] });
        return Err(Refusal::too_many(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            details,
        ));
    }
    let mut new = budget.clone();
    new["status"]["disruptionsAllowed"] = (allowed - 1).into();
    new["status"]["disruptedPods"][pod] = now();
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(budgets: &[(&str, i64)]) -> Store {
        let store = Store::new();
        let mut objects = vec![json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "p", "namespace": "a", "labels": { "app": "x" } }, "spec": { "containers": [], "nodeName": "n" },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } })];
        for (name, allowed) in budgets {
            objects.push(json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": { "name": name, "namespace": "a" }, "spec": { "selector": { "matchLabels": { "app": "x" } } },
                "status": { "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1 } }));
        }
        store.load(objects).expect("objects");
        store
    }

    fn evict_p(store: &Store, query: &str) -> Result<Value, Refusal> {
        let call = Call::read("POST", "/api/v1/namespaces/a/pods/p/eviction", query);
        evict(
            store,
            &call,
            &json!({ "metadata": { "name": "p", "namespace": "a" } }),
        )
    }

    #[test]
    fn budgets_decide() {
        let refusal = evict_p(&store(&[("b", 0)]), "").expect_err("no disruption allowed");
        assert_eq!(refusal.code, 429);
        assert_eq!(refusal.details["causes"][0]["reason"], "DisruptionBudget");
        assert_eq!(
            refusal.details["causes"][0]["message"],
            "The disruption budget b needs 1 healthy pods and has 1 currently"
        );
        assert_eq!(
            evict_p(&store(&[("b", 1), ("c", 1)]), "")
                .expect_err("two budgets")
                .code,
            500
        );
        let store = store(&[("b", 1)]);
        evict_p(&store, "dryRun=All").expect("allowed");
        let pods = store.registry.find("", "pods").expect("pods");
        assert!(
            store.get(&pods, "a", "p").expect("pod")["metadata"]
                .get("deletionTimestamp")
                .is_none()
        );
        evict_p(&store, "").expect("allowed");
        let pod = store
            .get(&pods, "a", "p")
            .expect("bound pods wait for their kubelet");
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
        assert_eq!(
            store.all("policy", "poddisruptionbudgets", "a")[0]["status"]["disruptionsAllowed"],
            0
        );
    }
}
