//! The protobuf messages that are understood, one a line, after the upstream `generated.proto` files.

/// Messages and their fields: number, name, type. `s` text, `i` number (left out when 0), `I` number that is a pointer
/// upstream, `b` and `B` likewise for truth, `y` bytes, `t` time, `q` quantity, `p` number or text, `m:` map from text,
/// `*` list; anything else is a message,
/// `!` one that stays when empty, `^` one whose fields stand in the message itself.
pub(super) const MESSAGES: &str = "
ObjectMeta: 1 name s, 2 generateName s, 3 namespace s, 5 uid s, 6 resourceVersion s, 7 generation i, 8 creationTimestamp t, 9 deletionTimestamp t, 10 deletionGracePeriodSeconds I, 11 labels m:s, 12 annotations m:s, 13 ownerReferences *OwnerReference, 14 finalizers *s
OwnerReference: 1 kind s, 3 name s, 4 uid s, 5 apiVersion s, 6 controller B, 7 blockOwnerDeletion B
LabelSelector: 1 matchLabels m:s, 2 matchExpressions *Requirement
Requirement: 1 key s, 2 operator s, 3 values *s
DeleteOptions: 1 gracePeriodSeconds I, 2 preconditions Preconditions, 3 orphanDependents B, 4 propagationPolicy s, 5 dryRun *s
Preconditions: 1 uid s, 2 resourceVersion s
Eviction: 1 metadata ObjectMeta, 2 deleteOptions DeleteOptions
Binding: 1 metadata ObjectMeta, 2 target ObjectReference
ObjectReference: 1 kind s, 2 namespace s, 3 name s, 4 uid s, 5 apiVersion s, 6 resourceVersion s, 7 fieldPath s
NameOnly: 1 name s
SelfSubjectAccessReview: 1 metadata ObjectMeta, 2 spec AccessSpec
SelfSubjectRulesReview: 1 metadata ObjectMeta, 2 spec RulesSpec
SelfSubjectReview: 1 metadata ObjectMeta
SubjectAccessReview: 1 metadata ObjectMeta, 2 spec SubjectSpec
LocalSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SubjectSpec
AccessSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes
SubjectSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes, 3 user s, 4 groups *s, 6 uid s
RulesSpec: 1 namespace s
ResourceAttributes: 1 namespace s, 2 verb s, 3 group s, 4 version s, 5 resource s, 6 subresource s, 7 name s, 8 fieldSelector FieldSelector, 9 labelSelector FieldSelector
NonResourceAttributes: 1 path s, 2 verb s
FieldSelector: 1 rawSelector s, 2 requirements *Requirement
TokenReview: 1 metadata ObjectMeta, 2 spec TokenReviewSpec
TokenReviewSpec: 1 token s, 2 audiences *s
TokenRequest: 1 metadata ObjectMeta, 2 spec TokenRequestSpec
TokenRequestSpec: 1 audiences *s, 3 boundObjectRef BoundObject, 4 expirationSeconds I
BoundObject: 1 kind s, 2 apiVersion s, 3 name s, 4 uid s
ConfigMap: 1 metadata ObjectMeta, 2 data m:s, 3 binaryData m:y, 4 immutable B
Secret: 1 metadata ObjectMeta, 2 data m:y, 3 type s, 4 stringData m:s, 5 immutable B
Namespace: 1 metadata ObjectMeta, 2 spec NamespaceSpec
NamespaceSpec: 1 finalizers *s
ServiceAccount: 1 metadata ObjectMeta, 2 secrets *ObjectReference, 3 imagePullSecrets *NameOnly, 4 automountServiceAccountToken B
Service: 1 metadata ObjectMeta, 2 spec ServiceSpec
ServiceSpec: 1 ports *ServicePort, 2 selector m:s, 3 clusterIP s, 4 type s, 5 externalIPs *s, 7 sessionAffinity s, 8 loadBalancerIP s, 10 externalName s, 11 externalTrafficPolicy s, 13 publishNotReadyAddresses b, 17 ipFamilyPolicy s, 18 clusterIPs *s, 19 ipFamilies *s, 22 internalTrafficPolicy s
ServicePort: 1 name s, 2 protocol s, 3 port i, 4 targetPort p, 5 nodePort i
Deployment: 1 metadata ObjectMeta, 2 spec DeploymentSpec
DeploymentSpec: 1 replicas I, 2 selector LabelSelector, 3 template PodTemplate, 4 strategy Strategy, 5 minReadySeconds i, 6 revisionHistoryLimit I, 7 paused b, 9 progressDeadlineSeconds I
Strategy: 1 type s, 2 rollingUpdate RollingUpdate
RollingUpdate: 1 maxUnavailable p, 2 maxSurge p
PodTemplate: 1 metadata ObjectMeta, 2 spec PodSpec
Pod: 1 metadata ObjectMeta, 2 spec PodSpec
PodSpec: 1 volumes *Volume, 2 containers *Container, 3 restartPolicy s, 4 terminationGracePeriodSeconds I, 5 activeDeadlineSeconds I, 6 dnsPolicy s, 7 nodeSelector m:s, 8 serviceAccountName s, 9 serviceAccount s, 10 nodeName s, 11 hostNetwork b, 12 hostPID b, 13 hostIPC b, 14 securityContext PodSecurityContext, 15 imagePullSecrets *NameOnly, 16 hostname s, 17 subdomain s, 19 schedulerName s, 20 initContainers *Container, 21 automountServiceAccountToken B, 22 tolerations *Toleration, 24 priorityClassName s, 25 priority I
Toleration: 1 key s, 2 operator s, 3 value s, 4 effect s, 5 tolerationSeconds I
Container: 1 name s, 2 image s, 3 command *s, 4 args *s, 5 workingDir s, 6 ports *ContainerPort, 7 env *EnvVar, 8 resources Resources, 9 volumeMounts *VolumeMount, 13 terminationMessagePath s, 14 imagePullPolicy s, 15 securityContext SecurityContext, 16 stdin b, 17 stdinOnce b, 18 tty b, 20 terminationMessagePolicy s
ContainerPort: 1 name s, 2 hostPort i, 3 containerPort i, 4 protocol s, 5 hostIP s
EnvVar: 1 name s, 2 value s
Resources: 1 limits m:q, 2 requests m:q
VolumeMount: 1 name s, 2 readOnly b, 3 mountPath s, 4 subPath s
Volume: 1 name s, 2 volumeSource ^VolumeSource
VolumeSource: 1 hostPath HostPath, 2 emptyDir !EmptyDir, 6 secret SecretVolume, 10 persistentVolumeClaim ClaimVolume, 19 configMap ConfigMapVolume, 26 projected Projected
HostPath: 1 path s, 2 type s
EmptyDir: 1 medium s, 2 sizeLimit q
SecretVolume: 1 secretName s, 2 items *KeyToPath, 3 defaultMode I, 4 optional B
ClaimVolume: 1 claimName s, 2 readOnly b
ConfigMapVolume: 1 localObjectReference ^NameOnly, 2 items *KeyToPath, 3 defaultMode I, 4 optional B
KeyToPath: 1 key s, 2 path s, 3 mode I
Projected: 1 sources *ProjectedSource, 2 defaultMode I
ProjectedSource: 1 secret ProjectedMap, 3 configMap ProjectedMap, 4 serviceAccountToken ProjectedToken
ProjectedMap: 1 localObjectReference ^NameOnly, 2 items *KeyToPath, 4 optional B
ProjectedToken: 1 audience s, 2 expirationSeconds I, 3 path s
SecurityContext: 1 capabilities Capabilities, 2 privileged B, 4 runAsUser I, 5 runAsNonRoot B, 6 readOnlyRootFilesystem B, 7 allowPrivilegeEscalation B, 8 runAsGroup I, 11 seccompProfile SeccompProfile
Capabilities: 1 add *s, 2 drop *s
SeccompProfile: 1 type s, 2 localhostProfile s
PodSecurityContext: 2 runAsUser I, 3 runAsNonRoot B, 5 fsGroup I, 6 runAsGroup I, 10 seccompProfile SeccompProfile
Ingress: 1 metadata ObjectMeta, 2 spec IngressSpec
IngressSpec: 1 defaultBackend IngressBackend, 2 tls *IngressTls, 3 rules *IngressRule, 4 ingressClassName s
IngressTls: 1 hosts *s, 2 secretName s
IngressRule: 1 host s, 2 ingressRuleValue ^IngressRuleValue
IngressRuleValue: 1 http IngressPaths
IngressPaths: 1 paths *IngressPath
IngressPath: 1 path s, 2 backend IngressBackend, 3 pathType s
IngressBackend: 4 service IngressService
IngressService: 1 name s, 2 port IngressPort
IngressPort: 1 name s, 2 number i
Job: 1 metadata ObjectMeta, 2 spec JobSpec
JobSpec: 1 parallelism I, 2 completions I, 3 activeDeadlineSeconds I, 4 selector LabelSelector, 5 manualSelector B, 6 template PodTemplate, 7 backoffLimit I, 8 ttlSecondsAfterFinished I
CronJob: 1 metadata ObjectMeta, 2 spec CronJobSpec
CronJobSpec: 1 schedule s, 2 startingDeadlineSeconds I, 3 concurrencyPolicy s, 4 suspend B, 5 jobTemplate JobTemplate, 6 successfulJobsHistoryLimit I, 7 failedJobsHistoryLimit I
JobTemplate: 1 metadata ObjectMeta, 2 spec JobSpec
HorizontalPodAutoscaler: 1 metadata ObjectMeta, 2 spec ScalerSpec
ScalerSpec: 1 scaleTargetRef ScaleTarget, 2 minReplicas I, 3 maxReplicas i, 4 metrics *Metric
ScaleTarget: 1 kind s, 2 name s, 3 apiVersion s
Metric: 1 type s, 4 resource ResourceMetric
ResourceMetric: 1 name s, 2 target MetricTarget
MetricTarget: 1 type s, 2 value q, 3 averageValue q, 4 averageUtilization I
Role: 1 metadata ObjectMeta, 2 rules *Rule
ClusterRole: 1 metadata ObjectMeta, 2 rules *Rule, 3 aggregationRule Aggregation
Aggregation: 1 clusterRoleSelectors *LabelSelector
Rule: 1 verbs *s, 2 apiGroups *s, 3 resources *s, 4 resourceNames *s, 5 nonResourceURLs *s
RoleBinding: 1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef
ClusterRoleBinding: 1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef
Subject: 1 kind s, 2 apiGroup s, 3 name s, 4 namespace s
RoleRef: 1 apiGroup s, 2 kind s, 3 name s
PodDisruptionBudget: 1 metadata ObjectMeta, 2 spec BudgetSpec
BudgetSpec: 1 minAvailable p, 2 selector LabelSelector, 3 maxUnavailable p, 4 unhealthyPodEvictionPolicy s
PriorityClass: 1 metadata ObjectMeta, 2 value i, 3 globalDefault b, 4 description s, 5 preemptionPolicy s
ResourceQuota: 1 metadata ObjectMeta, 2 spec QuotaSpec
QuotaSpec: 1 hard m:q, 2 scopes *s
CertificateSigningRequest: 1 metadata ObjectMeta, 2 spec CsrSpec, 3 status CsrStatus
CsrSpec: 1 request y, 2 username s, 3 uid s, 4 groups *s, 5 usages *s, 7 signerName s, 8 expirationSeconds I
CsrStatus: 1 conditions *CsrCondition, 2 certificate y
CsrCondition: 1 type s, 2 reason s, 3 message s, 4 lastUpdateTime t, 5 lastTransitionTime t, 6 status s
";

/// Kinds that hold more than the table can say are refused rather than cut short.
pub(super) const UNREADABLE: &[(&str, &[u64])] = &[
    ("PodSpec", &[18]),
    ("Container", &[10, 11, 12, 19]),
    (
        "VolumeSource",
        &[
            3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15, 17, 18, 20, 21, 22, 23, 24, 25, 27, 29,
        ],
    ),
    ("SecurityContext", &[3, 10]),
    ("PodSecurityContext", &[1, 8]),
    ("IngressBackend", &[3]),
    ("ScalerSpec", &[5]),
    ("Metric", &[2, 3, 5, 7]),
];
