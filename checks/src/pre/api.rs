//! `pre`, the API server: does it live, is it ready, can an agent reach it?

use reports::model::Severity;

use crate::{Answer, Check, Context, Criterion, Need, Reason, Verdict, ask};

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[Check {
    id: "pre::api_live",
    title: "The API server is alive.",
    severity: Severity::Fail,
    requires: &[],
    needs: &[Need::Path("/livez")],
    awaits: false,
    after: None,
    criterion: Criterion::Of("7.1"),
    why: "Every further question is asked through it, and the new node joins through it.",
    reasons: &[Reason::new(
        "ApiNotLive",
        "look at k3s on {control_plane}: journalctl -u k3s --since -10min",
    )],
    ask: ask!(api_live),
}];

async fn api_live(cx: &Context) -> Answer {
    let answer = cx.view.raw("/livez").await?;
    if answer.status.is_success() {
        return Ok(Verdict::pass("/livez answers ok"));
    }
    Ok(Verdict::fail(
        "ApiNotLive",
        format!("/livez answers {}, expected 200", answer.status.as_u16()),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Fixture, check};

    #[tokio::test]
    async fn a_live_server_answers_200() {
        let check = check("pre::api_live");
        let live = Fixture::new().raw("/livez", 200, "ok").ask(check).await;
        assert_eq!(live.reason(), "", "{}", live.message());
        let dead = Fixture::new()
            .raw("/livez", 500, "[-]etcd failed")
            .ask(check)
            .await;
        assert_eq!(dead.reason(), "ApiNotLive");
        assert!(dead.message().contains("500"), "{}", dead.message());
        let forbidden = Fixture::new().forbid("/livez").ask(check).await;
        assert_eq!(forbidden.reason(), "MissingPermission");
    }
}
