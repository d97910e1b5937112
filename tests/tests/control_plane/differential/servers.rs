//! The two servers: a real one, and the sandbox's without any actor behind it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use kube::{Client, Config, config::Kubeconfig};
use libtest_mimic::Failed;
use sandbox::api::{
    ApiOptions, ApiServer, Backend, Disturbance, ProxyRequest, ProxyResponse, ServiceTarget, Tls,
    Transport,
};
use serde_json::Value;
use tests::control_plane::{ControlPlane, Parts};

use super::step::{Step, User};

/// How often a request that settles is sent, at ten a second.
const SETTLES: usize = 200;

/// What a server answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    /// JSON, a list of watch events, or the text as it is.
    pub(super) body: Value,
}

struct Server {
    admin: Client,
    eve: Client,
    kept: BTreeMap<&'static str, String>,
}

/// Both servers, the real one first.
pub(crate) struct Pair {
    servers: [Server; 2],
    real: ControlPlane,
    ours: ApiServer,
}

impl Pair {
    pub(crate) async fn start() -> Result<Self, Failed> {
        let real = ControlPlane::start(Parts::Server).await?;
        let address: IpAddr = [127, 0, 0, 1].into();
        let ours = ApiServer::start(ApiOptions {
            listen: vec![(address, 0).into()],
            tls: Tls::generate(&[address], &["kubernetes"])?,
            version: "v1.36.3".into(),
            backend: Arc::new(Nothing),
            transport: Arc::new(Nothing),
            objects: Vec::new(),
            record: None,
            actor_token: "actor-token".into(),
            admin_token: "admin-token".into(),
        })
        .await?;
        ours.add_user("eve-token", "eve", &["team"]);
        let servers = [
            Server {
                admin: real.admin().await?,
                eve: real.eve().await?,
                kept: BTreeMap::new(),
            },
            Server {
                admin: client(&ours, "admin-token").await?,
                eve: client(&ours, "eve-token").await?,
                kept: BTreeMap::new(),
            },
        ];
        Ok(Self {
            servers,
            real,
            ours,
        })
    }

    /// The kubeconfigs of their administrators, as text.
    pub(crate) fn kubeconfigs(&self) -> Result<[String; 2], Failed> {
        Ok([
            std::fs::read_to_string(self.real.kubeconfig())?,
            self.ours.kubeconfig("sandbox", "admin", "admin-token"),
        ])
    }

    /// Sends the request to both.
    pub(super) async fn send(&mut self, step: &Step) -> Result<[Answer; 2], Failed> {
        let [real, ours] = &mut self.servers;
        let (real, ours) = futures::join!(real.send(step), ours.send(step));
        Ok([real?, ours?])
    }
}

async fn client(server: &ApiServer, token: &str) -> Result<Client, Failed> {
    let kubeconfig: Kubeconfig =
        serde_json::from_str(&server.kubeconfig("sandbox", "user", token))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

impl Server {
    async fn send(&mut self, step: &Step) -> Result<Answer, Failed> {
        for _ in 0..SETTLES {
            let answer = self.send_once(step).await?;
            if !step.settles || answer.code < 300 {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("{step}: not answered with success after {SETTLES} tries").into())
    }

    async fn send_once(&mut self, step: &Step) -> Result<Answer, Failed> {
        let client = match step.user {
            User::Admin => &self.admin,
            User::Eve => &self.eve,
        };
        let filled = |text: &str| {
            let mut text = text.to_owned();
            for (name, value) in &self.kept {
                text = text.replace(&format!("{{{name}}}"), value);
            }
            text
        };
        let body = if step.body.is_null() {
            String::new()
        } else {
            filled(&step.body.to_string())
        };
        let request = http::Request::builder()
            .method(step.method)
            .uri(filled(&step.path))
            .header("accept", step.accept)
            .header("content-type", step.media)
            .body(body.into_bytes().into())?;
        let response = client.send(request).await?;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = if code == 200 && step.path.contains("watch=true") {
            events(&text)
        } else {
            serde_json::from_str(&text).unwrap_or_else(|_| text.into())
        };
        for &(name, pointer) in &step.keep {
            let value = body
                .pointer(pointer)
                .ok_or_else(|| format!("{step}: no {pointer} in {body}"))?;
            self.kept.insert(
                name,
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            );
        }
        Ok(Answer { code, body })
    }
}

/// The lines of a watch as a list; other text as it is.
fn events(text: &str) -> Value {
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    lines.map_or_else(|_| text.into(), Value::from)
}

/// No kubelet, no Service and no trouble.
struct Nothing;

impl Backend for Nothing {
    fn node_proxy(&self, _: String, _: ProxyRequest) -> BoxFuture<'static, ProxyResponse> {
        unreachable()
    }

    fn service_proxy(
        &self,
        _: ServiceTarget,
        _: ProxyRequest,
    ) -> BoxFuture<'static, ProxyResponse> {
        unreachable()
    }

    fn health(&self) -> Vec<(String, Result<(), String>)> {
        vec![("ping".into(), Ok(()))]
    }
}

fn unreachable() -> BoxFuture<'static, ProxyResponse> {
    async {
        ProxyResponse {
            status: 502,
            content_type: "text/plain".into(),
            body: b"nothing there".to_vec(),
        }
    }
    .boxed()
}

impl Transport for Nothing {
    fn disturb(&self, _: &str, _: &str) -> Disturbance {
        Disturbance::None
    }
}
