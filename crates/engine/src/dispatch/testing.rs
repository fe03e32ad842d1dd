//! What a rule's line would take over, for the tests of whoever feeds lines.

use tokio::sync::mpsc;

use super::{Arrival, Feed, Message};

/// The far end of a feed without a line.
pub(crate) struct Taken(mpsc::UnboundedReceiver<Message>);

/// A feed and its far end.
pub(crate) fn feed() -> (Feed, Taken) {
    #[expect(clippy::disallowed_methods, reason = "it is what a feed holds")]
    let (sender, receiver) = mpsc::unbounded_channel();
    (Feed(sender), Taken(receiver))
}

impl Taken {
    /// The batches that have arrived since.
    pub(crate) fn batches(&mut self) -> Vec<Vec<Arrival>> {
        let mut batches = Vec::new();
        while let Ok(message) = self.0.try_recv() {
            match message {
                Message::Arrived(batch) => batches.push(batch),
                other => panic!("nobody sends {other:?} here"),
            }
        }
        batches
    }

    /// Their deliveries.
    pub(crate) fn all(&mut self) -> Vec<Arrival> {
        self.batches().into_iter().flatten().collect()
    }
}
