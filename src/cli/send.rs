//! `tidemill send`: one event by hand, to a running engine or to the broker of a configured source.
//!
//! Without a configuration the running engine routes it, as if the source had received it. With one nobody has to run: the
//! broker gets it from here, and whoever receives from there finds it.

mod broker;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::event::{Event, json};
use engine::registry::Registry;
use serde_json::json as value;

use super::remote::Remote;
use super::{Exit, Failure, data};
use crate::admin::client::{self, Request};

/// Send an event to the running engine, or to the broker that a source receives from
///
/// To the engine, as if the source had received it: ends when every delivery of the event has ended. A rule that fails treats
/// it as any other event; `tidemill status` counts it where it matches.
///
/// With --config to the broker, queue or address of the source in that configuration, with the source's own credentials: ends
/// when the broker has confirmed it. No engine has to run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill send fleet --event event.json
  tidemill send fleet --type org.covesa.vss.telemetry.v1 --subject veh-1 --data '{\"v\":1}'
  tidemill send --config tidemill.yaml fleet --to v1/demo/veh-1/telemetry --event event.json

Exit codes: 0 sent, 1 not confirmed, 2 wrong usage or configuration.")]
pub(super) struct Arguments {
    /// The source's name in the configuration
    source: String,
    /// A file with a CloudEvent in JSON, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["type", "id", "from", "subject", "data", "attributes"])]
    event: Option<PathBuf>,
    /// The event's type
    #[arg(long, required_unless_present = "event")]
    r#type: Option<String>,
    /// The event's id; a new one by default
    #[arg(long)]
    id: Option<String>,
    /// The event's source
    #[arg(long, value_name = "URI", default_value = "/tidemill/send")]
    from: String,
    /// The event's subject
    #[arg(long)]
    subject: Option<String>,
    /// The event's data, JSON unless an attribute datacontenttype says otherwise
    #[arg(long, value_name = "TEXT")]
    data: Option<String>,
    /// A further attribute; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Send to the broker of the source in this configuration: a file, or a folder with .yaml and .yml files; may be repeated
    #[arg(long, value_name = "PATH", conflicts_with_all = ["admin", "admin_token_file"])]
    config: Vec<PathBuf>,
    /// The topic, subject or path, where the source receives from more than one
    #[arg(long, value_name = "TEXT", visible_alias = "topic", requires = "config")]
    to: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// How long to wait until it is done, 60s by default, or confirmed, 10s by default; an engine goes on with it after that
    #[arg(long, value_name = "DURATION", value_parser = super::patience)]
    timeout: Option<Duration>,
    /// Print {id, source}, and with --config {kind, place} too, as JSON
    #[arg(long)]
    json: bool,
}

/// How long an engine may take, unless somebody says it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn send(arguments: &Arguments, registry: &Registry) -> Result<Exit, Failure> {
    let event = match &arguments.event {
        Some(path) => read(path)?,
        None => arguments.event().map_err(Failure::refused)?,
    };
    let (id, source) = (event.id(), &arguments.source);
    let (text, answer) = if arguments.config.is_empty() {
        let mut body = Vec::new();
        json::encode(&event, &mut body);
        let path = format!("/v1/sources/{}/events", client::segment(source));
        let patience = arguments.timeout.unwrap_or(PATIENCE);
        arguments.remote.tell(Request { method: "POST", path: &path, body: &body }, patience)?;
        (format!("sent {id}"), value!({ "id": id.as_str(), "source": source }))
    } else {
        let broker::Sent { kind, place } = match broker::send(arguments, &event, registry)? {
            Ok(sent) => sent,
            Err(exit) => return Ok(exit),
        };
        let answer = value!({ "id": id.as_str(), "source": source, "kind": &kind, "place": &place });
        (format!("sent {id} to {kind} {place}"), answer)
    };
    data(&if arguments.json { answer.to_string() } else { text })?;
    Ok(Exit::Well)
}

impl Arguments {
    /// The event that was typed in parts.
    fn event(&self) -> Result<Event, engine::event::Invalid> {
        let id = self.id.clone().unwrap_or_else(|| format!("send-{:016x}", fastrand::u64(..)));
        let kind = self.r#type.as_deref().unwrap_or_default();
        let mut event = Event::new(id.into(), self.from.as_str().into(), kind.into())?;
        let mut edit = event.edit();
        if let Some(text) = &self.data {
            edit.data(text.clone().into(), Some("application/json".into()));
        }
        if let Some(subject) = &self.subject {
            edit.subject(subject.as_str().into());
        }
        for (name, value) in &self.attributes {
            edit.set(name, value.as_str().into())?;
        }
        Ok(event)
    }
}

/// The event in a file, or on standard input.
fn read(path: &Path) -> Result<Event, Failure> {
    let mut content = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_end(&mut content),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut content)),
    };
    read.map_err(|cause| Failure::refused(format!("cannot read '{}': {cause}", path.display())))?;
    json::decode(&content.into()).map_err(|invalid| Failure::refused(format!("'{}': {invalid}", path.display())))
}

/// `NAME=VALUE`.
fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as tenant=acme")?;
    Ok((name.to_owned(), value.to_owned()))
}
