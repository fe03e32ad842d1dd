//! The parts of a running engine that another configuration exchanges.
//!
//! Decision: they are one value, exchanged as one. Whoever looks at the engine takes the value and works with that, so nobody
//! sees half of one configuration and half of another, and nobody waits while one follows the other. What is leaving stays in
//! it until it has ended, so that the end of the engine waits for it like for everything else.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::circuits::Circuits;
use super::runs;
use super::{Engine, RouteMaker};
use crate::account::Pen;
use crate::dead_letter::{Post, Reading as Forwarded};
use crate::delivery::Ledger;
use crate::dispatch::{self, Feed};
use crate::event::{Event, Text};
use crate::filter::{Filter, View};
use crate::metric::Link;
use crate::pool::Pool;
use crate::port::{Bell, Output};
use crate::router::{self, Tally};

/// What runs now.
#[derive(Clone, Default)]
pub(super) struct Live {
    pub(super) sources: Vec<Arc<RunningSource>>,
    pub(super) triggers: Vec<Wiring>,
    pub(super) rules: Vec<RunningRule>,
    pub(super) pools: Vec<(Text, Pool)>,
    pub(super) outputs: Vec<Arc<RunningOutput>>,
    pub(super) circuits: Circuits,
    /// Who sends dead letters to outputs besides.
    pub(super) forwarders: Vec<Forwarding>,
    pub(super) leaving: Leaving,
}

/// What an earlier configuration had and has not ended yet.
#[derive(Clone, Default)]
pub(super) struct Leaving {
    pub(super) sources: Vec<Arc<RunningSource>>,
    pub(super) rules: Vec<RunningRule>,
    pub(super) pools: Vec<(Text, Pool)>,
    pub(super) outputs: Vec<Arc<RunningOutput>>,
}

/// One trigger: what its events are, and where they go.
#[derive(Clone)]
pub(super) struct Wiring {
    pub(super) name: Text,
    /// The names of its sources.
    pub(super) sources: Vec<Text>,
    pub(super) filter: Option<Filter>,
    pub(super) rules: Vec<Wire>,
    /// Whether what no rule takes becomes a dead letter.
    pub(super) keeps_unmatched: bool,
    pub(super) tally: Arc<Tally>,
}

/// One rule of a trigger.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) filter: Option<Filter>,
    pub(super) feed: Feed,
    /// Its place among the counts of its trigger.
    pub(super) slot: usize,
}

pub(super) struct RunningSource {
    pub(super) name: Text,
    pub(super) seats: usize,
    pub(super) ledger: Ledger,
    pub(super) link: Link,
    /// Makes a router to the lines of its rules, or to its spool, as long as the source runs: it keeps what it leads to
    /// alive.
    pub(super) route: std::sync::Weak<RouteMaker>,
    /// Where its events go, or those of its spool.
    pub(super) road: Road,
    /// By which it is asked for an event, if it can be.
    pub(super) bell: Option<Bell>,
    pub(super) run: runs::Running,
    /// The number of its home.
    pub(super) home: usize,
}

/// Where the events of one source go: what its routers are made from, and the books of those who deliver to them.
#[derive(Clone)]
pub(super) struct Road {
    pub(super) wires: Arc<Mutex<Wires>>,
    /// Of the source, of its spool's feeder, or of both where it spools no more and did.
    pub(super) ledgers: Vec<Ledger>,
}

/// The triggers of one source.
#[derive(Clone)]
pub(super) struct Wires {
    pub(super) triggers: Vec<Wiring>,
    /// Lines that may still have events from earlier.
    pub(super) leaving: Vec<Feed>,
    /// Who writes down what no rule wants.
    pub(super) pen: Pen,
}

#[derive(Clone)]
pub(super) struct RunningRule {
    /// `trigger/rule`.
    pub(super) name: Text,
    /// The trigger's place, and the rule's within it; of one that is leaving, where it was.
    pub(super) place: (usize, usize),
    /// Its counts, and its place among them.
    pub(super) tally: Arc<Tally>,
    pub(super) slot: usize,
    pub(super) feed: Feed,
    pub(super) reading: dispatch::Reading,
}

pub(super) struct RunningOutput {
    pub(super) name: Text,
    pub(super) link: Link,
    pub(super) binding: Arc<dyn Output>,
    /// The same for rules that must not wait for room in it, where that is something else.
    pub(super) hasty: Option<Arc<dyn Output>>,
    pub(super) home: Handle,
}

/// Who sends dead letters, or what is told of them, to one output.
#[derive(Clone)]
pub(super) struct Forwarding {
    pub(super) post: Post,
    pub(super) output: Text,
    pub(super) reading: Forwarded,
    pub(super) stop: watch::Sender<bool>,
    /// Closes once it has ended.
    pub(super) ended: watch::Receiver<()>,
}

impl Wiring {
    /// The trigger as a router sees it.
    pub(super) fn trigger(&self) -> router::Trigger {
        router::Trigger {
            filter: self.filter.clone(),
            rules: self.rules.iter().map(|wire| (wire.filter.clone(), wire.feed.clone())).collect(),
            keeps_unmatched: self.keeps_unmatched.then(|| self.name.clone()),
            tally: Arc::clone(&self.tally),
            slots: Some(self.rules.iter().map(|wire| wire.slot).collect()),
        }
    }

    /// The rules that an event matches.
    pub(super) fn matching(&self, event: &Event) -> Vec<Feed> {
        let view = View::of(event);
        let takes = |filter: Option<&Filter>| filter.is_none_or(|filter| filter.takes(&view));
        if !takes(self.filter.as_ref()) {
            return Vec::new();
        }
        let matching = self.rules.iter().filter(|wire| takes(wire.filter.as_ref()));
        matching.map(|wire| wire.feed.clone()).collect()
    }
}

impl Live {
    /// The rules that are in the configuration, and those that have not ended yet.
    pub(super) fn every_rule(&self) -> impl Iterator<Item = &RunningRule> {
        self.rules.iter().chain(&self.leaving.rules)
    }

    /// The same for sources.
    pub(super) fn every_source(&self) -> impl Iterator<Item = &Arc<RunningSource>> {
        self.sources.iter().chain(&self.leaving.sources)
    }

    /// The same for pools.
    pub(super) fn every_pool(&self) -> impl Iterator<Item = &(Text, Pool)> {
        self.pools.iter().chain(&self.leaving.pools)
    }
}

impl Engine {
    /// What runs now.
    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read())
    }
}
