//! Who gets in, and what they may.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::support::{World, call, pod, send, send_as};

fn binding(role: &str, subject: Value) -> Value {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": format!("{role}-binding") },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role }, "subjects": [subject] })
}

#[tokio::test]
async fn strangers_are_unauthorized_and_users_have_what_roles_give() {
    let world = World::start().await;
    let nobody = world.client("").await;
    assert_eq!(
        send(&nobody, "GET", "/version", "")
            .await
            .expect_err("anonymous")
            .code,
        401
    );
    assert_eq!(
        send(&nobody, "GET", "/ping", "")
            .await
            .expect("k3s answers"),
        "pong"
    );
    let wrong = world.client("wrong").await;
    assert_eq!(
        send(&wrong, "GET", "/api/v1/nodes", "")
            .await
            .expect_err("unknown token")
            .reason,
        "Unauthorized"
    );

    let eve = world.client("eve-token").await;
    let nodes: Api<Node> = Api::all(eve.clone());
    let refused = nodes
        .list(&ListParams::default())
        .await
        .expect_err("no role");
    let wanted = "nodes is forbidden: User \"eve\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
    assert!(
        matches!(&refused, kube::Error::Api(s) if s.code == 403 && s.reason == "Forbidden" && s.message == wanted),
        "{refused}"
    );
    assert!(
        send(&eve, "GET", "/version", "").await.is_ok(),
        "everybody with a name may ask for the version"
    );

    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "see-nodes" },
        "rules": [{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["list"] }] });
    let admin = world.admin().await;
    call(
        &admin,
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        role,
    )
    .await
    .expect("role");
    let bound = binding(
        "see-nodes",
        json!({ "kind": "Group", "name": "team", "apiGroup": "rbac.authorization.k8s.io" }),
    );
    call(
        &admin,
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        bound,
    )
    .await
    .expect("binding");
    assert!(
        nodes
            .list(&ListParams::default())
            .await
            .expect("allowed now")
            .items
            .is_empty()
    );

    let review = |verb: &str| {
        json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "verb": verb, "resource": "nodes" } } })
    };
    for (verb, allowed) in [("list", true), ("delete", false)] {
        let answer = call(
            &eve,
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            review(verb),
        )
        .await
        .expect("review");
        assert_eq!(answer["status"]["allowed"], allowed, "{verb}");
    }
}

#[tokio::test]
async fn impersonation_needs_a_right_and_takes_over_the_user() {
    let world = World::start().await;
    let as_eve = world
        .client_as("admin-token", |c| {
            c.auth_info.impersonate = Some("eve".into())
        })
        .await;
    assert_eq!(
        send(&as_eve, "GET", "/api/v1/nodes", "")
            .await
            .expect_err("eve may not")
            .code,
        403
    );
    let who = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let answer = call(
        &as_eve,
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        who,
    )
    .await
    .expect("review");
    assert_eq!(answer["status"]["userInfo"]["username"], "eve");
    let as_admin = world
        .client_as("eve-token", |c| {
            c.auth_info.impersonate = Some("system:admin".into())
        })
        .await;
    let refused = send(&as_admin, "GET", "/api/v1/nodes", "")
        .await
        .expect_err("eve may not impersonate");
    assert!(
        refused
            .message
            .contains("cannot impersonate resource \"users\""),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn service_accounts_have_tokens() {
    let world = World::start().await;
    let admin = world.admin().await;
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": 600 } });
    let made = call(
        &admin,
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        request,
    )
    .await
    .expect("token");
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": { "name": "s", "annotations": { "kubernetes.io/service-account.name": "default" } } });
    let secret = call(&admin, "POST", "/api/v1/namespaces/default/secrets", secret)
        .await
        .expect("secret");
    let kept = secret["data"]["token"].as_str().expect("token");
    let kept = String::from_utf8(
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, kept).expect("base64"),
    )
    .expect("text");
    for token in [made["status"]["token"].as_str().expect("token"), &kept] {
        let client = world.client(token).await;
        let refused = send(&client, "GET", "/api/v1/nodes", "")
            .await
            .expect_err("no role");
        assert!(
            refused
                .message
                .contains("User \"system:serviceaccount:default:default\""),
            "{}",
            refused.message
        );
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token } });
        let answer = call(
            &admin,
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            review,
        )
        .await
        .expect("review");
        assert_eq!(answer["status"]["authenticated"], true);
    }
    call(
        &admin,
        "DELETE",
        "/api/v1/namespaces/default/serviceaccounts/default",
        Value::Null,
    )
    .await
    .expect("deleted");
    let client = world.client(&kept).await;
    assert_eq!(
        send(&client, "GET", "/version", "")
            .await
            .expect_err("no account, no token")
            .code,
        401
    );
}

#[tokio::test]
async fn kubelets_are_authorized_by_their_pods() {
    let world = World::start().await;
    world
        .server
        .store()
        .load(vec![pod("mine", "n2"), pod("other", "n1")])
        .expect("pods");
    let kubelet = world
        .client_as("admin-token", |c| {
            c.auth_info.impersonate = Some("system:node:n2".into());
            c.auth_info.impersonate_groups = Some(vec!["system:nodes".into()]);
        })
        .await;
    let pods: Api<Pod> = Api::all(kubelet.clone());
    assert_eq!(
        pods.list(&ListParams::default().fields("spec.nodeName=n2"))
            .await
            .expect("own pods")
            .items
            .len(),
        1
    );
    assert!(
        pods.list(&ListParams::default()).await.is_err(),
        "not all pods"
    );
    assert!(
        send(&kubelet, "GET", "/api/v1/namespaces/default/pods/other", "")
            .await
            .is_err()
    );
    assert!(
        send(&kubelet, "GET", "/api/v1/namespaces/default/pods/mine", "")
            .await
            .is_ok()
    );
    let other = send_as(
        &kubelet,
        "PATCH",
        "/api/v1/nodes/n1?dryRun=All",
        "application/merge-patch+json",
        "{}",
    );
    let refused = other.await.expect_err("another node");
    let wanted = "node \"n2\" is not allowed to modify node \"n1\"";
    assert!(refused.message.contains(wanted), "{}", refused.message);
    let admin = world.admin().await;
    let ask = |verb: &str, resource: &str, name: &str| {
        json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": { "user": "system:node:n2", "groups": ["system:nodes", "system:authenticated"], "resourceAttributes": { "verb": verb, "resource": resource, "name": name } } })
    };
    for (verb, resource, name, allowed) in [
        ("get", "nodes", "n2", true),
        ("get", "nodes", "n1", false),
        ("list", "secrets", "", false),
        ("delete", "nodes", "n2", false),
    ] {
        let answer = call(
            &admin,
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            ask(verb, resource, name),
        )
        .await
        .expect("review");
        assert_eq!(
            answer["status"]["allowed"], allowed,
            "{verb} {resource} {name}"
        );
    }
}
