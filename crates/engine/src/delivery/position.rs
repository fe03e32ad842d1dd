//! Where a message stands at its broker: a stream whose messages have numbers that grow, and the number.
//!
//! Decision: **the name of a stream is said once, a message says two numbers**. They lie in its seat, so that an event that ends
//! well pays two stores and no allocation, and they become a [`Position`] for whoever has to write it down.

use std::fmt;
use std::sync::OnceLock;

use hashbrown::HashMap;

use super::taken::{Marks, Print, Taken};
use crate::event::Text;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

/// Rules that have a bit of their own in a seat.
const RULES: usize = 42;

/// The number of a stream, as [`Seats::stream`](super::Seats::stream) answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream(pub(super) u32);

/// Where one message stands. Shown as `STREAM/SEQUENCE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The name of the source.
    pub source: Text,
    /// The name of the stream, for people: `topic/partition`, a JetStream stream, `spool:SOURCE`.
    pub stream: Text,
    /// When the stream was made, as its broker writes it, so that one which was made anew by the same name is another one;
    /// empty where the broker does not tell.
    pub made: Text,
    /// The number of the message in its stream. Later messages have greater ones.
    pub sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.sequence)
    }
}

impl Position {
    /// As it is shown.
    #[must_use]
    pub fn text(&self) -> Text {
        smol_str::format_smolstr!("{self}")
    }
}

/// One stream of one source, as long as the engine runs.
#[derive(Debug)]
pub(crate) struct Track {
    number: u32,
    source: Text,
    stream: Text,
    made: Text,
    /// Messages from here on were never delivered, as far as anybody knows.
    next: AtomicU64,
    marks: Mutex<Marks>,
}

/// One message of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) track: Arc<Track>,
    pub(crate) sequence: u64,
}

impl Spot {
    /// Where that is.
    pub(crate) fn position(&self) -> Position {
        self.track.at(self.sequence)
    }

    /// Notes that the fork of a rule is taken over. Says whether that is of use.
    pub(crate) fn note(&self, rule: &Text, print: Print, taken: Taken) -> bool {
        self.track.marks.lock().note(self.sequence, rule, print, taken)
    }

    /// How far the fork of a rule has been taken over, if this is the same event.
    pub(crate) fn taken(&self, rule: &str, print: Print) -> Option<Taken> {
        self.track.marks.lock().taken(self.sequence, rule, print)
    }

    /// The row of this fork is on the disk.
    pub(crate) fn confirm(&self, rule: &str) {
        self.track.marks.lock().confirm(self.sequence, rule);
    }
}

impl Track {
    /// Its number.
    pub(super) fn stream(&self) -> Stream {
        Stream(self.number)
    }

    /// A message of this number is delivered. Says whether it may be a copy of one that was delivered before.
    pub(super) fn meets(&self, sequence: u64) -> bool {
        // Only the source's own task gets here.
        if sequence < self.next.load(Ordering::Relaxed) {
            return true;
        }
        self.next.store(sequence.saturating_add(1), Ordering::Relaxed);
        false
    }

    /// Where the message of this number stands.
    pub(crate) fn at(&self, sequence: u64) -> Position {
        let (source, stream, made) = (self.source.clone(), self.stream.clone(), self.made.clone());
        Position { source, stream, made, sequence }
    }
}

/// Every stream that some source of an engine has named.
#[derive(Clone, Debug, Default)]
pub struct Tracks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    forgetting: OnceLock<Forgetting>,
}

/// Who forgets marks on the disk.
struct Forgetting(Box<Forget>);

type Forget = dyn Fn(&Track, u64) + Send + Sync;

impl fmt::Debug for Forgetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forgetting")
    }
}

#[derive(Debug, Default)]
struct Known {
    all: Vec<Arc<Track>>,
    /// By source, name and when it was made.
    numbers: HashMap<[Text; 3], u32>,
    /// Rules, each at the place of its bit.
    rules: Vec<Text>,
}

impl Tracks {
    /// The stream of this source and name, which is known from now on.
    pub(crate) fn track(&self, source: &Text, stream: &Text, made: &Text) -> Arc<Track> {
        let known = &mut *self.0.known.lock();
        let name = [source, stream, made].map(Text::clone);
        let number = *known.numbers.entry(name).or_insert_with(|| {
            let number = u32::try_from(known.all.len()).unwrap_or(u32::MAX);
            let (source, stream, made) = (source.clone(), stream.clone(), made.clone());
            let (next, marks) = (AtomicU64::new(0), Mutex::default());
            known.all.push(Arc::new(Track { number, source, stream, made, next, marks }));
            number
        });
        Arc::clone(&known.all[number as usize])
    }

    /// The stream of this number.
    pub(crate) fn of(&self, Stream(number): Stream) -> Option<Arc<Track>> {
        self.0.known.lock().all.get(number as usize).cloned()
    }

    /// The number of a rule among those that have a bit of their own in a seat; the first ones do.
    pub(crate) fn enroll(&self, rule: &Text) -> Option<u32> {
        let rules = &mut self.0.known.lock().rules;
        let place = rules.iter().position(|known| known == rule).or_else(|| {
            let free = rules.len();
            (free < RULES).then(|| rules.push(rule.clone()))?;
            Some(free)
        });
        place.and_then(|place| u32::try_from(place).ok())
    }

    /// The rules that have one of these bits.
    pub(crate) fn rules(&self, bits: u64) -> Vec<Text> {
        let known = self.0.known.lock();
        let has = |(place, _): &(usize, &Text)| bits & 1 << place != 0;
        known.rules.iter().enumerate().filter(has).map(|(_, rule)| rule.clone()).collect()
    }

    /// A mark that an earlier run has left.
    pub(crate) fn recover(&self, position: &Position, rule: &Text, print: Print) {
        let track = self.track(&position.source, &position.stream, &position.made);
        track.meets(position.sequence);
        track.marks.lock().note(position.sequence, rule, print, Taken::Over);
    }

    /// A rule has another name.
    pub(crate) fn rename(&self, before: &str, now: &Text) {
        let all = self.0.known.lock().all.clone();
        all.iter().for_each(|track| track.marks.lock().rename(before, now));
    }

    /// How many messages have a mark.
    pub(crate) fn remembered(&self) -> u64 {
        let all = self.0.known.lock().all.clone();
        all.iter().map(|track| track.marks.lock().len() as u64).sum()
    }

    /// Whom to tell below which message of a stream marks are forgotten. The first one who says so is told.
    pub(crate) fn forget_with(&self, forget: impl Fn(&Track, u64) + Send + Sync + 'static) {
        drop(self.0.forgetting.set(Forgetting(Box::new(forget))));
    }

    /// Every message of a stream below is settled at its broker.
    pub(super) fn accept(&self, stream: Stream, below: u64) {
        let Some(track) = self.of(stream) else { return };
        if track.marks.lock().accept(below) {
            self.forget(&track, below);
        }
    }

    /// Forgets the oldest marks of a stream that has too many.
    pub(crate) fn bound(&self, track: &Track) {
        let below = track.marks.lock().bound();
        below.into_iter().for_each(|below| self.forget(track, below));
    }

    fn forget(&self, track: &Track, below: u64) {
        if let Some(Forgetting(forget)) = self.0.forgetting.get() {
            forget(track, below);
        }
    }
}
