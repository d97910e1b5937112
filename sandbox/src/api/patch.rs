//! Patches: JSON patch, merge patch, strategic merge patch, server-side apply.

use std::sync::Arc;

use serde_json::Value;

use super::{refusal::Refusal, strategic, strict, write::Writer};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Patches an object; says whether it was created.
pub(crate) fn patch(writer: &Writer<'_>, body: &[u8]) -> Result<(Arc<Value>, bool), Refusal> {
    let media = writer
        .call
        .content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let custom = writer.resource.custom.is_some();
    let modify = |change: &dyn Fn(&mut Value) -> Result<(), Refusal>| {
        writer
            .modify(true, &|old| {
                let mut new = old.clone();
                new["apiVersion"] = writer.resource.api_version(&writer.call.version).into();
                change(&mut new)?;
                strict::check(writer.call, writer.resource, &mut new, Some(body))?;
                Ok(new)
            })
            .map(|object| (object, false))
    };
    match media {
        APPLY | "application/apply-patch+json" => {
            let text = std::str::from_utf8(body)
                .map_err(|_| Refusal::bad_request("the patch is no UTF-8 text"))?;
            let mut wanted = parse_yaml(text)?;
            writer.check_kind(&wanted)?;
            strict::check(writer.call, writer.resource, &mut wanted, None)?;
            writer.apply(
                wanted,
                writer.call.query.flag("force") && writer.call.query.get("force").is_some(),
            )
        }
        MERGE => {
            let patch = parse(body)?;
            if !patch.is_object() {
                return Err(Refusal::bad_request("a merge patch must be an object"));
            }
            modify(&|object| {
                json_patch::merge(object, &patch);
                Ok(())
            })
        }
        STRATEGIC if !custom => {
            let patch = parse(body)?;
            modify(&|object| strategic::merge(object, &patch))
        }
        JSON => {
            let patch: json_patch::Patch = serde_json::from_slice(body)
                .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
            modify(&|object| {
                json_patch::patch(object, &patch).map_err(|error| {
                    let mut refusal = Refusal::bad_request(format!(
                        "the server rejected our request due to an error in our request: {error}"
                    ));
                    (refusal.code, refusal.reason) = (422, "Invalid");
                    refusal
                })
            })
        }
        _ if custom => Err(Refusal::unsupported_media(&[JSON, MERGE, APPLY])),
        _ => Err(Refusal::unsupported_media(&[JSON, MERGE, STRATEGIC, APPLY])),
    }
}

/// Reads a JSON body.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })
}

/// Reads a YAML body; JSON is YAML.
pub(crate) fn parse_yaml(text: &str) -> Result<Value, Refusal> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    serde_saphyr::from_str(text)
        .map_err(|error| Refusal::bad_request(format!("error decoding YAML: {error}")))
}
