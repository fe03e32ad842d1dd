//! Rules that are paused, over HTTP: what is paused and why, and how it goes on. A rule is one segment of a path, its slash
//! escaped.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::supervisor::{Engine, RuleError};
use serde::Deserialize;
use serde_json::json;

use super::routes::refused;

/// What is named in one answer.
const LIMIT: usize = 1000;

/// What goes on, and how.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Resume {
    /// The key; everything of the rule without one.
    key: Option<String>,
    /// Whether what it was paused for becomes a dead letter.
    #[serde(default)]
    skip_head: bool,
}

/// `GET /v1/rules/{rule}/paused`: `{rule, paused: [{key, since, attempts, code, message}], more}`; without a key for the rule itself.
pub(super) async fn paused(State(engine): State<Arc<Engine>>, Path(rule): Path<String>) -> Response {
    match engine.paused(&rule, LIMIT + 1).await {
        Ok(mut paused) => {
            let more = paused.len() > LIMIT;
            paused.truncate(LIMIT);
            Json(json!({ "rule": rule, "paused": paused, "more": more })).into_response()
        }
        Err(error) => refusal(&error),
    }
}

/// `POST /v1/rules/{rule}/pause`.
pub(super) async fn pause(State(engine): State<Arc<Engine>>, Path(rule): Path<String>) -> Response {
    match engine.pause_rule(&rule).await {
        Ok(()) => Json(json!({ "paused": rule })).into_response(),
        Err(error) => refusal(&error),
    }
}

/// `POST /v1/rules/{rule}/resume`: `{resumed, rule, keys}`.
pub(super) async fn resume(
    State(engine): State<Arc<Engine>>,
    Path(rule): Path<String>,
    wanted: Result<Query<Resume>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(wanted)) = wanted else {
        let sentence = "'key' is a text and 'skipHead' is true or false; there is nothing else to say";
        return refused(StatusCode::BAD_REQUEST, sentence);
    };
    match engine.resume_rule(&rule, wanted.key.as_deref(), wanted.skip_head).await {
        Ok(resumed) => Json(json!({ "resumed": rule, "rule": resumed.rule, "keys": resumed.keys })).into_response(),
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &RuleError) -> Response {
    let status = match error {
        RuleError::Unknown { .. } => StatusCode::NOT_FOUND,
        RuleError::NotPaused(_) => StatusCode::CONFLICT,
        RuleError::Unreadable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    refused(status, &error.to_string())
}
