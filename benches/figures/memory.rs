//! A source that hands over events which are all there from the start, for figures of what the engine makes of them.

use std::time::Duration;

use engine::config::AckPoint;
use engine::delivery::Inbox;
use engine::event::Event;
use engine::port::{BoxFuture, Shutdown, Source, SourceError};
use engine::registry::{OpenError, Setup, SourceFacts, SourcePlan};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Events handed over at a time.
const BATCH: usize = 64;

/// The source, and its own plan.
pub(crate) struct Memory(Mutex<Option<(Vec<Event>, oneshot::Sender<Duration>)>>);

impl Memory {
    /// A source of these events; it says how long it took from the first of them until all had settled.
    pub(crate) fn new(events: Vec<Event>) -> (Memory, oneshot::Receiver<Duration>) {
        let (finished, done) = oneshot::channel();
        (Memory(Mutex::new(Some((events, finished)))), done)
    }
}

impl SourcePlan for Memory {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            ack: AckPoint::Processed,
            redelivers: false,
            keyed: true,
            in_order: true,
            captures: Vec::new(),
            limits: Vec::new(),
        }
    }

    fn open(&self, _: Setup) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Memory(Mutex::new(self.0.lock().take()))))
    }
}

impl Source for Memory {
    fn run<'a>(&'a mut self, inbox: Inbox, mut stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let (mut intake, mut settlements) = inbox.split();
            let given = self.0.lock().take();
            if let Some((events, finished)) = given {
                let began = Instant::now();
                let (mut left, mut open, mut settled) = (events.len(), events.into_iter(), Vec::new());
                while left > 0 {
                    tokio::select! {
                        biased;
                        true = settlements.next(&mut settled) => left -= settled.drain(..).count(),
                        seats = intake.reserve(BATCH), if open.len() > 0 => {
                            let mut seats = seats.expect("the inbox is open");
                            while !seats.is_empty() && let Some(event) = open.next() {
                                seats.deliver(event).expect("a seat");
                            }
                        }
                    }
                }
                finished.send(began.elapsed()).expect("somebody waits");
            }
            stop.requested().await;
            Ok(())
        })
    }
}
