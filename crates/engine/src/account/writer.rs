//! The thread that writes the ledger's files. It sleeps for as long as nothing happens.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::frame::{self, Head};
use super::log::Log;
use super::record::SIZE;
use super::{Desk, FAILURES, FILE, Shared, WAITING_MAX};
use crate::store::Stamp;

/// How long records wait, so that many go together.
const REST: Duration = Duration::from_secs(1);
/// Bytes of a frame of records besides those.
const FRAME: usize = 64;
/// A file of the smallest ledger is this long.
const BOUND_MIN: u64 = 256 << 10;

pub(super) struct Writer {
    shared: Arc<Shared>,
    finished: Log,
    failures: Log,
    /// How many names are in the file.
    named: usize,
    failing: bool,
}

/// What is written at a time.
struct Work {
    troubles: Vec<u8>,
    force: bool,
    closing: bool,
    asked: u64,
}

impl Writer {
    /// Opens the files, and says in each that a run begins.
    pub(super) fn open(shared: Arc<Shared>, folder: &Path) -> io::Result<Writer> {
        // A file begins anew when it holds as many records as are wanted, so that two are never fewer.
        let bound = (shared.capacity * SIZE) as u64;
        let open = |name| Log::open(&folder.join(name), bound.max(BOUND_MIN));
        let (finished, failures) = (open(FILE)?, open(FAILURES)?);
        shared.link.connected();
        let mut writer = Writer { shared, finished, failures, named: 0, failing: false };
        let head = writer.head();
        writer.finished.append(&head, false)?;
        if writer.failures.is_new() {
            writer.failures.append(&head, false)?;
        }
        writer.shared.desk.lock().bytes = writer.bytes();
        Ok(writer)
    }

    pub(super) fn run(mut self) {
        loop {
            let work = self.wait();
            let done = self.write(&work);
            self.report(&done);
            let shared = Arc::clone(&self.shared);
            let mut desk = shared.desk.lock();
            if done.is_err() {
                self.put_back(&mut desk, &work);
            }
            (desk.answered, desk.sound) = (work.asked, done.is_ok());
            desk.bytes = self.bytes();
            desk.closed = work.closing;
            drop(desk);
            self.shared.done.notify_all();
            if work.closing {
                self.shared.link.stopped();
                return;
            }
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) -> Work {
        let mut desk = self.shared.desk.lock();
        let mut rests = self.failing;
        while !desk.closing && desk.asked == desk.answered {
            if std::mem::take(&mut rests) {
                // The disk was full, or worse, a moment ago. Nobody but whoever asks cuts this short.
                self.shared.ready.wait_for(&mut desk, REST);
            } else if !desk.troubles.is_empty() {
                break;
            } else if desk.ring.next() > desk.written {
                desk.dozing = true;
                let rested = self.shared.ready.wait_for(&mut desk, REST).timed_out();
                desk.dozing = false;
                if rested {
                    break;
                }
            } else {
                desk.asleep = true;
                self.shared.ready.wait(&mut desk);
                desk.asleep = false;
            }
        }
        Work {
            troubles: std::mem::take(&mut desk.troubles),
            force: std::mem::take(&mut desk.force),
            closing: desk.closing,
            asked: desk.asked,
        }
    }

    fn write(&mut self, work: &Work) -> io::Result<()> {
        if !work.troubles.is_empty() {
            if self.failures.is_full(work.troubles.len()) {
                let head = self.head();
                let _turning = self.shared.turning.lock();
                self.failures.turn()?;
                self.failures.append(&head, false)?;
            }
            self.failures.append(&work.troubles, work.force)?;
        }
        self.write_records()?;
        if work.closing {
            let mut bytes = Vec::new();
            frame::end(self.now(), &mut bytes);
            self.finished.append(&bytes, false)?;
        }
        Ok(())
    }

    /// Page by page, so that no line waits for more than what one takes.
    fn write_records(&mut self) -> io::Result<()> {
        loop {
            let (count, names) = {
                let desk = self.shared.desk.lock();
                (desk.ring.some(desk.written).1.len(), desk.names.len())
            };
            if count == 0 {
                return Ok(());
            }
            if self.finished.is_full(count * SIZE) {
                let _turning = self.shared.turning.lock();
                self.finished.turn()?;
                self.named = 0;
            }
            // Before any record that may have a name of these.
            let mut bytes = if names > self.named { self.head() } else { Vec::new() };
            bytes.reserve(count * SIZE + FRAME);
            let (time, desk) = (self.now(), self.shared.desk.lock());
            let (first, some) = desk.ring.some(desk.written);
            let some = &some[..count.min(some.len())];
            // Somebody may have got a pen since, and written with it.
            if desk.names.len() > self.named {
                continue;
            }
            frame::records(time, first, some, &mut bytes);
            let written = first + some.len() as u64;
            drop(desk);
            self.finished.append(&bytes, false)?;
            self.shared.desk.lock().written = written;
        }
    }

    fn head(&mut self) -> Vec<u8> {
        let names = self.shared.desk.lock().names.clone();
        self.named = names.len();
        let mut bytes = Vec::new();
        frame::head(&Head { run: self.shared.run, time: self.now(), names }, &mut bytes);
        bytes
    }

    fn now(&self) -> Stamp {
        self.shared.clock.0.now().into()
    }

    fn bytes(&self) -> u64 {
        self.finished.bytes() + self.failures.bytes()
    }

    /// What could not be written waits, as far as there is room.
    fn put_back(&mut self, desk: &mut Desk, work: &Work) {
        // The names may be what was not written.
        self.named = 0;
        if work.troubles.is_empty() {
            return;
        }
        if work.troubles.len() + desk.troubles.len() > WAITING_MAX {
            desk.lost += frame::count(&work.troubles);
            return;
        }
        let later = std::mem::replace(&mut desk.troubles, work.troubles.clone());
        desk.troubles.extend_from_slice(&later);
        desk.force |= work.force;
    }

    fn report(&mut self, done: &io::Result<()>) {
        match done {
            Ok(()) if self.failing => {
                tracing::info!("the ledger can be written again");
                self.shared.link.connected();
            }
            Ok(()) => {}
            Err(cause) => {
                let sentence =
                    format!("the ledger cannot be written, so that what happens now may be missing in it: {cause}");
                if !self.failing {
                    tracing::warn!("{sentence}");
                }
                self.shared.link.disconnected(sentence);
            }
        }
        self.failing = done.is_err();
    }
}
