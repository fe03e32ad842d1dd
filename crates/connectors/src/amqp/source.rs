//! The task that consumes: one biased select over settlements, the wish to stop, what is staged, the connection and time.
//!
//! Nothing here waits for the engine. Settlements come first, so that seats become free and acknowledgements leave before
//! more is read; then what came is put into seats; only then is more read. The prefetch is the number of seats, so that
//! what is staged is at most what a lost connection left in seats. An acknowledgement belongs to the connection on which
//! its message came; what settles later is the broker's again already.

mod line;
mod run;

use std::time::Duration;

use engine::config::AckPoint;
use engine::delivery::Inbox;
use engine::event::Text;
use engine::metric::Link;
use engine::port::{BoxFuture, Shutdown, Source, SourceError};
use tokio::time::{Instant, sleep_until, timeout};

use super::access::Terms;
use super::queue::Queue;
use crate::capture::Filters;
use crate::normalise::{Ids, Template};
use line::Line;
use run::Run;
pub(super) use run::asked;

/// How long goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a consumer is made of.
pub(super) struct Ingredients {
    pub(super) name: Text,
    /// How the broker's own lists call the connection.
    pub(super) client: Text,
    pub(super) terms: Terms,
    pub(super) queue: Queue,
    pub(super) routing_keys: Filters,
    pub(super) template: Template,
    pub(super) ids: Ids,
    /// How long the broker waits for an acknowledgement.
    pub(super) timeout: Duration,
    /// The largest payload that becomes an event.
    pub(super) limit: u64,
    pub(super) ack: AckPoint,
    pub(super) link: Link,
}

/// An AMQP source.
pub(super) struct Consumer {
    made_of: Ingredients,
}

impl Consumer {
    pub(super) fn new(made_of: Ingredients) -> Consumer {
        Consumer { made_of }
    }

    async fn receive(&mut self, inbox: Inbox, mut stop: Shutdown) -> Result<(), SourceError> {
        let (intake, mut settlements) = inbox.split();
        let capacity = intake.capacity();
        let mut line = Line::new(&self.made_of, capacity);
        let mut run = Run::new(&mut self.made_of, capacity);
        let (mut intake, mut settled, mut asked) = (Some(intake), Vec::new(), false);
        loop {
            if asked {
                intake = None;
            }
            if let Some(session) = line.session()
                && let Err(fault) = run.work(session)
            {
                line.lost(&fault);
            }
            run.follow(line.session());
            let (due, reading) = (run.due(line.session()), run.reads());
            tokio::select! {
                biased;
                more = settlements.next(&mut settled) => match more {
                    true => run.settle(&mut settled, line.session()),
                    false => break,
                },
                _ = stop.requested(), if !asked => {
                    asked = true;
                    line.end();
                    run.close(line.session());
                }
                seats = run::reserve(&mut intake), if run.has_staged() => {
                    let seats = seats.map_err(|cause| SourceError::Restart(cause.to_string(), None))?;
                    run.hand_over(seats, line.session());
                    // A source that never waits must let others have the thread.
                    tokio::task::yield_now().await;
                }
                // Before reading, which may always have something to do.
                () = sleep_until(due) => run.tick(Instant::now(), line.session(), &mut settlements),
                () = line.moves(reading) => {}
            }
        }
        if let Err(text) = timeout(GOODBYE, line.goodbye()).await.unwrap_or(Err("it did not answer in time".into())) {
            tracing::warn!(source = %self.made_of.name, "the broker did not hear goodbye: {text}; what was not acknowledged comes again");
        }
        self.made_of.link.stopped();
        Ok(())
    }
}

impl Source for Consumer {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.receive(inbox, stop))
    }
}
