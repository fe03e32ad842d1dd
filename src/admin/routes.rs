//! What is answered under which path.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use engine::account::Wanted;
use engine::event::{Event, Text};
use engine::supervisor::{Engine, FireError, LeaveError, SendError, UnknownSource};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{Guard, dead_letters, rules};
use crate::run::{Answer, Reloads};

/// The largest event, or piece of an export, that can be sent by hand, in bytes; it comes over the network to one that waits.
const BODY_MAX: usize = 64 << 20;

/// How long it may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Every path of the admin API.
pub(super) fn admin(engine: Arc<Engine>, guard: Guard, reloads: Option<Reloads>) -> Router {
    let paths = "GET /healthz, GET /readyz, GET /metrics, GET /v1/status, GET /v1/explain/{id}, POST /v1/reload, GET /v1/dead-letters, \
                 GET /v1/dead-letters/{id}, PUT /v1/dead-letters/{id}, POST /v1/dead-letters/replay, \
                 POST /v1/dead-letters/purge, POST /v1/dead-letters/import, \
                 GET /v1/rules/{rule}/paused, POST /v1/rules/{rule}/pause, POST /v1/rules/{rule}/resume, \
                 POST /v1/sources/{name}/events, POST /v1/sources/{name}/fire, POST /v1/sources/{name}/leave, POST /v1/sources/{name}/pause, \
                 POST /v1/sources/{name}/resume";
    let control = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/reload", post(move || reload(reloads)))
        .route("/v1/explain/{id}", get(explain))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/replay", post(dead_letters::replay))
        .route("/v1/dead-letters/purge", post(dead_letters::purge))
        .route("/v1/dead-letters/import", post(dead_letters::import))
        .route("/v1/dead-letters/{id}", get(dead_letters::show).put(dead_letters::edit))
        .route("/v1/rules/{rule}/paused", get(rules::paused))
        .route("/v1/rules/{rule}/pause", post(rules::pause))
        .route("/v1/rules/{rule}/resume", post(rules::resume))
        .route("/v1/sources/{name}/events", post(send))
        .route("/v1/sources/{name}/fire", post(fire))
        .route("/v1/sources/{name}/leave", post(leave))
        .route("/v1/sources/{name}/pause", post(pause))
        .route("/v1/sources/{name}/resume", post(resume));
    finish(common().merge(control), paths, engine, guard)
}

/// What anybody may read.
pub(super) fn observe(engine: Arc<Engine>) -> Router {
    finish(common(), "GET /healthz, GET /readyz, GET /metrics", engine, Guard::observe())
}

fn common() -> Router<Arc<Engine>> {
    Router::new().route("/healthz", get(healthy)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

fn finish(router: Router<Arc<Engine>>, paths: &'static str, engine: Arc<Engine>, guard: Guard) -> Router {
    let unknown =
        move || async move { refused(StatusCode::NOT_FOUND, &format!("there is no such path; there is {paths}")) };
    let wrong = move || async move {
        refused(StatusCode::METHOD_NOT_ALLOWED, &format!("the path does not take this method; there is {paths}"))
    };
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong)
        .layer(from_fn_with_state(Arc::new(guard), guarded))
        .with_state(engine)
}

/// Asks the guard first, whatever the path, so that a refused request learns nothing.
async fn guarded(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let mut response = refused(refusal.status(), &refusal.to_string());
            if refusal.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A browser must not guess that an error message is a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An error with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        cause = error.source();
    }
    sentence
}

/// A refusal in one sentence.
pub(super) fn refused(status: StatusCode, sentence: &str) -> Response {
    (status, Json(json!({ "error": sentence }))).into_response()
}

async fn healthy() -> Response {
    Json(json!({ "healthy": true })).into_response()
}

async fn ready(State(engine): State<Arc<Engine>>) -> Response {
    if engine.ready() {
        return Json(json!({ "ready": true })).into_response();
    }
    let away = engine.away();
    let sentence = match engine.state_error() {
        _ if engine.is_draining() => "the engine is ending".to_owned(),
        Some(error) => error,
        None => "not every source is connected".to_owned(),
    };
    let body = json!({ "ready": false, "error": sentence, "notConnected": away });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

#[derive(Deserialize)]
struct Families {
    /// `0` leaves the engine's own out.
    engine: Option<String>,
}

async fn metrics(State(engine): State<Arc<Engine>>, Query(families): Query<Families>) -> Response {
    let own = match families.engine.as_deref() {
        None | Some("1") => true,
        Some("0") => false,
        Some(_) => {
            let sentence = "'engine' is 0, which leaves the engine's own families out, or 1";
            return refused(StatusCode::BAD_REQUEST, sentence);
        }
    };
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, text)], engine.metrics(own)).into_response()
}

async fn status(State(engine): State<Arc<Engine>>) -> Response {
    Json(engine.status()).into_response()
}

async fn reload(reloads: Option<Reloads>) -> Response {
    let Some(reloads) = reloads else {
        return refused(
            StatusCode::CONFLICT,
            "this engine was not started from files; start it again to change anything",
        );
    };
    match reloads.ask().await {
        Some(Answer::Done(reloaded)) => Json(reloaded).into_response(),
        Some(Answer::Invalid { text, diagnostics }) => {
            let error = "the configuration is wrong, and the old one goes on";
            let body = json!({ "error": error, "text": text, "diagnostics": diagnostics });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
        Some(Answer::Kept(error)) => refused(StatusCode::CONFLICT, &sentence(&error)),
        None => refused(StatusCode::SERVICE_UNAVAILABLE, "the engine is ending"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    /// The source attribute of the event that is meant.
    source: Option<String>,
}

async fn explain(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    Query(Within { source }): Query<Within>,
) -> Response {
    let wanted = Wanted { id: id.into(), source: source.map(Text::from) };
    match engine.explain(&wanted).await {
        Ok(explanation) => Json(explanation).into_response(),
        Err(sentence) => refused(StatusCode::INTERNAL_SERVER_ERROR, &sentence),
    }
}

async fn fire(State(engine): State<Arc<Engine>>, Path(name): Path<String>) -> Response {
    match engine.fire(&name).await {
        Ok(id) => Json(json!({ "fired": name, "id": id })).into_response(),
        Err(error) => {
            let status = match error {
                FireError::Unknown(_) => StatusCode::NOT_FOUND,
                FireError::Deaf(_) => StatusCode::CONFLICT,
                FireError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            refused(status, &error.to_string())
        }
    }
}

async fn leave(State(engine): State<Arc<Engine>>, Path(name): Path<String>) -> Response {
    let source = name.clone();
    // A task of its own: a client that goes away half-way must not leave the source without anybody waiting for it.
    match tokio::spawn(async move { engine.leave(&source).await }).await {
        Ok(Ok(())) => Json(json!({ "left": name })).into_response(),
        Ok(Err(LeaveError::Unknown(error))) => unknown(&error),
        Ok(Err(error @ LeaveError::Remains { .. })) => refused(StatusCode::BAD_GATEWAY, &error.to_string()),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "leaving failed; the log says why"),
    }
}

async fn send(State(engine): State<Arc<Engine>>, Path(name): Path<String>, request: Request) -> Response {
    let event = match event(request).await {
        Ok(event) => event,
        Err(refusal) => return refusal,
    };
    let id = event.id().clone();
    // A task of its own: a client that goes away half-way must not hand the event back.
    match tokio::spawn(async move { engine.send(&name, event).await }).await {
        Ok(Ok(())) => Json(json!({ "sent": id })).into_response(),
        Ok(Err(SendError::Unknown(error))) => unknown(&error),
        Ok(Err(error @ (SendError::HandedBack | SendError::Full))) => {
            refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
        }
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "sending failed; the log says why"),
    }
}

/// The CloudEvent in JSON that was sent; else the refusal.
pub(super) async fn event(request: Request) -> Result<Event, Response> {
    let body = body(request, "the event").await?;
    engine::event::json::decode(&body).map_err(|error| refused(StatusCode::BAD_REQUEST, &error.to_string()))
}

/// What was sent, which is called so; else the refusal.
pub(super) async fn body(request: Request, what: &str) -> Result<Bytes, Response> {
    match timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let sentence = format!("{what} is larger than {} MiB, which is the most that is taken", BODY_MAX >> 20);
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, &sentence))
        }
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, &format!("{what} did not come in time"))),
    }
}

async fn pause(State(engine): State<Arc<Engine>>, Path(name): Path<String>) -> Response {
    match engine.pause(&name) {
        Ok(()) => Json(json!({ "paused": name })).into_response(),
        Err(error) => unknown(&error),
    }
}

async fn resume(State(engine): State<Arc<Engine>>, Path(name): Path<String>) -> Response {
    match engine.resume(&name) {
        Ok(()) => Json(json!({ "resumed": name })).into_response(),
        Err(error) => unknown(&error),
    }
}

fn unknown(error: &UnknownSource) -> Response {
    refused(StatusCode::NOT_FOUND, &error.to_string())
}
