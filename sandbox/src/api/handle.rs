//! From a request to its answer.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Core, Disturbance, auth,
    call::Call,
    delete::{self, DeleteOptions, Deleted},
    discovery,
    form::{self, Form},
    longhorn_guard, node_restriction, options, patch, plain, proxy,
    rbac::{self, Attributes},
    read,
    refusal::Refusal,
    resource::Resource,
    reviews, strict, subresource,
    watch::Watch,
    write::Writer,
};

/// An answer on its way to the wire.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Body,
    pub(crate) retry_after: Option<u64>,
}

/// A body at once, or as it comes.
pub(crate) enum Body {
    Whole(Vec<u8>),
    Stream(mpsc::Receiver<Bytes>),
}

impl Answer {
    pub(crate) fn json(status: u16, body: Vec<u8>) -> Self {
        Self::raw(status, "application/json", body)
    }

    pub(crate) fn raw(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            body: Body::Whole(body),
            retry_after: None,
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self {
            retry_after: refusal.retry_after(),
            ..Self::json(refusal.code, form::bytes(&refusal.to_status()))
        }
    }
}

/// What the headers say about who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) authorization: Option<String>,
    pub(crate) as_user: Option<String>,
    pub(crate) as_groups: Vec<String>,
    pub(crate) as_uid: Option<String>,
}

/// Finds out who asks; the second value says whether it is one of the sandbox's own programs.
pub(crate) fn identify(core: &Core, call: &mut Call, identity: &Identity) -> Result<bool, Refusal> {
    let token = auth::bearer(identity.authorization.as_deref()).unwrap_or_default();
    let Some(user) = core.tokens.user(&core.store, token) else {
        "system:anonymous".clone_into(&mut call.user.name);
        return Err(Refusal::unauthorized());
    };
    let actor = user.name == auth::ACTOR;
    call.user = user;
    if !actor
        && let Some(group) = core.transport.demotes()
        && call.user.groups.iter().any(|one| one == "system:masters")
    {
        call.user.groups = vec![group.into(), "system:authenticated".into()];
    }
    let Some(name) = &identity.as_user else {
        if !identity.as_groups.is_empty() || identity.as_uid.is_some() {
            return Err(Refusal::internal(
                "requested groups or extra without impersonating a user",
            ));
        }
        return Ok(actor);
    };
    let account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let ask = |group: &str, resource: &str, namespace: &str, name: &str| {
        let wanted = Attributes {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        if rbac::authorize(&core.store, &call.user, &wanted).allowed {
            Ok(())
        } else {
            Err(wanted.refusal(&call.user))
        }
    };
    match account {
        Some((namespace, name)) => ask("", "serviceaccounts", namespace, name)?,
        None => ask("", "users", "", name)?,
    }
    for group in &identity.as_groups {
        ask("", "groups", "", group)?;
    }
    if let Some(uid) = &identity.as_uid {
        ask("authentication.k8s.io", "uids", "", uid)?;
    }
    let mut user = match account {
        Some((namespace, name)) if identity.as_groups.is_empty() => {
            auth::User::service_account(namespace, name, "")
        }
        _ => auth::User {
            name: name.clone(),
            groups: identity.as_groups.clone(),
            uid: String::new(),
        },
    };
    if !user.groups.iter().any(|g| g == "system:authenticated") && name != "system:anonymous" {
        user.groups.push("system:authenticated".to_owned());
    }
    user.uid = identity.as_uid.clone().unwrap_or_default();
    call.user = user;
    Ok(actor)
}

/// What the wire does to this request before anybody looks at it.
pub(crate) fn disturbance(core: &Core, call: &Call) -> Disturbance {
    core.transport.disturb(&call.method, &call.path)
}

/// Answers a request of somebody known.
pub(crate) async fn answer(core: &Arc<Core>, call: Call, body: Vec<u8>, stale: bool) -> Answer {
    match serve(core, &call, body, stale).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.into(),
    }
}

async fn serve(
    core: &Arc<Core>,
    call: &Call,
    body: Vec<u8>,
    stale: bool,
) -> Result<Answer, Refusal> {
    let wanted = Attributes::of(call);
    if !rbac::authorize(&core.store, &call.user, &wanted).allowed {
        return Err(wanted.refusal(&call.user));
    }
    if !call.is_resource() {
        return plain::answer(core, call);
    }
    if !form::acceptable(&call.accept) {
        return Err(Refusal::not_acceptable());
    }
    let served = discovery::aggregated(core, &call.group, &call.version)?;
    if !served || (call.user.name != auth::ACTOR && core.transport.hides(&call.group)) {
        return Ok(not_served());
    }
    let Some(resource) = core.store.registry.find(&call.group, &call.resource) else {
        // Built-in groups know what they have; what is in no definition, nobody knows.
        if core.store.registry.has_builtin(&call.group, &call.version) {
            return Err(Refusal::no_such_resource());
        }
        return Ok(not_served());
    };
    if !resource.versions.contains(&call.version) {
        return Ok(not_served());
    }
    if call.subresource == "proxy" && resource.group.is_empty() {
        return proxy::serve(core, call, &resource, body).await;
    }
    if call.verb == "watch" {
        return watch(core, call, &resource, stale);
    }
    let one = !call.name.is_empty();
    let misplaced = match call.verb.as_str() {
        "create" => one && call.subresource.is_empty(),
        "update" | "patch" => !one,
        "deletecollection" => !resource.verbs().contains(&"deletecollection"),
        _ => false,
    };
    if misplaced && !resource.virtual_ {
        return Err(Refusal::method_not_allowed());
    }
    options::check(call)?;
    resource_answer(core, call, &resource, &body)
}

fn not_served() -> Answer {
    Answer::raw(
        404,
        "text/plain; charset=utf-8",
        b"404 page not found\n".to_vec(),
    )
}

fn watch(
    core: &Arc<Core>,
    call: &Call,
    resource: &Arc<Resource>,
    stale: bool,
) -> Result<Answer, Refusal> {
    if resource.virtual_ {
        return Err(Refusal::method_not_allowed());
    }
    let (sender, receiver) = mpsc::channel(64);
    let mut call = call.clone();
    if !call.name.is_empty() && call.subresource.is_empty() {
        // The old way to watch one object by its path.
        call.query.0.push((
            "fieldSelector".to_owned(),
            format!("metadata.name={}", call.name),
        ));
    }
    let watch = Watch::new(core.store.clone(), resource.clone(), &call, sender.clone())?;
    if stale {
        let refusal = Refusal::expired("too old resource version: 1 (1000)");
        let event = json!({ "type": "ERROR", "object": refusal.to_status() });
        let mut line = form::bytes(&event);
        line.push(b'\n');
        return Ok(Answer::json(200, line));
    }
    tokio::spawn(watch.run(core.ending.subscribe()));
    Ok(Answer {
        status: 200,
        content_type: "application/json".to_owned(),
        body: Body::Stream(receiver),
        retry_after: None,
    })
}

fn resource_answer(
    core: &Core,
    call: &Call,
    resource: &Resource,
    body: &[u8],
) -> Result<Answer, Refusal> {
    if resource.virtual_ {
        if call.verb != "create" {
            return Err(Refusal::method_not_allowed());
        }
        if resource.plural == "bindings" {
            return Err(Refusal::method_not_allowed());
        }
        let writer = Writer::new(&core.store, call, resource);
        let body = object_of(call, body)?;
        writer.check_kind(&body)?;
        return Ok(Answer::json(
            201,
            form::bytes(&reviews::review(core, call, resource, body)?),
        ));
    }
    if resource.namespaced
        && call.namespace.is_empty()
        && !matches!(call.verb.as_str(), "list" | "deletecollection")
    {
        return Err(Refusal::method_not_allowed());
    }
    if !resource.namespaced && !call.namespace.is_empty() && call.resource != "namespaces" {
        return Ok(not_served());
    }
    let mut call = call.clone();
    if !resource.namespaced {
        call.namespace.clear();
    }
    let call = &call;
    node_restriction::check(&core.store, call, body)?;
    longhorn_guard::check(&core.store, call, body)?;
    if call.subresource == "log" && call.resource == "pods" {
        let text = subresource::log(core, call, resource)?;
        return Ok(Answer::raw(200, "text/plain", text.into_bytes()));
    }
    if !matches!(call.subresource.as_str(), "" | "status") {
        let (status, value) = subresource::serve(core, call, resource, body)?;
        return Ok(Answer::json(status, form::bytes(&value)));
    }
    if call.subresource == "status" && !resource.status {
        return Ok(not_served());
    }
    let writer = Writer::new(&core.store, call, resource);
    let one = |status: u16, object: &Value| {
        Answer::json(
            status,
            form::one(Form::of(call), resource, &call.version, object),
        )
    };
    match call.verb.as_str() {
        "get" => Ok(Answer::json(200, read::get(&core.store, call, resource)?)),
        "list" => Ok(Answer::json(200, read::list(&core.store, call, resource)?)),
        "create" if call.name.is_empty() => {
            let mut object = object_of(call, body)?;
            writer.check_kind(&object)?;
            strict::check(call, resource, &mut object, None)?;
            Ok(one(
                201,
                &*writer.create(form::from_version(resource, object))?,
            ))
        }
        "update" => {
            let mut object = object_of(call, body)?;
            writer.check_kind(&object)?;
            strict::check(call, resource, &mut object, None)?;
            Ok(one(
                200,
                &*writer.update(form::from_version(resource, object))?,
            ))
        }
        "patch" => {
            let (object, created) = patch::patch(&writer, body)?;
            Ok(one(if created { 201 } else { 200 }, &object))
        }
        "delete" if call.subresource.is_empty() => {
            let options = delete_options(call, body)?;
            let key = (call.namespace.clone(), call.name.clone());
            let mut transaction = core.store.begin(options.dry);
            match delete::delete(&mut transaction, resource, &key, &options)? {
                Deleted::Gone(object) if delete::answers_with_object(resource) => {
                    Ok(one(200, &object))
                }
                Deleted::Gone(object) => Ok(Answer::json(
                    200,
                    form::bytes(&delete::success(resource, &object)),
                )),
                Deleted::Going(object) => Ok(one(200, &object)),
            }
        }
        "deletecollection" => delete_collection(core, call, resource, body),
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn delete_collection(
    core: &Core,
    call: &Call,
    resource: &Resource,
    body: &[u8],
) -> Result<Answer, Refusal> {
    let selection = read::Selection::of(call, resource)?;
    let options = delete_options(call, body)?;
    let mut transaction = core.store.begin(options.dry);
    let mut items = Vec::new();
    for object in transaction.all(resource, &call.namespace) {
        if selection.matches(&object) {
            let text = |key: &str| {
                object["metadata"][key]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            delete::delete(
                &mut transaction,
                resource,
                &(text("namespace"), text("name")),
                &options,
            )?;
            // Told as they were listed.
            items.push(object);
        }
    }
    drop(transaction);
    let metadata = json!({ "resourceVersion": core.store.revision().to_string() });
    Ok(Answer::json(
        200,
        form::list(Form::of(call), resource, &call.version, &items, metadata),
    ))
}

fn delete_options(call: &Call, body: &[u8]) -> Result<DeleteOptions, Refusal> {
    let body = if body.is_empty() {
        Value::Null
    } else {
        object_of(call, body)?
    };
    options::check_delete(call, &body)?;
    Ok(DeleteOptions::read(call, &body))
}

fn object_of(call: &Call, body: &[u8]) -> Result<Value, Refusal> {
    let media = call
        .content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    match media {
        "" | "application/json" => patch::parse(body),
        "application/yaml" => patch::parse_yaml(&String::from_utf8_lossy(body)),
        _ => Err(Refusal::unsupported_media(&[
            "application/json",
            "application/yaml",
        ])),
    }
}
