//! Every record that a file will show, sound or not.

use std::fs::File;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Builder, Database, ReadTransaction, ReadableDatabase, TableHandle};

use super::super::broken::{Broken, said};
use super::super::record::{self, Stamp};
use super::super::schema::{self, Definition, OWN};
use super::overlay::Overlay;
use super::{Error, Report, TableReport};

/// Takes a sound record: its table, key, time and value.
pub(super) type Sink<'s> = dyn FnMut(&str, &[u8], Stamp, &[u8]) -> Result<(), Error> + 's;

/// The largest keys that tables ever had.
type Highest = Vec<(String, Vec<u8>)>;

pub(super) fn walk(path: &Path, sink: &mut Sink<'_>) -> Result<(Report, Highest), Error> {
    let mut report =
        Report { path: path.to_owned(), kind: None, version: None, damage: Vec::new(), tables: Vec::new() };
    let database = match open(path, true)? {
        Ok(database) => database,
        Err(why) => {
            report.damage.push(why);
            // Without verifying it redb shows what it can still reach.
            open(path, false)?.map_err(|why| Error::Hopeless { path: path.to_owned(), why })?
        }
    };
    let names = match caught(|| about(&database, &mut report)) {
        Ok(names) => names,
        Err(why) => {
            report.damage.push(why.clone());
            return Err(Error::Hopeless { path: path.to_owned(), why });
        }
    };
    let mut highest = Vec::new();
    for name in names {
        let mut table = TableReport { name, ..TableReport::default() };
        match caught(|| counted(&database, &table.name)) {
            Ok(counts) => {
                table.expected = counts.as_ref().map(|counts| counts.rows);
                highest.extend(counts.map(|counts| (table.name.clone(), counts.highest)));
            }
            Err(why) => table.broken = Some(why),
        }
        read(&database, &mut table, sink)?;
        report.tables.push(table);
    }
    // Dropping it writes, into memory; on a damaged file that may fail in any way.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    Ok((report, highest))
}

/// The file, or why redb does not open it.
fn open(path: &Path, verified: bool) -> Result<Result<Database, String>, Error> {
    let io = |step| move |cause| Error::Io { step, path: path.to_owned(), cause };
    let file = File::open(path).map_err(io("open"))?;
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Held(path.to_owned())),
        Err(std::fs::TryLockError::Error(cause)) => return Err(io("lock")(cause)),
    }
    let overlay = Overlay::new(file).map_err(io("read"))?;
    if overlay_is_empty(&overlay) {
        return Ok(Err("it is empty".to_owned()));
    }
    Ok(caught(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(64 << 20).set_check_integrity_on_open(verified);
        Ok(builder.create_with_backend(overlay)?)
    }))
}

fn overlay_is_empty(overlay: &Overlay) -> bool {
    use redb::StorageBackend;
    overlay.len().is_ok_and(|length| length == 0)
}

/// Does `work`; the sentence says what went wrong, a panic of redb's included.
fn caught<T>(work: impl FnOnce() -> Result<T, Broken>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(broken)) => Err(broken.failure().to_string()),
        Err(panic) => Err(format!("it is damaged: {}", said(&*panic))),
    }
}

/// Notes what the file says of itself; answers the names of its tables.
fn about(database: &Database, report: &mut Report) -> Result<Vec<String>, Broken> {
    let transaction = database.begin_read()?;
    let names: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    if !names.iter().any(|name| name == OWN) {
        report.damage.push("it is no state file of tidemill, or does not say so any more".to_owned());
    } else {
        let own = transaction.open_table(Definition::new(OWN))?;
        match own.get(b"schema".as_slice())?.map(|bytes| schema::read_version(bytes.value())) {
            Some(Ok((kind, version))) => (report.kind, report.version) = (Some(kind), Some(version)),
            Some(Err(error)) => report.damage.push(error.to_string()),
            None => report.damage.push("it does not say of which version it is".to_owned()),
        }
    }
    Ok(names.into_iter().filter(|name| name != OWN).collect())
}

fn counted(database: &Database, name: &str) -> Result<Option<super::super::medium::Counts>, Broken> {
    let transaction = database.begin_write()?;
    let counts = schema::counts(&transaction, name);
    transaction.abort()?;
    Ok(counts.map(Some)?)
}

/// Reads one table from the front until it ends or breaks, and in the latter case from the back until it breaks again.
fn read(database: &Database, report: &mut TableReport, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut last = None;
    let mut failed = Ok(());
    let mut take = |report: &mut TableReport, key: &[u8], bytes: &[u8]| {
        if let Some(stamp) = report.saw(key, bytes)
            && let Some(record) = record::read(record::seed(&report.name), key, bytes)
        {
            failed = sink(&report.name, key, stamp, record.value);
        }
        failed.is_ok()
    };
    let forward = caught(|| {
        each(&database.begin_read()?, &report.name.clone(), Bound::Unbounded, false, |key, bytes| {
            last = Some(key.to_vec());
            take(report, key, bytes)
        })
    });
    if let Err(why) = forward {
        let from = last.as_ref().map_or(Bound::Unbounded, |last| Bound::Excluded(last.as_slice()));
        let backward = caught(|| {
            each(&database.begin_read()?, &report.name.clone(), from, true, |key, bytes| take(report, key, bytes))
        });
        report.broken = Some(match backward {
            Err(second) if second != why => format!("{why}; {second}"),
            _ => why,
        });
    }
    failed
}

fn each(
    transaction: &ReadTransaction,
    name: &str,
    from: Bound<&[u8]>,
    backward: bool,
    mut visit: impl FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), Broken> {
    let table = transaction.open_table(Definition::new(name))?;
    let mut rows = table.range::<&[u8]>((from, Bound::Unbounded))?;
    while let Some(row) = if backward { rows.next_back() } else { rows.next() } {
        let (key, value) = row?;
        if !visit(key.value(), value.value()) {
            break;
        }
    }
    Ok(())
}
