//! One file of JSON lines that rotates by size, and what it takes to trust it: repair, locking, cutting off what failed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Error, Policy, Sink, Sync};
use crate::metric::Link;
use crate::registry::OpenError;

/// What a journal counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Lines written and confirmed.
    pub lines: u64,
    /// Batches written; with [`Sync::Always`] each is one `fsync`.
    pub batches: u64,
    /// Batches that failed.
    pub failures: u64,
    /// Lines in files that were removed because newer ones took their place.
    pub rotated_out: u64,
    /// Bytes of unfinished lines that were cut off when the file was opened.
    pub torn: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    lines: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    rotated_out: AtomicU64,
    torn: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Reading {
        Reading {
            lines: self.lines.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            rotated_out: self.rotated_out.load(Ordering::Relaxed),
            torn: self.torn.load(Ordering::Relaxed),
        }
    }
}

pub(super) struct Rotating {
    path: PathBuf,
    name: Arc<str>,
    policy: Policy,
    link: Link,
    counters: Arc<Counters>,
    current: Current,
    failing: bool,
}

/// The file that is written to.
struct Current {
    file: File,
    /// Device and inode, to notice that somebody has moved the file away.
    identity: (u64, u64),
    /// Bytes of whole lines.
    length: u64,
    /// Bytes of whole lines when the batch in hand was begun.
    begun: u64,
    /// When the first line was written that is not known to be on the disk.
    since: Option<Instant>,
    /// A failed write may have left something behind `length`.
    soiled: bool,
}

impl Rotating {
    pub(super) fn open(
        path: &Path,
        policy: Policy,
        link: Link,
        counters: Arc<Counters>,
    ) -> Result<Rotating, OpenError> {
        let name: Arc<str> = path.display().to_string().into();
        let current = Current::open(path, &name, policy.sync, &counters)
            .map_err(|cause| OpenError { message: refusal(path, &cause), cause: Some(cause.into()) })?;
        link.connected();
        Ok(Rotating { path: path.to_owned(), name, policy, link, counters, current, failing: false })
    }

    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Writes a batch, all of it or nothing but for what a rotation has already moved aside.
    fn append(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.recover()?;
        self.current.begun = self.current.length;
        let result = self.spread(lines);
        if result.is_err() {
            self.current.retract();
        }
        result
    }

    /// Writes lines to the current file and, when it is full, to the next.
    fn spread(&mut self, mut lines: &[u8]) -> Result<(), Error> {
        while !lines.is_empty() {
            let fits = self.fitting(lines);
            if fits == 0 {
                self.rotate()?;
                continue;
            }
            let (now, later) = lines.split_at(fits);
            self.current.append(now).map_err(|cause| Error::io("write to", &self.name, cause))?;
            lines = later;
        }
        if self.policy.sync == Sync::Always { self.sync() } else { Ok(()) }
    }

    /// Leaves the file as it was after the last batch that succeeded, or opens a new one if it was moved away.
    fn recover(&mut self) -> Result<(), Error> {
        let at_path = fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if !matches!(at_path, Ok(identity) if identity == self.current.identity) {
            self.finish();
            self.current = Current::open(&self.path, &self.name, self.policy.sync, &self.counters)
                .map_err(|cause| Error::io("open", &self.name, cause))?;
            tracing::info!(file = %self.name, "the file was moved away; a new one is begun");
        }
        if self.current.soiled {
            self.current.clean().map_err(|cause| Error::io("cut off what failed in", &self.name, cause))?;
        }
        Ok(())
    }

    /// Forces to the disk what was confirmed and is not there yet, before the file is let go.
    fn finish(&mut self) {
        if self.current.since.is_some() && self.policy.sync != Sync::Never {
            let result = self.sync();
            self.report(&result);
        }
    }

    /// How many bytes of whole lines still go into the current file; a line that is too long for any file goes into an
    /// empty one.
    fn fitting(&self, lines: &[u8]) -> usize {
        let room = usize::try_from(self.policy.size.saturating_sub(self.current.length)).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        let end_of = |line_break: usize| line_break + 1;
        match lines.iter().take(room).rposition(|byte| *byte == b'\n') {
            Some(line_break) => end_of(line_break),
            None if self.current.length == 0 => {
                lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), end_of)
            }
            None => 0,
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.current.sync().map_err(|cause| Error::io("fsync", &self.name, cause))
    }

    /// Moves the full file aside. Files move up only as far as the first number that is free, so that a rotation that was
    /// interrupted costs no file when it is repeated.
    fn rotate(&mut self) -> Result<(), Error> {
        if self.policy.sync != Sync::Never {
            self.sync()?;
        }
        let keep = self.policy.keep;
        let name = self.name();
        let failed = |cause| Error::io("rotate", &name, cause);
        let free = (1..=keep).find(|number| !self.numbered(*number).exists());
        if free.is_none() {
            self.remove_oldest().map_err(failed)?;
        }
        for number in (1..free.unwrap_or(keep)).rev() {
            fs::rename(self.numbered(number), self.numbered(number + 1)).map_err(failed)?;
        }
        if keep > 0 {
            fs::rename(&self.path, self.numbered(1)).map_err(failed)?;
        }
        self.current = Current::open(&self.path, &self.name, self.policy.sync, &self.counters).map_err(failed)?;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        let oldest = if self.policy.keep == 0 { self.path.clone() } else { self.numbered(self.policy.keep) };
        let lines = count_lines(&oldest)?;
        fs::remove_file(&oldest)?;
        self.counters.rotated_out.fetch_add(lines, Ordering::Relaxed);
        self.link.dropped("removed", lines);
        tracing::warn!(file = %oldest.display(), lines, "the oldest file was removed to make room for newer lines");
        Ok(())
    }

    /// Tells the state to whoever watches; logs only where it changes.
    fn report(&mut self, result: &Result<(), Error>) {
        match result {
            Ok(()) if self.failing => {
                tracing::info!(file = %self.name, "writing works again");
                self.link.connected();
                self.failing = false;
            }
            Ok(()) => {}
            Err(error) => {
                let error = error.sentence();
                if !self.failing {
                    tracing::warn!(file = %self.name, error, "lines cannot be written; this is tried again with the next ones");
                }
                self.link.disconnected(error);
                self.failing = true;
            }
        }
    }
}

impl Sink for Rotating {
    fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        let result = self.append(lines);
        let (counter, count) = match &result {
            Ok(()) => (&self.counters.batches, lines.iter().filter(|byte| **byte == b'\n').count()),
            Err(_) => (&self.counters.failures, 0),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.counters.lines.fetch_add(count as u64, Ordering::Relaxed);
        self.report(&result);
        result
    }

    fn tend(&mut self) -> Option<Duration> {
        let Sync::Interval(interval) = self.policy.sync else { return None };
        let age = self.current.since?.elapsed();
        if age < interval {
            return Some(interval - age);
        }
        let result = self.sync();
        self.report(&result);
        // Lines that the disk refused to keep were confirmed already; the next interval tries again.
        result.is_err().then_some(interval)
    }

    fn close(&mut self) -> Result<(), Error> {
        let result = match self.policy.sync {
            Sync::Never => Ok(()),
            Sync::Always | Sync::Interval(_) if self.current.since.is_none() => Ok(()),
            Sync::Always | Sync::Interval(_) => self.sync(),
        };
        self.report(&result);
        self.link.stopped();
        result
    }
}

impl Current {
    fn open(path: &Path, name: &str, sync: Sync, counters: &Counters) -> io::Result<Current> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("another output or process writes to it")),
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
        let length = whole(&mut file, found.len())?;
        if length < found.len() {
            file.set_len(length)?;
            let torn = found.len() - length;
            counters.torn.fetch_add(torn, Ordering::Relaxed);
            tracing::warn!(file = %name, bytes = torn, "the last line was unfinished, as after a crash, and was cut off");
        }
        if sync != Sync::Never {
            file.sync_all()?;
            // A new file is only safe once its folder's entry is.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
        }
        let identity = (found.dev(), found.ino());
        Ok(Current { file, identity, length, begun: length, since: None, soiled: false })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.soiled = true;
        self.file.write_all(lines)?;
        self.length += lines.len() as u64;
        self.soiled = false;
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Forces everything to the disk. After a failure the system may have forgotten which pages it did not write, so that
    /// a second try would succeed without writing them; this is why a failed batch is retracted and written afresh.
    fn sync(&mut self) -> io::Result<()> {
        let result = self.file.sync_data();
        self.since = result.is_err().then(Instant::now);
        result
    }

    /// Gives up the lines of this batch, whose appenders learn that it failed.
    fn retract(&mut self) {
        self.length = self.begun;
        self.soiled = true;
    }

    fn clean(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.soiled = false;
        Ok(())
    }
}

/// How many of the `length` bytes are whole lines. Something that does not begin like a JSON object is not touched.
fn whole(file: &mut File, length: u64) -> io::Result<u64> {
    const CHUNK: u64 = 64 << 10;
    if length == 0 {
        return Ok(0);
    }
    let mut first = [0];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut first)?;
    if first != *b"{" {
        return Err(io::Error::other("it holds something else than JSON lines; move it away or choose another path"));
    }
    let mut end = length;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        chunk.clear();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(line_break) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + line_break as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; 64 << 10];
    let mut lines = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(lines);
        }
        lines += chunk.iter().take(read).filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// Why a journal cannot be opened, with what to do where it is known.
fn refusal(path: &Path, cause: &io::Error) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match (cause.kind(), folder) {
        (io::ErrorKind::NotFound, Some(folder)) => {
            format!("folder '{}' for '{}' does not exist; create it", folder.display(), path.display())
        }
        _ => format!("cannot open '{}' to append to it", path.display()),
    }
}
