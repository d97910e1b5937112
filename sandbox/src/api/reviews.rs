//! Access and authentication reviews: questions that are answered and not kept.

use serde_json::{Value, json};

use super::{
    Core,
    auth::User,
    call::Call,
    rbac::{self, Attributes, Decision},
    refusal::{Cause, Refusal},
    resource::Resource,
    selector::FieldSelector,
};

/// Answers a review.
pub(crate) fn review(
    core: &Core,
    call: &Call,
    resource: &Resource,
    mut body: Value,
) -> Result<Value, Refusal> {
    let spec = body["spec"].clone();
    let store = &core.store;
    body["kind"] = resource.kind.clone().into();
    body["apiVersion"] = resource.api_version(&call.version).into();
    if !body["metadata"].is_object() {
        body["metadata"] = json!({});
    }
    body["status"] = match resource.plural.as_str() {
        "selfsubjectaccessreviews" => {
            body["spec"]["user"].take();
            verdict(&rbac::authorize(
                store,
                &call.user,
                &asked(resource, &spec)?,
            ))
        }
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            let user = subject(&spec);
            if user.name.is_empty() && user.groups.is_empty() {
                let cause = Cause::required(
                    "spec.user",
                    "at least one of user or group must be specified",
                );
                return Err(Refusal::invalid(resource, "", &[cause]));
            }
            let mut wanted = asked(resource, &spec)?;
            if resource.plural == "localsubjectaccessreviews" {
                if wanted.namespace != call.namespace {
                    let why = "must match metadata.namespace";
                    let cause = Cause::invalid(
                        "spec.resourceAttributes.namespace",
                        &wanted.namespace.clone().into(),
                        why,
                    );
                    return Err(Refusal::invalid(resource, "", &[cause]));
                }
                wanted.namespace.clone_from(&call.namespace);
            }
            verdict(&rbac::authorize(store, &user, &wanted))
        }
        "selfsubjectrulesreviews" => rbac::rules_review(
            store,
            &call.user,
            spec["namespace"].as_str().unwrap_or_default(),
        ),
        "selfsubjectreviews" => json!({ "userInfo": call.user.info() }),
        "tokenreviews" => match core
            .tokens
            .user(store, spec["token"].as_str().unwrap_or_default())
        {
            Some(user) => {
                json!({ "authenticated": true, "user": user.info(), "audiences": spec["audiences"] })
            }
            None => json!({ "user": {}, "error": "invalid bearer token" }),
        },
        _ => return Err(Refusal::method_not_allowed()),
    };
    Ok(body)
}

fn subject(spec: &Value) -> User {
    let groups = spec["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|g| g.as_str().map(str::to_owned));
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        groups: groups.collect(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
    }
}

fn asked(resource: &Resource, spec: &Value) -> Result<Attributes, Refusal> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let about = &spec["resourceAttributes"];
    let path = &spec["nonResourceAttributes"];
    if about.is_object() == path.is_object() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        return Err(Refusal::invalid(
            resource,
            "",
            &[Cause::invalid("spec.resourceAttributes", about, why)],
        ));
    }
    if path.is_object() {
        return Ok(Attributes {
            verb: text(&path["verb"]),
            path: Some(text(&path["path"])),
            ..Attributes::default()
        });
    }
    let mut fields = about["fieldSelector"]["rawSelector"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for requirement in about["fieldSelector"]["requirements"]
        .as_array()
        .into_iter()
        .flatten()
    {
        if requirement["operator"] == "In"
            && let Some([value]) = requirement["values"].as_array().map(Vec::as_slice)
        {
            fields.push_str(&format!(",{}={}", text(&requirement["key"]), text(value)));
        }
    }
    Ok(Attributes {
        verb: text(&about["verb"]),
        group: text(&about["group"]),
        resource: text(&about["resource"]),
        subresource: text(&about["subresource"]),
        namespace: text(&about["namespace"]),
        name: text(&about["name"]),
        path: None,
        fields: FieldSelector::parse(&fields)?,
    })
}

fn verdict(decision: &Decision) -> Value {
    let mut status = json!({ "allowed": decision.allowed });
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.clone().into();
    }
    status
}
