//! The tables of a store in one redb file. The only place that knows redb while the engine runs.
//!
//! Decisions: **the whole file is verified when it is opened**, because redb trusts a file that was closed well and then
//! reads without looking at checksums. **A file of which a sync has failed is not written to again**: the kernel forgets
//! what it could not write, and says so once; a full disk is another matter, which redb notices before it syncs. **A panic
//! inside redb is damage**: it is caught and ends the store, as bytes that nobody wrote may take it anywhere.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::backends::FileBackend;
use redb::{Builder, Database, Durability, ReadableDatabase, StorageBackend};

use super::apply::{apply, cut};
use super::broken::{Broken, said};
use super::medium::{Change, Counts, Failure, Group, Medium, Spec, Visit};
use super::schema::{self, Definition, Schema};
use super::watched::{Faults, Watched};

/// Memory for pages, read and written, per file; redb's own default is a gigabyte.
const CACHE: usize = 32 << 20;

/// Where the bytes of a file are. It is asked again after every failure.
pub(super) type Opener = Box<dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync>;

/// One redb file.
pub(super) struct Disk {
    opener: Opener,
    schema: Schema,
    specs: Arc<[Spec]>,
    database: RwLock<Option<Database>>,
    counts: Mutex<Vec<Counts>>,
    faults: Arc<Faults>,
    /// Whether the last commit was none that survives when the file is opened anew.
    volatile: AtomicBool,
    /// Whether the file was opened anew and lacks what such commits did.
    behind: AtomicBool,
}

/// A file of the operating system, created where it is missing.
pub(super) fn file(path: &Path) -> Opener {
    let path = path.to_owned();
    Box::new(move || {
        let fresh = !path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if fresh && let Some(folder) = path.parent() {
            // Else a power failure could take the whole file, with everything that was confirmed.
            File::open(folder)?.sync_all()?;
        }
        let backend = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(backend))
    })
}

impl Disk {
    pub(super) fn open(opener: Opener, schema: Schema, specs: Arc<[Spec]>) -> Result<Disk, Failure> {
        Disk::open_counted(opener, schema, specs, Arc::default())
    }

    /// The same, for somebody who wants to know how much of the file was read by now.
    pub(super) fn open_counted(
        opener: Opener,
        schema: Schema,
        specs: Arc<[Spec]>,
        read: Arc<AtomicU64>,
    ) -> Result<Disk, Failure> {
        let disk = Disk {
            opener,
            schema,
            specs,
            database: RwLock::new(None),
            counts: Mutex::new(Vec::new()),
            faults: Arc::new(Faults { read, ..Faults::default() }),
            volatile: AtomicBool::new(false),
            behind: AtomicBool::new(false),
        };
        disk.reopen()?;
        Ok(disk)
    }

    /// What the tables hold, by number.
    pub(super) fn counts(&self) -> Vec<Counts> {
        self.counts.lock().clone()
    }

    /// The names of tables that nobody asked for, with their counts.
    pub(super) fn strangers(&self) -> Result<Vec<(String, Counts)>, Failure> {
        self.guarded(|database| {
            let transaction = database.begin_write()?;
            let known = |name: &String| self.specs.iter().any(|spec| spec.name == name.as_str());
            let names = schema::tables(&transaction)?.into_iter().filter(|name| !known(name));
            let found = names.map(|name| schema::counts(&transaction, &name).map(|counts| (name, counts)));
            let found = found.collect::<Result<Vec<_>, _>>()?;
            transaction.abort()?;
            Ok(found.into_iter().filter(|(_, counts)| counts.rows > 0).collect())
        })
    }

    fn begin(&self) -> Result<(Database, Vec<Counts>), Broken> {
        let backend = Watched::new((self.opener)()?, Arc::clone(&self.faults));
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(backend)?;
        let transaction = database.begin_write()?;
        let known = schema::tables(&transaction)?;
        let changed = schema::prepare(&transaction, &self.schema)?;
        let complete = self.specs.iter().all(|spec| known.iter().any(|name| spec.name == name.as_str()));
        let mut counts = Vec::with_capacity(self.specs.len());
        for spec in self.specs.iter() {
            // Made here, so that a reader finds every table.
            transaction.open_table(Definition::new(&spec.name))?;
            counts.push(schema::counts(&transaction, &spec.name)?);
        }
        // A full disk has no room for a transaction that does nothing, either.
        if changed || !complete {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok((database, counts))
    }

    /// Does `work` on the open database; a panic inside it is damage.
    fn guarded<T>(&self, work: impl FnOnce(&Database) -> Result<T, Broken>) -> Result<T, Failure> {
        // Opening verifies the whole file, and nobody waits for that here.
        let database = self.database.try_read();
        let Some(database) = database.as_ref().and_then(|database| database.as_ref()) else {
            return Err(Failure::Io("the file is not open".into()));
        };
        self.judged(|| work(database))
    }

    fn judged<T>(&self, work: impl FnOnce() -> Result<T, Broken>) -> Result<T, Failure> {
        let failure = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(broken)) => broken.failure(),
            Err(panic) => Failure::Broken(format!("it is damaged: {}", said(&*panic)).into()),
        };
        match failure {
            Failure::Io(why) | Failure::Full(why) if self.faults.unsynced.load(Ordering::Relaxed) => {
                Err(Failure::Broken(format!("the disk refused to keep what was written: {why}").into()))
            }
            Failure::Io(_) if self.faults.full.load(Ordering::Relaxed) => Err(Failure::Full("the disk is full".into())),
            failure => Err(failure),
        }
    }

    fn write(&self, database: &Database, group: &Group, durable: bool) -> Result<Vec<Change>, Broken> {
        let mut transaction = database.begin_write()?;
        if !durable {
            transaction.set_durability(Durability::None).map_err(redb::Error::from)?;
        }
        let mut changes = Vec::new();
        for (number, spec) in (0_u16..).zip(self.specs.iter()) {
            let frees = group.frees.writes().filter(|write| write.table == number);
            let puts = group.puts.writes().filter(|write| write.table == number);
            let trims = group.trims.iter().filter(|trim| trim.table == number);
            let mut writes = frees.chain(puts).peekable();
            let mut trims = trims.peekable();
            if writes.peek().is_none() && trims.peek().is_none() {
                continue;
            }
            let mut counts = self.counts.lock().get(usize::from(number)).cloned().unwrap_or_default();
            let mut table = transaction.open_table(Definition::new(&spec.name))?;
            apply(&mut table, writes, &mut counts)?;
            let mut dropped = 0;
            for trim in trims {
                dropped += cut(&mut table, &mut counts, trim.max_bytes, trim.older_than.0)?;
            }
            drop(table);
            schema::count(&transaction, &spec.name, &counts)?;
            changes.push(Change { table: number, counts, dropped });
        }
        transaction.commit()?;
        let mut counts = self.counts.lock();
        for change in &changes {
            if let Some(known) = counts.get_mut(usize::from(change.table)) {
                known.clone_from(&change.counts);
            }
        }
        Ok(changes)
    }
}

impl Medium for Disk {
    fn commit(&self, group: &Group, durable: bool) -> Result<Vec<Change>, Failure> {
        let changes = self.guarded(|database| self.write(database, group, durable))?;
        self.volatile.store(!durable, Ordering::Relaxed);
        self.behind.store(false, Ordering::Release);
        Ok(changes)
    }

    fn scan(&self, number: u16, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), Failure> {
        let Some(spec) = self.specs.get(usize::from(number)) else { return Ok(()) };
        let scanned = self.guarded(|database| {
            // Asked while the file stays open: it falls behind by being opened anew, and no longer is before this shows it.
            if self.behind.load(Ordering::Acquire) {
                return Ok(false);
            }
            let table = database.begin_read()?.open_table(Definition::new(&spec.name))?;
            let to = to.map_or(Bound::Unbounded, Bound::Excluded);
            for row in table.range::<&[u8]>((Bound::Included(from), to))? {
                let (key, value) = row?;
                if visit(key.value(), value.value()) == ControlFlow::Break(()) {
                    break;
                }
            }
            Ok(true)
        })?;
        if scanned { Ok(()) } else { Err(Failure::Io("what was confirmed last is being written again".into())) }
    }

    fn reopen(&self) -> Result<bool, Failure> {
        let mut database = self.database.write();
        // The file is locked by whoever has it open.
        drop(database.take());
        if self.volatile.swap(false, Ordering::Relaxed) {
            self.behind.store(true, Ordering::Relaxed);
        }
        self.faults.full.store(false, Ordering::Relaxed);
        if self.faults.unsynced.load(Ordering::Relaxed) {
            return Err(Failure::Broken("the disk refused to keep what was written".into()));
        }
        let (opened, counts) = self.judged(|| self.begin())?;
        *self.counts.lock() = counts;
        *database = Some(opened);
        Ok(!self.behind.load(Ordering::Relaxed))
    }

    fn close(&self) -> Result<(), Failure> {
        let Some(database) = self.database.write().take() else { return Ok(()) };
        self.judged(|| Ok(database.close()?))
    }

    fn highest(&self, number: u16) -> Vec<u8> {
        self.counts.lock().get(usize::from(number)).map(|counts| counts.highest.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("kind", &self.schema.kind).finish_non_exhaustive()
    }
}
