//! Which rules an event concerns: all that match fire.
//!
//! Rules that pin an attribute to exact values are found by looking that value up; only the others are scanned. Routing
//! happens in the source's own task: the batch is staged per rule and handed over once, so that an event costs no hop of
//! its own before its rule's queue.

mod index;
mod keeper;
pub(crate) mod returns;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::account::{End, Facts, Pen};
use crate::dead_letter::Postbox;
use crate::delivery::{Outcome, Recall, Recaller, Receipt, Route, Undecodable};
use crate::dispatch::{Arrival, Feed};
use crate::event::{Event, Text};
use crate::filter::{Filter, View};
use index::{Index, Place};
use keeper::Keeper;

/// One trigger as the router sees it.
pub struct Trigger {
    /// What belongs to it; `None` for everything.
    pub filter: Option<Filter>,
    /// Its rules: filter, and where matching deliveries go.
    pub rules: Vec<(Option<Filter>, Feed)>,
    /// Its name, where what no rule takes becomes a dead letter.
    pub keeps_unmatched: Option<Text>,
    /// Its counts, shared by every source that feeds it.
    pub tally: Arc<Tally>,
    /// Which of those counts each rule has; nothing where they are the first, in the order of the rules.
    pub slots: Option<Vec<usize>>,
}

/// What a trigger's router counts beside its rules' books.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

/// One reading of a [`Tally`], in events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed the trigger's own filter.
    pub offered: u64,
    /// Of those, matched by no rule.
    pub unmatched: u64,
    /// Of those, refused by each rule's filter.
    pub filtered: Vec<u64>,
}

impl Tally {
    /// A tally for this many rules.
    #[must_use]
    pub fn new(rules: usize) -> Tally {
        Tally(Mutex::new(Counts { filtered: vec![0; rules], ..Counts::default() }))
    }

    /// Makes room for one more rule, and answers which count is its own.
    #[must_use]
    pub fn add(&self) -> usize {
        let filtered = &mut self.0.lock().filtered;
        filtered.push(0);
        filtered.len() - 1
    }

    /// One consistent reading.
    #[must_use]
    pub fn read(&self) -> Counts {
        self.0.lock().clone()
    }
}

/// The router of one source's runs.
pub struct Router {
    /// The source's name.
    source: Text,
    triggers: Vec<Staged>,
    index: Index,
    /// Rules that match the present event, kept for its allocation.
    matching: Vec<Place>,
    undecodable: Vec<(Undecodable, Receipt)>,
    /// Triggers that keep the present batch's events, which none of their rules takes.
    kept: Vec<(usize, Arrival)>,
    postbox: Postbox,
    /// Who writes down what no rule wants.
    pen: Pen,
    /// Receipts of events that no rule wants, settled with the batch so that the books are written first.
    unmatched: Vec<Receipt>,
    /// Lines that got events by an earlier route, and are told of what the source wants back.
    leaving: Vec<Feed>,
    /// Whether what comes here are results of rules.
    returns: bool,
}

/// A trigger with the counts and deliveries of the present batch.
struct Staged {
    filter: Option<Filter>,
    /// Each rule's filter.
    filters: Vec<Option<Filter>>,
    /// Each rule's deliveries.
    batches: Vec<Batch>,
    keeper: Option<Keeper>,
    tally: Arc<Tally>,
    offered: u64,
    unmatched: u64,
    /// Whether the present event passed `filter`, and whether a rule matched it.
    passed: bool,
    matched: bool,
}

/// The deliveries of one rule that are on their way to its line.
struct Batch {
    feed: Feed,
    /// Its place among the counts.
    slot: usize,
    arrivals: Vec<Arrival>,
}

impl Router {
    /// A router over the triggers that `source` feeds; what cannot be decoded goes to `postbox`, and `pen` writes down what no
    /// rule wants.
    #[must_use]
    pub fn new(source: Text, triggers: Vec<Trigger>, postbox: Postbox, pen: Pen) -> Router {
        let (index, returns) = (Index::new(&triggers), returns::is(&source));
        let triggers = triggers.into_iter().map(|trigger| Staged::of(trigger, &pen)).collect();
        Router {
            source,
            triggers,
            index,
            matching: Vec::new(),
            undecodable: Vec::new(),
            kept: Vec::new(),
            postbox,
            pen,
            unmatched: Vec::new(),
            leaving: Vec::new(),
            returns,
        }
    }

    /// The same for a source that had another router before, from which these lines may still have events of it.
    #[must_use]
    pub fn after(mut self, leaving: Vec<Feed>) -> Router {
        self.leaving = leaving;
        self
    }

    /// No rule takes this event, and it is not kept unless a trigger keeps it.
    #[cold]
    fn unwanted(&mut self, event: &Event, receipt: Receipt) {
        if self.triggers.iter().all(|staged| !staged.passed || staged.keeper.is_none()) {
            let facts = Facts { ended: self.postbox.now().0, ..Facts::default() };
            self.pen.record(event, End::Unmatched, facts);
        }
        self.unmatched.push(receipt);
    }

    fn push(&mut self, place: Place, arrival: Arrival) {
        self.triggers[place.trigger].batches[place.rule].arrivals.push(arrival);
    }
}

#[inline(always)]
fn takes(filter: Option<&Filter>, view: &View<'_>) -> bool {
    filter.is_none_or(|filter| filter.takes(view))
}

impl Route for Router {
    fn route(&mut self, event: Event, receipt: Receipt) {
        let view = View::of(&event);
        self.matching.clear();
        for (trigger, staged) in self.triggers.iter_mut().enumerate() {
            staged.passed = takes(staged.filter.as_ref(), &view);
            staged.matched = false;
            if staged.passed {
                staged.offered += 1;
                let rules = self.index.others(trigger).iter();
                let allowed = rules.filter(|other| other.hint.allows(&view)).map(|other| other.rule);
                let matching = allowed.filter(|rule| takes(staged.filters[*rule].as_ref(), &view));
                self.matching.extend(matching.map(|rule| Place { trigger, rule }));
            }
        }
        for &place in self.index.named(&event).flatten() {
            let staged = &self.triggers[place.trigger];
            if staged.passed && takes(staged.filters[place.rule].as_ref(), &view) {
                self.matching.push(place);
            }
        }
        for place in &self.matching {
            self.triggers[place.trigger].matched = true;
        }
        for (trigger, staged) in self.triggers.iter_mut().enumerate() {
            if staged.passed && !staged.matched {
                staged.unmatched += 1;
                if staged.keeper.is_some() {
                    self.kept.push((trigger, Arrival { event: event.clone(), receipt: receipt.fork() }));
                }
            }
        }
        let Some(last) = self.matching.pop() else { return self.unwanted(&event, receipt) };
        while let Some(place) = self.matching.pop() {
            self.push(place, Arrival { event: event.clone(), receipt: receipt.fork() });
        }
        // One of them gets the receipt itself.
        self.push(last, Arrival { event, receipt });
    }

    fn undecodable(&mut self, message: Undecodable, receipt: Receipt) {
        self.undecodable.push((message, receipt));
    }

    fn flush(&mut self) {
        for trigger in &mut self.triggers {
            trigger.flush(self.returns);
        }
        for (message, receipt) in self.undecodable.drain(..) {
            self.postbox.undecodable(&self.source, message, receipt);
        }
        for (trigger, Arrival { event, receipt }) in self.kept.drain(..) {
            if let Some(keeper) = &mut self.triggers[trigger].keeper {
                keeper.keep(&self.source, event, receipt, &self.postbox);
            }
        }
        self.pen.flush();
        for receipt in self.unmatched.drain(..) {
            receipt.settle(Outcome::Ack);
        }
    }

    fn recaller(&self) -> Recaller {
        let batches = self.triggers.iter().flat_map(|trigger| &trigger.batches);
        let feeds: Vec<Feed> = batches.map(|batch| &batch.feed).chain(&self.leaving).cloned().collect();
        Box::new(move |recall: &Recall| feeds.iter().for_each(|feed| feed.recall(recall.clone())))
    }
}

impl Staged {
    fn of(trigger: Trigger, pen: &Pen) -> Staged {
        let slots = trigger.slots.unwrap_or_else(|| (0..trigger.rules.len()).collect());
        let (filters, feeds): (Vec<_>, Vec<_>) = trigger.rules.into_iter().unzip();
        Staged {
            filter: trigger.filter,
            filters,
            batches: feeds
                .into_iter()
                .zip(slots)
                .map(|(feed, slot)| Batch { feed, slot, arrivals: Vec::new() })
                .collect(),
            keeper: trigger.keeps_unmatched.map(|name| Keeper::new(name, pen)),
            tally: trigger.tally,
            offered: 0,
            unmatched: 0,
            passed: false,
            matched: false,
        }
    }

    fn flush(&mut self, returns: bool) {
        let (offered, unmatched) = (std::mem::take(&mut self.offered), std::mem::take(&mut self.unmatched));
        if offered == 0 {
            return;
        }
        let mut counts = self.tally.0.lock();
        counts.offered += offered;
        counts.unmatched += unmatched;
        for batch in &self.batches {
            if let Some(filtered) = counts.filtered.get_mut(batch.slot) {
                *filtered += offered - batch.arrivals.len() as u64;
            }
        }
        drop(counts);
        for Batch { feed, arrivals, .. } in &mut self.batches {
            if !arrivals.is_empty() {
                let capacity = arrivals.len();
                let batch = std::mem::replace(arrivals, Vec::with_capacity(capacity));
                if returns { feed.come_back(batch) } else { feed.send(batch) }
            }
        }
    }
}
