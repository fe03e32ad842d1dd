//! Where a message stands at its broker: a stream whose messages have numbers that grow, and the number.
//!
//! Decision: **the name of a stream is said once, a message says two numbers**. They lie in its seat, so that an event that ends
//! well pays two stores and no allocation, and they become a [`Position`] for whoever has to write it down.

use std::fmt;

use hashbrown::HashMap;

use crate::event::Text;
use crate::sync::{Arc, Mutex};

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
}

impl Track {
    /// Its number.
    pub(super) fn stream(&self) -> Stream {
        Stream(self.number)
    }

    /// Where the message of this number stands.
    pub(crate) fn at(&self, sequence: u64) -> Position {
        let (source, stream, made) = (self.source.clone(), self.stream.clone(), self.made.clone());
        Position { source, stream, made, sequence }
    }
}

/// Every stream that some source of an engine has named.
#[derive(Clone, Debug, Default)]
pub struct Tracks(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    all: Vec<Arc<Track>>,
    /// By source, name and when it was made.
    numbers: HashMap<[Text; 3], u32>,
}

impl Tracks {
    /// The stream of this source and name, which is known from now on.
    pub(crate) fn track(&self, source: &Text, stream: &Text, made: &Text) -> Arc<Track> {
        let known = &mut *self.0.lock();
        let name = [source, stream, made].map(Text::clone);
        let number = *known.numbers.entry(name).or_insert_with(|| {
            let number = u32::try_from(known.all.len()).unwrap_or(u32::MAX);
            let (source, stream, made) = (source.clone(), stream.clone(), made.clone());
            known.all.push(Arc::new(Track { number, source, stream, made }));
            number
        });
        Arc::clone(&known.all[number as usize])
    }

    /// The stream of this number.
    pub(crate) fn of(&self, Stream(number): Stream) -> Option<Arc<Track>> {
        self.0.lock().all.get(number as usize).cloned()
    }
}
