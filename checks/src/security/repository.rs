//! What the repository gives away: keys and tokens in any file, Secrets in plain text, and encrypted ones that nobody
//! decrypts.
//!
//! Asked of the files that git tracks, as they stand in its index. Places and sorts are shown, never a value.

use std::path::{Path, PathBuf};

use reports::model::Severity;
use serde_json::Value;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    git::{GitError, Manifests, Repository, kustomization::normalised},
    gitops::declared,
    kinds,
    resources::flux::Kustomization,
    view::Scope,
};

/// What the repository gives away.
pub const CHECKS: &[Check] = &[
    Check {
        id: "security::join_token_in_git",
        title: "No join token and no private key stands in the repository.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::Repository],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.1"),
        why: "With the server's token anybody who can read the repository can join a machine and, with the usual kind \
              of token, take over the cluster. With an age key they read every encrypted secret.",
        reasons: &[Reason::new(
            "KeyInGit",
            "take it out of the file and make it useless: k3s token rotate for a token, a new key pair for a key; it stays in git's history",
        )],
        ask: ask!(join_token_in_git),
    },
    Check {
        id: "security::plaintext_secrets",
        title: "Every secret in the repository is encrypted.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::Repository],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.2"),
        why: "base64 is no encryption: whoever reads the repository reads these values.",
        reasons: &[Reason::new(
            "PlaintextSecret",
            "change the value where it is used, then: sops --encrypt --in-place with the named file",
        )],
        ask: ask!(plaintext_secrets),
    },
    Check {
        id: "security::sops_configured",
        title: "Every Kustomization that carries encrypted files decrypts them.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::Repository, Need::list(&kinds::KUSTOMIZATIONS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.2"),
        why: "Flux refuses an encrypted Secret that it is not told to decrypt, and applies any other encrypted object \
              as it stands, with ciphertext for values.",
        reasons: &[
            Reason::new(
                "NotConfigured",
                "add spec.decryption with provider sops and the secretRef of the age key to the named Kustomization",
            ),
            Reason::new(
                "NothingEncrypted",
                "no file that a Kustomization builds is encrypted with SOPS: nothing to decrypt",
            ),
        ],
        ask: ask!(sops_configured),
    },
];

/// Larger files are no manifests and no scripts.
const LARGEST: usize = 1 << 20;

/// The tracked files that are text.
fn tracked(repository: &Repository) -> Result<Vec<(PathBuf, String)>, GitError> {
    let git = repository.libgit2()?;
    let index = git.index().map_err(GitError::doing("read its index"))?;
    let mut files = Vec::new();
    for entry in index.iter() {
        // A submodule's entry names a commit of another repository.
        let Ok(blob) = git.find_blob(entry.id) else {
            continue;
        };
        if blob.size() > LARGEST {
            continue;
        }
        if let (Ok(path), Ok(text)) = (
            String::from_utf8(entry.path),
            std::str::from_utf8(blob.content()),
        ) {
            files.push((PathBuf::from(path), text.to_owned()));
        }
    }
    Ok(files)
}

/// What sort of key a line gives away, if any.
fn key_in(line: &str) -> Option<&'static str> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // K10<hash of the cluster's CA>::<user>:<password>
    let token = line.split("K10").skip(1).any(|rest| {
        rest.get(..64).is_some_and(is_hex)
            && rest
                .get(64..)
                .and_then(|rest| rest.strip_prefix("::"))
                .is_some_and(|rest| rest.starts_with(|one: char| one.is_ascii_alphanumeric()))
    });
    let age = line.split("AGE-SECRET-KEY-1").skip(1).any(|rest| {
        rest.get(..58)
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    });
    let pem = line
        .split_once("-----BEGIN ")
        .and_then(|(_, rest)| rest.split_once("-----"))
        .is_some_and(|(label, _)| label.ends_with("PRIVATE KEY"));
    if token {
        Some("k3s join token")
    } else if age {
        Some("age key")
    } else if pem {
        Some("private key")
    } else {
        None
    }
}

async fn join_token_in_git(cx: &Context) -> Answer {
    let repository = match declared::repository(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let asked = declared::ask(&repository, |repository| {
        let files = tracked(repository)?;
        let found: Vec<String> = files
            .iter()
            .flat_map(|(path, text)| {
                text.lines().enumerate().filter_map(move |(number, line)| {
                    let sort = key_in(line)?;
                    Some(format!("{} line {}: {sort}", path.display(), number + 1))
                })
            })
            .collect();
        Ok((files.len(), found))
    });
    let (files, found) = match asked.await {
        Ok(answer) => answer,
        Err(verdict) => return Ok(declared::undecided(verdict, &[])),
    };
    Ok(match found.first() {
        None if files == 0 => Verdict::error(
            "CouldNotDecide",
            "git tracks no text file in this repository, so nothing was looked at",
        ),
        None => Verdict::pass(format!("{files} tracked files")),
        Some(first) => Verdict::fail(
            "KeyInGit",
            format!("{} in {files} tracked files, first {first}", found.len()),
        )
        .saw_all(found),
    })
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Whether SOPS has encrypted an object: it leaves its own record, with a code over all values.
pub(super) fn is_encrypted(value: &Value) -> bool {
    value
        .pointer("/sops/mac")
        .and_then(Value::as_str)
        .is_some_and(|mac| mac.starts_with("ENC["))
}

/// Names of the keys that an object shows to everybody; what is meant to be filled in by a person is none.
fn open_keys(value: &Value) -> Vec<String> {
    if is_encrypted(value) {
        return Vec::new();
    }
    let group = value["apiVersion"].as_str().unwrap_or_default();
    match value["kind"].as_str().unwrap_or_default() {
        "Secret" if group == "v1" => ["data", "stringData"]
            .iter()
            .flat_map(|field| value[*field].as_object().into_iter().flatten())
            .filter(|(_, value)| is_open(value))
            .map(|(key, _)| key.clone())
            .collect(),
        "HelmRelease" if group.starts_with("helm.toolkit.fluxcd.io/") => {
            let mut found = Vec::new();
            open_values(&value["spec"]["values"], "", &mut found);
            found
        }
        _ => value["secretGenerator"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|one| one["literals"].as_array().into_iter().flatten())
            .filter_map(|literal| literal.as_str()?.split_once('='))
            .filter(|(_, text)| !text.is_empty() && !is_placeholder(text))
            .map(|(key, _)| key.to_owned())
            .collect(),
    }
}

/// Kind and name; a kustomization file needs neither.
fn called(value: &Value) -> String {
    let kind = value["kind"].as_str().unwrap_or("Kustomization");
    match value["metadata"]["name"].as_str() {
        Some(name) => format!("{kind} {name}"),
        None => kind.to_owned(),
    }
}

/// Values of a chart that are called as passwords and tokens are, by their path.
fn open_values(values: &Value, path: &str, found: &mut Vec<String>) {
    for (key, value) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let name = key.to_ascii_lowercase();
        if value.is_object() {
            open_values(value, &path, found);
        } else if (name.ends_with("password") || name.ends_with("token")) && is_open(value) {
            found.push(path);
        }
    }
}

fn is_open(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| !text.is_empty() && !is_placeholder(text))
}

fn is_placeholder(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    text.starts_with("${")
        || (text.starts_with('<') && text.ends_with('>'))
        || ["changeme", "change-me", "replace", "your-", "placeholder"]
            .iter()
            .any(|word| text.starts_with(word))
}

async fn plaintext_secrets(cx: &Context) -> Answer {
    let repository = match declared::repository(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let asked = declared::ask(&repository, |repository| {
        let mut found = Vec::new();
        let mut unread = Vec::new();
        let mut manifests = 0;
        for (path, text) in tracked(repository)? {
            // Templates and other text in YAML's clothes cannot be parsed, and matter only if they speak of secrets.
            let speaks = ["Secret", "secretGenerator", "HelmRelease"];
            if !is_manifest(&path) || !speaks.iter().any(|word| text.contains(word)) {
                continue;
            }
            manifests += 1;
            let Ok(documents) = serde_saphyr::from_multiple::<Value>(&text) else {
                unread.push(format!("{}: not readable as YAML", path.display()));
                continue;
            };
            for value in &documents {
                let keys = open_keys(value);
                if !keys.is_empty() {
                    found.push(format!(
                        "{}: {} with {}",
                        path.display(),
                        called(value),
                        keys.join(", ")
                    ));
                }
            }
        }
        Ok((manifests, found, unread))
    });
    let (manifests, found, unread) = match asked.await {
        Ok(answer) => answer,
        Err(verdict) => return Ok(declared::undecided(verdict, &[])),
    };
    Ok(match found.first() {
        None => Verdict::pass(format!("{manifests} manifests that speak of secrets")),
        Some(first) => Verdict::fail(
            "PlaintextSecret",
            format!(
                "{} objects with secrets in plain text, first {first}",
                found.len()
            ),
        )
        .saw_all(found),
    }
    .saw_all(unread))
}

async fn sops_configured(cx: &Context) -> Answer {
    let repository = match declared::repository(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let all = cx
        .view
        .list::<Kustomization>(&kinds::KUSTOMIZATIONS, Scope::all())
        .await?;
    let builders: Vec<(String, PathBuf, bool)> = all
        .iter()
        .filter(|one| one.spec.source_ref.name == cx.settings.flux.source)
        .map(|one| {
            let path = normalised(&one.spec.path);
            (
                one.metadata.full_name(),
                PathBuf::from(path.trim_start_matches('/')),
                one.spec.decryption.is_some(),
            )
        })
        .collect();
    let asked = declared::ask(&repository, move |repository| {
        let manifests = Manifests::of(repository);
        let carrying = builders
            .into_iter()
            .map(|(name, path, decrypts)| {
                let files: Vec<PathBuf> = manifests
                    .documents_under(&path)
                    .documents
                    .into_iter()
                    .filter(|document| is_encrypted(&document.value))
                    .map(|document| document.file)
                    .collect();
                (name, files, decrypts)
            })
            .filter(|(_, files, _)| !files.is_empty())
            .collect::<Vec<_>>();
        Ok(carrying)
    });
    let carrying = match asked.await {
        Ok(answer) => answer,
        Err(verdict) => return Ok(declared::undecided(verdict, &[])),
    };
    if carrying.is_empty() {
        return Ok(Verdict::skip(
            "NothingEncrypted",
            "no Kustomization builds a file that SOPS has encrypted",
        ));
    }
    let seen: Vec<String> = carrying
        .iter()
        .map(|(name, files, decrypts)| {
            let word = if *decrypts {
                "decrypts"
            } else {
                "does not decrypt"
            };
            format!("{name} {word} {} objects", files.len())
        })
        .collect();
    let without: Vec<&str> = carrying
        .iter()
        .filter(|(_, _, decrypts)| !decrypts)
        .map(|(name, ..)| name.as_str())
        .collect();
    Ok(if without.is_empty() {
        Verdict::pass(format!("{} Kustomizations", carrying.len()))
    } else {
        Verdict::fail(
            "NotConfigured",
            format!(
                "encrypted objects and no spec.decryption: {}",
                without.join(", ")
            ),
        )
    }
    .saw_all(seen))
}

#[cfg(test)]
pub(super) mod example {
    use std::{path::Path, sync::Arc};

    use crate::{
        Verdict,
        git::Repository,
        testing::{Fixture, check},
    };

    /// Asks a check of a repository with these tracked files.
    pub(in crate::security) async fn ask(
        id: &str,
        files: &[(&str, &str)],
        fixture: Fixture,
    ) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let git = git2::Repository::init(folder.path()).unwrap();
        let mut index = git.index().unwrap();
        for (path, text) in files {
            let full = folder.path().join(path);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(full, text).unwrap();
            index.add_path(Path::new(path)).unwrap();
        }
        index.write().unwrap();
        let mut cx = fixture.context();
        cx.repository = Some(Arc::new(Repository::open(folder.path()).unwrap()));
        (check(id).ask)(&cx).await.unwrap()
    }
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::json;

    use super::{example::ask, *};
    use crate::testing::Fixture;

    const ENCRYPTED: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  a: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[AES256_GCM,data:y]\n";

    #[tokio::test]
    async fn a_token_is_named_by_its_place_and_never_shown() {
        let hash = "0123456789abcdef".repeat(4);
        let token = format!("K3S_TOKEN: K10{hash}::server:hunter2secret");
        let age = format!("AGE-SECRET-KEY-1{}", "Q".repeat(58));
        let id = "security::join_token_in_git";
        for (text, sort) in [
            (format!("a: b\n{token}\n"), "k3s join token"),
            (format!("# key\n{age}\n"), "age key"),
            (
                format!("x: |\n{}\n", "-----BEGIN OPENSSH PRIVATE KEY-----"),
                "private key",
            ),
        ] {
            let verdict = ask(id, &[("ci/user-data.yaml", text.as_str())], Fixture::new()).await;
            assert_eq!(verdict.reason(), "KeyInGit");
            assert_eq!(
                verdict.evidence(),
                [format!("ci/user-data.yaml line 2: {sort}")]
            );
            let whole = format!("{verdict:?}");
            assert!(
                !whole.contains("hunter2") && !whole.contains("QQQ"),
                "{whole}"
            );
        }
        let empty = ask(id, &[], Fixture::new()).await;
        assert_eq!(empty.outcome(), Outcome::Error, "{empty:?}");
        let harmless = "K3S_TOKEN: ${TOKEN}\nhash: K10abc::server:x\n-----BEGIN PUBLIC KEY-----\n";
        let verdict = ask(id, &[("a.yaml", harmless)], Fixture::new()).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
    }

    #[tokio::test]
    async fn only_secrets_that_show_their_values_are_named() {
        let plain = "kind: ConfigMap\napiVersion: v1\ndata: {a: Secret}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: grafana}\nstringData: {password: hunter2secret}\n";
        let id = "security::plaintext_secrets";
        let verdict = ask(id, &[("a/s.yaml", plain)], Fixture::new()).await;
        assert_eq!(verdict.reason(), "PlaintextSecret");
        assert_eq!(
            verdict.evidence(),
            ["a/s.yaml: Secret grafana with password"]
        );
        assert!(!format!("{verdict:?}").contains("hunter2"));
        let elsewhere = "secretGenerator:\n- name: x\n  literals: [user=ada, key=hunter2secret]\n";
        let chart = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: g}\nspec: {values: {grafana: {adminPassword: hunter2secret, tokenTtl: 1h, existingSecret: s}}}\n";
        let files = [("kustomization.yaml", elsewhere), ("release.yaml", chart)];
        let verdict = ask(id, &files, Fixture::new()).await;
        assert_eq!(
            verdict.evidence(),
            [
                "kustomization.yaml: Kustomization with user, key",
                "release.yaml: HelmRelease g with grafana.adminPassword"
            ]
        );
        assert!(!format!("{verdict:?}").contains("hunter2"));
        let to_fill =
            "apiVersion: v1\nkind: Secret\nmetadata: {name: t}\nstringData: {key: <your key>}\n";
        let files = [("s.yaml", ENCRYPTED), ("t.yaml", to_fill)];
        let verdict = ask(id, &files, Fixture::new()).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        let cx = Fixture::new().context();
        let none = plaintext_secrets(&cx).await.unwrap();
        assert_eq!(none.reason(), "NoRepository");
    }

    #[tokio::test]
    async fn a_kustomization_with_encrypted_files_must_decrypt() {
        let kustomization = |decryption: Value| {
            Fixture::new().with(json!({
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                "metadata": {"name": "apps", "namespace": "flux-system"},
                "spec": {
                    "path": "./apps", "decryption": decryption,
                    "sourceRef": {"kind": "GitRepository", "name": "flux-system"},
                },
            }))
        };
        let id = "security::sops_configured";
        let files = [("apps/s.yaml", ENCRYPTED)];
        let none = ask(id, &files, kustomization(Value::Null)).await;
        assert_eq!(none.reason(), "NotConfigured");
        assert!(none.message().contains("flux-system/apps"), "{none:?}");
        let good = ask(id, &files, kustomization(json!({"provider": "sops"}))).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let elsewhere = ask(
            id,
            &[("other/s.yaml", ENCRYPTED), ("apps/a.yaml", "kind: A\n")],
            kustomization(Value::Null),
        )
        .await;
        assert_eq!(elsewhere.reason(), "NothingEncrypted");
    }
}
