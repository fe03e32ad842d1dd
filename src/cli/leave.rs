//! `tidemill leave`: the only way to end a source's session at its broker. Stopping the engine keeps it.

use std::time::Duration;

use super::remote::Remote;
use super::{Exit, Failure, data};
use crate::admin::client;

/// Unsubscribe one source of the running engine and end its session at the broker
///
/// Stopping an engine keeps its sessions, so that nothing is missed until it starts again. This is for a source that will
/// not come back: it stops reading, finishes what is in flight, and ends its session.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tidemill leave fleet")]
pub(super) struct Arguments {
    /// The source's name in the configuration
    source: String,
    #[command(flatten)]
    remote: Remote,
    /// How long to wait until it has left; it goes on leaving after that
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = super::patience)]
    timeout: Duration,
}

pub(super) fn leave(arguments: &Arguments) -> Result<Exit, Failure> {
    let path = format!("/v1/sources/{}/leave", client::segment(&arguments.source));
    arguments.remote.ask("POST", &path, arguments.timeout)?;
    data(&format!("left {}", arguments.source))?;
    Ok(Exit::Well)
}
