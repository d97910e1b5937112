//! Taking, renewing, losing and giving back, against a server of one object that knows resourceVersions.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::jiff::SignedDuration;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::Stopper;

/// An API server that holds one Lease.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    object: Option<Value>,
    version: u64,
    /// How the next requests go, one each: 200 well, 0 done and not answered, anything else refused with it.
    trouble: Vec<u16>,
    /// The verb that is not allowed.
    forbidden: Option<Method>,
    writes: usize,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let method = request.method().clone();
                let bytes = request.into_body().collect_bytes().await?;
                let (status, body) = server.answer(&method, &bytes);
                if status == 0 {
                    return Err(tower::BoxError::from("connection reset"));
                }
                let response = Response::builder().status(status);
                Ok(response.body(Body::from(body.to_string().into_bytes()))?)
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, body: &[u8]) -> (u16, Value) {
        let mut world = self.0.lock().unwrap();
        let world = &mut *world;
        let refusal = |code: u16, reason: &str| {
            let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason});
            (code, status)
        };
        if world.forbidden.as_ref() == Some(method) {
            return refusal(403, "Forbidden");
        }
        let trouble = (!world.trouble.is_empty()).then(|| world.trouble.remove(0));
        if let Some(code) = trouble.filter(|code| ![0, 200].contains(code)) {
            return refusal(code, "ServerTimeout");
        }
        let (code, answer) = match *method {
            Method::GET => match &world.object {
                Some(object) => (200, object.clone()),
                None => refusal(404, "NotFound"),
            },
            _ => {
                let mut new: Value = serde_json::from_slice(body).unwrap();
                let known = world
                    .object
                    .as_ref()
                    .map(|object| object["metadata"]["resourceVersion"].clone());
                let sent = new["metadata"].get("resourceVersion").cloned();
                match (method.as_str(), known) {
                    ("POST", Some(_)) => refusal(409, "AlreadyExists"),
                    ("PUT", None) => refusal(404, "NotFound"),
                    ("PUT", known) if sent != known => refusal(409, "Conflict"),
                    _ => {
                        world.version += 1;
                        world.writes += 1;
                        new["metadata"]["resourceVersion"] = json!(world.version.to_string());
                        world.object = Some(new.clone());
                        (StatusCode::OK.as_u16(), new)
                    }
                }
            }
        };
        if trouble == Some(0) {
            (0, Value::Null)
        } else {
            (code, answer)
        }
    }

    fn holder(&self) -> Option<String> {
        let world = self.0.lock().unwrap();
        let holder = &world.object.as_ref()?["spec"]["holderIdentity"];
        holder.as_str().map(str::to_owned)
    }

    /// The process that says to hold it.
    fn held_as(&self, process: &str) {
        self.change(|world| {
            let object = world.object.as_mut().unwrap();
            object["metadata"]["annotations"]["onboarding/process"] = process.into();
        });
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.0.lock().unwrap());
    }

    /// As if somebody else had written it.
    fn held_by(&self, identity: &str, renewed: SignedDuration, seconds: u32) {
        let time = (Timestamp::now() - renewed).to_string();
        self.change(|world| {
            world.version += 1;
            world.object = Some(json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {
                    "name": "onboarding-k3s2", "namespace": "kube-system",
                    "resourceVersion": world.version.to_string(),
                    "annotations": {"onboarding/host": "host-b", "onboarding/phase": "node_join_monitoring"},
                },
                "spec": {
                    "holderIdentity": identity, "leaseDurationSeconds": seconds,
                    "acquireTime": time, "renewTime": time,
                },
            }));
        });
    }
}

#[derive(Default)]
struct Seen(AtomicUsize);

impl Observer for Seen {
    fn waiting(&self, _: &Waiting) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn waited(&self) {}
}

fn wanted(run: &str) -> Wanted {
    Wanted {
        namespace: "kube-system".into(),
        node: "k3s2".into(),
        run: run.into(),
        host: "host-a".into(),
        mode: "onboard",
        duration: Duration::from_millis(900),
        ended: Vec::new(),
    }
}

struct Side {
    permit: Permit,
    stop: Stop,
    seen: Seen,
    lease: Result<Lease, LeaseError>,
}

async fn take(server: &Server, wanted: &Wanted) -> Side {
    let (permit, stop, seen) = (
        Permit::default(),
        Stopper::default().listener(),
        Seen::default(),
    );
    let lease = Lease::take(server.client(), wanted, &permit, &stop, &seen).await;
    Side {
        permit,
        stop,
        seen,
        lease,
    }
}

async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..500 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come true");
}

#[tokio::test]
async fn of_two_that_start_together_exactly_one_gets_it() {
    for _ in 0..20 {
        let server = Server::default();
        let (one, two) = (wanted("11111111"), wanted("22222222"));
        let (one, two) = tokio::join!(take(&server, &one), take(&server, &two));
        let held: Vec<&Side> = [&one, &two]
            .into_iter()
            .filter(|side| side.lease.is_ok())
            .collect();
        assert_eq!(held.len(), 1);
        assert!(held[0].permit.check("x").is_ok());
        let other = if one.lease.is_ok() { &two } else { &one };
        assert!(other.permit.check("x").is_err());
        let Err(LeaseError::Held { holder, .. }) = &other.lease else {
            panic!("{:?}", other.lease)
        };
        assert_eq!(Some(&holder.identity), server.holder().as_ref());
    }
}

#[tokio::test]
async fn a_second_comer_is_told_who_where_which_phase_and_how_old() {
    let server = Server::default();
    server.held_by(
        "onboarding-7f3a91c2-aaaaaaaa",
        SignedDuration::from_secs(4),
        30,
    );
    let side = take(&server, &wanted("11111111")).await;
    let said = side.lease.unwrap_err().to_string();
    for part in [
        "Lease kube-system/onboarding-k3s2",
        "run 7f3a91c2",
        "on host-b",
        "in node_join_monitoring",
        "renewed 4 s ago",
    ] {
        assert!(said.contains(part), "{said} has no {part}");
    }
    assert_eq!(side.seen.0.load(Ordering::Relaxed), 0, "it stops at once");
}

#[tokio::test]
async fn it_is_renewed_says_the_phase_and_is_given_back() {
    let server = Server::default();
    let side = take(&server, &wanted("11111111")).await;
    let lease = side.lease.unwrap();
    let first = server.0.lock().unwrap().writes;
    until("two renewals", || {
        server.0.lock().unwrap().writes >= first + 2
    })
    .await;
    assert!(side.permit.check("x").is_ok());
    lease.phase("network_validation");
    until("the phase", || {
        let world = server.0.lock().unwrap();
        world.object.as_ref().unwrap()["metadata"]["annotations"]["onboarding/phase"]
            == "network_validation"
    })
    .await;
    lease.release().await;
    assert_eq!(server.holder(), None);
    assert!(
        side.permit.check("x").is_err(),
        "nothing is written afterwards"
    );
    assert!(!side.stop.asked());
    let again = take(&server, &wanted("22222222")).await;
    assert_eq!(again.lease.unwrap().taken, Taken::Free);
}

#[tokio::test]
async fn one_that_is_dropped_is_given_back_too() {
    let server = Server::default();
    let side = take(&server, &wanted("11111111")).await;
    drop(side.lease);
    until("the end", || server.holder().is_none()).await;
}

#[tokio::test]
async fn a_lease_that_somebody_took_stops_the_run() {
    for (name, loss) in [
        ("taken", Some("onboarding-7f3a91c2-aaaaaaaa")),
        // The same run of a copied folder is another start all the same.
        ("copied", Some("onboarding-11111111-aaaaaaaa")),
        ("deleted", None),
    ] {
        let server = Server::default();
        let side = take(&server, &wanted("11111111")).await;
        let _lease = side.lease.unwrap();
        match loss {
            Some(identity) => server.held_by(identity, SignedDuration::ZERO, 30),
            None => server.change(|world| world.object = None),
        }
        until("the loss", || side.permit.lost().is_some()).await;
        assert!(side.stop.asked(), "{name}");
        let refused = side.permit.check("PATCH x").unwrap_err();
        assert_eq!(refused.reason(), "LeaseLost");
        assert_eq!(
            server.holder().as_deref(),
            loss,
            "{name}: it is left to its holder"
        );
    }
}

#[tokio::test]
async fn a_server_that_fails_for_a_while_costs_nothing_and_for_too_long_the_right_to_write() {
    let server = Server::default();
    let side = take(&server, &wanted("11111111")).await;
    let _lease = side.lease.unwrap();
    server.change(|world| world.trouble = vec![503, 0, 500]);
    let before = server.0.lock().unwrap().writes;
    until("renewals after the trouble", || {
        server.0.lock().unwrap().writes > before + 2
    })
    .await;
    assert!(side.permit.check("x").is_ok());
    server.change(|world| world.forbidden = Some(Method::PUT));
    until("the end of its time", || side.permit.check("x").is_err()).await;
    assert_eq!(side.permit.check("x").unwrap_err().reason(), "LeaseLapsed");
    assert!(!side.stop.asked(), "nobody has taken it");
    server.change(|world| world.forbidden = None);
    until("the renewal", || side.permit.check("x").is_ok()).await;
}

#[tokio::test]
async fn a_missing_right_is_named() {
    for (method, verb) in [
        (Method::GET, "get"),
        (Method::POST, "create"),
        (Method::PUT, "update"),
    ] {
        let server = Server::default();
        if verb == "update" {
            let first = take(&server, &wanted("00000000")).await;
            first.lease.unwrap().release().await;
        }
        server.change(|world| world.forbidden = Some(method));
        let side = take(&server, &wanted("11111111")).await;
        let Err(LeaseError::Forbidden { verb: named, .. }) = &side.lease else {
            panic!("{verb}: {:?}", side.lease)
        };
        assert_eq!(*named, verb);
        assert!(side.permit.check("x").is_err());
    }
}

#[tokio::test]
async fn a_write_that_was_not_answered_is_found_again() {
    let server = Server::default();
    // The first look fails, the second finds nothing; then the creation fails, and a later one arrives unanswered.
    server.change(|world| world.trouble = vec![503, 200, 500, 200, 0]);
    let side = take(&server, &wanted("11111111")).await;
    let (lease, permit) = (side.lease.unwrap(), side.permit);
    assert_eq!(lease.taken, Taken::Free);
    assert_eq!(
        server.0.lock().unwrap().writes,
        2,
        "created, and renewed once it was found"
    );
    server.change(|world| world.trouble = vec![0]);
    lease.phase("x");
    until("the renewal after one that was not answered", || {
        let world = server.0.lock().unwrap();
        world.trouble.is_empty() && world.writes >= 3
    })
    .await;
    assert!(permit.check("x").is_ok() && permit.lost().is_none());
}

#[tokio::test]
async fn a_run_of_the_same_folder_that_was_killed_is_followed_at_once() {
    let server = Server::default();
    server.held_by("onboarding-7f3a91c2-aaaaaaaa", SignedDuration::ZERO, 3600);
    let mut wanted = wanted("7f3a91c2");
    let stranger = take(&server, &wanted).await;
    assert!(matches!(stranger.lease, Err(LeaseError::Held { .. })));
    wanted.ended = vec!["7f3a91c2".into()];
    let elsewhere = take(&server, &wanted).await;
    assert!(
        matches!(elsewhere.lease, Err(LeaseError::Held { .. })),
        "it may go on at the machine that it was begun on"
    );
    wanted.host = "host-b".into();
    server.held_as(&std::process::id().to_string());
    let copied = take(&server, &wanted).await;
    assert!(
        matches!(copied.lease, Err(LeaseError::Held { .. })),
        "its process goes on: the folder is a copy"
    );
    server.held_as("4294967295");
    let side = take(&server, &wanted).await;
    assert!(matches!(side.lease.unwrap().taken, Taken::FromEnded(_)));
    assert_eq!(side.seen.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_a_killed_run_left_is_given_back_and_nothing_else_is_touched() {
    let server = Server::default();
    let mut wanted = wanted("00000000");
    wanted.host = "host-b".into();
    wanted.ended = vec!["7f3a91c2".into()];
    let left = |server: &Server| {
        let client = server.client();
        let wanted = wanted.clone();
        async move { Lease::give_back_left(client, &wanted).await }
    };
    assert_eq!(left(&server).await, Ok(None), "there is none");
    server.held_by("onboarding-99999999-aaaaaaaa", SignedDuration::ZERO, 30);
    assert_eq!(left(&server).await, Ok(None), "it is somebody else's");
    server.held_by("onboarding-7f3a91c2-aaaaaaaa", SignedDuration::ZERO, 30);
    server.held_as(&std::process::id().to_string());
    assert_eq!(left(&server).await, Ok(None), "its process goes on");
    assert_eq!(server.0.lock().unwrap().writes, 0);
    server.held_as("4294967295");
    server.change(|world| world.trouble = vec![200, 503]);
    let holder = left(&server).await.unwrap().unwrap();
    assert_eq!(holder.run(), Some("7f3a91c2"));
    assert_eq!(server.holder(), None);
    server.held_by("onboarding-7f3a91c2-aaaaaaaa", SignedDuration::ZERO, 30);
    server.change(|world| world.forbidden = Some(Method::PUT));
    let refused = left(&server).await;
    assert!(
        matches!(refused, Err(LeaseError::Forbidden { verb: "update", .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_expired_lease_is_taken_after_it_was_seen_unchanged_for_its_duration() {
    let server = Server::default();
    server.held_by(
        "onboarding-7f3a91c2-aaaaaaaa",
        SignedDuration::from_hours(1),
        1,
    );
    let begun = std::time::Instant::now();
    let side = take(&server, &wanted("11111111")).await;
    assert!(matches!(side.lease.unwrap().taken, Taken::Expired(_)));
    assert!(begun.elapsed() >= Duration::from_millis(950));
    assert!(
        side.seen.0.load(Ordering::Relaxed) > 0,
        "it says what it waits for"
    );
}

#[tokio::test]
async fn a_holder_whose_clock_is_behind_is_not_robbed() {
    let server = Server::default();
    let behind = SignedDuration::from_hours(2);
    server.held_by("onboarding-7f3a91c2-aaaaaaaa", behind, 2);
    let other = server.clone();
    let renewing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        other.held_by("onboarding-7f3a91c2-aaaaaaaa", behind, 2);
    });
    let side = take(&server, &wanted("11111111")).await;
    assert!(
        matches!(side.lease, Err(LeaseError::Held { .. })),
        "{:?}",
        side.lease
    );
    renewing.await.unwrap();
}

#[tokio::test]
async fn ctrl_c_ends_the_taking() {
    let server = Server::default();
    server.held_by(
        "onboarding-7f3a91c2-aaaaaaaa",
        SignedDuration::from_hours(1),
        60,
    );
    let stopper = Stopper::default();
    let stop = stopper.listener();
    stopper.stop();
    let (permit, seen) = (Permit::default(), Seen::default());
    let wanted = wanted("11111111");
    let lease = Lease::take(server.client(), &wanted, &permit, &stop, &seen).await;
    assert_eq!(lease.unwrap_err(), LeaseError::Stopped);
}
