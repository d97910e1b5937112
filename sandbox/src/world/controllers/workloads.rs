//! DaemonSets, Deployments, ReplicaSets and StatefulSets: the pods they want, and what they say about them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::world::{
    kinds::{CLAIMS, DAEMON_SETS, DEPLOYMENTS, NODES, PODS, REPLICA_SETS, STATEFUL_SETS},
    make::{
        conditions, controller_uid, deleting, items, merge, name, namespace, object, owned_by,
        suffix, text, uid_of, would_change,
    },
    pods,
    scene::{Change, Scene},
};

fn pods_of(scene: &Scene<'_>, owner: &Value) -> Vec<Arc<Value>> {
    scene
        .list(&PODS)
        .into_iter()
        .filter(|pod| controller_uid(pod) == uid_of(owner))
        .collect()
}

/// The node that a daemon pod is meant for, whether or not it is bound yet.
fn meant_for(pod: &Value) -> &str {
    let bound = text(&pod["spec"]["nodeName"]);
    if !bound.is_empty() {
        return bound;
    }
    let required =
        &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    text(&required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])
}

pub(crate) fn daemon_sets(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let nodes: Vec<Arc<Value>> = scene
        .list(&NODES)
        .into_iter()
        .filter(|node| !deleting(node))
        .collect();
    for set in scene.list(&DAEMON_SETS) {
        if deleting(&set) {
            continue;
        }
        let pods = pods_of(scene, &set);
        let hash = pods::template_hash(&set);
        let wanted: Vec<&Arc<Value>> = nodes
            .iter()
            .filter(|node| pods::daemon_belongs(&set, node))
            .collect();
        let mut ready = 0;
        let mut current = 0;
        let mut updated = 0;
        let kept: Vec<&Arc<Value>> = nodes
            .iter()
            .filter(|node| pods::daemon_stays(&set, node))
            .collect();
        for node in &kept {
            let there: Vec<_> = pods
                .iter()
                .filter(|pod| meant_for(pod) == name(node))
                .collect();
            if there.is_empty() && wanted.iter().any(|other| name(other) == name(node)) {
                let fresh =
                    pods::for_daemon(&set, name(node), &format!("{}-{}", name(&set), suffix(5)));
                changes.push(Change::Create(fresh));
            }
            for pod in there {
                let same = pod["metadata"]["labels"]["controller-revision-hash"] == hash.as_str();
                current += 1;
                updated += i64::from(same);
                ready += i64::from(pods::is_ready(pod));
                if (!same || pods::is_finished(pod)) && !deleting(pod) {
                    changes.push(Change::delete(&PODS, pod));
                }
            }
        }
        for pod in &pods {
            if !kept.iter().any(|node| name(node) == meant_for(pod)) && !deleting(pod) {
                changes.push(Change::delete(&PODS, pod));
            }
        }
        let desired = i64::try_from(wanted.len()).unwrap_or(0);
        let status = json!({
            "currentNumberScheduled": current.min(desired), "desiredNumberScheduled": desired, "numberReady": ready,
            "numberAvailable": ready, "numberMisscheduled": 0, "numberUnavailable": desired - ready,
            "updatedNumberScheduled": updated, "observedGeneration": set["metadata"]["generation"],
        });
        say(&DAEMON_SETS, &set, status, changes);
    }
}

fn say(
    res: &'static crate::world::kinds::Res,
    object: &Value,
    status: Value,
    changes: &mut Vec<Change>,
) {
    if would_change(&object["status"], &status) {
        changes.push(Change::status(res, object, status));
    }
}

fn replicas(owner: &Value) -> usize {
    owner["spec"]["replicas"]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(1)
}

pub(crate) fn deployments(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let sets = scene.list(&REPLICA_SETS);
    for deployment in scene.list(&DEPLOYMENTS) {
        if deleting(&deployment) {
            continue;
        }
        let hash = pods::template_hash(&deployment);
        let mut ready = 0;
        let mut all = 0;
        let mut updated = 0;
        let mut found = false;
        for set in sets
            .iter()
            .filter(|set| controller_uid(set) == uid_of(&deployment))
        {
            let current = set["metadata"]["labels"]["pod-template-hash"] == hash.as_str();
            found |= current;
            let want = if current { replicas(&deployment) } else { 0 };
            if replicas(set) != want {
                changes.push(Change::spec(
                    &REPLICA_SETS,
                    set,
                    json!({"spec": {"replicas": want}}),
                ));
            }
            let count = set["status"]["replicas"].as_i64().unwrap_or(0);
            all += count;
            updated += if current { count } else { 0 };
            ready += set["status"]["readyReplicas"].as_i64().unwrap_or(0);
        }
        if !found {
            changes.push(Change::Create(replica_set(&deployment, &hash)));
        }
        let desired = i64::try_from(replicas(&deployment)).unwrap_or(1);
        let enough = ready >= desired;
        let told = [
            json!({
                "type": "Available", "status": if enough { "True" } else { "False" },
                "reason": if enough { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" },
                "message": if enough { "Deployment has minimum availability." } else { "Deployment does not have minimum availability." },
            }),
            json!({
                "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
                "message": format!("ReplicaSet \"{}-{hash}\" has successfully progressed.", name(&deployment)),
            }),
        ];
        let status = json!({
            "observedGeneration": deployment["metadata"]["generation"], "replicas": all, "updatedReplicas": updated,
            "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": (desired - ready).max(0),
            "conditions": conditions(&deployment["status"]["conditions"], &told),
        });
        say(&DEPLOYMENTS, &deployment, status, changes);
    }
}

fn replica_set(deployment: &Value, hash: &str) -> Value {
    let label = json!({"pod-template-hash": hash});
    let mut template = deployment["spec"]["template"].clone();
    merge(&mut template, json!({"metadata": {"labels": label}}));
    let mut selector = deployment["spec"]["selector"].clone();
    merge(&mut selector, json!({"matchLabels": label}));
    object(
        "apps/v1",
        "ReplicaSet",
        namespace(deployment),
        &format!("{}-{hash}", name(deployment)),
        json!({
            "metadata": {
                "labels": template["metadata"]["labels"], "ownerReferences": owned_by(deployment),
                "annotations": {"deployment.kubernetes.io/revision": "1"},
            },
            "spec": {"replicas": replicas(deployment), "selector": selector, "template": template},
        }),
    )
}

pub(crate) fn replica_sets(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for set in scene.list(&REPLICA_SETS) {
        if deleting(&set) {
            continue;
        }
        let mut pods: Vec<Arc<Value>> = pods_of(scene, &set)
            .into_iter()
            .filter(|pod| !deleting(pod) && !pods::is_finished(pod))
            .collect();
        let want = replicas(&set);
        for _ in pods.len()..want {
            changes.push(Change::Create(pods::from_template(
                &set,
                &format!("{}-{}", name(&set), suffix(5)),
            )));
        }
        // Those that are not ready go first.
        pods.sort_by_key(|pod| pods::is_ready(pod));
        for pod in pods.iter().take(pods.len().saturating_sub(want)) {
            changes.push(Change::delete(&PODS, pod));
        }
        let ready = pods.iter().filter(|pod| pods::is_ready(pod)).count();
        let status = json!({
            "replicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready,
            "fullyLabeledReplicas": pods.len(), "observedGeneration": set["metadata"]["generation"],
        });
        say(&REPLICA_SETS, &set, status, changes);
    }
}

pub(crate) fn stateful_sets(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for set in scene.list(&STATEFUL_SETS) {
        if deleting(&set) {
            continue;
        }
        let pods = pods_of(scene, &set);
        let mut ready = 0;
        for index in 0..replicas(&set) {
            let pod_name = format!("{}-{index}", name(&set));
            for template in items(&set["spec"]["volumeClaimTemplates"]) {
                let claim = format!("{}-{pod_name}", name(template));
                if scene.get(&CLAIMS, namespace(&set), &claim).is_none() {
                    changes.push(Change::Create(object(
                        "v1",
                        "PersistentVolumeClaim",
                        namespace(&set),
                        &claim,
                        json!({
                            "metadata": {"labels": set["spec"]["selector"]["matchLabels"]},
                            "spec": template["spec"],
                        }),
                    )));
                }
            }
            match pods.iter().find(|pod| name(pod) == pod_name) {
                Some(pod) if pods::is_ready(pod) => ready += 1,
                Some(pod) if pods::is_finished(pod) && !deleting(pod) => {
                    changes.push(Change::delete(&PODS, pod))
                }
                Some(_) => {}
                // A name is free again only when the old pod is gone altogether.
                None if scene.get(&PODS, namespace(&set), &pod_name).is_none() => {
                    changes.push(Change::Create(member(&set, &pod_name, index)));
                }
                None => {}
            }
        }
        let hash = format!("{}-{}", name(&set), pods::template_hash(&set));
        let status = json!({
            "replicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready, "currentReplicas": ready,
            "updatedReplicas": ready, "observedGeneration": set["metadata"]["generation"], "collisionCount": 0,
            "currentRevision": hash, "updateRevision": hash,
        });
        say(&STATEFUL_SETS, &set, status, changes);
    }
}

fn member(set: &Value, pod_name: &str, index: usize) -> Value {
    let mut pod = pods::from_template(set, pod_name);
    let hash = format!("{}-{}", name(set), pods::template_hash(set));
    merge(
        &mut pod,
        json!({"metadata": {"labels": {
            "statefulset.kubernetes.io/pod-name": pod_name, "apps.kubernetes.io/pod-index": index.to_string(),
            "controller-revision-hash": hash,
        }}}),
    );
    let mut volumes = items(&pod["spec"]["volumes"]).to_vec();
    for template in items(&set["spec"]["volumeClaimTemplates"]) {
        let claim = format!("{}-{pod_name}", name(template));
        volumes
            .push(json!({"name": name(template), "persistentVolumeClaim": {"claimName": claim}}));
    }
    pod["spec"]["volumes"] = volumes.into();
    pod["spec"]["hostname"] = pod_name.into();
    pod
}
