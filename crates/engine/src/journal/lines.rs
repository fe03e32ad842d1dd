//! The queue in front of a thread that writes lines in batches, whatever it writes them to.

use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Error;
use super::commit::{Batch, Commit};

/// Where a thread of its own writes lines to. It may block: nothing else runs on that thread.
pub trait Sink: Send + 'static {
    /// Writes whole lines, each with its line break. Success confirms all of them.
    ///
    /// # Errors
    /// None of them counts as written.
    fn write(&mut self, lines: &[u8]) -> Result<(), Error>;

    /// Does what is due, and says how long it may be left alone; `None` for as long as nothing is written.
    fn tend(&mut self) -> Option<Duration> {
        None
    }

    /// Finishes, after the last line.
    ///
    /// # Errors
    /// What was confirmed may not be safe.
    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// The appending end of a thread that writes lines. Dropping it lets the thread write what waits, and end.
pub struct Lines(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    limit: usize,
    queue: Mutex<Queue>,
    ready: Condvar,
}

struct Queue {
    bytes: Vec<u8>,
    batch: Arc<Batch>,
    /// The thread waits to be told.
    idle: bool,
    /// Nothing more is accepted.
    closing: bool,
    /// Finished once the thread has closed its sink.
    closed: Arc<Batch>,
}

/// A buffer that one burst has grown beyond this is given back.
const BUFFER_KEPT: usize = 1 << 20;

impl Lines {
    /// Starts a thread that writes to `sink`, called `name` in errors. At most `limit` bytes wait for it beside those
    /// being written.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(name: Arc<str>, limit: usize, sink: Box<dyn Sink>) -> io::Result<Lines> {
        let queue = Queue { bytes: Vec::new(), batch: Batch::new(), idle: false, closing: false, closed: Batch::new() };
        let shared = Arc::new(Shared { name, limit, queue: Mutex::new(queue), ready: Condvar::new() });
        let end = End(Arc::clone(&shared));
        thread::Builder::new().name("lines".to_owned()).spawn(move || write_all(&end, sink))?;
        Ok(Lines(shared))
    }

    /// Appends one line; see [`Journal::append`](super::Journal::append).
    pub fn append(&self, line: &[u8]) -> Commit {
        self.append_all([line])
    }

    /// Appends several lines as one: they are confirmed, or fail, together.
    pub fn append_all<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) -> Commit {
        let shared = &*self.0;
        let mut queue = shared.queue.lock();
        if queue.closing {
            return Commit::known(Err(shared.gone()));
        }
        let start = queue.bytes.len();
        for line in lines {
            let from = queue.bytes.len();
            queue.bytes.extend_from_slice(line);
            for byte in queue.bytes.iter_mut().skip(from).filter(|byte| matches!(byte, b'\n' | b'\r')) {
                *byte = b' ';
            }
            queue.bytes.push(b'\n');
        }
        if queue.bytes.len() == start {
            return Commit::known(Ok(()));
        }
        // What finds the queue empty is taken however large it is, else it could never be written.
        if start > 0 && queue.bytes.len() > shared.limit {
            queue.bytes.truncate(start);
            return Commit::known(Err(Error::Full { name: Arc::clone(&shared.name), limit: shared.limit }));
        }
        let commit = Commit::shared(Arc::clone(&queue.batch));
        if mem::take(&mut queue.idle) {
            shared.ready.notify_one();
        }
        commit
    }

    /// Writes what waits, closes the sink and ends the thread; see [`Journal::close`](super::Journal::close).
    pub fn close(&self) -> Commit {
        self.0.stop();
        Commit::shared(Arc::clone(&self.0.queue.lock().closed))
    }
}

impl Shared {
    fn gone(&self) -> Error {
        Error::Closed { name: Arc::clone(&self.name) }
    }

    fn stop(&self) {
        self.queue.lock().closing = true;
        self.ready.notify_one();
    }

    /// Waits for lines, at most `patience`, and swaps them with the empty `bytes`, which stay empty if none came; `None`
    /// when all is written and nothing can follow.
    fn take(&self, bytes: &mut Vec<u8>, patience: Option<Duration>) -> Option<Arc<Batch>> {
        let mut queue = self.queue.lock();
        while queue.bytes.is_empty() && !queue.closing {
            queue.idle = true;
            match patience {
                None => self.ready.wait(&mut queue),
                Some(patience) => {
                    if self.ready.wait_for(&mut queue, patience).timed_out() {
                        break;
                    }
                }
            }
        }
        queue.idle = false;
        if queue.bytes.is_empty() {
            return (!queue.closing).then(|| Arc::clone(&queue.batch));
        }
        mem::swap(&mut queue.bytes, bytes);
        Some(mem::replace(&mut queue.batch, Batch::new()))
    }
}

/// The thread's end. If the thread dies, whoever waits and whoever comes later learns it.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let gone = Err(self.0.gone());
        let mut queue = self.0.queue.lock();
        queue.closing = true;
        let (batch, closed) = (Arc::clone(&queue.batch), Arc::clone(&queue.closed));
        drop(queue);
        batch.finish(&gone);
        closed.finish(&gone);
    }
}

fn write_all(end: &End, mut sink: Box<dyn Sink>) {
    /// Fails the batch in hand if the sink panics.
    struct InHand(Arc<Batch>, Result<(), Error>);
    impl Drop for InHand {
        fn drop(&mut self) {
            self.0.finish(&self.1);
        }
    }
    let mut bytes = Vec::new();
    loop {
        let patience = sink.tend();
        let Some(batch) = end.0.take(&mut bytes, patience) else { break };
        if bytes.is_empty() {
            continue;
        }
        let mut in_hand = InHand(batch, Err(end.0.gone()));
        in_hand.1 = sink.write(&bytes);
        drop(in_hand);
        bytes.clear();
        bytes.shrink_to(BUFFER_KEPT);
    }
    let result = sink.close();
    drop(sink);
    let closed = Arc::clone(&end.0.queue.lock().closed);
    closed.finish(&result);
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lines").field(&self.0.name).finish()
    }
}
