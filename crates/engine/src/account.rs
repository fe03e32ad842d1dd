//! The account of every event: how each of its deliveries ended, when, and what went wrong before.
//!
//! Decisions: **what ended well costs its line no lock and no allocation**: a record of 32 bytes goes into the line's own list
//! and with the turn's others into a ring in memory, and a thread writes what is new there to the file `ledger` once a second,
//! forcing nothing to the disk. **What went wrong is written at once**, in full, to `ledger.failures`, and forced to the disk
//! where no row and no dead letter says the same. Nobody waits for either, and a disk that fails costs the account and not one
//! event. **What is not there is said to be beyond the ledger's reach**, which is known, and never to be unknown.
//!
//! ```
//! use engine::account::{Account, End, Facts, Name, Wanted};
//! use engine::event::Event;
//! use engine::store::Settings;
//!
//! let account = Account::in_memory(1_000_000, Settings::default().clock);
//! let mut pen = account.pen(Name { name: "telemetry/metrics".into(), ..Name::default() });
//! let event = Event::new("4711".into(), "/fleet".into(), "t".into()).unwrap();
//! pen.record(&event, End::Done, Facts { ended: 1_700_000_000_000, attempts: 1, ..Facts::default() });
//! pen.flush();
//! let found = account.find(&Wanted { id: "4711".into(), source: None }).unwrap();
//! assert_eq!(found.records[0].0.end(), Some(End::Done));
//! assert_eq!(found.records[0].1.name, "telemetry/metrics");
//! ```

mod frame;
mod log;
mod pages;
mod print;
mod record;
mod search;
#[cfg(test)]
mod tests;
mod trouble;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub use frame::Name;
pub use print::{Print, source as print_of_source};
pub use record::{End, Facts, Record, UNKNOWN};
pub use search::{Found, Wanted, Window, look};
pub use trouble::{Trouble, What};

use crate::event::{Event, Text};
use crate::metric::Link;
use crate::store::{ClockHandle, Stamp};
use pages::Ring;
use writer::Writer;

/// The file of what has ended.
pub const FILE: &str = "ledger";
/// The file of what went wrong.
pub const FAILURES: &str = "ledger.failures";
/// Records that are kept in memory and in the file unless somebody wants another number.
pub const RECORDS: usize = 1_000_000;

/// Bytes of troubles that may wait to be written: a disk that fails must not fill the memory.
const WAITING_MAX: usize = 4 << 20;
/// Nobody who asks waits longer for what is new to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// The account of one engine.
#[derive(Clone, Debug)]
pub struct Account(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.desk.lock().closing = true;
        self.0.ready.notify_all();
    }
}

#[derive(Debug)]
struct Shared {
    desk: Mutex<Desk>,
    /// There is something for the writing thread to do.
    ready: Condvar,
    /// It has done something.
    done: Condvar,
    /// Where the files are; nothing for an account in memory only.
    folder: Option<PathBuf>,
    /// Held while a file takes another's place, and while files are opened to be read.
    turning: Mutex<()>,
    clock: ClockHandle,
    capacity: usize,
    /// Which run this is, and since when.
    run: u64,
    began: Stamp,
    link: Link,
}

/// What lines lay down and the thread picks up.
#[derive(Debug)]
struct Desk {
    ring: Ring,
    /// The number of the first record that is not in the file.
    written: u64,
    /// Frames of troubles that are not in the file, and whether they have to be forced to the disk.
    troubles: Vec<u8>,
    force: bool,
    /// Troubles that found no room.
    lost: u64,
    names: Vec<Name>,
    /// Whether there is nothing to do, so that whoever brings something has to wake the thread.
    asleep: bool,
    /// The same while records wait for others, for whoever brings what does not wait.
    dozing: bool,
    /// How often somebody has asked for everything to be written, and how many of them have it.
    asked: u64,
    answered: u64,
    /// Whether everything was written the last time.
    sound: bool,
    closing: bool,
    closed: bool,
    /// Bytes of the files.
    bytes: u64,
}

/// What an account says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Records in memory.
    pub records: usize,
    /// How many there may be.
    pub capacity: usize,
    /// Bytes of the files.
    pub bytes: u64,
    /// Failures, retries and drops that could not be written down.
    pub lost: u64,
    /// Why nothing can be written now.
    pub error: Option<String>,
}

impl Account {
    /// An account that keeps this many records in memory, and nothing on a disk.
    #[must_use]
    pub fn in_memory(capacity: usize, clock: ClockHandle) -> Account {
        Account::of(capacity, None, clock)
    }

    fn of(capacity: usize, folder: Option<PathBuf>, clock: ClockHandle) -> Account {
        let desk = Desk {
            ring: Ring::new(capacity),
            written: 0,
            troubles: Vec::new(),
            force: false,
            lost: 0,
            names: Vec::new(),
            asleep: false,
            dozing: false,
            asked: 0,
            answered: 0,
            sound: true,
            closing: false,
            closed: folder.is_none(),
            bytes: 0,
        };
        Account(Arc::new(Owner(Arc::new(Shared {
            desk: Mutex::new(desk),
            ready: Condvar::new(),
            done: Condvar::new(),
            folder,
            turning: Mutex::new(()),
            began: clock.0.now().into(),
            clock,
            capacity,
            run: fastrand::u64(..),
            link: Link::default(),
        }))))
    }

    /// An account that keeps this many records in memory, and between one and two times as many in the files of this folder,
    /// which belongs to this engine alone. Starts its thread.
    ///
    /// # Errors
    /// When a file cannot be used; it is left as it is, but for what a crash has torn.
    pub fn open(folder: &Path, capacity: usize, clock: ClockHandle) -> io::Result<Account> {
        let account = Account::of(capacity, Some(folder.to_owned()), clock);
        let writer = Writer::open(Arc::clone(&account.0.0), folder)?;
        thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run())?;
        Ok(account)
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// Whoever writes down what becomes of deliveries of one rule, or of what a source brings and no rule wants.
    #[must_use]
    pub fn pen(&self, name: Name) -> Pen {
        let mut desk = self.shared().desk.lock();
        let known = desk.names.iter().position(|known| *known == name);
        let number = known.unwrap_or_else(|| {
            desk.names.push(name);
            desk.names.len() - 1
        });
        drop(desk);
        // Beyond what a record has room for, its rule has no name.
        Pen { account: self.clone(), number: u16::try_from(number).unwrap_or(u16::MAX), batch: Vec::new() }
    }

    fn append(&self, batch: &[Record]) {
        let mut desk = self.shared().desk.lock();
        desk.ring.push(batch);
        if std::mem::take(&mut desk.asleep) {
            self.shared().ready.notify_one();
        }
    }

    /// What is here of an event. Waits until what is known now is in the files, as far as they can be written, and then for
    /// as long as reading takes.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn find(&self, wanted: &Wanted) -> io::Result<Found> {
        self.flush();
        search::find(self.shared(), wanted)
    }

    /// Waits until everything that is known now is in the files; answers whether it is.
    pub fn flush(&self) -> bool {
        let shared = self.shared();
        let mut desk = shared.desk.lock();
        desk.asked += 1;
        let number = desk.asked;
        shared.ready.notify_one();
        while desk.answered < number && !desk.closed {
            if shared.done.wait_for(&mut desk, PATIENCE).timed_out() {
                return false;
            }
        }
        desk.answered >= number && desk.sound
    }

    /// Writes what is not written and ends the files; answers whether that was done in time. What comes later is not kept.
    pub fn close(&self) -> bool {
        let shared = self.shared();
        let mut desk = shared.desk.lock();
        desk.closing = true;
        shared.ready.notify_one();
        while !desk.closed {
            if shared.done.wait_for(&mut desk, PATIENCE).timed_out() {
                return false;
            }
        }
        true
    }

    /// What it says of itself.
    #[must_use]
    pub fn read(&self) -> Reading {
        let shared = self.shared();
        let link = shared.link.read();
        let failing = link.connection == crate::metric::Connection::Disconnected;
        let desk = shared.desk.lock();
        Reading {
            records: desk.ring.len(),
            capacity: shared.capacity,
            bytes: desk.bytes,
            lost: desk.lost,
            error: link.last_error.filter(|_| failing),
        }
    }
}

/// Writes down what becomes of the deliveries of one rule.
#[derive(Debug)]
pub struct Pen {
    account: Account,
    number: u16,
    /// Records of the present turn.
    batch: Vec<Record>,
}

impl Clone for Pen {
    fn clone(&self) -> Pen {
        Pen { account: self.account.clone(), number: self.number, batch: Vec::new() }
    }
}

impl Pen {
    /// Another one of the same account.
    #[must_use]
    pub fn of(&self, name: Name) -> Pen {
        self.account.pen(name)
    }

    /// A delivery of this event has ended so. It is in the account with the next [`Pen::flush`].
    #[inline]
    pub fn record(&mut self, event: &Event, end: End, facts: Facts) {
        self.batch.push(Record::new(Print::of(event), self.number, end, facts));
    }

    /// Hands over what was recorded.
    #[inline]
    pub fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.account.append(&self.batch);
            self.batch.clear();
        }
    }

    /// Something went wrong. It is written at once, and forced to the disk if nothing else on it says so.
    pub fn trouble(&self, trouble: &Trouble, force: bool) {
        let shared = self.account.shared();
        if shared.folder.is_none() {
            return;
        }
        let mut desk = shared.desk.lock();
        if desk.troubles.len() >= WAITING_MAX || desk.closed {
            desk.lost += 1;
            return;
        }
        frame::trouble(trouble, &mut desk.troubles);
        desk.force |= force;
        if std::mem::take(&mut desk.asleep) | std::mem::take(&mut desk.dozing) {
            shared.ready.notify_one();
        }
    }
}

/// An event's names as they are kept, so that two that begin alike can be told from each other as far as that goes.
fn kept(text: &str) -> Text {
    trouble::name(text).into()
}
