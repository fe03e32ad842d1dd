//! The front of a spool: where a source's events go instead of to the router.
//!
//! A source delivers into a [`Landing`], which appends a batch and keeps the receipts; the [`Desk`] behind it settles them
//! once their events are on the disk, and only then does the source acknowledge. Decision: **what finds no room keeps its
//! seat**, in order, so that a full spool stops its source by the same back-pressure as everything else and there is no
//! second queue that could grow. A store that has ended is the same: whatever is not confirmed keeps its seat until somebody
//! hands it back. What a run of its source has left there when it ended is with the source again, and is not kept beside
//! what the next run brings.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Append, Inlet, Space};
use crate::dead_letter::Postbox;
use crate::delivery::{Outcome, Recall, Recaller, Receipt, Route, Undecodable};
use crate::event::{Event, Text};
use crate::store::Error;

/// The receipts of everything that is on its way into one spool, shared by every landing of its source.
#[derive(Clone, Debug)]
pub struct Desk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    papers: Mutex<Papers>,
    space: Space,
    /// Told when something was left that [`Desk::serve`] has to look after.
    called: Notify,
    /// Told when no receipt is left.
    emptied: Notify,
}

#[derive(Debug)]
struct Papers {
    inlet: Inlet,
    /// Of what was appended and is not confirmed, in the order of sequences.
    appended: VecDeque<(u64, Receipt)>,
    /// What there is no room for.
    refused: VecDeque<(Event, Receipt)>,
    /// Whether everything is handed back from now on.
    closed: bool,
}

/// What could not be done at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    /// Something waits for room in the spool.
    refused: bool,
    /// Something waits for room in the store's queue.
    staged: bool,
}

impl Desk {
    /// The desk of this inlet. Somebody has to run [`Desk::serve`].
    #[must_use]
    pub fn new(inlet: Inlet) -> Desk {
        let space = inlet.space();
        let papers = Papers { inlet, appended: VecDeque::new(), refused: VecDeque::new(), closed: false };
        let (called, emptied) = (Notify::new(), Notify::new());
        Desk(Arc::new(Shared { papers: Mutex::new(papers), space, called, emptied }))
    }

    /// A route for one run of `source`; what is no event goes to `postbox`.
    #[must_use]
    pub fn landing(&self, source: Text, postbox: Postbox) -> Landing {
        self.forget();
        Landing { desk: self.clone(), source, postbox, staged: Vec::new(), undecodable: Vec::new() }
    }

    /// Settles what is confirmed, and makes up for what had to wait, until the store ends.
    ///
    /// # Errors
    /// [`Error::Ended`], with every receipt that is left still here.
    pub async fn serve(&self) -> Result<(), Error> {
        let (mut commits, end) = {
            let papers = self.0.papers.lock();
            (papers.inlet.commits(), papers.inlet.confirmed_below())
        };
        self.confirmed(end);
        loop {
            // Asked for before looking, so that what happens in between is heard of.
            let moved = self.0.space.moved();
            let gone_on = self.0.papers.lock().go_on();
            let left = match gone_on {
                Ok(left) => left,
                Err(ended) => {
                    let end = self.0.papers.lock().inlet.confirmed_below();
                    self.confirmed(end);
                    return Err(ended);
                }
            };
            tokio::select! {
                end = commits.next() => self.confirmed(end?),
                () = self.0.space.room(), if left.refused => {}
                () = moved, if left.staged => {}
                () = self.0.called.notified() => {}
            }
        }
    }

    /// Everything below `end` is on the disk.
    fn confirmed(&self, end: u64) {
        let mut papers = self.0.papers.lock();
        while papers.appended.front().is_some_and(|(sequence, _)| *sequence < end) {
            let Some((_, receipt)) = papers.appended.pop_front() else { break };
            receipt.settle(Outcome::Ack);
        }
        if papers.is_empty() {
            self.0.emptied.notify_waiters();
        }
    }

    /// Waits until no receipt is left. Cancel safe.
    pub async fn is_empty(&self) {
        self.forget();
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.0.papers.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Hands back whatever is not confirmed, and everything that comes from now on; answers how many that were.
    pub fn hand_back(&self) -> usize {
        let confirmed = self.0.papers.lock().inlet.confirmed_below();
        self.confirmed(confirmed);
        self.forget();
        let mut papers = self.0.papers.lock();
        papers.closed = true;
        let count = papers.appended.len() + papers.refused.len();
        papers.appended.clear();
        papers.refused.clear();
        self.0.emptied.notify_waiters();
        count
    }

    /// Hands back what its source cannot hold any longer; what is confirmed meanwhile comes twice.
    fn recall(&self, recall: &Recall) {
        self.keep(|receipt| !recall.covers(receipt));
    }

    /// Forgets what nobody waits for any more.
    fn forget(&self) {
        self.keep(|receipt| !receipt.is_abandoned());
    }

    fn keep(&self, wanted: impl Fn(&Receipt) -> bool) {
        let mut papers = self.0.papers.lock();
        let before = papers.refused.len();
        papers.appended.retain(|(_, receipt)| wanted(receipt));
        papers.refused.retain(|(_, receipt)| wanted(receipt));
        if papers.refused.len() < before {
            // What stood behind it may have room where it had none.
            papers.inlet.withdraw();
            self.0.called.notify_one();
        }
        if papers.is_empty() {
            self.0.emptied.notify_waiters();
        }
    }

    fn take(&self, staged: &mut Vec<(Event, Receipt)>) {
        let mut papers = self.0.papers.lock();
        if papers.closed {
            return staged.clear();
        }
        for (event, receipt) in staged.drain(..) {
            papers.land(event, receipt);
        }
        // An error comes to whoever serves, who is called for it.
        if !matches!(papers.go_on(), Ok(left) if left == Left::default()) {
            self.0.called.notify_one();
        }
    }
}

impl Papers {
    fn is_empty(&self) -> bool {
        self.appended.is_empty() && self.refused.is_empty()
    }

    /// One event in its turn.
    fn land(&mut self, event: Event, receipt: Receipt) {
        if !self.refused.is_empty() {
            return self.refused.push_back((event, receipt));
        }
        self.append(event, receipt);
    }

    /// Answers whether there was room, or a policy that needs none.
    fn append(&mut self, event: Event, receipt: Receipt) -> bool {
        match self.inlet.append(event, "") {
            Append::Accepted(sequence) => self.appended.push_back((sequence, receipt)),
            // The books of the spool say so; there is nothing left to do for the message.
            Append::Dropped => receipt.settle(Outcome::Ack),
            Append::Full(event) => {
                self.refused.push_front((event, receipt));
                return false;
            }
        }
        true
    }

    /// Tries again what had to wait, and sends on its way what is staged.
    fn go_on(&mut self) -> Result<Left, Error> {
        while let Some((event, receipt)) = self.refused.pop_front() {
            if !self.append(event, receipt) {
                break;
            }
        }
        let staged = !self.inlet.try_flush()?;
        Ok(Left { refused: !self.refused.is_empty(), staged })
    }
}

/// A route into a spool.
#[derive(Debug)]
pub struct Landing {
    desk: Desk,
    source: Text,
    postbox: Postbox,
    staged: Vec<(Event, Receipt)>,
    undecodable: Vec<(Undecodable, Receipt)>,
}

impl Route for Landing {
    fn route(&mut self, event: Event, receipt: Receipt) {
        self.staged.push((event, receipt));
    }

    fn undecodable(&mut self, message: Undecodable, receipt: Receipt) {
        self.undecodable.push((message, receipt));
    }

    fn flush(&mut self) {
        if !self.staged.is_empty() {
            self.desk.take(&mut self.staged);
        }
        for (message, receipt) in self.undecodable.drain(..) {
            self.postbox.undecodable(&self.source, message, receipt);
        }
    }

    fn recaller(&self) -> Recaller {
        let desk = self.desk.clone();
        Box::new(move |recall: &Recall| desk.recall(recall))
    }
}

#[cfg(test)]
mod tests;
