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
use crate::port::{Confirm, Offer, PublishError, Ticket};
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
    appended: VecDeque<(u64, Paper)>,
    /// What there is no room for.
    refused: VecDeque<(Event, Paper)>,
    /// Whether everything is handed back from now on.
    closed: bool,
}

/// Who hears that an event is on the disk.
#[derive(Debug)]
enum Paper {
    /// Its source.
    Receipt(Receipt),
    /// The rule that has published it.
    Ticket(Ticket),
}

impl Paper {
    fn settle(self) {
        match self {
            Paper::Receipt(receipt) => receipt.settle(Outcome::Ack),
            Paper::Ticket(ticket) => ticket.answer(Ok(())),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Paper::Receipt(receipt) => receipt.is_abandoned(),
            Paper::Ticket(ticket) => ticket.is_abandoned(),
        }
    }
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
            let Some((_, paper)) = papers.appended.pop_front() else { break };
            paper.settle();
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
        // What a rule has published is its own to give back.
        let receipts =
            papers.appended.iter().map(|(_, paper)| paper).chain(papers.refused.iter().map(|(_, paper)| paper));
        let count = receipts.filter(|paper| matches!(paper, Paper::Receipt(_))).count();
        papers.appended.clear();
        papers.refused.clear();
        self.0.emptied.notify_waiters();
        count
    }

    /// Hands back what its source cannot hold any longer; what is confirmed meanwhile comes twice.
    fn recall(&self, recall: &Recall) {
        self.keep(|paper| !matches!(paper, Paper::Receipt(receipt) if recall.covers(receipt)));
    }

    /// Forgets what nobody waits for any more.
    fn forget(&self) {
        self.keep(|paper| !paper.is_abandoned());
    }

    fn keep(&self, wanted: impl Fn(&Paper) -> bool) {
        let mut papers = self.0.papers.lock();
        let before = papers.refused.len();
        papers.appended.retain(|(_, paper)| wanted(paper));
        papers.refused.retain(|(_, paper)| wanted(paper));
        if papers.refused.len() < before {
            // What stood behind it may have room where it had none.
            papers.inlet.withdraw();
            self.0.called.notify_one();
        }
        if papers.is_empty() {
            self.0.emptied.notify_waiters();
        }
    }

    /// Takes in an event that a rule has published, which is confirmed when it is on the disk. Where there is no room, whoever
    /// is `patient` waits for some behind the others, and for anybody else it has failed for now.
    pub fn publish(&self, event: Event, patient: bool, offer: Offer<'_>) -> Confirm {
        let mut papers = self.0.papers.lock();
        let confirm = if papers.closed {
            Confirm::Now(Err(PublishError::Retry { after: None, error: "the engine is ending".to_owned() }))
        } else if patient {
            let (ticket, confirm) = offer.accept();
            papers.land(event, Paper::Ticket(ticket));
            confirm
        } else {
            papers.squeeze(event, offer)
        };
        // Whoever serves sends on its way what this turn has brought.
        self.0.called.notify_one();
        confirm
    }

    fn take(&self, staged: &mut Vec<(Event, Receipt)>) {
        let mut papers = self.0.papers.lock();
        if papers.closed {
            return staged.clear();
        }
        for (event, receipt) in staged.drain(..) {
            papers.land(event, Paper::Receipt(receipt));
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
    fn land(&mut self, event: Event, paper: Paper) {
        if !self.refused.is_empty() {
            return self.refused.push_back((event, paper));
        }
        self.append(event, paper);
    }

    /// Answers whether there was room, or a policy that needs none.
    fn append(&mut self, event: Event, paper: Paper) -> bool {
        match self.inlet.append(event, "") {
            Append::Accepted(sequence) => self.appended.push_back((sequence, paper)),
            // The books of the spool say so; there is nothing left to do for the message.
            Append::Dropped => paper.settle(),
            Append::Full(event) => {
                self.refused.push_front((event, paper));
                return false;
            }
        }
        true
    }

    /// Takes in an event if there is room for it now, whoever waits for some.
    fn squeeze(&mut self, event: Event, offer: Offer<'_>) -> Confirm {
        match self.inlet.append(event, "") {
            Append::Accepted(sequence) => {
                let (ticket, confirm) = offer.accept();
                self.appended.push_back((sequence, Paper::Ticket(ticket)));
                confirm
            }
            Append::Dropped | Append::Full(_) => {
                // Those that wait have been asked after in vain by whoever looks for room, if their first one is larger.
                self.inlet.withdraw();
                let error = "there is no room for more results ('state.quotas.spool.maxBytes')".to_owned();
                Confirm::Now(Err(PublishError::Retry { after: None, error }))
            }
        }
    }

    /// Tries again what had to wait, and sends on its way what is staged.
    fn go_on(&mut self) -> Result<Left, Error> {
        while let Some((event, paper)) = self.refused.pop_front() {
            if !self.append(event, paper) {
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
