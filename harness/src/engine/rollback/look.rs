//! What a rollback would do, from reads only.

use std::{path::PathBuf, sync::Arc, time::Duration};

use phases::{
    ActionContext, ActionError, Journal, Stop,
    rollback::{self, Forecast},
    wait::{Observer, Waiting},
};
use reports::model::{Mode, Report};
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    engine::{self, start::World},
    event::{Event, Sink},
    exit::{Exit, Halt},
    options::Options,
};

/// What the requests of looking count for.
pub(super) const FORECAST: &str = "what a rollback would do";

/// What was found before anything is changed.
pub(super) struct Found {
    pub(super) forecast: Forecast,
    /// The steps that have something to do, without the one that only looks back.
    pub(super) open: Vec<&'static str>,
    /// What they would change.
    pub(super) plan: Vec<(String, Vec<String>)>,
}

/// Looks, and changes nothing.
pub(super) struct Looking<'a> {
    pub(super) options: &'a Options,
    pub(super) world: &'a World,
    pub(super) runtime: &'a Runtime,
    pub(super) stop: Stop,
}

impl Looking<'_> {
    /// Says what has begun, and then what was found.
    pub(super) fn begin(
        &self,
        report: &Report,
        resumed: bool,
        warning: Option<String>,
        sink: &dyn Sink,
    ) -> Result<Found, Halt> {
        let mut event = engine::started(self.world, &report.run, false, resumed, None);
        if let Event::Started { mode, .. } = &mut event {
            *mode = Mode::Rollback;
        }
        sink.event(&event);
        if let Some(warning) = warning {
            sink.event(&Event::Warning(warning));
        }
        self.forecast(report, sink)
    }

    fn forecast(&self, report: &Report, sink: &dyn Sink) -> Result<Found, Halt> {
        let cx = self.context(report);
        let looking = engine::found(async { Ok(self.look(&cx).await) }, sink, &self.stop);
        let meter = self.world.connection.meter();
        let found = self.runtime.block_on(meter.count_as(FORECAST, looking))?;
        found.map_err(|error| {
            let hint = error
                .hint
                .clone()
                .unwrap_or_else(|| "settle that first; nothing was changed".to_owned());
            // What cannot be read is no answer; what can be read and is not as it should be is one.
            let exit = match error.reason {
                "Unreachable" | "TimedOut" | "ServerError" | "Malformed" | "MissingPermission"
                | "NotServed" | "NoRepository" => Exit::CannotStart,
                _ => Exit::RollbackIncomplete,
            };
            let message = format!("{}: {}; nothing was changed", error.reason, error.message);
            Halt::new(exit, message, hint)
        })
    }

    async fn look(&self, cx: &ActionContext) -> Result<Found, ActionError> {
        let forecast = Forecast::read(&cx.checks).await?;
        let mut open = Vec::new();
        let mut plan = Vec::new();
        for action in rollback::ACTIONS {
            if action.act.probe(cx).await?.is_none() && action.id != rollback::VERIFY {
                open.push(action.id);
            }
            let parts = action.act.plan(cx).await?.parts;
            if !parts.is_empty() {
                plan.push((action.id.to_owned(), parts));
            }
        }
        Ok(Found {
            forecast,
            open,
            plan,
        })
    }

    fn context(&self, report: &Report) -> ActionContext {
        context_of(self.options, self.world, report, &self.stop)
    }
}

/// An action's context in which nothing can be written down, for what only looks.
pub(super) fn context_of(
    options: &Options,
    world: &World,
    report: &Report,
    stop: &Stop,
) -> ActionContext {
    let silent = Arc::new(ReadOnly(report.clone()));
    ActionContext {
        checks: checks::Context {
            view: checks::view::View::snapshot(world.reader.clone()),
            settings: Arc::clone(&world.settings),
            repository: world.repository.clone(),
            report: Arc::new(report.clone()),
        },
        client: world.client.clone(),
        permit: world.permit.clone(),
        journal: silent.clone(),
        observer: silent,
        deadline: Instant::now(),
        stop: stop.clone(),
        run: report.run.clone(),
        backup: PathBuf::new(),
        transport: options.transport,
        require_signed: options.require_signed,
    }
}

/// What a rollback would do now, in a few words; nothing when the cluster does not say it within moments.
pub(in crate::engine) fn outlook(
    options: &Options,
    world: &World,
    runtime: &Runtime,
    report: &Report,
    stop: &Stop,
) -> Option<String> {
    let cx = context_of(options, world, report, stop);
    let limit = Duration::from_secs(5);
    let meter = world.connection.meter();
    let asked = runtime.block_on(meter.count_as(FORECAST, async {
        tokio::select! {
            forecast = tokio::time::timeout(limit, Forecast::read(&cx.checks)) => forecast.ok(),
            () = stop.wait() => None,
        }
    }));
    Some(asked?.ok()?.in_short())
}

/// The journal as it is. Nothing can be added to it.
struct ReadOnly(Report);

impl Journal for ReadOnly {
    fn record(&self, action: &str, _: &str, _: &str) -> Result<(), ActionError> {
        Err(ActionError::new(
            "ReportUnwritable",
            format!("{action} wants to write something down, and nothing has begun"),
        ))
    }

    fn recorded(&self, action: &str, key: &str) -> Option<String> {
        self.0.action(action)?.recorded.get(key).cloned()
    }
}

impl Observer for ReadOnly {
    fn waiting(&self, _: &Waiting) {}
    fn waited(&self) {}
}
