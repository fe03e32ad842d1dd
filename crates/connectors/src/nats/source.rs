//! The task that receives: one biased select over settlements, the wish to stop, what is staged, the connection and time.
//!
//! Nothing here waits for the engine. Settlements come first, so that seats become free and acknowledgements leave before
//! more is read; then what came is put into seats; only then is more read. While the connection is away, acknowledgements
//! are kept, at most one for each seat: JetStream takes them on any connection.

mod line;
mod run;

use engine::config::AckPoint;
use engine::delivery::Inbox;
use engine::event::Text;
use engine::metric::Link;
use engine::port::{BoxFuture, Shutdown, Source, SourceError, Stop};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::Terms;
use super::options::Reading;
use crate::capture::Filters;
use crate::normalise::{Ids, Template};
use line::{Happening, Line};
use run::Run;

/// How long goodbye may take.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(5);

/// What a receiver is made of.
pub(super) struct Ingredients {
    pub(super) name: Text,
    pub(super) terms: Terms,
    pub(super) reading: Reading,
    pub(super) subjects: Filters,
    pub(super) template: Template,
    /// For messages without a position.
    pub(super) ids: Ids,
    pub(super) ack: AckPoint,
    pub(super) link: Link,
}

/// A NATS source.
pub(super) struct Receiver {
    made_of: Ingredients,
}

impl Receiver {
    pub(super) fn new(made_of: Ingredients) -> Receiver {
        Receiver { made_of }
    }

    async fn receive(&mut self, inbox: Inbox, mut stop: Shutdown) -> Result<(), SourceError> {
        let (intake, mut settlements) = inbox.split();
        let capacity = intake.capacity();
        let made_of = &mut self.made_of;
        let mut line = Line::new(made_of, capacity);
        let mut run = Run::new(made_of, capacity);
        let (mut intake, mut settled, mut asked) = (Some(intake), Vec::new(), false);
        loop {
            if let Some(session) = line.session()
                && let Err(fault) = run.work(session, intake.is_some())
            {
                line.lost(&fault);
            }
            run.accept(&settlements);
            let due = run.due(&mut line);
            tokio::select! {
                biased;
                more = settlements.next(&mut settled) => match more {
                    true => run.settle(&mut settled),
                    false => break,
                },
                mode = stop.requested(), if !asked => {
                    asked = true;
                    if mode == Stop::Leave {
                        run.stays();
                    }
                    intake = None;
                    run.close(line.session());
                }
                handed = run.hand_over(&mut intake), if intake.is_some() && run.has_staged() => handed?,
                happening = line.moves() => {
                    if let (Happening::Opened, Some(session)) = (happening, line.session()) {
                        run.opened(session);
                    }
                }
                () = sleep_until(due) => {
                    if let Some(session) = line.session() {
                        run.tick(Instant::now(), session);
                    }
                }
            }
        }
        if timeout(GOODBYE, run.goodbye(&mut line)).await.is_err() {
            run.unheard();
        }
        line.stop();
        Ok(())
    }
}

impl Source for Receiver {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.receive(inbox, stop))
    }
}
