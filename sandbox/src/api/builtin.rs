//! The resources that every API server has.

use super::resource::Resource;

/// Under each group and version: `N` namespaced or `C` cluster scope, `s` with a status subresource; plural, kind,
/// short names.
const TABLE: &str = "
core/v1:
  N- bindings Binding
  N- configmaps ConfigMap cm
  N- endpoints Endpoints ep
  N- events Event ev
  N- limitranges LimitRange limits
  Cs namespaces Namespace ns
  Cs nodes Node no
  Ns persistentvolumeclaims PersistentVolumeClaim pvc
  Cs persistentvolumes PersistentVolume pv
  Ns pods Pod po
  N- podtemplates PodTemplate
  Ns replicationcontrollers ReplicationController rc
  Ns resourcequotas ResourceQuota quota
  N- secrets Secret
  N- serviceaccounts ServiceAccount sa
  Ns services Service svc
admissionregistration.k8s.io/v1:
  C- mutatingwebhookconfigurations MutatingWebhookConfiguration
  Cs validatingadmissionpolicies ValidatingAdmissionPolicy
  C- validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding
  C- validatingwebhookconfigurations ValidatingWebhookConfiguration
apiextensions.k8s.io/v1:
  Cs customresourcedefinitions CustomResourceDefinition crd,crds
apiregistration.k8s.io/v1:
  Cs apiservices APIService
apps/v1:
  N- controllerrevisions ControllerRevision
  Ns daemonsets DaemonSet ds
  Ns deployments Deployment deploy
  Ns replicasets ReplicaSet rs
  Ns statefulsets StatefulSet sts
authentication.k8s.io/v1:
  C- selfsubjectreviews SelfSubjectReview
  C- tokenreviews TokenReview
authorization.k8s.io/v1:
  N- localsubjectaccessreviews LocalSubjectAccessReview
  C- selfsubjectaccessreviews SelfSubjectAccessReview
  C- selfsubjectrulesreviews SelfSubjectRulesReview
  C- subjectaccessreviews SubjectAccessReview
autoscaling/v2:
  Ns horizontalpodautoscalers HorizontalPodAutoscaler hpa
batch/v1:
  Ns cronjobs CronJob cj
  Ns jobs Job
certificates.k8s.io/v1:
  Cs certificatesigningrequests CertificateSigningRequest csr
coordination.k8s.io/v1:
  N- leases Lease
discovery.k8s.io/v1:
  N- endpointslices EndpointSlice
events.k8s.io/v1:
  N- events Event ev
flowcontrol.apiserver.k8s.io/v1:
  Cs flowschemas FlowSchema
  Cs prioritylevelconfigurations PriorityLevelConfiguration
metrics.k8s.io/v1beta1:
  C- nodes NodeMetrics
  N- pods PodMetrics
networking.k8s.io/v1:
  C- ingressclasses IngressClass
  Ns ingresses Ingress ing
  C- ipaddresses IPAddress ip
  N- networkpolicies NetworkPolicy netpol
  Cs servicecidrs ServiceCIDR
node.k8s.io/v1:
  C- runtimeclasses RuntimeClass
policy/v1:
  Ns poddisruptionbudgets PodDisruptionBudget pdb
rbac.authorization.k8s.io/v1:
  C- clusterrolebindings ClusterRoleBinding
  C- clusterroles ClusterRole
  N- rolebindings RoleBinding
  N- roles Role
scheduling.k8s.io/v1:
  C- priorityclasses PriorityClass pc
storage.k8s.io/v1:
  C- csidrivers CSIDriver
  C- csinodes CSINode
  N- csistoragecapacities CSIStorageCapacity
  C- storageclasses StorageClass sc
  Cs volumeattachments VolumeAttachment
";

const ALL: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "daemonsets",
    "deployments",
    "replicasets",
    "statefulsets",
    "cronjobs",
    "jobs",
    "horizontalpodautoscalers",
];

/// Builds the table of built-in resources.
pub(crate) fn resources() -> Vec<Resource> {
    let (mut all, mut home) = (Vec::new(), ("", ""));
    for line in TABLE.lines() {
        if let Some((group, version)) = line.trim_end_matches(':').split_once('/') {
            home = (if group == "core" { "" } else { group }, version);
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let [flags, plural, kind, short @ ..] = words.as_slice() else {
            continue;
        };
        let short = short
            .first()
            .map_or(Vec::new(), |names| names.split(',').collect());
        all.push(resource(home, flags, plural, kind, &short));
    }
    all
}

fn resource(
    (group, version): (&str, &str),
    flags: &str,
    plural: &str,
    kind: &str,
    short: &[&str],
) -> Resource {
    let reviews = matches!(group, "authorization.k8s.io" | "authentication.k8s.io");
    Resource {
        group: group.to_owned(),
        versions: vec![version.to_owned()],
        storage: version.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        namespaced: flags.starts_with('N'),
        short_names: short.iter().map(|s| (*s).to_owned()).collect(),
        categories: categories(group, plural),
        status: flags.ends_with('s'),
        subresources: subresources(group, plural),
        virtual_: reviews || plural == "bindings",
        custom: None,
    }
}

fn categories(group: &str, plural: &str) -> Vec<String> {
    if matches!(group, "" | "apps" | "batch" | "autoscaling") && ALL.contains(&plural) {
        return vec!["all".to_owned()];
    }
    match group {
        "apiextensions.k8s.io" | "apiregistration.k8s.io" | "admissionregistration.k8s.io" => {
            vec!["api-extensions".to_owned()]
        }
        _ => Vec::new(),
    }
}

fn subresources(group: &str, plural: &str) -> Vec<(&'static str, &'static str)> {
    match (group, plural) {
        ("", "pods") => vec![
            ("binding", "Binding"),
            ("eviction", "Eviction"),
            ("log", "Pod"),
        ],
        ("", "nodes") => vec![("proxy", "NodeProxyOptions")],
        ("", "services") => vec![("proxy", "ServiceProxyOptions")],
        ("", "serviceaccounts") => vec![("token", "TokenRequest")],
        ("", "namespaces") => vec![("finalize", "Namespace")],
        ("", "replicationcontrollers")
        | ("apps", "deployments" | "replicasets" | "statefulsets") => {
            vec![("scale", "Scale")]
        }
        ("certificates.k8s.io", _) => vec![("approval", "CertificateSigningRequest")],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_as_resources() {
        let all = resources();
        let find = |plural: &str| all.iter().find(|r| r.plural == plural).expect("resource");
        let pods = find("pods");
        assert_eq!(
            (
                pods.group.as_str(),
                pods.kind.as_str(),
                pods.namespaced,
                pods.status
            ),
            ("", "Pod", true, true)
        );
        assert_eq!(
            find("customresourcedefinitions").short_names,
            ["crd", "crds"]
        );
        let reviews = find("subjectaccessreviews");
        assert!(reviews.virtual_ && !reviews.namespaced && !reviews.status);
        assert_eq!(
            all.len(),
            TABLE.lines().filter(|line| line.starts_with("  ")).count()
        );
    }
}
