//! `tidemill send`: one event to a running engine, by hand.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::event::{Event, json};

use super::remote::Remote;
use super::{Exit, Failure, data};
use crate::admin::client::{self, Request};

/// Send an event to the running engine, as if one of its sources had received it
///
/// Ends when every delivery of the event has ended. A rule that fails treats it as any other event; `tidemill status` counts
/// it where it matches.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill send fleet --event event.json
  tidemill send fleet --type org.covesa.vss.telemetry.v1 --subject veh-1 --data '{\"v\":1}'")]
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
    #[command(flatten)]
    remote: Remote,
    /// How long to wait until it is done; the engine goes on with it after that
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = super::patience)]
    timeout: Duration,
}

pub(super) fn send(arguments: &Arguments) -> Result<Exit, Failure> {
    let event = match &arguments.event {
        Some(path) => read(path)?,
        None => arguments.event().map_err(Failure::refused)?,
    };
    let mut body = Vec::new();
    json::encode(&event, &mut body);
    let path = format!("/v1/sources/{}/events", client::segment(&arguments.source));
    arguments.remote.tell(Request { method: "POST", path: &path, body: &body }, arguments.timeout)?;
    data(&format!("sent {}", event.id()))?;
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
