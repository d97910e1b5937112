//! What a test looks at afterwards: reports, git, the record of requests, objects.

use std::{fs, path::Path, process::Command};

use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    model::{Cluster, Mode, Report, SCHEMA},
    store::Store,
};
use sandbox::api::RequestRecord;
use serde_json::Value;

use crate::TestEnvironment;

/// The report of a run in which nothing has happened yet, for checks that are asked without one.
#[must_use]
pub fn nothing_done() -> Report {
    Report {
        schema: SCHEMA,
        sequence: 0,
        run: "00000000".into(),
        mode: Mode::Inspect,
        node: checks::Settings::default().node.name,
        cluster: Cluster::default(),
        repository: None,
        tool: env!("CARGO_PKG_VERSION").into(),
        started: "2026-01-01T00:00:00Z".parse().expect("a time"),
        finished: None,
        exit_code: None,
        resumed: 0,
        phases: Vec::new(),
        steps: Vec::new(),
        actions: Vec::new(),
        requests: 0,
        other_requests: std::collections::BTreeMap::new(),
        state: None,
    }
}

impl TestEnvironment {
    /// The unfinished report in the state folder, read as the program reads it.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let folder = StateFolder::open(&self.state()).ok()??;
        Some(Store::load(&folder).ok()??.report)
    }

    /// The newest report in the log folder.
    ///
    /// # Panics
    /// A file there cannot be read.
    #[must_use]
    pub fn archived(&self) -> Option<Report> {
        let folder = LogFolder::open(&self.logs()).ok()??;
        let history = archive::all(&folder, "k3s2").expect("the archive can be read");
        assert!(history.damaged.is_empty(), "damaged: {:?}", history.damaged);
        let newest = history
            .reports
            .into_iter()
            .max_by_key(|one| (one.report.started, one.report.sequence));
        Some(newest?.report)
    }

    /// `onboarding-state.json`, null when there is none.
    #[must_use]
    pub fn state_json(&self) -> Value {
        let text = fs::read(self.state().join("onboarding-state.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// What git says in a repository, with nothing of the person's configuration.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    #[track_caller]
    pub fn git(&self, repository: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(repository)
            .args(arguments)
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "git {arguments:?} failed: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said.trim_end().to_owned()
    }

    /// The commits of the remote's main, newest first.
    #[must_use]
    pub fn commits(&self) -> Vec<String> {
        let said = self.git(&self.sandbox().remote(), &["rev-list", "main"]);
        said.lines().map(str::to_owned).collect()
    }

    /// Head, index, work tree and references of the checkout and the remote as one text, to compare before and after.
    #[must_use]
    pub fn repository_state(&self) -> String {
        let (checkout, remote) = (self.sandbox().checkout(), self.sandbox().remote());
        [
            self.git(&checkout, &["for-each-ref"]),
            self.git(&checkout, &["status", "--porcelain=v2", "--branch"]),
            self.git(&checkout, &["ls-files", "--stage"]),
            self.git(&checkout, &["diff"]),
            self.git(&remote, &["for-each-ref"]),
        ]
        .join("\n--\n")
    }

    /// The requests so far, without those of the cluster's own programs.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.sandbox().requests()
    }

    /// Those of them that change something, from the `since`th request on. Taking and keeping the lock is not counted.
    #[must_use]
    pub fn changes(&self, since: usize) -> Vec<RequestRecord> {
        let all = self.requests().into_iter().skip(since);
        all.filter(|one| one.mutates() && one.resource != "leases")
            .collect()
    }

    /// An object by its path, null when it is not there; asked with `kubectl`-like plain GET as the administrator.
    ///
    /// # Panics
    /// The API server does not answer.
    #[must_use]
    pub fn object(&self, path: &str) -> Value {
        let kubeconfig = self.sandbox().kubeconfig();
        self.runtime().block_on(async {
            let connection = checks::cluster::Connection::open(Some(&kubeconfig), None, "test")
                .await
                .expect("a connection");
            let reader = connection.reader().expect("a reader");
            reader.json(path).await.unwrap_or_default()
        })
    }

    /// Sends something to the API server, as the administrator and past the lock; what it answers.
    ///
    /// # Panics
    /// The API server refuses it.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Value {
        let answer = self.sent(method, path, content_type, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Sends what the API server does not take: code, reason and message of its answer.
    ///
    /// # Panics
    /// The API server takes it.
    #[track_caller]
    pub fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String, String) {
        let content_type = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        match self.sent(method, path, content_type, body) {
            Err(kube::Error::Api(status)) => (status.code, status.reason, status.message),
            other => panic!("{method} {path} should be refused: {other:?}"),
        }
    }

    fn sent(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Value, kube::Error> {
        let kubeconfig = self.sandbox().kubeconfig();
        self.runtime().block_on(async {
            let connection = checks::cluster::Connection::open(Some(&kubeconfig), None, "test")
                .await
                .expect("a connection");
            let permit = phases::lease::Permit::by_folder();
            let client = phases::writer(&connection, &permit).expect("a client");
            let request = http::Request::builder()
                .method(method)
                .uri(path)
                .header("content-type", content_type)
                .body(body.to_string().into_bytes())
                .expect("a request");
            client.request::<Value>(request).await
        })
    }
}
