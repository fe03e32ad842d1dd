//! Dead letters over HTTP: lists in pages, counts, single ones, and their removal.
//!
//! Filters are query parameters as [`Selection::read`] takes them. Decision: **nothing is removed by leaving something out**:
//! a purge without a filter has to say `all=true`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::dead_letter::{Archive, By, EditError, Id, ImportError, Letter, Selection};
use engine::store;
use engine::supervisor::{Drive, Engine, ReplayError, Span, Through};
use serde_json::json;

use super::routes::{body, event, refused};

/// Letters in one answer, unless the request wants fewer.
const LIMIT: usize = 1000;

/// Query parameters in their order.
type Pairs = Query<Vec<(String, String)>>;

/// `GET /v1/dead-letters`: `{deadLetters, next}`, or with `group` `{groups}`.
pub(super) async fn list(State(engine): State<Arc<Engine>>, Query(pairs): Pairs) -> Response {
    let asked = match Asked::read(&pairs, &["after", "limit", "group"]) {
        Ok(asked) => asked,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let wanted = (|| {
        let (after, options) = (asked.id("after")?, &asked.options);
        let by = options.get("group").map(|text| By::read(text)).transpose()?;
        let limit = options.get("limit").map_or(Ok(LIMIT), |text| text.parse().map_err(|_| "'limit' is a number"))?;
        Ok::<_, String>((by, after, limit.clamp(1, LIMIT)))
    })();
    let (by, after, limit) = match wanted {
        Ok(wanted) => wanted,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let selection = asked.selection;
    match by {
        Some(by) => read(&engine, move |letters| letters.groups(&selection, by))
            .await
            .map_or_else(|error| error, |groups| Json(json!({ "groups": groups })).into_response()),
        None => read(&engine, move |letters| letters.page(&selection, after, limit)).await.map_or_else(
            |error| error,
            |page| {
                let mut body = b"{\"deadLetters\":[".to_vec();
                for (at, (id, letter)) in page.letters.iter().enumerate() {
                    body.extend_from_slice(if at > 0 { b"," } else { b"" });
                    letter.write_json(*id, &mut body);
                }
                let next = json!(page.next.map(|id| id.to_string()));
                body.extend_from_slice(format!("],\"next\":{next}}}").as_bytes());
                raw(body)
            },
        ),
    }
}

/// `GET /v1/dead-letters/{id}`.
pub(super) async fn show(State(engine): State<Arc<Engine>>, Path(id): Path<String>) -> Response {
    let selection = match Selection::read([("id", id.as_str())]) {
        Ok(selection) => selection,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let found: Result<Option<(Id, Letter)>, Response> =
        read(&engine, move |letters| letters.page(&selection, None, 1).map(|page| page.letters.into_iter().next()))
            .await;
    match found {
        Ok(Some((id, letter))) => {
            let mut body = Vec::new();
            letter.write_json(id, &mut body);
            raw(body)
        }
        Ok(None) => {
            refused(StatusCode::NOT_FOUND, &format!("there is no dead letter '{id}'; it may have been removed"))
        }
        Err(error) => error,
    }
}

/// `POST /v1/dead-letters/purge`: `{purged}`, or with `dryRun=true` `{wouldPurge}`.
pub(super) async fn purge(State(engine): State<Arc<Engine>>, Query(pairs): Pairs) -> Response {
    let asked = Asked::read(&pairs, &["all", "dryRun"]).and_then(Asked::sure);
    let (Asked { selection, .. }, dry_run) = match asked {
        Ok(asked) => asked,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    if dry_run {
        return match read(&engine, move |letters| letters.count(&selection)).await {
            Ok(count) => Json(json!({ "wouldPurge": count })).into_response(),
            Err(error) => error,
        };
    }
    // A task of its own: a client that goes away half-way leaves nothing half done.
    match tokio::spawn(async move { engine.purge(&selection).await }).await {
        Ok(Ok(purged)) => Json(json!({ "purged": purged })).into_response(),
        Ok(Err(error)) => unreadable(&error),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "purging failed; the log says why"),
    }
}

/// `POST /v1/dead-letters/import`: an export as the body; `{imported, duplicates}`.
pub(super) async fn import(State(engine): State<Arc<Engine>>, request: Request) -> Response {
    let body = match body(request, "the export").await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let Ok(lines) = String::from_utf8(body.into()) else {
        return refused(StatusCode::BAD_REQUEST, "what was sent is no text");
    };
    match tokio::spawn(async move { engine.import(&lines).await }).await {
        Ok(Ok(imported)) => Json(json!(imported)).into_response(),
        Ok(Err(ImportError::Store(error))) => unreadable(&error),
        Ok(Err(error @ ImportError::Full)) => refused(StatusCode::INSUFFICIENT_STORAGE, &error.to_string()),
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "importing failed; the log says why"),
    }
}

/// `PUT /v1/dead-letters/{id}?edits=N`: a CloudEvent in JSON, which takes the place of the letter's own if that was edited N
/// times until now; `{edits}`.
pub(super) async fn edit(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    Query(options): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let asked = (|| {
        let id = id.parse::<Id>().map_err(|error| error.to_string())?;
        let edits = options.get("edits").map_or(Ok(0), |text| text.parse()).map_err(|_| "'edits' is a number")?;
        Ok::<_, String>((id, edits))
    })();
    let (id, edits) = match asked {
        Ok(asked) => asked,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let event = match event(request).await {
        Ok(event) => event,
        Err(refusal) => return refusal,
    };
    match tokio::spawn(async move { engine.edit(id, edits, event).await }).await {
        Ok(Ok(edits)) => Json(json!({ "edits": edits })).into_response(),
        Ok(Err(EditError::Store(error))) => unreadable(&error),
        Ok(Err(error @ EditError::Unknown(_))) => refused(StatusCode::NOT_FOUND, &error.to_string()),
        Ok(Err(error)) => refused(StatusCode::CONFLICT, &error.to_string()),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "editing failed; the log says why"),
    }
}

/// `POST /v1/dead-letters/replay`: one piece, `{replayed, handedBack, skipped, next, upto}`; whoever goes on says `after` and
/// `upto`. With `through=router` to every rule of a letter's trigger that matches, with `rate` no faster than so many in a second.
pub(super) async fn replay(State(engine): State<Arc<Engine>>, Query(pairs): Pairs) -> Response {
    let asked = Asked::read(&pairs, &["all", "dryRun", "after", "upto", "through", "rate"]).and_then(Asked::sure);
    let asked = asked.and_then(|(asked, dry_run)| {
        let span = Span { after: asked.id("after")?, upto: asked.id("upto")? };
        let through = match asked.options.get("through").map(String::as_str) {
            None | Some("rule") => Through::Rule,
            Some("router") => Through::Router,
            Some(_) => return Err("'through' is rule or router".to_owned()),
        };
        let rate = asked.options.get("rate").map(|text| Drive::read_rate(text)).transpose()?;
        Ok((asked.selection, span, Drive { through, rate, dry_run }))
    });
    let (selection, span, drive) = match asked {
        Ok(asked) => asked,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    // A task of its own: a client that goes away half-way must not keep what has settled from being removed.
    match tokio::spawn(async move { engine.replay(&selection, span, drive).await }).await {
        Ok(Ok(replayed)) => Json(json!(replayed)).into_response(),
        Ok(Err(ReplayError::Store(error))) => unreadable(&error),
        Ok(Err(error @ ReplayError::Ending)) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Ok(Err(error @ ReplayError::Busy)) => refused(StatusCode::CONFLICT, &error.to_string()),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "replaying failed; the log says why"),
    }
}

/// What a request says: which letters, and how.
struct Asked {
    selection: Selection,
    options: HashMap<String, String>,
}

impl Asked {
    fn read(pairs: &[(String, String)], options: &[&str]) -> Result<Asked, String> {
        let (options, filters): (Vec<_>, Vec<_>) = pairs.iter().partition(|(name, _)| options.contains(&name.as_str()));
        let selection = Selection::read(filters.into_iter().map(|(name, text)| (name.as_str(), text.as_str())))?;
        Ok(Asked { selection, options: options.into_iter().cloned().collect() })
    }

    /// The same, with whether it is a dry run, if it says in words which letters are meant.
    fn sure(self) -> Result<(Asked, bool), String> {
        let (all, dry_run) = (self.flag("all")?, self.flag("dryRun")?);
        match self.selection.is_everything() == all {
            true => Ok((self, dry_run)),
            false if all => Err("'all' goes with no filter; leave one of them out".to_owned()),
            false => Err("say which dead letters are meant, or all=true for all of them".to_owned()),
        }
    }

    fn id(&self, name: &str) -> Result<Option<Id>, String> {
        self.options.get(name).map(|text| text.parse::<Id>()).transpose().map_err(|error| error.to_string())
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        match self.options.get(name).map(String::as_str) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(format!("'{name}' is true or false")),
        }
    }
}

/// Reads off the thread that answers, for a disk may take its time.
async fn read<T: Send + 'static>(
    engine: &Engine,
    look: impl FnOnce(&Archive) -> Result<T, store::Error> + Send + 'static,
) -> Result<T, Response> {
    let letters = engine.dead_letters().clone();
    match tokio::task::spawn_blocking(move || look(&letters)).await {
        Ok(found) => found.map_err(|error| unreadable(&error)),
        Err(_) => Err(refused(StatusCode::INTERNAL_SERVER_ERROR, "reading failed; the log says why")),
    }
}

fn unreadable(error: &store::Error) -> Response {
    let status = match error {
        store::Error::Away { .. } | store::Error::Ended { .. } => StatusCode::SERVICE_UNAVAILABLE,
        store::Error::Damaged { .. } | store::Error::Unreadable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refused(status, &error.to_string())
}

fn raw(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
