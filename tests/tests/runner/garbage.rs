//! Garbage in: what cannot be begun with. Each is told apart, says what to do, and leaves everything as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tests::{Output, Running, TestEnvironment};

/// Clones of the cluster's repository that a test may spoil, each with state and logs of its own.
pub(crate) struct Spoiled<'a> {
    env: &'a TestEnvironment,
    /// The clone.
    pub(crate) repo: PathBuf,
    /// Its state folder, not made yet.
    pub(crate) state: PathBuf,
    /// Its log folder, not made yet.
    pub(crate) logs: PathBuf,
}

impl<'a> Spoiled<'a> {
    /// A clone as the sandbox's own, with its identity and signing key.
    pub(crate) fn new(env: &'a TestEnvironment, name: &str) -> Self {
        let repo = env.root().join(format!("{name}-repo"));
        let copied = Command::new("cp")
            .arg("-a")
            .arg(env.sandbox().checkout())
            .arg(&repo)
            .status()
            .unwrap();
        assert!(copied.success());
        // The file of another copy has other times: git is to look at the content again, now and not during a run.
        let _ = env.git(&repo, &["status"]);
        Self {
            env,
            repo,
            state: env.root().join(format!("{name}-state")),
            logs: env.root().join(format!("{name}-logs")),
        }
    }

    /// Git in this clone.
    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.env.git(&self.repo, arguments)
    }

    /// The file with the entry of the node.
    pub(crate) fn file(&self) -> PathBuf {
        self.repo.join("infrastructure/storage/kustomization.yaml")
    }

    /// Runs the program on the cluster, with this clone.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(&self.env.sandbox().kubeconfig(), arguments)
    }

    /// Runs the program with another kubeconfig and this clone.
    pub(crate) fn run_with(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        let mut command = self.env.command();
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--repo")
            .arg(&self.repo)
            .arg("--state-dir")
            .arg(&self.state)
            .arg("--log-dir")
            .arg(&self.logs)
            .args(arguments);
        Running::start(command, self.env.root()).wait()
    }

    /// Everything that a start that comes to nothing must leave as it is: work tree, index, references and
    /// configuration of the clone, and the remote's references.
    pub(crate) fn everything(&self) -> Everything {
        let mut files = BTreeMap::new();
        tree(&self.repo, &mut files);
        files.retain(|path, _| {
            let inside = path.strip_prefix(&self.repo).unwrap();
            !inside.starts_with(".git") || inside == Path::new(".git/config")
        });
        let git = |arguments: &[&str]| self.git(arguments);
        Everything {
            files,
            head: fs::read_to_string(self.repo.join(".git/HEAD")).unwrap(),
            references: git(&["for-each-ref"]),
            index: git(&["ls-files", "--stage"]),
            stash: git(&["stash", "list"]),
            remote: self
                .env
                .git(&self.env.sandbox().remote(), &["for-each-ref"]),
        }
    }
}

/// See [`Spoiled::everything`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Everything {
    files: BTreeMap<PathBuf, (u32, Vec<u8>)>,
    head: String,
    references: String,
    index: String,
    stash: String,
    remote: String,
}

/// Every file below, with its mode and content; links with what they point to.
pub(crate) fn tree(folder: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        let mode = data.permissions().mode();
        if data.is_dir() {
            found.insert(path.clone(), (mode, Vec::new()));
            tree(&path, found);
        } else if data.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            found.insert(path, (mode, target.into_os_string().into_encoded_bytes()));
        } else {
            let content = fs::read(&path).unwrap();
            found.insert(path, (mode, content));
        }
    }
}

/// What a folder holds: file by file.
pub(crate) fn content(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    tree(folder, &mut found);
    found
}

/// Whether the tests run as root, whom no permission stops.
pub(crate) fn is_root() -> bool {
    let said = Command::new("id").arg("-u").output().unwrap();
    said.stdout.trim_ascii() == b"0"
}

/// A start that cannot begin: exit 3, these words, and no trace anywhere.
#[track_caller]
fn cannot_start(place: &Spoiled<'_>, kubeconfig: &Path, arguments: &[&str], words: &[&str]) {
    let since = place.env.requests().len();
    let out = place.run_with(kubeconfig, arguments).exits(3);
    for word in words {
        assert!(
            out.stderr.contains(word),
            "{word:?} is not in: {}",
            out.stderr
        );
    }
    assert!(out.stderr.contains("error: "), "{}", out.stderr);
    assert!(out.stderr.contains("do: "), "no hint: {}", out.stderr);
    assert_eq!(out.stdout, "", "nothing began, so nothing is a result");
    assert!(!place.state.exists(), "a state folder was made");
    assert!(!place.logs.exists(), "a log folder was made");
    let changes = place.env.changes(since);
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn a_kubeconfig_that_is_none() {
    let env = TestEnvironment::new();
    let place = Spoiled::new(&env, "kube");
    let good = env.sandbox().kubeconfig();
    let before = place.everything();
    let write = |name: &str, text: &str| {
        let path = env.root().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let text = fs::read_to_string(&good).unwrap();
    let absent = env.root().join("absent");
    let shown = absent.display().to_string();
    let words = ["kubeconfig", &shown, "/etc/rancher/k3s/k3s.yaml"];
    cannot_start(&place, &absent, &[], &words);
    cannot_start(&place, env.root(), &[], &["kubeconfig", "irectory"]);
    cannot_start(&place, &write("words", "garbage"), &[], &["kubeconfig"]);
    // What is wrong is said, and nothing of what stands in the file: it may be a key, or the wrong file altogether.
    for (name, text) in [
        (
            "torn",
            "users:\n- name: me\n  user:\n    token: s3cret\n   torn\n",
        ),
        ("odd", "users:\n- name: me\n  user: s3cret\n"),
        ("wrong", "s3cret of somebody\n"),
    ] {
        let file = write(name, text);
        let words = ["kubeconfig", "line "];
        cannot_start(&place, &file, &[], &words);
        let said = place.run_with(&file, &[]).stderr;
        assert!(!said.contains("s3cret"), "{said}");
    }
    let empty = write("empty", "apiVersion: v1\nkind: Config\n");
    cannot_start(&place, &empty, &[], &["context"]);
    let binary = env.root().join("binary");
    fs::write(&binary, b"\xff\xfe\x00\x1b[31m").unwrap();
    cannot_start(&place, &binary, &[], &["kubeconfig"]);
    cannot_start(
        &place,
        &good,
        &["--context", "nowhere"],
        &["nowhere", "sandbox"],
    );
    if is_root() {
        println!("skipped for root, whom no mode stops: a kubeconfig that cannot be read");
    } else {
        let closed = write("closed", &text);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let words = ["kubeconfig", "ermission denied", "sudo install -m 600"];
        cannot_start(&place, &closed, &[], &words);
    }
    // A port on which nobody listens: one that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = server_of(&text);
    let dead = write("dead", &text.replace(&server, &format!("https://{port}")));
    let begun = Instant::now();
    cannot_start(&place, &dead, &[], &[&port.to_string(), "refused"]);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(place.everything(), before);
}

/// The address of the server in a kubeconfig.
fn server_of(kubeconfig: &str) -> String {
    let from = kubeconfig.find("https://").unwrap();
    let rest = &kubeconfig[from..];
    let end = rest.find(['"', '\n', ' ']).unwrap();
    rest[..end].to_owned()
}

#[test]
fn no_kubeconfig_anywhere() {
    let env = TestEnvironment::without_cluster();
    let repo = env.root().join("repo");
    let made = Command::new("git")
        .arg("init")
        .arg("-q")
        .arg(&repo)
        .status()
        .unwrap();
    assert!(made.success());
    let folders = env.folders();
    let mut arguments: Vec<&str> = folders.iter().map(String::as_str).collect();
    let repo = repo.display().to_string();
    arguments.extend(["--repo", &repo]);
    let out = env.harness(&arguments).exits(3);
    out.says("kubeconfig");
    out.says("--kubeconfig");
    assert!(!env.state().exists() && !env.logs().exists());
}

#[test]
fn a_repository_that_is_none() {
    let env = TestEnvironment::new();
    let kubeconfig = env.sandbox().kubeconfig();
    let mut place = Spoiled::new(&env, "repo");
    let before = place.everything();
    let clone = place.repo.clone();

    place.repo = env.root().join("nowhere");
    let shown = place.repo.display().to_string();
    cannot_start(
        &place,
        &kubeconfig,
        &[],
        &["no git repository at", &shown, "--repo"],
    );

    fs::create_dir(&place.repo).unwrap();
    cannot_start(&place, &kubeconfig, &[], &["no git repository at", &shown]);

    place.repo = env.sandbox().remote();
    cannot_start(&place, &kubeconfig, &[], &["bare", "git clone"]);

    place.repo = env.root().join("a-file");
    fs::write(&place.repo, "x").unwrap();
    cannot_start(&place, &kubeconfig, &[], &["a-file"]);

    // Neither named nor the current folder, even though that is a clone.
    let folders = env.folders();
    let mut command = env.command();
    command
        .current_dir(&clone)
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .args(&folders);
    let out = Running::start(command, env.root()).wait().exits(3);
    out.says("ONBOARDING_REPO");
    assert!(!env.state().exists() && !env.logs().exists());

    place.repo = clone;
    assert_eq!(place.everything(), before);
}
