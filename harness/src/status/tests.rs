use std::time::Duration;

use pretty_assertions::assert_eq;
use reports::model::{Mode, Phase, PhaseState};

use super::{
    compare::{Remark, remarks},
    now::{Known, NodeNow, Storage},
    *,
};
use crate::testing;

fn known(node: Option<bool>, storage: Storage) -> Now {
    Now::Known(Box::new(Known {
        uid: testing::cluster().uid,
        node: node.map(|ready| NodeNow {
            ready,
            condition: "Ready=False (KubeletNotReady: cni)".into(),
            cordoned: false,
            age: Some(Duration::from_secs(48)),
        }),
        storage,
    }))
}

fn disks(why: &[&str]) -> Storage {
    let why = why.iter().map(|&one| one.to_owned()).collect();
    Storage::Disks(vec![("sdb1".into(), why)])
}

fn stopped_at(failed: Phase) -> Report {
    let mut report = testing::report(Mode::Onboard);
    for phase in Phase::ALL {
        if phase < failed {
            testing::phase(&mut report, phase, PhaseState::Completed, 2, Vec::new());
        }
    }
    testing::phase(&mut report, failed, PhaseState::Failed, 9, Vec::new());
    report
}

#[test]
fn what_has_changed_since_the_report_is_said() {
    let storage = stopped_at(Phase::StorageIntegration);
    let good = known(Some(true), disks(&[]));
    let bad = known(Some(true), disks(&["Ready=False"]));
    assert_eq!(
        remarks(Some(&storage), false, &good),
        [Remark::Changed(Phase::StorageIntegration)]
    );
    assert_eq!(remarks(Some(&storage), false, &bad), []);
    assert_eq!(remarks(Some(&storage), true, &good), [], "a run is going");
    let join = stopped_at(Phase::NodeJoinMonitoring);
    assert_eq!(
        remarks(Some(&join), false, &good),
        [Remark::Changed(Phase::NodeJoinMonitoring)]
    );
    let network = stopped_at(Phase::NetworkValidation);
    assert_eq!(remarks(Some(&network), false, &bad), [Remark::NotUsable]);
    let away = known(None, Storage::Absent);
    assert_eq!(remarks(Some(&network), false, &away), [Remark::Vanished]);
    let sick = known(Some(false), disks(&[]));
    assert_eq!(remarks(Some(&network), false, &sick), [Remark::NotReady]);
    assert_eq!(remarks(None, false, &good), [Remark::NotOnRecord]);
    assert_eq!(remarks(None, false, &away), []);
    assert_eq!(
        remarks(Some(&network), false, &Now::Unknown("off".into())),
        []
    );
    let mut other = network;
    other.cluster.uid = "another".into();
    assert_eq!(remarks(Some(&other), false, &sick), [Remark::OtherCluster]);
}

#[test]
fn the_node_is_described_in_one_sentence() {
    assert_eq!(
        known(Some(true), disks(&[])).sentence("k3s2"),
        "k3s2 Ready, registered 48 s ago · Longhorn: disk sdb1 usable"
    );
    assert_eq!(
        known(Some(false), disks(&["Ready=False (x)"])).sentence("k3s2"),
        "k3s2 Ready=False (KubeletNotReady: cni), registered 48 s ago · Longhorn: disk sdb1 Ready=False (x)"
    );
    assert_eq!(
        known(None, Storage::Absent).sentence("k3s2"),
        "k3s2 is not in the cluster"
    );
    assert_eq!(
        Now::Unknown("no kubeconfig was found".into()).sentence("k3s2"),
        "not known: no kubeconfig was found"
    );
}

fn options(state: &Path, logs: &Path) -> Options {
    use clap::Parser as _;
    let arguments = [
        "harness".into(),
        "--status".into(),
        "--state-dir".into(),
        state.as_os_str().to_owned(),
        "--log-dir".into(),
        logs.as_os_str().to_owned(),
    ];
    build::from_environment(&Cli::try_parse_from(arguments).unwrap()).unwrap()
}

fn shown(options: &Options, now: &Now) -> String {
    let record = record(options, now.cluster_uid()).unwrap();
    let remarks = remarks(record.report.as_ref(), record.running.is_some(), now);
    let look = Look {
        color: false,
        width: Some(80),
    };
    lines(options, &record, now, &remarks, look, "").join("\n")
}

#[test]
fn it_works_without_a_report_and_reads_the_state_then_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let (state, logs) = (folder.path().join("state"), folder.path().join("logs"));
    let options = options(&state, &logs);
    let unknown = Now::Unknown("no kubeconfig was found".into());
    let said = shown(&options, &unknown);
    assert!(
        said.starts_with("no onboarding of k3s2 is on record in"),
        "{said}"
    );
    assert!(
        said.ends_with("now  not known: no kubeconfig was found"),
        "{said}"
    );
    assert!(
        !state.exists() && !logs.exists(),
        "a status makes no folders"
    );

    let state_folder = StateFolder::open_or_create(&state).unwrap();
    let report = stopped_at(Phase::StorageIntegration);
    let store = Store::begin(
        Some(&state_folder),
        report,
        reports::store::Copies::default(),
    )
    .unwrap();
    store.flush().unwrap();
    drop(store);
    let good = known(Some(true), disks(&[]));
    let said = shown(&options, &good);
    assert!(said.contains("stopped at storage_integration"), "{said}");
    assert!(
        said.ends_with(
            "  ←  has changed since the report stopped at storage_integration: --resume"
        ),
        "{said}"
    );
    let value = object(&options, &record(&options, None).unwrap(), &good, &[]);
    assert_eq!(value["report"]["phases"][3]["state"], "failed");
    assert_eq!(value["now"]["longhorn"]["disks"][0]["name"], "sdb1");

    let lock = lock::Lock::take(&state_folder, "7f3a91c2").unwrap();
    let said = shown(&options, &unknown);
    assert!(
        said.contains("running") && said.contains("held by run 7f3a91c2"),
        "{said}"
    );
    drop(lock);

    let log_folder = LogFolder::open_or_create(&logs).unwrap();
    archive::archive(&state_folder, &log_folder, "k3s2", Timestamp::now()).unwrap();
    archive::clear(&state_folder).unwrap();
    let said = shown(&options, &unknown);
    assert!(
        said.contains("run 7f3a91c2") && said.contains("from the archive:"),
        "{said}"
    );
}

#[test]
fn a_report_that_cannot_be_read_is_exit_7_and_a_foreign_folder_exit_3() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let options = options(&state, &folder.path().join("logs"));
    let state_folder = StateFolder::open_or_create(&state).unwrap();
    std::fs::write(state_folder.junit(), "<testsuites").unwrap();
    std::fs::write(state_folder.markdown(), "nothing").unwrap();
    let halt = record(&options, None).err().unwrap();
    assert_eq!(halt.exit, Exit::ReportUnusable);
    std::fs::remove_dir_all(&state).unwrap();
    std::os::unix::fs::symlink(folder.path(), &state).unwrap();
    let halt = record(&options, None).err().unwrap();
    assert_eq!(halt.exit, Exit::CannotStart);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_is_asked_of_a_living_cluster() {
    let sandbox = sandbox::Sandbox::start(sandbox::Options {
        stage: sandbox::Stage::Onboarded,
        speed: sandbox::Speed::Test,
        ..sandbox::Options::default()
    })
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder.path().join("s"), &folder.path().join("l"));
    options.kubeconfig = Some(sandbox.kubeconfig());
    let Now::Known(known) = now::look(&options).await else {
        panic!("the cluster did not say");
    };
    assert!(!known.uid.is_empty());
    assert!(
        known.node.as_ref().is_some_and(|node| node.ready),
        "{known:?}"
    );
    assert!(known.storage.usable(), "{known:?}");
    options.settings.node.name = "k3s9".into();
    let now = now::look(&options).await;
    assert_eq!(now.sentence("k3s9"), "k3s9 is not in the cluster");
    sandbox.shutdown().await;
    let Now::Unknown(why) = now::look(&options).await else {
        panic!("a cluster that has gone answered");
    };
    assert!(!why.is_empty());
}
