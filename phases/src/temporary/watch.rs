//! Watching pods of ours until they are where they should be.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use checks::{kinds::PODS, probe::RUN, view::Scope};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use tokio::time::Instant;

use super::interrupted;
use crate::{
    ActionContext, ActionError,
    wait::{Look, Unmet, Wait},
};

/// An image that the kubelet still cannot fetch after this long is not awaited to the end of the phase.
const PULLS: Duration = Duration::from_secs(45);

/// How far a pod is on its way.
pub(crate) enum Step<T> {
    /// Where it should be.
    Done(T),
    /// Not yet: the reason if it stays so, and what is seen.
    NotYet(&'static str, String),
    /// It never will be.
    Never(ActionError),
}

/// Watches pods until each is where it should be; what was made of them, in their order.
pub(crate) async fn pods_until<T>(
    cx: &ActionContext,
    id: &str,
    names: &[String],
    deadline: Instant,
    step: impl Fn(&Pod) -> Step<T>,
) -> Result<Vec<T>, ActionError> {
    let last = Mutex::new("PodNotStarted");
    let seen = Mutex::new(vec![false; names.len()]);
    let begun = Instant::now();
    let scope =
        Scope::namespace(&cx.checks.settings.probe.namespace).labels(format!("{RUN}={}", cx.run));
    let wait = Wait {
        id,
        view: &cx.checks.view,
        deadline,
        poll: cx.checks.settings.poll.0,
        observer: cx.observer.as_ref(),
        stop: &cx.stop,
    };
    let (step, last_of, seen, scope) = (&step, &last, &seen, &scope);
    let met = wait
        .until(|| async move {
            let pods = match cx.checks.view.list::<Pod>(&PODS, scope.clone()).await {
                Ok(pods) => pods,
                Err(error) => return Look::from(error),
            };
            let mut done = Vec::new();
            for (index, name) in names.iter().enumerate() {
                let pod = pods
                    .iter()
                    .find(|pod| pod.metadata.name.as_ref() == Some(name));
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let was_seen = seen.get(index).copied().unwrap_or_default();
                let going = pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
                let Some(pod) = pod.filter(|_| !going) else {
                    if was_seen || going {
                        let what = format!("pod {name} was deleted while it worked");
                        return Look::Never(ActionError::new("PodGone", what));
                    }
                    return Look::NotYet(format!("pod {name} is not seen yet"));
                };
                if let Some(flag) = seen.get_mut(index) {
                    *flag = true;
                }
                match step(pod) {
                    Step::Done(value) => done.push(value),
                    Step::Never(error) => return Look::Never(error),
                    Step::NotYet(reason, words) => {
                        *last_of.lock().unwrap_or_else(PoisonError::into_inner) = reason;
                        if reason == "ImageNotPulled" && begun.elapsed() > PULLS {
                            return Look::Never(ActionError::new(reason, words));
                        }
                        return Look::NotYet(words);
                    }
                }
            }
            Look::Done(done)
        })
        .await;
    met.map_err(|unmet| match unmet {
        Unmet::Never(error) => error,
        Unmet::Deadline(seen) => {
            let reason = *last.lock().unwrap_or_else(PoisonError::into_inner);
            ActionError::new(reason, seen)
        }
        Unmet::Stopped(seen) => interrupted().saw(seen),
    })
}

/// The end of a pod's only container.
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its termination message.
    pub(crate) message: String,
}

/// Whether a pod serves: Ready, with its address.
pub(crate) fn serving(pod: &Pod) -> Step<String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    match ended(pod) {
        Step::Done(ended) => Step::Never(ActionError::new(
            "NoReport",
            format!(
                "pod {name} was to listen, and ended with code {}: {}",
                ended.code, ended.message
            ),
        )),
        Step::Never(error) => Step::Never(error),
        Step::NotYet(reason, words) => {
            let status = pod.status.as_ref();
            let ip = status.and_then(|status| status.pod_ip.clone());
            match ip.filter(|_| checks::resources::workload::is_ready(pod)) {
                Some(ip) => Step::Done(ip),
                None => Step::NotYet(reason, words),
            }
        }
    }
}

/// Whether a pod has ended, or else what it waits for.
pub(crate) fn ended(pod: &Pod) -> Step<Ended> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.as_deref().unwrap_or_default();
    let first = |statuses: &Option<Vec<ContainerStatus>>| {
        statuses
            .iter()
            .flatten()
            .next()
            .and_then(|one| one.state.clone())
    };
    let state = first(&status.container_statuses);
    if let Some(end) = state.as_ref().and_then(|state| state.terminated.as_ref()) {
        // A container that was ended with its pod has its words there.
        if status.reason.as_deref() == Some("DeadlineExceeded") {
            let what = format!("pod {name} on {node} was ended at its own deadline");
            return Step::Never(ActionError::new("PodNotFinished", what));
        }
        return Step::Done(Ended {
            code: end.exit_code,
            message: end.message.clone().unwrap_or_default(),
        });
    }
    if phase == "Failed" {
        let reason = status.reason.unwrap_or_default();
        let said = status.message.unwrap_or_default();
        let code = if reason == "DeadlineExceeded" {
            "PodNotFinished"
        } else {
            "PodRejected"
        };
        let what = format!("pod {name} on {node} failed: {reason} {said}");
        return Step::Never(ActionError::new(code, what.trim_end()));
    }
    let early = first(&status.init_container_statuses);
    let waiting = [&early, &state]
        .into_iter()
        .flatten()
        .find_map(|state| state.waiting.as_ref());
    if let Some(waiting) = waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let said = waiting.message.as_deref().unwrap_or_default();
        let what = format!("pod {name} on {node} waits: {reason} {said}");
        let what = what.trim_end().to_owned();
        return match reason {
            "InvalidImageName" | "ErrImageNeverPull" => {
                Step::Never(ActionError::new("ImageNotPulled", what))
            }
            "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
                Step::NotYet("ImageNotPulled", what)
            }
            _ => Step::NotYet("PodNotStarted", what),
        };
    }
    if node.is_empty() {
        let told = status
            .conditions
            .iter()
            .flatten()
            .find(|one| one.type_ == "PodScheduled" && one.status == "False");
        let said = told.and_then(|one| one.message.clone());
        let said = said.unwrap_or_else(|| "the scheduler has not looked at it".to_owned());
        return Step::NotYet(
            "PodUnschedulable",
            format!("pod {name} is not placed: {said}"),
        );
    }
    match phase {
        "Running" => Step::NotYet("PodNotFinished", format!("pod {name} works on {node}")),
        _ => Step::NotYet(
            "PodNotStarted",
            format!("pod {name} waits for the kubelet of {node}"),
        ),
    }
}
