//! Bodies in protobuf: `kubectl` from 1.32 on sends what it creates by itself (reviews, evictions, `kubectl create`) so.
//!
//! Only bodies are read; answers are JSON, which those clients accept. The field numbers are those of the upstream
//! `generated.proto` files; kinds that are not in the table are refused as an unknown format.

use std::{collections::HashMap, sync::LazyLock};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::refusal::Refusal;

/// The media type.
pub(crate) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

/// Messages and their fields: number, name, type. `s` text, `i` number (left out when 0), `I` number that is a pointer
/// upstream, `b` and `B` likewise for truth, `y` bytes, `t` time, `q` quantity, `p` number or text, `m:` map from text,
/// `*` list; anything else is a message.
const MESSAGES: &str = "
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
PodSpec: 2 containers *Container, 3 restartPolicy s, 4 terminationGracePeriodSeconds I, 5 activeDeadlineSeconds I, 6 dnsPolicy s, 7 nodeSelector m:s, 8 serviceAccountName s, 9 serviceAccount s, 10 nodeName s, 11 hostNetwork b, 12 hostPID b, 13 hostIPC b, 15 imagePullSecrets *NameOnly, 16 hostname s, 17 subdomain s, 19 schedulerName s, 20 initContainers *Container, 21 automountServiceAccountToken B, 22 tolerations *Toleration, 24 priorityClassName s, 25 priority I
Toleration: 1 key s, 2 operator s, 3 value s, 4 effect s, 5 tolerationSeconds I
Container: 1 name s, 2 image s, 3 command *s, 4 args *s, 5 workingDir s, 6 ports *ContainerPort, 7 env *EnvVar, 8 resources Resources, 9 volumeMounts *VolumeMount, 13 terminationMessagePath s, 14 imagePullPolicy s, 16 stdin b, 17 stdinOnce b, 18 tty b, 20 terminationMessagePolicy s
ContainerPort: 1 name s, 2 hostPort i, 3 containerPort i, 4 protocol s, 5 hostIP s
EnvVar: 1 name s, 2 value s
Resources: 1 limits m:q, 2 requests m:q
VolumeMount: 1 name s, 2 readOnly b, 3 mountPath s, 4 subPath s
Job: 1 metadata ObjectMeta, 2 spec JobSpec
JobSpec: 1 parallelism I, 2 completions I, 3 activeDeadlineSeconds I, 4 selector LabelSelector, 5 manualSelector B, 6 template PodTemplate, 7 backoffLimit I, 8 ttlSecondsAfterFinished I
CronJob: 1 metadata ObjectMeta, 2 spec CronJobSpec
CronJobSpec: 1 schedule s, 2 startingDeadlineSeconds I, 3 concurrencyPolicy s, 4 suspend B, 5 jobTemplate JobTemplate, 6 successfulJobsHistoryLimit I, 7 failedJobsHistoryLimit I
JobTemplate: 1 metadata ObjectMeta, 2 spec JobSpec
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
const UNREADABLE: &[(&str, &[u64])] = &[
    ("PodSpec", &[1, 14, 18]),
    ("Container", &[10, 11, 12, 15, 19]),
];

type Message = HashMap<u64, (&'static str, &'static str)>;

static TABLE: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let lines = MESSAGES.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, fields)| {
            let fields = fields.split(", ").filter_map(|field| {
                let mut words = field.split(' ');
                Some((words.next()?.parse().ok()?, (words.next()?, words.next()?)))
            });
            (name, fields.collect())
        })
        .collect()
});

/// Reads a body: magic, envelope, message.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Refusal> {
    let unknown = || Refusal::unsupported_media(&["application/json", "application/yaml"]);
    let envelope = body
        .strip_prefix(b"k8s\0")
        .ok_or_else(|| Refusal::bad_request("the protobuf body has no k8s prefix"))?;
    let broken = || Refusal::bad_request("the protobuf body is cut short or damaged");
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for (number, field) in fields(envelope).ok_or_else(broken)? {
        match (number, field) {
            (1, Field::Bytes(meta)) => {
                for (number, field) in fields(meta).ok_or_else(broken)? {
                    match (number, field) {
                        (1, Field::Bytes(text)) => {
                            api_version = String::from_utf8_lossy(text).into_owned()
                        }
                        (2, Field::Bytes(text)) => {
                            kind = String::from_utf8_lossy(text).into_owned()
                        }
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = TABLE
        .keys()
        .find(|name| **name == kind)
        .copied()
        .ok_or_else(unknown)?;
    let mut object = message(name, raw)?.ok_or_else(broken)?;
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    Ok(object)
}

/// Whether the table has this kind.
pub(crate) fn knows(kind: &str) -> bool {
    TABLE.contains_key(kind)
}

/// The fields of a message as properties of a schema.
pub(crate) fn properties(name: &str, depth: u8) -> Option<Map<String, Value>> {
    let table = TABLE.get(name)?;
    let schema_of = |kind: &str| match kind {
        "s" | "q" => json!({ "type": "string" }),
        "y" => json!({ "type": "string", "format": "byte" }),
        "t" => json!({ "type": "string", "format": "date-time" }),
        "i" | "I" => json!({ "type": "integer", "format": "int64" }),
        "b" | "B" => json!({ "type": "boolean" }),
        "p" => {
            json!({ "oneOf": [{ "type": "integer" }, { "type": "string" }], "format": "int-or-string" })
        }
        name if depth < 12 => {
            json!({ "type": "object", "properties": properties(name, depth + 1).unwrap_or_default() })
        }
        _ => json!({ "type": "object" }),
    };
    let fields = table.values().map(|(key, kind)| {
        let schema = if let Some(kind) = kind.strip_prefix('*') {
            json!({ "type": "array", "items": schema_of(kind) })
        } else if let Some(kind) = kind.strip_prefix("m:") {
            json!({ "type": "object", "additionalProperties": schema_of(kind) })
        } else {
            schema_of(kind)
        };
        ((*key).to_owned(), schema)
    });
    Some(fields.collect())
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value)
            }
            1 => {
                bytes = bytes.get(8..)?;
                continue;
            }
            5 => {
                bytes = bytes.get(4..)?;
                continue;
            }
            _ => return None,
        };
        all.push((key >> 3, field));
    }
    Some(all)
}

/// A message as JSON; `None` when the bytes are damaged.
fn message(name: &str, bytes: &[u8]) -> Result<Option<Value>, Refusal> {
    let Some(table) = TABLE.get(name) else {
        return Ok(None);
    };
    let Some(all) = fields(bytes) else {
        return Ok(None);
    };
    let mut object = Map::new();
    for (number, field) in all {
        let Some((key, kind)) = table.get(&number) else {
            let unreadable = UNREADABLE
                .iter()
                .any(|(of, numbers)| *of == name && numbers.contains(&number));
            if unreadable && matches!(field, Field::Bytes(b) if !b.is_empty()) {
                return Err(Refusal::unsupported_media(&[
                    "application/json",
                    "application/yaml",
                ]));
            }
            continue;
        };
        if let Some(kind) = kind.strip_prefix('*') {
            let Some(item) = value(kind, &field, true)? else {
                return Ok(None);
            };
            let list = object.entry(*key).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(item);
            }
        } else if let Some(kind) = kind.strip_prefix("m:") {
            let Field::Bytes(entry) = field else {
                return Ok(None);
            };
            let Some(pair) = fields(entry) else {
                return Ok(None);
            };
            let (mut name, mut item) = (String::new(), json!(""));
            for (number, field) in pair {
                match (number, &field) {
                    (1, Field::Bytes(text)) => name = String::from_utf8_lossy(text).into_owned(),
                    (2, _) => item = value(kind, &field, true)?.unwrap_or_default(),
                    _ => {}
                }
            }
            let map = object.entry(*key).or_insert_with(|| json!({}));
            map[name] = item;
        } else {
            match value(kind, &field, false)? {
                Some(Value::Null) => {}
                Some(item) => {
                    object.insert((*key).to_owned(), item);
                }
                None => return Ok(None),
            }
        }
    }
    Ok(Some(Value::Object(object)))
}

/// A field's value; null for what JSON leaves out. `keep` keeps empty values, as in lists.
fn value(kind: &str, field: &Field<'_>, keep: bool) -> Result<Option<Value>, Refusal> {
    let value = match (kind, field) {
        ("i" | "I", Field::Number(number)) => {
            let number = number.cast_signed();
            if number == 0 && kind == "i" {
                Value::Null
            } else {
                number.into()
            }
        }
        ("b" | "B", Field::Number(number)) => {
            if *number == 0 && kind == "b" {
                Value::Null
            } else {
                (*number != 0).into()
            }
        }
        ("s", Field::Bytes([])) if !keep => Value::Null,
        ("s", Field::Bytes(text)) => String::from_utf8_lossy(text).into_owned().into(),
        ("y", Field::Bytes([])) if !keep => Value::Null,
        ("y", Field::Bytes(bytes)) => base64::engine::general_purpose::STANDARD
            .encode(bytes)
            .into(),
        ("t" | "p" | "q", Field::Bytes(bytes)) => match fields(bytes) {
            Some(parts) => special(kind, &parts),
            None => return Ok(None),
        },
        (name, Field::Bytes(bytes)) => match message(name, bytes)? {
            Some(Value::Object(map)) if map.is_empty() && !keep => Value::Null,
            other => return Ok(other),
        },
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn special(kind: &str, parts: &[(u64, Field<'_>)]) -> Value {
    let number = |wanted: u64| {
        parts.iter().find_map(|(at, field)| match field {
            Field::Number(number) if *at == wanted => Some(number.cast_signed()),
            _ => None,
        })
    };
    let text = |wanted: u64| {
        parts.iter().find_map(|(at, field)| match field {
            Field::Bytes(text) if *at == wanted => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
    };
    match kind {
        "t" => match number(1).and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
            Some(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
            None => Value::Null,
        },
        "q" => text(1).unwrap_or_default().into(),
        _ if number(1) == Some(1) => text(3).unwrap_or_default().into(),
        _ => match number(2) {
            None | Some(0) => Value::Null,
            Some(number) => number.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).expect("short")];
        out.extend_from_slice(bytes);
        out
    }

    fn wrapped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &meta), field(2, raw)].concat()
    }

    #[test]
    fn messages_become_the_json_that_they_mean() {
        let metadata = [field(1, b"p"), field(2, b""), field(8, b"")].concat();
        let options = [vec![1 << 3, 5], field(5, b"All")].concat();
        let body = wrapped(
            "policy/v1",
            "Eviction",
            &[field(1, &metadata), field(2, &options)].concat(),
        );
        let wanted = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" },
            "deleteOptions": { "gracePeriodSeconds": 5, "dryRun": ["All"] } });
        assert_eq!(decode(&body).expect("eviction"), wanted);
        let entry = [field(1, b"a"), field(2, b"b")].concat();
        let body = wrapped("v1", "ConfigMap", &field(2, &entry));
        assert_eq!(decode(&body).expect("map")["data"], json!({ "a": "b" }));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert_eq!(
            decode(&wrapped("v1", "Mystery", b""))
                .expect_err("unknown")
                .code,
            415
        );
        assert_eq!(decode(b"{}").expect_err("no prefix").code, 400);
        assert_eq!(
            decode(&wrapped("v1", "ConfigMap", &[0x0a, 200]))
                .expect_err("damaged")
                .code,
            400
        );
    }
}
