//! `tidemill explain`: where an event is, or what became of it, rule by rule.
//!
//! Decision: it ends with 1 when nothing is known of the event, and says how far back the ledger reaches, so that a script can tell
//! "never seen" from "gone by".

mod shown;

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::account::{FILE, Wanted};
use engine::supervisor::explain_stopped;
use serde_json::{Value, json};

use super::remote::Remote;
use super::{Exit, Failure, data, note};
use crate::admin::client;
use crate::run::{Folder, StateError};

/// Tell where an event is, or what became of it: every rule's verdict, attempts, errors, outputs
///
/// Asks the running engine; with --state, the folder of one that is stopped. Ends with 1 if nothing is known of the event, and says how
/// far back the ledger reaches.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill explain 4711
  tidemill explain 4711 --source /fleet/demo/veh-7 --json
  tidemill explain 4711 --state /var/lib/tidemill")]
pub(super) struct Arguments {
    /// The event's id, as its attribute 'id' has it
    #[arg(value_name = "EVENT_ID")]
    id: String,
    /// The event's attribute 'source'; without it, events of this id of every source are shown
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// The state folder of an engine that may be stopped; if one runs on it, that is asked with --admin
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print the answer of GET /v1/explain/EVENT_ID
    #[arg(long)]
    json: bool,
}

/// How long the answer may take: every file is read.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn explain(arguments: &Arguments) -> Result<Exit, Failure> {
    let told = match &arguments.state {
        None => ask(arguments)?,
        Some(path) => look(arguments, path)?,
    };
    let is_known = told["events"].as_array().is_some_and(|events| !events.is_empty());
    match (arguments.json, is_known) {
        (true, _) => data(&format!("{told:#}"))?,
        (false, true) => data(&shown::events(&told))?,
        (false, false) => note(&shown::ledger(&told)),
    }
    Ok(if is_known { Exit::Well } else { Exit::Failed })
}

fn ask(arguments: &Arguments) -> Result<Value, Failure> {
    let source = arguments.source.as_ref().map(|source| format!("?source={}", client::segment(source)));
    let path = format!("/v1/explain/{}{}", client::segment(&arguments.id), source.unwrap_or_default());
    arguments.remote.ask("GET", &path, PATIENCE)
}

fn look(arguments: &Arguments, path: &Path) -> Result<Value, Failure> {
    if !path.join(FILE).is_file() {
        let sentence = format!("there is no ledger in '{}': it has no file '{FILE}'", path.display());
        return Err(Failure::failed(sentence));
    }
    match Folder::open(path, Some("tidemill-explain")) {
        Ok(folder) => {
            let wanted =
                Wanted { id: arguments.id.as_str().into(), source: arguments.source.as_deref().map(Into::into) };
            let told = explain_stopped(path, &wanted).map_err(Failure::failed)?;
            // Held until everything is closed again.
            drop(folder);
            Ok(json!(told))
        }
        Err(StateError::Held { instance, .. }) => {
            arguments.remote.answers_for(path, instance.as_deref(), PATIENCE)?;
            ask(arguments)
        }
        Err(error) => Err(Failure::failed(error)),
    }
}
