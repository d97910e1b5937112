//! Creating and updating objects.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    apply::{self, Manager},
    auth,
    call::Call,
    defaults, pod_security, quota,
    refusal::{Cause, Refusal},
    resource::Resource,
    store::{Key, Store, revision_of},
    transaction::Transaction,
    validate,
};

/// A write: who writes what kind through which endpoint.
pub(crate) struct Writer<'a> {
    pub(crate) store: &'a Store,
    pub(crate) call: &'a Call,
    pub(crate) resource: &'a Resource,
    pub(crate) dry: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(store: &'a Store, call: &'a Call, resource: &'a Resource) -> Self {
        Self {
            store,
            call,
            resource,
            dry: call.query.dry_run(),
        }
    }

    pub(crate) fn manager(&self) -> Manager {
        let agent = self.call.agent.split(['/', ' ']).next().unwrap_or_default();
        let name = self
            .call
            .query
            .get("fieldManager")
            .unwrap_or(if agent.is_empty() { "unknown" } else { agent });
        Manager {
            name: name.to_owned(),
            api_version: self.resource.api_version(&self.call.version),
            subresource: self.call.subresource.clone(),
        }
    }

    /// Checks that the body is of the kind that the path names.
    pub(crate) fn check_kind(&self, body: &Value) -> Result<(), Refusal> {
        if !body.is_object() {
            return Err(Refusal::bad_request("the request body is no JSON object"));
        }
        let wanted = self.resource.api_version(&self.call.version);
        if let Some(found) = body["apiVersion"].as_str()
            && found != wanted
        {
            return Err(Refusal::bad_request(format!(
                "the API version in the data ({found}) does not match the expected API version ({wanted})"
            )));
        }
        if let Some(found) = body["kind"].as_str()
            && found != self.resource.kind
        {
            return Err(Refusal::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: the kind in the data is {found}",
                self.resource.kind, self.call.version, self.resource.kind
            )));
        }
        Ok(())
    }

    fn namespace_of(&self, body: &mut Value) -> Result<String, Refusal> {
        if !body["metadata"].is_object() {
            body["metadata"] = json!({});
        }
        if !self.resource.namespaced {
            if let Some(metadata) = body["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
            return Ok(String::new());
        }
        let given = body["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if !given.is_empty() && given != self.call.namespace {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        body["metadata"]["namespace"] = self.call.namespace.clone().into();
        Ok(self.call.namespace.clone())
    }

    /// Creates an object.
    pub(crate) fn create(&self, mut body: Value) -> Result<Arc<Value>, Refusal> {
        self.check_kind(&body)?;
        let namespace = self.namespace_of(&mut body)?;
        if body["metadata"]["resourceVersion"]
            .as_str()
            .is_some_and(|v| !v.is_empty())
        {
            return Err(Refusal::unexpected(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let mut transaction = self.store.begin(self.dry);
        self.check_namespace(
            &transaction,
            &namespace,
            body["metadata"]["name"].as_str().unwrap_or_default(),
        )?;
        let mut name = body["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if name.is_empty() {
            let prefix = body["metadata"]["generateName"]
                .as_str()
                .unwrap_or_default();
            if prefix.is_empty() {
                let cause = Cause::required("metadata.name", "name or generateName is required");
                return Err(Refusal::invalid(self.resource, "", &[cause]));
            }
            name = format!("{prefix}{}", suffix());
            body["metadata"]["name"] = name.clone().into();
        }
        if transaction.get(self.resource, &namespace, &name).is_some() {
            return Err(Refusal::already_exists(self.resource, &name));
        }
        let object = self.prepare(&transaction, body)?;
        validate::new_object(self.resource, &self.call.version, &object)?;
        self.admit(&transaction, &namespace, &object)?;
        let mut object = object;
        apply::track_update(
            self.resource,
            &self.call.version,
            &self.manager(),
            None,
            &mut object,
        );
        Ok(self.keep_new(&mut transaction, (namespace, name), object))
    }

    /// Gives a new object what the server decides.
    fn prepare(&self, transaction: &Transaction<'_>, mut object: Value) -> Result<Value, Refusal> {
        object["apiVersion"] = self.resource.api_version(&self.resource.storage).into();
        object["kind"] = self.resource.kind.clone().into();
        let metadata = &mut object["metadata"];
        for key in [
            "uid",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "selfLink",
            "resourceVersion",
        ] {
            if let Some(map) = metadata.as_object_mut() {
                map.remove(key);
            }
        }
        // Nodes and some others come with their status; the rest begin without.
        let keeps_status = matches!(
            (self.resource.group.as_str(), self.resource.plural.as_str()),
            ("", "nodes" | "namespaces" | "persistentvolumes")
                | ("metrics.k8s.io", _)
                | ("apiregistration.k8s.io", _)
        );
        if self.resource.status
            && !keeps_status
            && let Some(map) = object.as_object_mut()
        {
            map.remove("status");
        }
        defaults::identify(self.resource, &mut object);
        defaults::fill(self.resource, &mut object);
        defaults::admit(self.resource, &mut object);
        if let Some(schema) = self.resource.schema(&self.call.version) {
            schema_defaults(schema, &mut object);
        }
        if self.resource.plural == "secrets" {
            auth::fill_secret(transaction, &mut object);
        }
        Ok(object)
    }

    /// What the admission plugins of the API server say of a new pod: Pod Security, then ResourceQuotas.
    fn admit(
        &self,
        transaction: &Transaction<'_>,
        namespace: &str,
        object: &Value,
    ) -> Result<(), Refusal> {
        if !self.resource.group.is_empty() || self.resource.plural != "pods" {
            return Ok(());
        }
        let space = transaction.find("", "namespaces", "", namespace);
        let why = space
            .and_then(|space| pod_security::refusal(&space, object))
            .or_else(|| {
                let quotas = transaction.registry().find("", "resourcequotas")?;
                let quotas = transaction.all(&quotas, namespace);
                if quotas.is_empty() {
                    return None;
                }
                let pods = transaction.all(self.resource, namespace);
                quota::refusal(
                    quotas.iter().map(AsRef::as_ref),
                    pods.iter().map(AsRef::as_ref),
                )
            });
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        why.map_or(Ok(()), |why| {
            Err(Refusal::forbidden("", "pods", name, &why))
        })
    }

    fn keep_new(&self, transaction: &mut Transaction<'_>, key: Key, object: Value) -> Arc<Value> {
        let kept = transaction.put(self.resource, key, object);
        defaults::companions(transaction, self.resource, &kept);
        kept
    }

    fn check_namespace(
        &self,
        transaction: &Transaction<'_>,
        namespace: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        if !self.resource.namespaced {
            return Ok(());
        }
        let Some(found) = transaction.find("", "namespaces", "", namespace) else {
            return Err(Refusal::not_found("", "namespaces", namespace));
        };
        if found["metadata"].get("deletionTimestamp").is_some() {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            return Err(Refusal::forbidden(
                &self.resource.group,
                &self.resource.plural,
                name,
                &why,
            )
            .with_cause(
                "NamespaceTerminating",
                &format!("namespace {namespace} is being terminated"),
                "metadata.namespace",
            ));
        }
        Ok(())
    }

    /// Replaces an object.
    pub(crate) fn update(&self, mut body: Value) -> Result<Arc<Value>, Refusal> {
        self.check_kind(&body)?;
        let namespace = self.namespace_of(&mut body)?;
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        if name != self.call.name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                self.call.name
            )));
        }
        let mut transaction = self.store.begin(self.dry);
        let old = self.present(&transaction, &namespace)?;
        if self.resource.custom.is_some() && revision_of(&body).is_none() {
            let cause = Cause::invalid(
                "metadata.resourceVersion",
                &json!(0),
                "must be specified for an update",
            );
            return Err(Refusal::invalid(self.resource, &self.call.name, &[cause]));
        }
        let new = self.accept(&old, body)?;
        self.keep(&mut transaction, &old, new, true)
    }

    pub(crate) fn present(
        &self,
        transaction: &Transaction<'_>,
        namespace: &str,
    ) -> Result<Arc<Value>, Refusal> {
        transaction
            .get(self.resource, namespace, &self.call.name)
            .ok_or_else(|| {
                Refusal::not_found(&self.resource.group, &self.resource.plural, &self.call.name)
            })
    }

    /// Changes an object by a function of what it is (patches). `track` says whether fields are noted as updated, which
    /// server-side apply does itself.
    pub(crate) fn modify(
        &self,
        track: bool,
        change: &dyn Fn(&Value) -> Result<Value, Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let mut transaction = self.store.begin(self.dry);
        let old = self.present(&transaction, &self.call.namespace)?;
        let new = change(&old)?;
        let given = new["metadata"]["name"].as_str().unwrap_or_default();
        if given != self.call.name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({})",
                self.call.name
            )));
        }
        let new = self.accept(&old, new)?;
        self.keep(&mut transaction, &old, new, track)
    }

    /// Applies: creates when absent.
    pub(crate) fn apply(
        &self,
        mut wanted: Value,
        force: bool,
    ) -> Result<(Arc<Value>, bool), Refusal> {
        self.check_kind(&wanted)?;
        let namespace = self.namespace_of(&mut wanted)?;
        if self.call.query.get("fieldManager").is_none() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(Refusal::options("PatchOptions", &[cause]));
        }
        if wanted["metadata"]
            .get("managedFields")
            .is_some_and(|m| !m.is_null())
        {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        if wanted["metadata"]["name"]
            .as_str()
            .is_none_or(str::is_empty)
        {
            wanted["metadata"]["name"] = self.call.name.clone().into();
        }
        if wanted["metadata"]["name"] != self.call.name.as_str() {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                wanted["metadata"]["name"].as_str().unwrap_or_default(),
                self.call.name
            )));
        }
        self.only_endpoint(&mut wanted);
        let manager = self.manager();
        let mut transaction = self.store.begin(self.dry);
        if let Some(old) = transaction.get(self.resource, &namespace, &self.call.name) {
            let mut live = (*old).clone();
            live["apiVersion"] = self.resource.api_version(&self.call.version).into();
            let new = apply::apply(
                self.resource,
                &self.call.version,
                &manager,
                &live,
                &wanted,
                force,
            )?;
            let new = self.accept(&old, new)?;
            return Ok((self.keep(&mut transaction, &old, new, false)?, false));
        }
        if !self.call.subresource.is_empty() || revision_of(&wanted).is_some_and(|r| r > 0) {
            return Err(Refusal::not_found(
                &self.resource.group,
                &self.resource.plural,
                &self.call.name,
            ));
        }
        self.check_namespace(&transaction, &namespace, &self.call.name)?;
        let fields = apply::apply(
            self.resource,
            &self.call.version,
            &manager,
            &json!({ "metadata": {} }),
            &wanted,
            force,
        )?;
        let owners = fields["metadata"]["managedFields"].clone();
        let mut object = self.prepare(&transaction, wanted)?;
        validate::new_object(self.resource, &self.call.version, &object)?;
        self.admit(&transaction, &namespace, &object)?;
        object["metadata"]["managedFields"] = owners;
        Ok((
            self.keep_new(
                &mut transaction,
                (namespace, self.call.name.clone()),
                object,
            ),
            true,
        ))
    }

    /// Of an applied object, drops what the endpoint does not take.
    fn only_endpoint(&self, wanted: &mut Value) {
        let Some(map) = wanted.as_object_mut() else {
            return;
        };
        if self.call.subresource == "status" {
            map.retain(|key, _| {
                matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status")
            });
        } else if self.resource.status {
            map.remove("status");
        }
    }
}

/// Five characters that the real server would use, too.
pub(crate) fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..5)
        .map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())]))
        .collect()
}

/// Fills `default` values of a structural schema.
fn schema_defaults(schema: &Value, value: &mut Value) {
    if let Some(properties) = schema["properties"].as_object()
        && value.is_object()
    {
        for (name, schema) in properties {
            if value.get(name).is_none()
                && let Some(default) = schema.get("default")
            {
                value[name] = default.clone();
            }
            if let Some(value) = value.get_mut(name) {
                schema_defaults(schema, value);
            }
        }
    }
    if schema["items"].is_object() {
        for item in value.as_array_mut().into_iter().flatten() {
            schema_defaults(&schema["items"], item);
        }
    }
}
