//! The engine's side in the tests of sources: everything that a source hands over is kept, with its receipt.

#![allow(dead_code, reason = "every kind of source needs another part of it, and not every build has every kind")]

use std::time::Duration;

use engine::delivery::{Recall, Recaller, Receipt, Route, Undecodable};
use engine::event::Event;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Nothing in these tests takes as long; whoever waits longer waits for ever.
const LONG: Duration = Duration::from_secs(120);
/// How much is kept at most.
const ROOM: usize = 100_000;

/// What `future` answers; a panic when it waits for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("this waits for ever")
}

/// A message that the engine was given.
#[derive(Debug)]
pub(crate) enum Given {
    Event(Event, Receipt),
    Undecodable(Undecodable, Receipt),
}

impl Given {
    /// The event; a panic when it is none.
    pub(crate) fn event(self) -> (Event, Receipt) {
        match self {
            Given::Event(event, receipt) => (event, receipt),
            Given::Undecodable(message, _) => panic!("{message:?}"),
        }
    }

    /// The message that is no event; a panic when it is one.
    pub(crate) fn undecodable(self) -> (Undecodable, Receipt) {
        match self {
            Given::Undecodable(message, receipt) => (message, receipt),
            Given::Event(event, _) => panic!("{event:?}"),
        }
    }
}

/// Keeps what it is given, and what its source wants back.
pub(crate) struct Keep {
    given: mpsc::Sender<Given>,
    wishes: mpsc::Sender<Recall>,
}

impl Keep {
    /// With where that comes out: what was given, and what is wanted back. A source that wants nothing back needs no
    /// one who listens there.
    pub(crate) fn new() -> (Keep, mpsc::Receiver<Given>, mpsc::Receiver<Recall>) {
        let ((given, taken), (wishes, wished)) = (mpsc::channel(ROOM), mpsc::channel(ROOM));
        (Keep { given, wishes }, taken, wished)
    }
}

impl Route for Keep {
    fn route(&mut self, event: Event, receipt: Receipt) {
        self.given.try_send(Given::Event(event, receipt)).expect("room, and a test that goes on");
    }
    fn undecodable(&mut self, message: Undecodable, receipt: Receipt) {
        self.given.try_send(Given::Undecodable(message, receipt)).expect("room, and a test that goes on");
    }
    fn flush(&mut self) {}
    fn recaller(&self) -> Recaller {
        let wishes = self.wishes.clone();
        Box::new(move |recall| wishes.try_send(recall.clone()).expect("room, and a test that goes on"))
    }
}
