//! One run that is killed again and again, started again each time, and looked at in between.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use reports::{
    folder::StateFolder,
    model::{
        ActionRecord, ActionState, Ended, Mode, Phase, PhaseReport, PhaseState, Progress, Report,
    },
    store::Store,
};
use serde_json::Value;
use tests::{LIMIT, Running, TestEnvironment};

use crate::support::content;

/// What a run is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// A phase is on record as begun.
    PhaseBegun(Phase),
    /// A phase is on record as through.
    PhaseEnded(Phase),
    /// An action is on record as begun.
    ActionBegun(&'static str),
    /// An action is on record as done.
    ActionDone(&'static str),
    /// The answer of a check is on record.
    CheckEnded(&'static str),
    /// A step of a rollback is in the journal.
    StepBegun(&'static str),
    /// A step of a rollback is in the journal as done.
    StepDone(&'static str),
}

/// What the report said of a point before the program was started.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Before {
    State(Option<PhaseState>),
    Case(Option<Progress>),
    Step(Option<ActionState>),
}

impl Point {
    fn look(self, report: &Report) -> Before {
        match self {
            Self::PhaseBegun(phase) | Self::PhaseEnded(phase) => {
                Before::State(report.phase(phase).map(|one| one.state))
            }
            Self::ActionBegun(id) | Self::ActionDone(id) | Self::CheckEnded(id) => {
                Before::Case(report.case(id).map(|case| case.progress.clone()))
            }
            Self::StepBegun(id) | Self::StepDone(id) => Before::Step(step(report, id)),
        }
    }

    /// Whether it has come.
    fn has_come(self, report: &Report) -> bool {
        let state = |phase| report.phase(phase).map(|one| one.state);
        let progress = |id| report.case(id).map(|case| &case.progress);
        match self {
            Self::PhaseBegun(phase) => state(phase) != Some(PhaseState::NotStarted),
            Self::PhaseEnded(phase) => state(phase) == Some(PhaseState::Completed),
            Self::ActionBegun(id) => !matches!(progress(id), Some(Progress::NotStarted)),
            Self::ActionDone(id) => {
                matches!(progress(id), Some(Progress::Done(ended)) if through(ended))
            }
            Self::CheckEnded(id) => matches!(progress(id), Some(Progress::Done(_))),
            Self::StepBegun(id) => step(report, id).is_some(),
            Self::StepDone(id) => step(report, id) == Some(ActionState::Done),
        }
    }
}

/// A step of this rollback: one that an earlier rollback took is not meant.
fn step(report: &Report, id: &str) -> Option<ActionState> {
    let own = report.mode == Mode::Rollback;
    report.action(id).filter(|_| own).map(|record| record.state)
}

fn through(ended: &Ended) -> bool {
    ended.outcome.satisfies()
}

/// What came of aiming at one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// Killed; nothing more was written after the event had been seen.
    At,
    /// Killed; the report had gone on by a write or more.
    After,
    /// It was on record already: the kill before had come late.
    Past,
    /// The run ended without it.
    Never,
}

/// A run in a world, that may end more than once.
pub(crate) struct Journey<'a> {
    world: &'a TestEnvironment,
    /// How it is started, and how it is gone on with.
    first: &'static [&'static str],
    again: &'static [&'static str],
    /// Phases that were through when somebody looked.
    finished: BTreeMap<Phase, PhaseReport>,
    /// Steps of a rollback that were done when somebody looked.
    taken: BTreeMap<String, ActionRecord>,
    /// How often it was killed.
    pub(crate) kills: u32,
    /// The id of the run, once it has one.
    run: Option<String>,
    /// Whether it has come to its end: what is started then is another run.
    over: bool,
}

impl<'a> Journey<'a> {
    pub(crate) fn new(
        world: &'a TestEnvironment,
        first: &'static [&'static str],
        again: &'static [&'static str],
    ) -> Self {
        Self {
            world,
            first,
            again,
            finished: BTreeMap::new(),
            taken: BTreeMap::new(),
            kills: 0,
            run: None,
            over: false,
        }
    }

    /// Starts the program, or goes on where it was killed.
    pub(crate) fn start(&self) -> Running {
        let arguments = if self.report().is_some() {
            self.again
        } else {
            self.first
        };
        self.world.spawn_onboard(arguments)
    }

    /// Runs until this is on record, and kills it there. Looks then whether everything is in order.
    pub(crate) fn kill_at(&mut self, point: Point) -> Hit {
        if self.over {
            return Hit::Never;
        }
        let before = self.report();
        if before
            .as_ref()
            .is_some_and(|report| point.has_come(report) && !matches!(point, Point::CheckEnded(_)))
        {
            return Hit::Past;
        }
        let known = before.as_ref().map(|report| point.look(report));
        let archived = || self.world.archived().map(|report| report.run);
        let archived_before = archived();
        let mut run = self.start();
        let seen = watch(self.world, &mut run, |report| {
            point.has_come(report) && Some(point.look(report)) != known
        });
        let Some(seen) = seen else {
            let out = run.wait();
            assert_eq!(
                out.code, 0,
                "{point:?} never came\n{}{}",
                out.stdout, out.stderr
            );
            self.over = true;
            return Hit::Never;
        };
        run.kill();
        let out = run.wait();
        // Killed while it put its state away, it had nothing left to do.
        let put_away = self.report().is_none() && archived() != archived_before;
        if out.code == 0 || put_away {
            self.over = true;
            return Hit::Never;
        }
        assert_eq!(out.code, -9, "at {point:?}\n{}{}", out.stdout, out.stderr);
        self.killed();
        let now = self.report().map(|report| report.sequence);
        if now == Some(seen) {
            Hit::At
        } else {
            Hit::After
        }
    }

    /// What must hold whenever a run was killed.
    pub(crate) fn killed(&mut self) {
        self.kills += 1;
        let Some(report) = self.report() else {
            return;
        };
        // A run that was killed while it put its state away is complete, and was told its code.
        assert!(
            report.exit_code.is_none() || report.complete(),
            "it had no time to say how it ended"
        );
        let run = self.run.get_or_insert_with(|| report.run.clone());
        assert_eq!(*run, report.run, "another run has taken its place");
        self.stand(&report);
        for phase in &report.phases {
            if phase.state == PhaseState::Completed {
                self.finished.insert(phase.phase, phase.clone());
            }
        }
        let steps = report
            .actions
            .iter()
            .filter(|one| one.id.starts_with("rollback::"));
        for record in steps.filter(|one| one.state == ActionState::Done) {
            self.taken.insert(record.id.clone(), record.clone());
        }
        self.status_is_true(&report);
    }

    /// Finished phases and steps are as they were when they were first seen finished.
    fn stand(&self, report: &Report) {
        for (phase, before) in &self.finished {
            assert_eq!(report.phase(*phase), Some(before), "{phase} was run again");
        }
        for (id, before) in &self.taken {
            // It is looked at again, and then says that it is so already; what it wrote down stays.
            let kept = |record: &ActionRecord| {
                let mut recorded = record.recorded.clone();
                recorded.remove("message");
                (record.state, record.started, recorded)
            };
            let now = report.action(id).map(kept);
            assert_eq!(now, Some(kept(before)), "{id} was done again");
        }
    }

    /// Goes on to the end.
    pub(crate) fn finish(&mut self) -> Report {
        let ended = |report: Report| {
            self.run
                .as_ref()
                .is_none_or(|run| *run == report.run && report.exit_code == Some(0))
        };
        if self.report().is_some() || !self.world.archived().is_some_and(ended) {
            let out = self.start().wait();
            assert_eq!(
                out.code, 0,
                "after {} kills\n{}{}",
                self.kills, out.stdout, out.stderr
            );
        }
        let report = self.world.archived().expect("a complete run is archived");
        self.stand(&report);
        if let Some(run) = &self.run {
            assert_eq!(*run, report.run);
        }
        report
    }

    /// The report that a later start finds.
    pub(crate) fn report(&self) -> Option<Report> {
        let folder = StateFolder::open(&self.world.state()).unwrap()?;
        Store::load(&folder).unwrap().map(|loaded| loaded.report)
    }

    /// `--status` says what is on record and what is in the cluster, and changes nothing.
    fn status_is_true(&self, report: &Report) {
        let here = || content(&self.world.state());
        let (before, node_before) = (here(), node(self.world));
        let out = self
            .world
            .onboard(&["--status", "--format", "json"])
            .exits(0);
        assert!(here() == before, "--status has changed the state folder");
        let node_after = node(self.world);
        let told: Value = serde_json::from_str(&out.stdout).unwrap();
        assert!(told["running"].is_null(), "nobody is running: {told}");
        assert_eq!(told["report"]["run"], report.run.as_str());
        assert!(told["archived"].is_null(), "{told}");
        for (phase, shown) in report
            .phases
            .iter()
            .zip(told["report"]["phases"].as_array().unwrap())
        {
            assert_eq!(shown["phase"], phase.phase.name());
            assert_eq!(shown["state"], phase.state.name(), "{}", phase.phase);
        }
        assert_eq!(told["now"]["known"], true, "{told}");
        // What moved while it was asked cannot be held against it.
        if node_before == node_after {
            let shown = &told["now"]["node"];
            let ready = node_after.map(|ready| shown["ready"] == ready);
            assert_eq!(!shown.is_null(), node_after.is_some(), "{told}");
            assert_ne!(ready, Some(false), "{told}");
        }
    }
}

/// Whether the node is there, and whether it is Ready.
pub(crate) fn node(world: &TestEnvironment) -> Option<bool> {
    let found = world.object("/api/v1/nodes/k3s2");
    let conditions = found["status"]["conditions"].as_array()?;
    let ready = conditions
        .iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "True");
    Some(ready)
}

/// Looks at the report whenever its sequence number has changed, until what is looked for is there. The number of that
/// write, or nothing when the run ends before.
fn watch(world: &TestEnvironment, run: &mut Running, so: impl Fn(&Report) -> bool) -> Option<u64> {
    let path = world.state().join("onboarding.xml");
    let deadline = Instant::now() + LIMIT;
    // What an earlier start has left is not looked at.
    let mut last = sequence(&path);
    loop {
        let now = sequence(&path);
        if now != last {
            last = now;
            let report = fs::read(&path)
                .ok()
                .and_then(|bytes| reports::junit::read(&bytes).ok());
            if let Some(report) = report.filter(&so) {
                return Some(report.sequence);
            }
            continue;
        }
        if run.has_ended() {
            return None;
        }
        assert!(
            Instant::now() < deadline,
            "no end in sight:\n{}",
            run.said()
        );
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// The sequence number of the report, from its first lines.
fn sequence(path: &Path) -> Option<u64> {
    use std::io::Read as _;
    let mut head = [0; 1024];
    let mut file = fs::File::open(path).ok()?;
    let length = file.read(&mut head).ok()?;
    let text = String::from_utf8_lossy(head.get(..length)?).into_owned();
    let (_, rest) = text.split_once("name=\"sequence\" value=\"")?;
    rest.split_once('"')?.0.parse().ok()
}
