//! Whether what SOPS has encrypted in git arrives decrypted in the cluster.
//!
//! Values are read to see that they are not ciphertext, and go nowhere: names, counts and lengths are all that is said.
//! How Flux decrypts: <https://fluxcd.io/flux/components/kustomize/kustomizations/#decryption>

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reports::model::Severity;
use serde_json::Value;

use super::repository::is_encrypted;
use crate::{
    Answer, Check, Context, Criterion, Need, Place, Reason, Verdict, ask,
    git::{Manifests, kustomization::normalised},
    gitops::declared,
    kinds::{self, Kind},
    resources::flux::{Health, Kustomization},
    view::{ReadError, Scope},
};

/// Whether encrypted files arrive decrypted.
pub const CHECKS: &[Check] = &[
    Check {
        id: "security::sops_key",
        title: "Every key that a Kustomization decrypts with is in the cluster.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[
            Need::list(&kinds::KUSTOMIZATIONS),
            Need::get(&kinds::SECRETS).at(Place::Everywhere),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.2"),
        why: "Flux looks for the key at every reconciliation. Without it nothing more of that Kustomization is \
              applied, and what is there stays as it was, which nobody notices for a while.",
        reasons: &[
            Reason::new(
                "NothingDecrypts",
                "no Kustomization has spec.decryption: nothing to decrypt with",
            ),
            Reason::new(
                "KeyMissing",
                "put the key back: kubectl -n {flux} create secret generic NAME --from-file=age.agekey",
            ),
            Reason::new(
                "KeyNotFound",
                "Flux takes an age key from a data key that ends in .agekey, a PGP key from one that ends in .asc, and ignores every other name",
            ),
            Reason::new(
                "KeyUnreadable",
                "the named data key holds no line that begins with AGE-SECRET-KEY-1: make the Secret anew from the file of age-keygen",
            ),
        ],
        ask: ask!(sops_key),
    },
    Check {
        id: "security::sops_decrypts",
        title: "Every object that is encrypted in git is in the cluster in clear.",
        severity: Severity::Fail,
        requires: &["security::sops_configured", "security::sops_key"],
        needs: &[
            Need::Repository,
            Need::list(&kinds::KUSTOMIZATIONS),
            Need::get(&kinds::SECRETS).at(Place::Everywhere),
            Need::get(&kinds::CONFIGMAPS).at(Place::Everywhere),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("6.2"),
        why: "An application that is given ciphertext for a password starts, and fails where nobody looks for it.",
        reasons: &[
            Reason::new(
                "NotApplied",
                "kubectl -n {flux} describe kustomization with the named one: its message says what could not be decrypted",
            ),
            Reason::new(
                "NotInInventory",
                "Flux has not applied the named object: see that its file is listed in the kustomization of its folder and is pushed",
            ),
            Reason::new(
                "Ciphertext",
                "the named keys were applied as they stand in git: give the Kustomization spec.decryption, then flux reconcile kustomization with --with-source",
            ),
        ],
        ask: ask!(sops_decrypts),
    },
];

/// What begins a value that SOPS has encrypted.
const MARK: &str = "ENC[";

async fn sops_key(cx: &Context) -> Answer {
    let all = cx
        .view
        .list::<Kustomization>(&kinds::KUSTOMIZATIONS, Scope::all())
        .await?;
    let decrypting: Vec<&Kustomization> = all
        .iter()
        .filter(|one| one.spec.decryption.is_some())
        .collect();
    if decrypting.is_empty() {
        return Ok(Verdict::skip(
            "NothingDecrypts",
            "no Kustomization has spec.decryption",
        ));
    }
    let mut secrets = BTreeSet::new();
    let mut seen = Vec::new();
    for one in decrypting {
        match key_of(one) {
            Some(name) => {
                secrets.insert((one.metadata.namespace.as_str(), name));
            }
            // The controller's own identity or its global key: its configuration, which is not an object to read.
            None => seen.push(format!(
                "{}: by a key of the controller itself",
                one.metadata.full_name()
            )),
        }
    }
    let count = secrets.len();
    for (namespace, name) in secrets {
        let full = format!("{namespace}/{name}");
        let Some(secret) = cx
            .view
            .find::<Value>(&kinds::SECRETS, namespace, name)
            .await?
        else {
            return Ok(Verdict::fail(
                "KeyMissing",
                format!("Secret {full} does not exist"),
            ));
        };
        let data = secret["data"].as_object();
        let keys: Vec<(&String, &Value)> = data.into_iter().flatten().collect();
        let age: Vec<&(&String, &Value)> = keys
            .iter()
            .filter(|(key, _)| key.ends_with(".agekey"))
            .collect();
        let others = keys
            .iter()
            .filter(|(key, _)| key.ends_with(".asc") || key.starts_with("sops."))
            .count();
        if age.is_empty() && others == 0 {
            let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
            return Ok(Verdict::fail(
                "KeyNotFound",
                format!("Secret {full} has no data key that ends in .agekey"),
            )
            .saw(format!("its data keys: {}", names.join(", "))));
        }
        let mut lines = 0;
        for (key, value) in &age {
            let found = clear(value).map_or(0, |text| {
                text.lines()
                    .filter(|line| line.trim_start().starts_with("AGE-SECRET-KEY-1"))
                    .count()
            });
            if found == 0 {
                return Ok(Verdict::fail(
                    "KeyUnreadable",
                    format!("{key} of Secret {full} holds no age key"),
                ));
            }
            lines += found;
        }
        seen.push(format!("{full}: {lines} age keys, {others} others"));
    }
    Ok(Verdict::pass(format!("{count} Secrets with keys")).saw_all(seen))
}

/// The Secret with the key of a Kustomization.
fn key_of(one: &Kustomization) -> Option<&str> {
    let decryption = one.spec.decryption.as_ref()?;
    decryption.pointer("/secretRef/name")?.as_str()
}

/// An encrypted object of the repository and the Kustomization that applies it.
struct Encrypted {
    by: String,
    file: PathBuf,
    kind: String,
    group: String,
    namespace: String,
    name: String,
}

async fn sops_decrypts(cx: &Context) -> Answer {
    let repository = match declared::repository(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let all = cx
        .view
        .list::<Kustomization>(&kinds::KUSTOMIZATIONS, Scope::all())
        .await?;
    let source = cx.settings.flux.source.clone();
    let builders = Arc::clone(&all);
    let asked = declared::ask(&repository, move |repository| {
        let manifests = Manifests::of(repository);
        let from_here = builders
            .iter()
            .filter(|one| one.spec.source_ref.name == source);
        Ok(from_here
            .flat_map(|one| encrypted(&manifests, one))
            .collect::<Vec<_>>())
    });
    let found = match asked.await {
        Ok(found) => found,
        Err(verdict) => return Ok(declared::undecided(verdict, &[])),
    };
    for by in found.iter().map(|one| &one.by).collect::<BTreeSet<_>>() {
        let owner = all.iter().find(|one| one.metadata.full_name() == *by);
        let told = match owner.map(Kustomization::health) {
            Some(Health::Stalled(told) | Health::NotReady(told)) => told,
            _ => continue,
        };
        // Whatever else keeps Flux from applying is for the checks of Flux to say.
        let key = owner.and_then(key_of).unwrap_or_default();
        let words = ["sops", "SOPS", "decrypt", "failed to import", key];
        if words
            .iter()
            .any(|word| !word.is_empty() && told.contains(word))
        {
            // The controller's words on a decryption name files and keys, and no values.
            return Ok(Verdict::fail("NotApplied", format!("{by} cannot decrypt")).saw(told));
        }
    }
    let mut seen = Vec::new();
    for one in &found {
        let full = format!("{} {}/{}", one.kind, one.namespace, one.name);
        let owner = all
            .iter()
            .find(|owner| owner.metadata.full_name() == one.by);
        let applied = owner.is_some_and(|owner| {
            owner.applied_object(&one.namespace, &one.name, &one.group, &one.kind)
        });
        if !applied {
            return Ok(Verdict::fail(
                "NotInInventory",
                format!("{full} is not among what {} has applied", one.by),
            )
            .saw(one.file.display().to_string()));
        }
        let Some(kind) = readable(one) else {
            seen.push(format!("{full}: not looked into"));
            continue;
        };
        let object = cx
            .view
            .find::<Value>(kind, &one.namespace, &one.name)
            .await?
            .ok_or_else(|| ReadError::Absent { what: full.clone() })?;
        let (locked, bytes) = look_into(&object);
        if !locked.is_empty() {
            return Ok(Verdict::fail(
                "Ciphertext",
                format!("{full} holds ciphertext in {}", locked.join(", ")),
            ));
        }
        seen.push(format!("{full}: {bytes}"));
    }
    Ok(Verdict::pass(format!(
        "{} encrypted objects are in the cluster in clear",
        found.len()
    ))
    .saw_all(seen))
}

/// The encrypted objects that a Kustomization builds.
fn encrypted(manifests: &Manifests, by: &Kustomization) -> Vec<Encrypted> {
    let path = normalised(&by.spec.path);
    let folder = PathBuf::from(path.trim_start_matches('/'));
    let documents = manifests.documents_under(&folder).documents;
    documents
        .into_iter()
        .filter(|document| is_encrypted(&document.value))
        .map(|document| Encrypted {
            by: by.metadata.full_name(),
            kind: document.kind().to_owned(),
            group: document.group().to_owned(),
            namespace: match by.spec.target_namespace.as_str() {
                "" => document.namespace().unwrap_or("default").to_owned(),
                target => target.to_owned(),
            },
            name: document.name().to_owned(),
            file: document.file,
        })
        .collect()
}

/// The kinds whose values are looked into.
fn readable(one: &Encrypted) -> Option<&'static Kind> {
    [&kinds::SECRETS, &kinds::CONFIGMAPS]
        .into_iter()
        .find(|kind| kind.kind == one.kind && kind.group == one.group)
}

/// Names of the keys that hold ciphertext, and the others with their lengths.
fn look_into(object: &Value) -> (Vec<String>, String) {
    let mut locked = Vec::new();
    let mut open = Vec::new();
    if !object["sops"].is_null() {
        locked.push("sops".to_owned());
    }
    let is_secret = object["kind"] == "Secret";
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        let plain = value.as_str().unwrap_or_default();
        let text = if is_secret {
            clear(value)
        } else {
            Some(plain.to_owned())
        };
        // Data that is no text was not made by SOPS, which writes text.
        let begins = text.as_deref().unwrap_or_default();
        if begins.starts_with(MARK) || plain.starts_with(MARK) || key == "sops" {
            locked.push(key.clone());
        } else {
            open.push(format!("{key} ({} bytes)", text.map_or(0, |one| one.len())));
        }
    }
    (locked, open.join(", "))
}

/// A value of a Secret as text.
fn clear(value: &Value) -> Option<String> {
    let bytes = STANDARD.decode(value.as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::json;

    use super::super::repository::example;
    use super::*;
    use crate::testing::{Fixture, check};

    const VALUE: &str = "hunter2secret";
    const LOCKED: &str = "ENC[AES256_GCM,data:c2VjcmV0,type:str]";

    fn kustomization(decryption: Value, ready: bool, inventory: &str) -> Value {
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system", "generation": 1},
            "spec": {
                "path": "./apps", "decryption": decryption,
                "sourceRef": {"kind": "GitRepository", "name": "flux-system"},
            },
            "status": {
                "observedGeneration": 1,
                "conditions": [{
                    "type": "Ready", "status": if ready { "True" } else { "False" },
                    "reason": "BuildFailed", "message": "cannot get sops data key",
                }],
                "inventory": {"entries": [{"id": inventory, "v": "v1"}]},
            },
        })
    }

    fn by_secret() -> Value {
        json!({"provider": "sops", "secretRef": {"name": "sops-age"}})
    }

    fn secret(namespace: &str, name: &str, data: Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "data": data,
        })
    }

    fn age() -> String {
        format!("# public key: age1x\nAGE-SECRET-KEY-1{}\n", "Q".repeat(58))
    }

    fn key(name: &str, text: &str) -> Value {
        let mut data = json!({});
        data[name] = STANDARD.encode(text).into();
        secret("flux-system", "sops-age", data)
    }

    fn silent(verdict: &Verdict) {
        let whole = format!("{verdict:?}");
        for value in [VALUE, "QQQQ", &STANDARD.encode(VALUE), "c2VjcmV0"] {
            assert!(!whole.contains(value), "{whole}");
        }
    }

    #[tokio::test]
    async fn the_key_is_counted_and_never_shown() {
        let ask = |secret: Option<Value>| {
            let fixture = Fixture::new().with(kustomization(by_secret(), true, ""));
            let fixture = secret.into_iter().fold(fixture, Fixture::with);
            fixture.ask(check("security::sops_key"))
        };
        let good = ask(Some(key("age.agekey", &age()))).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        assert_eq!(
            good.evidence(),
            ["flux-system/sops-age: 1 age keys, 0 others"]
        );
        silent(&good);
        for (secret, reason) in [
            (None, "KeyMissing"),
            (Some(key("key.txt", &age())), "KeyNotFound"),
            (Some(key("age.agekey", VALUE)), "KeyUnreadable"),
        ] {
            let verdict = ask(secret).await;
            assert_eq!(verdict.reason(), reason);
            assert_eq!(verdict.outcome(), Outcome::Fail);
            silent(&verdict);
        }
        let nobody = Fixture::new().with(kustomization(Value::Null, true, ""));
        let verdict = nobody.ask(check("security::sops_key")).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Skip, "NothingDecrypts")
        );
        let own = Fixture::new().with(kustomization(json!({"provider": "sops"}), true, ""));
        let verdict = own.ask(check("security::sops_key")).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        assert_eq!(
            verdict.evidence(),
            ["flux-system/apps: by a key of the controller itself"]
        );
    }

    #[tokio::test]
    async fn what_arrived_as_ciphertext_is_named_by_its_key() {
        let file = "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: apps}\nstringData: {password: 'ENC[AES256_GCM,data:c2VjcmV0]'}\nsops: {mac: 'ENC[AES256_GCM,data:x]'}\n";
        let ask = |ready: bool, inventory: &'static str, text: &'static str| async move {
            let fixture = Fixture::new()
                .with(kustomization(by_secret(), ready, inventory))
                .with(key("age.agekey", &age()))
                .with(secret(
                    "apps",
                    "db",
                    json!({"password": STANDARD.encode(text)}),
                ));
            let verdict =
                example::ask("security::sops_decrypts", &[("apps/s.yaml", file)], fixture).await;
            silent(&verdict);
            verdict
        };
        let good = ask(true, "apps_db__Secret", VALUE).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        assert_eq!(
            good.evidence(),
            ["Secret apps/db: password (13 bytes)"],
            "names and lengths"
        );
        let locked = ask(true, "apps_db__Secret", LOCKED).await;
        assert_eq!(locked.reason(), "Ciphertext");
        assert_eq!(
            locked.message(),
            "Secret apps/db holds ciphertext in password"
        );
        assert_eq!(ask(true, "", VALUE).await.reason(), "NotInInventory");
        let failed = ask(false, "apps_db__Secret", VALUE).await;
        assert_eq!(failed.reason(), "NotApplied");
        assert!(
            failed.evidence()[0].contains("cannot get sops data key"),
            "{failed:?}"
        );
    }
}
