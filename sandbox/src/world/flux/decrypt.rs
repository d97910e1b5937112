//! What kustomize-controller does with objects that SOPS has encrypted, and in which words it fails.
//!
//! The sandbox's lock is base64, in the form in which SOPS writes its own: enough to tell clear from locked, and
//! nothing that could be taken for a secret.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::world::{
    kinds::SECRETS,
    make::{name, namespace, text},
    scene::Scene,
};

use super::verdict::Failure;

/// A value as SOPS would have written it.
pub(crate) fn lock(value: &str) -> String {
    format!(
        "ENC[AES256_GCM,data:{},iv:AAAA,tag:AAAA,type:str]",
        STANDARD.encode(value)
    )
}

fn unlock(value: &str) -> Option<String> {
    let rest = value.strip_prefix("ENC[AES256_GCM,data:")?;
    let bytes = STANDARD.decode(rest.split(',').next()?).ok()?;
    String::from_utf8(bytes).ok()
}

/// Decrypts what a Kustomization has built.
pub(super) fn decrypt(
    scene: &Scene<'_>,
    kustomization: &Value,
    objects: &mut [Value],
) -> Result<(), Failure> {
    let decryption = &kustomization["spec"]["decryption"];
    for object in objects.iter_mut().filter(|one| !one["sops"].is_null()) {
        if decryption.is_null() {
            if object["kind"] != "Secret" {
                continue;
            }
            return Err(Failure {
                reason: "ReconciliationFailed",
                message: format!(
                    "Secret/{}/{} is SOPS encrypted, configuring decryption is required for this secret to be \
                     reconciled",
                    namespace(object),
                    name(object)
                ),
            });
        }
        key(scene, kustomization)?;
        if let Some(map) = object.as_object_mut() {
            map.remove("sops");
        }
        for field in ["data", "stringData"] {
            for value in object[field].as_object_mut().into_iter().flatten() {
                if let Some(clear) = value.1.as_str().and_then(unlock) {
                    *value.1 = clear.into();
                }
            }
        }
        if object["stringData"].is_null()
            && let Some(map) = object.as_object_mut()
        {
            map.remove("stringData");
        }
        if object["data"].is_null()
            && let Some(map) = object.as_object_mut()
        {
            map.remove("data");
        }
    }
    Ok(())
}

/// The key must be there, under a name that the controller takes it from.
fn key(scene: &Scene<'_>, kustomization: &Value) -> Result<(), Failure> {
    let failed = |message: String| Failure {
        reason: "BuildFailed",
        message,
    };
    let wanted = text(&kustomization["spec"]["decryption"]["secretRef"]["name"]);
    let Some(secret) = scene.get(&SECRETS, namespace(kustomization), wanted) else {
        return Err(failed(format!("secrets \"{wanted}\" not found")));
    };
    let usable = secret["data"]
        .as_object()
        .into_iter()
        .flatten()
        .any(|(key, value)| {
            let clear = STANDARD.decode(text(value)).unwrap_or_default();
            key.ends_with(".agekey") && String::from_utf8_lossy(&clear).contains("AGE-SECRET-KEY-1")
        });
    if usable {
        Ok(())
    } else {
        Err(failed(
            "cannot get sops data key: Error getting data key: 0 successful groups required, got 0"
                .into(),
        ))
    }
}
