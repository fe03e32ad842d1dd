//! `tidemill pause` and `tidemill resume`: keep a running engine's source from reading for a while.

use std::time::Duration;

use super::remote::Remote;
use super::{Exit, Failure, data};
use crate::admin::client;

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keep one source of the running engine from reading, with its session held
///
/// What is in flight goes on, and messages wait at the broker as far as it keeps them. The pause ends with `tidemill resume`
/// or when the engine is started again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tidemill pause fleet")]
pub(super) struct Pause {
    #[command(flatten)]
    whom: Whom,
}

/// Let a paused source of the running engine read again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tidemill resume fleet")]
pub(super) struct Resume {
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, clap::Args)]
struct Whom {
    /// The source's name in the configuration
    source: String,
    #[command(flatten)]
    remote: Remote,
}

impl Pause {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        self.whom.tell("pause", "paused")
    }
}

impl Resume {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        self.whom.tell("resume", "resumed")
    }
}

impl Whom {
    fn tell(&self, verb: &str, done: &str) -> Result<Exit, Failure> {
        let path = format!("/v1/sources/{}/{verb}", client::segment(&self.source));
        self.remote.ask("POST", &path, PATIENCE)?;
        data(&format!("{done} {}", self.source))?;
        Ok(Exit::Well)
    }
}
