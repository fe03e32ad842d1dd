//! What was sent, what its broker confirmed, and what has arrived.
//!
//! A payload follows from the seed and its number, so that what arrives is compared with what was sent byte for byte, and a
//! book of millions of events holds no payload.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

/// The book of one trial, shared by its producer, its reader and whoever judges.
#[derive(Clone, Debug)]
pub(super) struct Book {
    name: String,
    seed: u64,
    pages: Arc<Mutex<Pages>>,
    changed: watch::Sender<u64>,
}

/// What is written in it.
#[derive(Debug, Default)]
pub(super) struct Pages {
    entries: Vec<Entry>,
    /// When each arrival came, the repeated ones too.
    arrivals: Vec<Instant>,
    /// What nobody has sent.
    pub(super) foreign: Vec<String>,
    /// Numbers whose payload was not the one that was sent.
    pub(super) altered: Vec<usize>,
    /// Whether the mark has arrived behind which nothing comes.
    pub(super) closed: bool,
}

/// One event.
#[derive(Debug)]
struct Entry {
    sent: Instant,
    confirmed: bool,
    first_arrival: Option<Instant>,
    arrivals: usize,
}

/// The payload that ends a book.
pub(super) const MARK: &str = "{\"id\":\"end\"}";

impl Book {
    pub(super) fn new(name: &str, seed: u64) -> Self {
        Self { name: name.to_owned(), seed, pages: Arc::default(), changed: watch::Sender::new(0) }
    }

    /// Enters `count` events that are about to be sent; answers their numbers and payloads.
    pub(super) fn enter(&self, count: usize) -> (Range<usize>, Vec<String>) {
        let mut pages = self.pages.lock();
        let first = pages.entries.len();
        let now = Instant::now();
        let entry = || Entry { sent: now, confirmed: false, first_arrival: None, arrivals: 0 };
        pages.entries.extend(std::iter::repeat_with(entry).take(count));
        let numbers = first..first + count;
        (numbers.clone(), numbers.map(|number| self.payload(number)).collect())
    }

    /// Notes that the broker has them.
    pub(super) fn confirm(&self, numbers: Range<usize>) {
        self.pages.lock().entries[numbers].iter_mut().for_each(|entry| entry.confirmed = true);
    }

    /// Notes what has arrived.
    pub(super) fn arrive(&self, payload: &[u8]) {
        let mut pages = self.pages.lock();
        if payload == MARK.as_bytes() {
            pages.closed = true;
        } else {
            self.file(&mut pages, payload);
        }
        drop(pages);
        self.changed.send_modify(|count| *count += 1);
    }

    fn file(&self, pages: &mut Pages, payload: &[u8]) {
        let now = Instant::now();
        let known = self.number(payload).filter(|number| *number < pages.entries.len());
        let Some(number) = known else {
            pages.foreign.push(String::from_utf8_lossy(payload).into_owned());
            return;
        };
        if payload != self.payload(number).as_bytes() {
            pages.altered.push(number);
        }
        let entry = &mut pages.entries[number];
        entry.first_arrival.get_or_insert(now);
        entry.arrivals += 1;
        pages.arrivals.push(now);
    }

    /// The number that a payload claims.
    fn number(&self, payload: &[u8]) -> Option<usize> {
        let payload: Value = serde_json::from_slice(payload).ok()?;
        payload["id"].as_str()?.strip_prefix(&self.name)?.strip_prefix('-')?.parse().ok()
    }

    fn payload(&self, number: usize) -> String {
        let mut random = fastrand::Rng::with_seed(self.seed ^ number as u64);
        let fill: String = (0..random.usize(..300)).map(|_| random.alphanumeric()).collect();
        format!("{{\"id\":\"{}-{number}\",  \"n\":{number}.0,\"fill\":\"{fill}\u{e9}\"}}", self.name)
    }

    /// Looks at it.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Pages) -> T) -> T {
        look(&self.pages.lock())
    }

    /// Waits until it has come to something, at the latest until `by`.
    pub(super) async fn comes_to<T>(&self, by: Instant, look: impl Fn(&Pages) -> Option<T>) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                if let Some(answer) = self.read(&look) {
                    return answer;
                }
                changed.changed().await.expect("the book keeps the other end");
            }
        };
        tokio::time::timeout_at(by, waiting).await.ok()
    }
}

impl Pages {
    /// How many events the broker has confirmed.
    pub(super) fn confirmed(&self) -> usize {
        self.entries.iter().filter(|entry| entry.confirmed).count()
    }

    /// How many events have arrived, each counted once.
    pub(super) fn arrived_once(&self) -> usize {
        self.entries.iter().filter(|entry| entry.arrivals > 0).count()
    }

    /// How many arrivals there were, the repeated ones too.
    pub(super) fn arrived(&self) -> usize {
        self.arrivals.len()
    }

    /// How many arrivals there were since then.
    pub(super) fn arrived_since(&self, then: Instant) -> usize {
        self.arrivals.iter().rev().take_while(|at| **at >= then).count()
    }

    /// The numbers of confirmed events that have not arrived.
    pub(super) fn owed(&self) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        entries.filter(|(_, entry)| entry.confirmed && entry.arrivals == 0).map(|(number, _)| number).collect()
    }

    /// When the last of these came, if all have.
    pub(super) fn paid(&self, owed: &[usize]) -> Option<Option<Instant>> {
        let times: Option<Vec<_>> = owed.iter().map(|number| self.entries[*number].first_arrival).collect();
        times.map(|times| times.into_iter().max())
    }

    /// When the first of the events came that were sent after `then`.
    pub(super) fn first_sent_after(&self, then: Instant) -> Option<Instant> {
        let from = self.entries.partition_point(|entry| entry.sent <= then);
        self.entries[from..].iter().filter_map(|entry| entry.first_arrival).min()
    }

    /// How many arrivals repeated an earlier one.
    pub(super) fn repeated(&self) -> usize {
        self.entries.iter().map(|entry| entry.arrivals.saturating_sub(1)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_book_tells_what_is_lost_repeated_altered_and_foreign() {
        let book = Book::new("t", 7);
        let (numbers, payloads) = book.enter(4);
        book.confirm(numbers);
        let then = Instant::now();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let (_, unconfirmed) = book.enter(1);
        book.arrive(payloads[0].as_bytes());
        book.arrive(payloads[0].as_bytes());
        book.arrive(payloads[1].replace("fill", "file").as_bytes());
        book.arrive(b"{\"id\":\"t-99\"}");
        book.arrive(b"\xff");
        book.read(|pages| {
            assert_eq!((pages.confirmed(), pages.arrived(), pages.repeated()), (4, 3, 1));
            assert_eq!(pages.arrived_once(), 2);
            assert_eq!((pages.owed(), pages.altered.clone(), pages.foreign.len()), (vec![2, 3], vec![1], 2));
            assert_eq!((pages.paid(&[2, 3]), pages.first_sent_after(then)), (None, None));
        });
        for payload in [&payloads[2], &payloads[3], &unconfirmed[0]] {
            book.arrive(payload.as_bytes());
        }
        let now = Instant::now();
        book.read(|pages| {
            assert_eq!((pages.paid(&[2, 3]), pages.paid(&[]), pages.owed()), (Some(Some(now)), Some(None), vec![]));
            assert_eq!((pages.first_sent_after(then), pages.arrived_since(now), pages.closed), (Some(now), 6, false));
        });
        let waited = book.comes_to(now, |pages| pages.closed.then_some(())).await;
        book.arrive(MARK.as_bytes());
        assert!(waited.is_none() && book.read(|pages| pages.closed));
    }
}
