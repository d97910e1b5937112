//! The built-in kinds whose types tell their fields.

use std::collections::HashMap;

use k8s_openapi::{
    api::{
        admissionregistration, apps, authentication, authorization, autoscaling, batch,
        certificates, coordination, core, discovery, events, flowcontrol, networking, node, policy,
        rbac, scheduling, storage,
    },
    apiextensions_apiserver::pkg::apis::apiextensions,
    kube_aggregator::pkg::apis::apiregistration,
};

use super::shapes::{Shapes, listen};

/// Listens to every kind: group and kind, and its fields.
pub(super) fn all() -> HashMap<(&'static str, &'static str), Shapes> {
    let mut all = HashMap::new();
    macro_rules! kinds {
        ($group:literal, $home:ident :: $version:ident: $($kind:ident)+) => {
            $(all.insert(($group, stringify!($kind)), listen::<$home::$version::$kind>(stringify!($kind)));)+
        };
    }
    kinds!("", core::v1: ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolumeClaim PersistentVolume Pod PodTemplate ReplicationController ResourceQuota Secret ServiceAccount Service Binding);
    kinds!("admissionregistration.k8s.io", admissionregistration::v1: MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration);
    kinds!("apps", apps::v1: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet);
    kinds!("autoscaling", autoscaling::v2: HorizontalPodAutoscaler);
    kinds!("batch", batch::v1: CronJob Job);
    kinds!(
        "certificates.k8s.io",
        certificates::v1:
        CertificateSigningRequest
    );
    kinds!("coordination.k8s.io", coordination::v1: Lease);
    kinds!("discovery.k8s.io", discovery::v1: EndpointSlice);
    kinds!("events.k8s.io", events::v1: Event);
    kinds!("flowcontrol.apiserver.k8s.io", flowcontrol::v1: FlowSchema PriorityLevelConfiguration);
    kinds!("networking.k8s.io", networking::v1: IngressClass Ingress IPAddress NetworkPolicy ServiceCIDR);
    kinds!("node.k8s.io", node::v1: RuntimeClass);
    kinds!("policy", policy::v1: PodDisruptionBudget);
    kinds!("rbac.authorization.k8s.io", rbac::v1: ClusterRoleBinding ClusterRole RoleBinding Role);
    kinds!("scheduling.k8s.io", scheduling::v1: PriorityClass);
    kinds!("storage.k8s.io", storage::v1: CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment);
    kinds!("authorization.k8s.io", authorization::v1: LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview);
    kinds!("authentication.k8s.io", authentication::v1: SelfSubjectReview TokenReview);
    kinds!("apiextensions.k8s.io", apiextensions::v1: CustomResourceDefinition);
    kinds!("apiregistration.k8s.io", apiregistration::v1: APIService);
    all
}
