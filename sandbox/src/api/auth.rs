//! Who asks: bearer tokens of users and service accounts.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use base64::Engine as _;
use serde_json::{Value, json};

use super::store::Store;

/// Somebody who has authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) uid: String,
}

impl User {
    pub(crate) fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        groups.push("system:authenticated".to_owned());
        Self {
            name: name.into(),
            groups,
            uid: String::new(),
        }
    }

    /// A service account, with the groups that every one has.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = [
            "system:serviceaccounts",
            &format!("system:serviceaccounts:{namespace}"),
        ];
        Self {
            uid: uid.to_owned(),
            ..Self::new(format!("system:serviceaccount:{namespace}:{name}"), &groups)
        }
    }

    /// `UserInfo` of authentication reviews.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({ "username": self.name, "groups": self.groups });
        if !self.uid.is_empty() {
            info["uid"] = self.uid.clone().into();
        }
        info
    }
}

/// Name of the user that the sandbox's own programs are.
pub(crate) const ACTOR: &str = "sandbox:actor";

/// The tokens that are known, apart from those in Secrets.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    users: RwLock<HashMap<String, User>>,
}

impl Tokens {
    pub(crate) fn add(&self, token: &str, user: User) {
        self.users
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(token.to_owned(), user);
    }

    /// Makes a token for a service account (TokenRequest).
    pub(crate) fn issue(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        seconds: i64,
        audiences: &Value,
    ) -> String {
        let token = token_text(namespace, name, uid, Some(seconds), audiences);
        self.add(&token, User::service_account(namespace, name, uid));
        token
    }

    /// Who holds this token.
    pub(crate) fn user(&self, store: &Store, token: &str) -> Option<User> {
        if token.is_empty() {
            return None;
        }
        if let Some(user) = self
            .users
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(token)
        {
            // A token does not outlive its service account.
            if let Some(account) = user.name.strip_prefix("system:serviceaccount:") {
                let (namespace, name) = account.split_once(':')?;
                let resource = store.registry.find("", "serviceaccounts")?;
                store.get(&resource, namespace, name)?;
            }
            return Some(user.clone());
        }
        let account = claims(token)?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(token);
        let (namespace, name) = account.split_once(':')?;
        let secrets = store.all("", "secrets", namespace);
        let secret = secrets.iter().find(|secret| {
            secret["type"] == SECRET_TYPE
                && secret["data"]["token"].as_str() == Some(encoded.as_str())
        })?;
        let resource = store.registry.find("", "serviceaccounts")?;
        let holder = store.get(&resource, namespace, name)?;
        if secret["metadata"]["annotations"][ACCOUNT_ANNOTATION] != name {
            return None;
        }
        Some(User::service_account(
            namespace,
            name,
            holder["metadata"]["uid"].as_str().unwrap_or_default(),
        ))
    }
}

/// Type of the Secrets that hold a service account's token.
pub(crate) const SECRET_TYPE: &str = "kubernetes.io/service-account-token";
/// Names the service account of such a Secret.
pub(crate) const ACCOUNT_ANNOTATION: &str = "kubernetes.io/service-account.name";

/// A token in the shape of a JSON Web Token, so that clients which look inside find the usual claims. Its signature is
/// random: what makes it valid is that the server remembers it.
pub(crate) fn token_text(
    namespace: &str,
    name: &str,
    uid: &str,
    seconds: Option<i64>,
    audiences: &Value,
) -> String {
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let issued = jiff::Timestamp::now().as_second();
    let mut claims = json!({
        "iss": "https://kubernetes.default.svc.cluster.local",
        "aud": if audiences.is_array() { audiences.clone() } else { json!(["https://kubernetes.default.svc.cluster.local", "k3s"]) },
        "iat": issued, "nbf": issued, "jti": uuid::Uuid::new_v4().to_string(),
        "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name, "uid": uid } },
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    });
    if let Some(seconds) = seconds {
        claims["exp"] = (issued + seconds).into();
    }
    let signature: Vec<u8> = (0..4)
        .flat_map(|_| uuid::Uuid::new_v4().into_bytes())
        .collect();
    let header = engine.encode(json!({ "alg": "RS256", "kid": "sandbox" }).to_string());
    format!(
        "{header}.{}.{}",
        engine.encode(claims.to_string()),
        engine.encode(signature)
    )
}

/// `namespace:name` of the service account that a token says it is of.
fn claims(token: &str) -> Option<String> {
    let body = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1)?)
        .ok()?;
    let claims: Value = serde_json::from_slice(&body).ok()?;
    Some(
        claims["sub"]
            .as_str()?
            .strip_prefix("system:serviceaccount:")?
            .to_owned(),
    )
}

/// Fills a service-account-token Secret, if its service account exists.
pub(crate) fn fill_secret(transaction: &super::transaction::Transaction<'_>, secret: &mut Value) {
    if secret["type"] != SECRET_TYPE || secret["data"].get("token").is_some() {
        return;
    }
    let namespace = secret["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let name = secret["metadata"]["annotations"][ACCOUNT_ANNOTATION]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let Some(account) = transaction.find("", "serviceaccounts", &namespace, &name) else {
        return;
    };
    let uid = account["metadata"]["uid"].as_str().unwrap_or_default();
    let engine = base64::engine::general_purpose::STANDARD;
    if !secret["data"].is_object() {
        secret["data"] = json!({});
    }
    secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] = uid.into();
    secret["data"]["token"] = engine
        .encode(token_text(&namespace, &name, uid, None, &Value::Null))
        .into();
    secret["data"]["namespace"] = engine.encode(&namespace).into();
    secret["data"]["ca.crt"] = engine.encode(transaction.ca()).into();
}

/// What the request's `Authorization` header says: the token.
pub(crate) fn bearer(header: Option<&str>) -> Option<&str> {
    let (scheme, token) = header?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Shared by connections.
pub(crate) type SharedTokens = Arc<Tokens>;
