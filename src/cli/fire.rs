//! `tidemill fire`: one more event of a cron source, now.

use std::time::Duration;

use super::remote::Remote;
use super::{Exit, Failure, data};
use crate::admin::client;

/// Have a cron source of the running engine make an event now
///
/// The event goes the way of every other event of the source; it says in its extension 'cronrun' that it was fired by hand.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tidemill fire nightly")]
pub(super) struct Arguments {
    /// The source's name in the configuration
    source: String,
    #[command(flatten)]
    remote: Remote,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// The engine answers within ten seconds, whatever the source does.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn fire(arguments: &Arguments) -> Result<Exit, Failure> {
    let path = format!("/v1/sources/{}/fire", client::segment(&arguments.source));
    let answer = arguments.remote.ask("POST", &path, PATIENCE)?;
    match arguments.json {
        true => data(&answer.to_string())?,
        false => data(&format!("fired {}: {}", arguments.source, answer["id"].as_str().unwrap_or_default()))?,
    }
    Ok(Exit::Well)
}
