//! ResourceQuotas, as far as they count pods: the one kind of quota that keeps a pod out whatever it asks for.

use serde_json::Value;

/// Why one more pod may not be in a namespace with these quotas; nothing when it may.
pub(crate) fn refusal<'a>(
    quotas: impl IntoIterator<Item = &'a Value>,
    pods: impl IntoIterator<Item = &'a Value>,
) -> Option<String> {
    let used = pods
        .into_iter()
        .filter(|pod| {
            !matches!(
                pod["status"]["phase"].as_str(),
                Some("Succeeded" | "Failed")
            )
        })
        .count() as u64;
    quotas.into_iter().find_map(|quota| {
        ["pods", "count/pods"].into_iter().find_map(|key| {
            let limit: u64 = quota["spec"]["hard"][key].as_str()?.parse().ok()?;
            (used >= limit).then(|| {
                format!(
                    "exceeded quota: {}, requested: {key}=1, used: {key}={used}, limited: {key}={limit}",
                    quota["metadata"]["name"].as_str().unwrap_or_default()
                )
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_that_have_ended_do_not_count() {
        let quota = json!({"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}});
        let pod = |phase: &str| json!({"status": {"phase": phase}});
        assert_eq!(refusal([&quota], [&pod("Succeeded")]), None);
        assert_eq!(
            refusal([&quota], [&pod("Running")]).unwrap(),
            "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1"
        );
        let other = json!({"metadata": {"name": "x"}, "spec": {"hard": {"secrets": "0"}}});
        assert_eq!(refusal([&other], [&pod("Running")]), None);
    }
}
