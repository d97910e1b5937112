//! Schemas of what is served, as far as `kubectl explain`, `apply` and `diff` ask.
//!
//! Custom resources show the schema of their definition, built-in kinds the fields that their types have, without prose.

use serde_json::{Map, Value, json};

use super::{
    Core, form,
    handle::Answer,
    resource::Resource,
    shapes::{self, Shape, Shapes},
};

/// Answers `/openapi/...` in JSON; version 2 in protobuf has a function of its own.
pub(crate) fn answer(core: &Core, rest: &[&str], accept: &str) -> Option<Answer> {
    match rest {
        // Old clients want protobuf: the version alone is a whole document without definitions.
        ["v2"] if accept.contains("protobuf") => {
            let media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
            Some(Answer::raw(200, media, b"\x0a\x032.0".to_vec()))
        }
        ["v2"] => Some(Answer::json(
            200,
            form::bytes(&json!({
                "swagger": "2.0", "info": { "title": "Kubernetes", "version": core.version }, "paths": {}, "definitions": {},
            })),
        )),
        ["v3"] => {
            let mut paths = Map::new();
            for resource in core.store.registry.all() {
                for version in &resource.versions {
                    let name = if resource.group.is_empty() {
                        format!("api/{version}")
                    } else {
                        format!("apis/{}/{version}", resource.group)
                    };
                    // The revision makes clients read again when a definition may have changed.
                    let hash = definitions_revision(core);
                    let url = format!("/openapi/v3/{name}?hash={hash}");
                    paths.insert(name, json!({ "serverRelativeURL": url }));
                }
            }
            Some(Answer::json(200, form::bytes(&json!({ "paths": paths }))))
        }
        ["v3", "api", version] => document(core, "", version),
        ["v3", "apis", group, version] => document(core, group, version),
        _ => None,
    }
}

fn definitions_revision(core: &Core) -> u64 {
    let all = core
        .store
        .all("apiextensions.k8s.io", "customresourcedefinitions", "");
    all.iter()
        .filter_map(|crd| super::store::revision_of(crd))
        .max()
        .unwrap_or(0)
}

fn document(core: &Core, group: &str, version: &str) -> Option<Answer> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    let all = core.store.registry.all();
    for resource in all
        .iter()
        .filter(|r| r.group == group && r.versions.iter().any(|v| v == version))
    {
        let mut base = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        if resource.namespaced {
            base.push_str("/namespaces/{namespace}");
        }
        let kind = json!({ "group": group, "version": version, "kind": resource.kind });
        let reference =
            json!({ "$ref": format!("#/components/schemas/{}", component(resource, version)) });
        paths.insert(format!("{base}/{}", resource.plural), json!({
            "get": operation("list", &kind, &reference), "post": operation("create", &kind, &reference),
        }));
        if !resource.virtual_ {
            paths.insert(format!("{base}/{}/{{name}}", resource.plural), json!({
                "get": operation("get", &kind, &reference), "put": operation("update", &kind, &reference),
                "patch": operation("patch", &kind, &reference), "delete": operation("delete", &kind, &reference),
            }));
        }
        let mut schema = match (resource.schema(version), shapes::of(group, &resource.kind)) {
            (Some(schema), _) => custom(schema),
            (None, Some(shapes)) => builtin(shapes, resource, version, &mut schemas),
            (None, None) => bare(resource),
        };
        schema["x-kubernetes-group-version-kind"] = json!([kind]);
        schemas.insert(component(resource, version), schema);
    }
    if paths.is_empty() {
        return None;
    }
    if !schemas.contains_key(META)
        && let Some(map) = shapes::of("", "ConfigMap")
    {
        structures(map, "io.k8s.apimachinery.pkg.apis.meta.v1.", &mut schemas);
    }
    Some(Answer::json(
        200,
        form::bytes(&json!({
            "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": core.version },
            "paths": paths, "components": { "schemas": schemas },
        })),
    ))
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

fn component(resource: &Resource, version: &str) -> String {
    if resource.custom.is_some() {
        let reversed: Vec<&str> = resource.group.rsplit('.').collect();
        return format!("{}.{version}.{}", reversed.join("."), resource.kind);
    }
    let group = resource
        .group
        .split('.')
        .next()
        .filter(|g| !g.is_empty())
        .unwrap_or("core");
    format!("io.k8s.api.{group}.{version}.{}", resource.kind)
}

fn operation(action: &str, kind: &Value, schema: &Value) -> Value {
    let parameter = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } });
    let parameters: Vec<Value> = match action {
        "get" => vec![],
        "list" => [
            "labelSelector",
            "fieldSelector",
            "limit",
            "continue",
            "watch",
        ]
        .iter()
        .map(|n| parameter(n))
        .collect(),
        "delete" => vec![parameter("dryRun")],
        _ => ["dryRun", "fieldManager", "fieldValidation", "force"]
            .iter()
            .map(|n| parameter(n))
            .collect(),
    };
    json!({
        "parameters": parameters, "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind,
        "responses": { "200": { "description": "OK", "content": { "application/json": { "schema": schema } } } },
    })
}

fn type_fields(properties: &mut Map<String, Value>) {
    let text = |description: &str| json!({ "type": "string", "description": description });
    properties.insert(
        "apiVersion".to_owned(),
        text("Group and version of the schema that this object follows."),
    );
    properties.insert(
        "kind".to_owned(),
        text("The kind of resource that this object is."),
    );
    properties.insert(
        "metadata".to_owned(),
        json!({
            "description": "Name, labels and whatever else every object has.", "default": {},
            "allOf": [{ "$ref": format!("#/components/schemas/{META}") }],
        }),
    );
}

fn custom(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        type_fields(properties);
    }
    schema
}

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const EITHER: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// A kind as its types tell it; the structures that it is made of are added to the others.
fn builtin(
    shapes: &Shapes,
    resource: &Resource,
    version: &str,
    schemas: &mut Map<String, Value>,
) -> Value {
    let own = component(resource, version);
    let home = own.strip_suffix(&resource.kind).unwrap_or(&own);
    structures(shapes, home, schemas);
    let fields = shapes.structs.get(shapes.root).into_iter().flatten();
    let fields = fields.map(|(field, shape)| ((*field).to_owned(), property(home, shape)));
    let mut properties: Map<String, Value> = fields.collect();
    type_fields(&mut properties);
    schemas.insert(
        QUANTITY.to_owned(),
        json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
    );
    schemas.insert(EITHER.to_owned(), json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] }));
    json!({ "type": "object", "description": format!("{} of the Kubernetes API.", resource.kind), "properties": properties })
}

/// Adds the structures that a kind is made of.
fn structures(shapes: &Shapes, home: &str, schemas: &mut Map<String, Value>) {
    for (name, fields) in &shapes.structs {
        if *name == shapes.root {
            continue;
        }
        let fields = fields
            .iter()
            .map(|(field, shape)| ((*field).to_owned(), property(home, shape)));
        let properties: Map<String, Value> = fields.collect();
        let schema = json!({ "type": "object", "properties": properties });
        schemas.insert(structure(home, name), schema);
    }
}

/// The name of a structure among the schemas; metadata is the same everywhere.
fn structure(home: &str, name: &str) -> String {
    if name == "ObjectMeta" {
        META.to_owned()
    } else {
        format!("{home}{name}")
    }
}

fn property(home: &str, shape: &Shape) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Time => json!({ "type": "string", "format": "date-time" }),
        Shape::Whole => json!({ "type": "integer", "format": "int64" }),
        Shape::Number => json!({ "type": "number", "format": "double" }),
        Shape::Truth => json!({ "type": "boolean" }),
        Shape::Quantity => reference(QUANTITY),
        Shape::Either => reference(EITHER),
        Shape::Any => json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
        Shape::List(inner) => json!({ "type": "array", "items": property(home, inner) }),
        Shape::Map(inner) => {
            json!({ "type": "object", "additionalProperties": property(home, inner) })
        }
        Shape::Struct(name) => json!({ "allOf": [reference(&structure(home, name))] }),
    }
}

/// A kind of which no more is known than that it is there.
fn bare(resource: &Resource) -> Value {
    let mut properties = Map::new();
    type_fields(&mut properties);
    json!({ "type": "object", "description": format!("{} of the Kubernetes API.", resource.kind), "properties": properties,
        "x-kubernetes-preserve-unknown-fields": true })
}
