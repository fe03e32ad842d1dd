//! What must survive a restart: ordered tables of records in files of the state folder.
//!
//! Decisions: **one thread per file does all writing**, and everything that is written while it waits for the disk goes
//! into its next transaction; **a confirmation is a number**, not a future: whoever wrote a thousand records compares one
//! [`Ticket`] with one [`Confirmations`]; **an accepted write is done or the store ends**, so a full disk holds everybody
//! back and recovers by itself; **every record carries a CRC32C** over its table, key and value, and whoever reads a wrong
//! one gets [`Error::Damaged`] and never wrong bytes.
//!
//! ```
//! use engine::store::{Batch, Schema, Settings, Spec, Stamp, Store};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let folder = tempfile::tempdir().expect("a folder");
//! let specs = vec![Spec { name: "spool/fleet".into(), quota: Default::default() }];
//! let path = folder.path().join("spool");
//! let store = Store::open(&path, Schema::SPOOL, specs.clone(), Settings::default()).expect("opened");
//! let table = store.table("spool/fleet").expect("asked for");
//! let mut batch = Batch::default();
//! batch.put(table, b"1", Stamp(0), |value| value.extend_from_slice(b"an event"));
//! let ticket = store.write(&mut batch).await.expect("open");
//! store.confirmations().reach(ticket).await.expect("on disk");
//! store.close().await.expect("closed");
//!
//! let store = Store::open(&path, Schema::SPOOL, specs, Settings::default()).expect("opened again");
//! assert_eq!(store.get(table, b"1").expect("sound"), Some((Stamp(0), b"an event".to_vec())));
//! # });
//! ```

mod apply;
mod batch;
mod broken;
mod disk;
mod error;
mod medium;
mod queue;
mod quota;
mod record;
mod schema;
pub mod survey;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod watched;
mod writer;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

pub use batch::{Batch, Table};
pub use error::{Error, OpenError};
pub use medium::Spec;
pub use queue::Reading;
pub use quota::{OnFull, Quota, Usage};
pub use record::{Record, Stamp};
pub use schema::Schema;

use crate::event::Text;
use crate::metric::Link;
use crate::port::{Clock, SystemClock};
use disk::Disk;
use medium::Failure;
use queue::{Progress, Refused, Shared};
use writer::Writer;

/// When writes are forced to the disk, and with that what a confirmation means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before they are confirmed: a confirmed write survives a power failure.
    #[default]
    Always,
    /// At this interval, or once they are more than [`Settings::queue_bytes`], and at closing. Writes are confirmed at once; a
    /// crash, of this process too, takes back at most what was confirmed within one interval, the newest first, and leaves no
    /// hole.
    Interval(Duration),
}

/// How a store works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When writes are forced to the disk.
    pub sync: Sync,
    /// Bytes that may wait beside those that are being written.
    pub queue_bytes: usize,
    /// Tells the age of records.
    pub clock: ClockHandle,
    /// Told when writing fails and when it works again.
    pub link: Link,
    /// Counts the bytes that were read of the file. All of it is read while it is opened, so this is how far that is.
    pub read: Arc<AtomicU64>,
}

impl Default for Settings {
    /// Everything is on the disk before it is confirmed; 32 MiB may wait.
    fn default() -> Settings {
        Settings {
            sync: Sync::Always,
            queue_bytes: 32 << 20,
            clock: ClockHandle(Arc::new(SystemClock)),
            link: Link::default(),
            read: Arc::default(),
        }
    }
}

/// A shared clock.
#[derive(Clone)]
pub struct ClockHandle(pub Arc<dyn Clock>);

impl fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The number of the transaction that a write is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// A handle to one file. When the last is dropped, what waits is written and the file closed, in its own time.
#[derive(Clone, Debug)]
pub struct Store(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Store {
    /// Opens or makes the file at `path`, verifies it whole, and starts its thread. Its folder is there and belongs to
    /// this engine alone.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be used; a damaged one is left as it is.
    pub fn open(path: &Path, schema: Schema, specs: Vec<Spec>, settings: Settings) -> Result<Store, OpenError> {
        let specs: Arc<[Spec]> = specs.into();
        let disk = Disk::open_counted(disk::file(path), schema, Arc::clone(&specs), Arc::clone(&settings.read));
        let disk = disk.map_err(|failure| match failure {
            Failure::Full(why) | Failure::Io(why) => OpenError::Io { path: path.to_owned(), why },
            Failure::Broken(why) => OpenError::Refused { path: path.to_owned(), why },
        })?;
        let store = Store::on(path.display().to_string().into(), specs, disk, settings);
        store.map_err(|cause| OpenError::Thread { path: path.to_owned(), cause })
    }

    fn on(name: Arc<str>, specs: Arc<[Spec]>, disk: Disk, settings: Settings) -> std::io::Result<Store> {
        let counts = disk.counts();
        let strangers = disk.strangers().unwrap_or_default();
        let strangers = strangers.into_iter().map(|(name, counts)| (name, counts.rows)).collect();
        let shared = Arc::new(Shared::new(name, specs, Box::new(disk), strangers, settings));
        for (gauge, counts) in shared.gauges.iter().zip(counts) {
            gauge.set(counts.rows, counts.bytes, 0);
        }
        let writer = Writer::new(Arc::clone(&shared));
        thread::Builder::new().name("state".to_owned()).spawn(move || writer.run())?;
        Ok(Store(Arc::new(Owner(shared))))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// The table of this name, if the store was opened with it.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<Table> {
        self.shared().table(self.shared().specs.iter().position(|spec| spec.name == name)?)
    }

    /// The name of a table, for people.
    #[must_use]
    pub fn name(&self, table: Table) -> Text {
        let spec = self.shared().specs.get(usize::from(table.number));
        spec.map(|spec| spec.name.clone()).unwrap_or_default()
    }

    /// Takes all writes out of `batch`, which stays as it was if this is dropped before it answers. Waits while too much
    /// waits already or a quota that blocks is full.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn write(&self, batch: &mut Batch) -> Result<Ticket, Error> {
        loop {
            let room = self.shared().room.notified();
            tokio::pin!(room);
            // Listens before it looks, so that room made in between is not missed.
            room.as_mut().enable();
            match self.shared().write(batch, true) {
                Ok(ticket) => return Ok(ticket),
                Err(Refused::Ended) => return Err(self.ended()),
                Err(Refused::Full) => room.await,
            }
        }
    }

    /// [`Store::write`] without waiting: `None`, and nothing is changed, where that would wait.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn try_write(&self, batch: &mut Batch) -> Result<Option<Ticket>, Error> {
        self.refused(self.shared().write(batch, true))
    }

    /// [`Store::try_write`] for what must not wait for a quota, such as a parked delivery that becomes a dead letter.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn try_write_beyond_quotas(&self, batch: &mut Batch) -> Result<Option<Ticket>, Error> {
        self.refused(self.shared().write(batch, false))
    }

    /// Takes removals of records whose writing is confirmed. They never wait, are done before anything that is written
    /// later, and may be kept back for a moment to go along with something.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn free(&self, batch: &mut Batch) -> Result<Ticket, Error> {
        self.shared().free(batch).map_err(|_| self.ended())
    }

    fn refused(&self, answer: Result<Ticket, Refused>) -> Result<Option<Ticket>, Error> {
        match answer {
            Ok(ticket) => Ok(Some(ticket)),
            Err(Refused::Full) => Ok(None),
            Err(Refused::Ended) => Err(self.ended()),
        }
    }

    fn ended(&self) -> Error {
        let why = self.shared().progress.borrow().ended.clone();
        Error::Ended { name: Arc::clone(&self.shared().name), why: why.unwrap_or_else(|| "it is being closed".into()) }
    }

    /// Hears of confirmations from now on, and of what was confirmed before.
    #[must_use]
    pub fn confirmations(&self) -> Confirmations {
        Confirmations { name: Arc::clone(&self.shared().name), progress: self.shared().progress.subscribe() }
    }

    /// Waits until the file can be read. After [`Error::Away`] it is being opened anew, or its last writes are done again;
    /// nobody who must not wait needs to try. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Ended`]: never again.
    pub async fn readable(&self) -> Result<(), Error> {
        let mut progress = self.shared().progress.subscribe();
        let settled = progress.wait_for(|progress| !progress.away || progress.ended.is_some()).await;
        if settled.is_ok_and(|progress| progress.ended.is_none()) { Ok(()) } else { Err(self.ended()) }
    }

    /// Whether [`Store::readable`] would wait. Never waits itself.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.shared().progress.borrow().away
    }

    /// Reads one record. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Unreadable`] or [`Error::Away`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<(Stamp, Vec<u8>)>, Error> {
        let mut found = None;
        // The smallest key behind this one is the key with a zero at its end.
        let end: Vec<u8> = key.iter().copied().chain([0]).collect();
        self.scan(table, key, Some(&end), |_, record| {
            found = Some((record.stamp, record.value.to_vec()));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Shows records in the order of keys, from `from` on, up to and without `to`, as one moment has them. Blocks for as
    /// long as the disk takes, and not for a file that is being opened anew.
    ///
    /// # Errors
    /// [`Error::Damaged`] at the first record that is not what was written, [`Error::Unreadable`], or [`Error::Away`].
    pub fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        mut visit: impl FnMut(&[u8], Record<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut damaged = None;
        let mut each = |key: &[u8], bytes: &[u8]| match record::read(table.seed, key, bytes) {
            Some(record) => visit(key, record),
            None => {
                damaged = Some(key.to_vec());
                ControlFlow::Break(())
            }
        };
        let scanned = self.shared().medium.scan(table.number, from, to, &mut each);
        scanned.map_err(|failure| match failure {
            Failure::Broken(why) => self.unreadable(&why),
            Failure::Full(why) | Failure::Io(why) => {
                if !self.is_away() {
                    self.shared().look();
                }
                Error::Away { name: Arc::clone(&self.shared().name), why }
            }
        })?;
        damaged.map_or(Ok(()), |key| Err(self.damaged(table, key)))
    }

    /// The error for whoever finds that a record is not what it wrote.
    #[must_use]
    pub fn damaged(&self, table: Table, key: Vec<u8>) -> Error {
        Error::Damaged { name: Arc::clone(&self.shared().name), table: self.name(table), key }
    }

    /// The error for whoever finds that a table is not as it left it.
    #[must_use]
    pub fn unreadable(&self, why: &str) -> Error {
        Error::Unreadable { name: Arc::clone(&self.shared().name), why: why.into() }
    }

    /// What a table holds, as of the last transaction.
    #[must_use]
    pub fn usage(&self, table: Table) -> Usage {
        self.shared().gauges.get(usize::from(table.number)).map(quota::Gauge::read).unwrap_or_default()
    }

    /// The largest key that was ever written to a table, as of the last transaction; empty if none was. It outlives its
    /// record, so that a number is never used twice.
    #[must_use]
    pub fn highest(&self, table: Table) -> Vec<u8> {
        self.shared().medium.highest(table.number)
    }

    /// The tables in the file that nobody asked for, and how many records each had when the file was opened. They stay.
    #[must_use]
    pub fn strangers(&self) -> &[(String, u64)] {
        &self.shared().strangers
    }

    /// Waits until the thread has taken writes, or done some, after this was called: what [`Store::try_write`] refused may
    /// be accepted then.
    pub fn moved(&self) -> impl Future<Output = ()> + '_ {
        self.shared().room.notified()
    }

    /// What was counted since it was opened.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.shared().read()
    }

    /// Writes what waits, forces it to the disk and closes the file. Writing fails from now on.
    ///
    /// # Errors
    /// [`Error::Ended`] when something that was accepted could not be written.
    pub async fn close(&self) -> Result<(), Error> {
        self.shared().stop();
        let mut confirmations = self.confirmations();
        let ended = confirmations.progress.wait_for(|progress| progress.ended.is_some()).await;
        let why = ended.ok().and_then(|progress| progress.ended.clone());
        match why {
            Some(why) if &*why != writer::CLOSED => Err(Error::Ended { name: confirmations.name, why }),
            _ => Ok(()),
        }
    }
}

/// Hears what is confirmed.
#[derive(Clone, Debug)]
pub struct Confirmations {
    name: Arc<str>,
    progress: watch::Receiver<Progress>,
}

impl Confirmations {
    /// Whether the writes of this ticket are confirmed. Never waits.
    #[must_use]
    pub fn has(&self, ticket: Ticket) -> bool {
        self.progress.borrow().confirmed >= ticket.0
    }

    /// Waits until nothing more will be confirmed. Cancel safe.
    pub async fn ended(&mut self) -> Error {
        let ended = self.progress.wait_for(|progress| progress.ended.is_some()).await;
        let why = ended.ok().and_then(|progress| progress.ended.clone());
        let why = why.unwrap_or_else(|| "its thread has ended".into());
        Error::Ended { name: Arc::clone(&self.name), why }
    }

    /// Waits until the writes of this ticket are confirmed. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Ended`] when they never will be.
    pub async fn reach(&mut self, ticket: Ticket) -> Result<(), Error> {
        let there = |progress: &Progress| progress.confirmed >= ticket.0 || progress.ended.is_some();
        match self.progress.wait_for(there).await {
            Ok(progress) if progress.confirmed >= ticket.0 => return Ok(()),
            _ => {}
        }
        Err(self.ended().await)
    }
}
