//! The books of one source: where every message that it received is.
//!
//! `in_flight` is not derived from the other figures: it is counted from the seats themselves, so that the conservation
//! law can be wrong and is worth checking.
//!
//! Pausing stands here too, because it outlives a run: while a source is paused its intake gives no seats, so that it stops
//! reading by the same back-pressure as ever and keeps its session.

use std::fmt;

use super::inbox::Route;
use super::position::Tracks;
use super::recall::Recaller;
use super::seat::Seat;
use crate::event::Text;
use crate::sync::{Arc, AtomicBool, AtomicWaker, Mutex, MutexGuard, Ordering};

/// A consistent reading of one source's books, in messages since the engine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Delivered into a seat.
    pub received: u64,
    /// Acknowledged.
    pub settled: u64,
    /// Could not be decoded.
    pub rejected: u64,
    /// Left with the broker, which delivers them again.
    pub handed_back: u64,
    /// Seats that are occupied now.
    pub in_flight: u64,
}

impl Books {
    /// Whether received = settled + rejected + handed back + in flight.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.received == self.settled + self.rejected + self.handed_back + self.in_flight
    }
}

/// The books of a source and its free seats, shared by both halves of its inbox and kept over its restarts.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Account>);

#[derive(Default)]
struct Account {
    page: Mutex<Page>,
    /// Whether a batch is on its way along the route.
    routing: AtomicBool,
    /// Whether the next batch takes another route.
    rerouted: AtomicBool,
    /// The intake, when it waits for a seat.
    freed: AtomicWaker,
    /// The name of the source, and the streams of all of them.
    source: Text,
    tracks: Tracks,
}

#[derive(Default)]
pub(super) struct Page {
    pub(super) received: u64,
    pub(super) settled: u64,
    pub(super) rejected: u64,
    pub(super) handed_back: u64,
    /// Seats that nobody holds.
    pub(super) free: Vec<Seat>,
    /// Seats that the intake has taken and not yet accounted for.
    pub(super) reserved: usize,
    /// Seats of the present run; zero between two runs.
    pub(super) capacity: usize,
    /// Whether nothing is to be read for now.
    pub(super) paused: bool,
    /// Whether the intake half of the present run exists.
    pub(super) reading: bool,
    /// Whether the settlements half of the present run exists.
    pub(super) settling: bool,
    /// The route of the next batch and of all that follow, if it is another one.
    pub(super) reroute: Option<Box<dyn Route>>,
    /// Whom to tell from now on what the source wants back, if it is somebody else.
    pub(super) recaller: Option<Recaller>,
}

impl Page {
    pub(super) fn in_flight(&self) -> usize {
        self.capacity - self.free.len() - self.reserved
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

impl Ledger {
    /// The books of the source of this name, whose messages stand in streams that are known to the engine.
    #[must_use]
    pub fn of(source: Text, tracks: Tracks) -> Ledger {
        Ledger(Arc::new(Account { source, tracks, ..Account::default() }))
    }

    /// The name of the source; empty where nobody has said it.
    pub(super) fn source(&self) -> &Text {
        &self.0.source
    }

    /// The streams in which messages stand.
    pub(super) fn tracks(&self) -> &Tracks {
        &self.0.tracks
    }

    /// One consistent reading; never waits for the source.
    #[must_use]
    pub fn read(&self) -> Books {
        let page = self.page();
        Books {
            received: page.received,
            settled: page.settled,
            rejected: page.rejected,
            handed_back: page.handed_back,
            in_flight: page.in_flight() as u64,
        }
    }

    /// From now on no message is taken in, until [`Ledger::resume`]; what has been is not affected.
    pub fn pause(&self) {
        self.page().paused = true;
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.page().paused = false;
        self.freed().wake();
    }

    /// Whether messages are kept out by [`Ledger::pause`].
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.page().paused
    }

    /// From the next batch on the source's events take this route; the batch that is on its way now, if there is one, ends on
    /// the route that it began. The recaller of the route has to tell those, too, who got events by an earlier one.
    pub fn reroute(&self, route: Box<dyn Route>) {
        let recaller = route.recaller();
        let mut page = self.page();
        let before = (page.reroute.replace(route), page.recaller.replace(recaller));
        self.0.rerouted.store(true, Ordering::SeqCst);
        drop(page);
        // Not below the lock: what a route leads to may do anything when it goes.
        drop(before);
    }

    /// Whether a batch is on its way. After [`Ledger::reroute`] an answer of false says that nothing more comes by the route
    /// before.
    #[must_use]
    pub fn is_routing(&self) -> bool {
        self.0.routing.load(Ordering::SeqCst)
    }

    /// A batch begins; answers the route that it takes, if that is another one than the batch before took.
    ///
    /// Either this sees that there is another one, or whoever has put it there sees the batch: one order of all four accesses.
    pub(super) fn begin_batch(&self) -> Option<Box<dyn Route>> {
        self.0.routing.store(true, Ordering::SeqCst);
        if !self.0.rerouted.load(Ordering::SeqCst) {
            return None;
        }
        let mut page = self.page();
        self.0.rerouted.store(false, Ordering::SeqCst);
        page.reroute.take()
    }

    /// Everything of a batch is with whom its route leads to.
    pub(super) fn end_batch(&self) {
        self.0.routing.store(false, Ordering::Release);
    }

    pub(super) fn page(&self) -> MutexGuard<'_, Page> {
        self.0.page.lock()
    }

    /// Whoever waits for a seat registers here and then looks once more.
    pub(super) fn freed(&self) -> &AtomicWaker {
        &self.0.freed
    }
}
