//! Every check of the catalogue as a test case of its own, asked of an onboarded cluster. Checks only, no actions:
//! what `cargo test` and `cargo nextest` list and filter here can be asked in any order, each in a process of its own.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::sync::{Arc, OnceLock};

use checks::{
    Check, Context, Settings, Verdict, catalogue,
    cluster::Connection,
    git::{Environment, Repository},
    view::View,
};
use futures::{FutureExt as _, future::BoxFuture};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use reports::model::{Outcome, Severity};
use sandbox::Stage;
use tests::TestEnvironment;

fn main() {
    let arguments = Arguments::from_args();
    let world = Arc::new(OnceLock::new());
    let trials = catalogue::all()
        .map(|check| {
            let world = Arc::clone(&world);
            Trial::ignorable_test(check.id, move || {
                let world: &World = world.get_or_init(World::start);
                world.environment.runtime().block_on(ask(check, &world.cx))
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Ends the cluster before the process ends.
    drop(world);
    conclusion.exit();
}

/// An onboarded cluster and a view of it that all cases share. Started by the first case that runs.
struct World {
    environment: TestEnvironment,
    cx: Context,
}

impl World {
    fn start() -> Self {
        let environment = TestEnvironment::at(Stage::Onboarded, &[]);
        let sandbox = environment.sandbox();
        let reader = environment.runtime().block_on(async {
            let opened = Connection::open(Some(&sandbox.kubeconfig()), None, "tests").await;
            opened.expect("a connection").reader().expect("a reader")
        });
        let git = Environment::isolated(&environment.home());
        let repository = Repository::open_in(&sandbox.checkout(), git).expect("the checkout");
        let cx = Context {
            view: View::snapshot(reader),
            settings: Arc::new(Settings::default()),
            repository: Some(Arc::new(repository)),
            report: Arc::new(tests::nothing_done()),
        };
        Self { environment, cx }
    }
}

/// What a check of severity W finds in this cluster although it is well: the node has joined it.
const FINDS: [(&str, &str); 1] = [("pre::node_name_free", "NodeExists")];

async fn ask(check: &'static Check, cx: &Context) -> Result<Completion, Failed> {
    for id in check.requires {
        let required = catalogue::find(id).ok_or_else(|| format!("no check is called {id}"))?;
        let outcome = outcome(required, cx).await;
        if outcome == Outcome::Skip {
            return Ok(Completion::ignored_with(format!("{id} was skipped")));
        }
        if !outcome.satisfies() {
            return Err(format!("rests on {id}, which came out as {}", outcome.name()).into());
        }
    }
    let verdict = (check.ask)(cx).await.unwrap_or_else(Verdict::from);
    let said = format!("{}: {}", verdict.reason(), verdict.message());
    match verdict.outcome() {
        Outcome::Pass | Outcome::Warn => Ok(Completion::Completed),
        Outcome::Skip => Ok(Completion::ignored_with(said)),
        _ if FINDS.contains(&(check.id, verdict.reason())) => Ok(Completion::Completed),
        // In a run a check of severity W only warns; in this cluster, which is well, it has nothing to find.
        _ => Err(format!("{said}\n{}", verdict.evidence().join("\n")).into()),
    }
}

/// What comes out of a requirement, which may have requirements itself.
fn outcome<'a>(check: &'static Check, cx: &'a Context) -> BoxFuture<'a, Outcome> {
    async move {
        for id in check.requires {
            let Some(required) = catalogue::find(id) else {
                return Outcome::Error;
            };
            let found = outcome(required, cx).await;
            if !found.satisfies() {
                return if found == Outcome::Skip {
                    found
                } else {
                    Outcome::Blocked
                };
            }
        }
        let verdict = (check.ask)(cx).await.unwrap_or_else(Verdict::from);
        match (verdict.outcome(), check.severity) {
            (Outcome::Fail | Outcome::Error, Severity::Warn) => Outcome::Warn,
            (outcome, _) => outcome,
        }
    }
    .boxed()
}
