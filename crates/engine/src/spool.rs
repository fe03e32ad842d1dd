//! A durable queue between a source that is to be acknowledged early and the rules that take their time.
//!
//! What is appended has a **sequence**, is on the disk once that is confirmed, and stays there until it is settled; a crash
//! brings back, in order, everything that was confirmed and not settled. Decisions: **only what is confirmed is handed
//! out**, so that nothing ever ran of which the source believes that it was not taken; **one window in memory, always the
//! oldest that waits**: while it reaches up to the newest, an event never comes from the disk again (level), and once it
//! does not, pages are read behind it in the same order (behind), so that memory is bounded and order is not a special
//! case; **settling is removal**, in runs, and costs no transaction of its own.
//!
//! ```
//! use engine::event::Event;
//! use engine::spool::{Append, Policy, Spool};
//! use engine::store::{ClockHandle, Schema, Settings, Spec, Store};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let folder = tempfile::tempdir().expect("a folder");
//! let specs = vec![Spec { name: "spool/fleet".into(), quota: Default::default() }];
//! let settings = Settings::default();
//! let clock = settings.clock.clone();
//! let store = Store::open(&folder.path().join("spool"), Schema::SPOOL, specs, settings).expect("opened");
//! let table = store.table("spool/fleet").expect("asked for");
//! let (mut inlet, mut outlet) = Spool::open(&store, table, Policy::default(), clock).expect("sound").split();
//!
//! let event = Event::new("1".into(), "/a".into(), "t".into()).expect("valid");
//! let Append::Accepted(sequence) = inlet.append(event.clone(), "fleet/veh-1") else { panic!("there is room") };
//! inlet.flush().await.expect("open");
//! assert!(inlet.confirmed().await.expect("open") > sequence, "everything below is on the disk");
//!
//! let mut entries = Vec::new();
//! outlet.next(100, &mut entries).await.expect("sound");
//! assert_eq!((entries[0].sequence, &entries[0].event), (sequence, &event));
//! outlet.settle(&[sequence]).expect("open");
//! assert_eq!((outlet.books().settled, outlet.books().stored), (1, 0));
//! # });
//! ```

mod desk;
mod entry;
mod feeder;
mod inlet;
mod outlet;
mod page;
mod seek;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use crate::event::Event;
use crate::store::{ClockHandle, Error, Stamp, Store, Table};
pub use desk::{Desk, Landing};
pub use entry::Entry;
pub use feeder::Feeder;
pub use inlet::{Commits, Inlet, Space};
pub use outlet::{Gauge, Outlet, Reading};
pub(crate) use seek::close;
pub use seek::{Sighting, look, seek};
use state::State;

/// What happens to an event for which a spool has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// It waits, and its source with it.
    #[default]
    Block,
    /// The oldest that nobody has taken goes, and is counted.
    DropOldest,
    /// It goes itself, and is counted.
    DropNewest,
}

/// How a spool keeps its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Bytes of events that are not settled, as they lie in the file.
    pub max_bytes: u64,
    /// What is older is dropped and counted when its turn comes; nothing keeps everything.
    pub max_age: Option<Duration>,
    /// What happens beyond [`Policy::max_bytes`].
    pub on_full: OnFull,
    /// Bytes of events that wait in memory, as they lie in the file.
    pub memory: usize,
}

impl Default for Policy {
    /// 1 GiB, of any age, and then the source waits; 8 MiB in memory.
    fn default() -> Policy {
        Policy { max_bytes: 1 << 30, max_age: None, on_full: OnFull::Block, memory: 8 << 20 }
    }
}

/// What became of an appended event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Append {
    /// It has this sequence. It is on the disk once [`Inlet::confirmed`] answers a larger one.
    Accepted(u64),
    /// There was no room for it: it is counted and gone.
    Dropped,
    /// There is no room for it now.
    Full(Event),
}

/// What a spool has done since it was opened, from one moment. `appended + recovered` is always the sum of all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Books {
    /// Events that were appended, or refused for want of room.
    pub appended: u64,
    /// Events that were there when it was opened.
    pub recovered: u64,
    /// Events that were settled.
    pub settled: u64,
    /// Events that were dropped, by reason.
    pub dropped: Dropped,
    /// Events that were given back unsettled: they come again after the next start.
    pub handed_back: u64,
    /// Events that were taken and not settled: counted from what is open.
    pub in_flight: u64,
    /// Events that wait: counted from what is there.
    pub stored: u64,
}

/// Events that a spool has dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// The oldest, for which newer ones had no room.
    pub oldest: u64,
    /// The newest, for which there was no room.
    pub newest: u64,
    /// Those that were older than `maxAge`.
    pub expired: u64,
    /// Those that are larger than `maxBytes`, and would not fit alone.
    pub oversized: u64,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.oldest + self.newest + self.expired + self.oversized
    }
}

impl Books {
    /// Whether nothing is unaccounted for.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let gone = self.settled + self.dropped.total() + self.handed_back;
        self.appended + self.recovered == gone + self.in_flight + self.stored
    }
}

/// A spool before it is used: its two ends.
#[derive(Debug)]
pub struct Spool {
    inlet: Inlet,
    outlet: Outlet,
}

/// What both ends share.
#[derive(Debug)]
struct Shared {
    store: Store,
    table: Table,
    clock: ClockHandle,
    state: Mutex<State>,
    /// Told when there may be something to take.
    ready: Notify,
    /// Told when there may be room.
    room: Notify,
}

impl Shared {
    fn now(&self) -> Stamp {
        self.clock.0.now().into()
    }
}

impl Spool {
    /// The spool in this table, with everything that is in it.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the table's newest key is no sequence.
    pub fn open(store: &Store, table: Table, policy: Policy, clock: ClockHandle) -> Result<Spool, Error> {
        let state = Mutex::new(State::recover(store, table, policy)?);
        let (ready, room) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { store: store.clone(), table, clock, state, ready, room });
        Ok(Spool { inlet: Inlet::of(&shared), outlet: Outlet::of(shared) })
    }

    /// The end of the source and the end of the rules.
    #[must_use]
    pub fn split(self) -> (Inlet, Outlet) {
        (self.inlet, self.outlet)
    }
}
