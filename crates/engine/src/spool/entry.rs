//! One event in a spool, and how it lies in the file: where it came from, then the packed event.

use bytes::Bytes;

use crate::event::{Event, Text, Unreadable, pack_text, unpack_text};
use crate::store::Stamp;

/// One event that was taken from a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place. It is the event's position, and never used twice.
    pub sequence: u64,
    /// The event.
    pub event: Event,
    /// Where it came from, for people.
    pub origin: Text,
    /// When it was appended.
    pub received: Stamp,
}

pub(super) fn write(event: &Event, origin: &str, into: &mut Vec<u8>) {
    pack_text(origin, into);
    event.pack(into);
}

pub(super) fn read(sequence: u64, received: Stamp, value: &[u8]) -> Result<Entry, Unreadable> {
    let mut rest = value;
    let origin = unpack_text(&mut rest)?.into();
    let mut event = Event::unpack(&Bytes::copy_from_slice(rest))?;
    event.received_at(received);
    Ok(Entry { sequence, event, origin, received })
}
