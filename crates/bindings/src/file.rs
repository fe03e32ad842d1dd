//! `file`: one structured CloudEvent per line, appended to a file that rotates by size.
//!
//! The file is a [`Journal`]: a thread of its own writes, and what is published while it waits for the disk is the next
//! batch. What a confirmation means is the `fsync` policy, as in databases that offer the same three:
//!
//! | `fsync` | confirmed when | survives a crash of the engine | survives a power failure |
//! |---|---|---|---|
//! | `always` (default) | the disk has it | yes | yes |
//! | `interval` | the operating system has it | yes | all but the last `interval` |
//! | `never` | the operating system has it | yes | what the system has written by then |
//!
//! Only `always` counts as durable in the guarantee that `check` prints. A disk that is full, or a folder that is gone,
//! makes publishing fail for now; it goes on by itself once there is room.

mod options;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::PathBuf;

use engine::config::Check;
use engine::event::{Event, json};
use engine::journal::{Error, Journal, Policy, Sync};
use engine::port::{BoxFuture, Confirm, Offer, Output, PublishError};
use engine::registry::{OpenError, OutputKind, OutputPlan, Setup};

pub use options::{Fsync, Options, Rotate};

/// The kind `file`.
#[derive(Clone, Copy, Debug, Default)]
pub struct File;

impl OutputKind for File {
    type Options = Options;
    const NAME: &'static str = "file";

    fn check(&self, options: Options, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        options.meaning(check).map(|(path, policy)| Box::new(Plan { path, policy }) as _)
    }
}

struct Plan {
    path: PathBuf,
    policy: Policy,
}

impl OutputPlan for Plan {
    fn durable(&self) -> bool {
        self.policy.sync == Sync::Always
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        let journal = Journal::open(&self.path, self.policy, setup.link)?;
        Ok(Box::new(Lines { journal }))
    }
}

struct Lines {
    journal: Journal,
}

thread_local! {
    /// Where an event is spelled before it is appended, so that no event pays for an allocation.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that one large event has grown beyond this is given back.
const LINE_KEPT: usize = 64 << 10;

impl Output for Lines {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        let (ticket, later) = offer.accept();
        LINE.with_borrow_mut(|line| {
            line.clear();
            json::encode_line(event, line);
            self.journal.append(line).answer(ticket);
            line.shrink_to(LINE_KEPT);
        });
        later
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        let closed = self.journal.close();
        Box::pin(async move { closed.await.map_err(refusal) })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "this is the shape that map_err wants")]
fn refusal(error: Error) -> PublishError {
    PublishError::Retry { after: None, error: error.sentence() }
}
