//! Which rules an event concerns: all that match fire.
//!
//! Rules that pin an attribute to exact values are found by looking that value up; only the others are scanned. Routing
//! happens in the source's own task: the batch is staged per rule and handed over once, so that an event costs no hop of
//! its own before its rule's queue.

mod index;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::delivery::{Outcome, Receipt, Route, Undecodable};
use crate::dispatch::{Arrival, Feed};
use crate::event::{Event, Text};
use crate::filter::Filter;
use crate::reject::Rejects;
use index::Index;

/// One trigger as the router sees it.
pub struct Trigger {
    /// What belongs to it; `None` for everything.
    pub filter: Option<Filter>,
    /// Its rules: filter, and where matching deliveries go.
    pub rules: Vec<(Option<Filter>, Feed)>,
    /// Its counts, shared by every source that feeds it.
    pub tally: Arc<Tally>,
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
    /// Candidates of the present event, kept for its allocation.
    candidates: Vec<(usize, usize)>,
    undecodable: Vec<(Undecodable, Receipt)>,
    rejects: Rejects,
    /// Receipts of events that no rule wants, settled with the batch so that the books are written first.
    unmatched: Vec<Receipt>,
}

/// A trigger with the counts and deliveries of the present batch.
struct Staged {
    filter: Option<Filter>,
    rules: Vec<StagedRule>,
    tally: Arc<Tally>,
    offered: u64,
    unmatched: u64,
    /// Whether the present event passed `filter`, and whether a rule matched it.
    passed: bool,
    matched: bool,
}

struct StagedRule {
    filter: Option<Filter>,
    feed: Feed,
    batch: Vec<Arrival>,
}

impl Router {
    /// A router over the triggers that `source` feeds; what cannot be decoded goes to `rejects`.
    #[must_use]
    pub fn new(source: Text, triggers: Vec<Trigger>, rejects: Rejects) -> Router {
        let index = Index::new(&triggers);
        let triggers = triggers
            .into_iter()
            .map(|trigger| Staged {
                filter: trigger.filter,
                rules: trigger
                    .rules
                    .into_iter()
                    .map(|(filter, feed)| StagedRule { filter, feed, batch: Vec::new() })
                    .collect(),
                tally: trigger.tally,
                offered: 0,
                unmatched: 0,
                passed: false,
                matched: false,
            })
            .collect();
        Router {
            source,
            triggers,
            index,
            candidates: Vec::new(),
            undecodable: Vec::new(),
            rejects,
            unmatched: Vec::new(),
        }
    }
}

fn matches(filter: Option<&Filter>, event: &Event) -> bool {
    filter.is_none_or(|filter| filter.matches(event))
}

impl Route for Router {
    fn route(&mut self, event: Event, receipt: Receipt) {
        for trigger in &mut self.triggers {
            trigger.passed = matches(trigger.filter.as_ref(), &event);
            trigger.matched = false;
            trigger.offered += u64::from(trigger.passed);
        }
        self.candidates.clear();
        self.index.candidates(&event, &mut self.candidates);
        let mut owner = Some(receipt);
        let mut last: Option<(usize, usize)> = None;
        for &(at, rule) in &self.candidates {
            let trigger = &mut self.triggers[at];
            if trigger.passed && matches(trigger.rules[rule].filter.as_ref(), &event) {
                trigger.matched = true;
                // The last match gets the receipt itself, each one before it a fork.
                if let (Some((at, rule)), Some(receipt)) = (last.replace((at, rule)), &owner) {
                    let arrival = Arrival { event: event.clone(), receipt: receipt.fork() };
                    self.triggers[at].rules[rule].batch.push(arrival);
                }
            }
        }
        for trigger in &mut self.triggers {
            trigger.unmatched += u64::from(trigger.passed && !trigger.matched);
        }
        match (last, owner.take()) {
            (Some((at, rule)), Some(receipt)) => self.triggers[at].rules[rule].batch.push(Arrival { event, receipt }),
            (None, Some(receipt)) => self.unmatched.push(receipt),
            (_, None) => {}
        }
    }

    fn undecodable(&mut self, message: Undecodable, receipt: Receipt) {
        self.undecodable.push((message, receipt));
    }

    fn flush(&mut self) {
        for trigger in &mut self.triggers {
            trigger.flush();
        }
        for (message, receipt) in self.undecodable.drain(..) {
            self.rejects.undecodable(&self.source, &message, receipt);
        }
        for receipt in self.unmatched.drain(..) {
            receipt.settle(Outcome::Ack);
        }
    }
}

impl Staged {
    fn flush(&mut self) {
        let (offered, unmatched) = (std::mem::take(&mut self.offered), std::mem::take(&mut self.unmatched));
        if offered == 0 {
            return;
        }
        let mut counts = self.tally.0.lock();
        counts.offered += offered;
        counts.unmatched += unmatched;
        for (rule, filtered) in self.rules.iter_mut().zip(&mut counts.filtered) {
            *filtered += offered - rule.batch.len() as u64;
        }
        drop(counts);
        for rule in &mut self.rules {
            if !rule.batch.is_empty() {
                let capacity = rule.batch.len();
                rule.feed.send(std::mem::replace(&mut rule.batch, Vec::with_capacity(capacity)));
            }
        }
    }
}
