//! Putting a message together from its frames, and reading what it says of itself.
//!
//! Of a message that is larger than allowed only the first bytes are kept while the rest passes by, so that nobody can
//! fill the memory with one message; it is refused like any other that is no event.

use bytes::{Bytes, BytesMut};

use super::table::Table;
use super::wire::{Broken, Cursor, Delivery};

/// Of a payload that is too large, so much is kept.
const KEPT: usize = 64 << 10;

/// A message that has come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) delivery: Delivery,
    pub(super) properties: Bytes,
    /// The payload, or as much of it as was kept.
    pub(super) payload: Bytes,
    /// How large the payload was announced.
    pub(super) size: u64,
}

/// The message that is on its way on one channel.
#[derive(Debug)]
pub(super) struct Assembly {
    limit: u64,
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    delivery: Delivery,
    /// The properties and the size, once the header has come.
    header: Option<(Bytes, u64)>,
    received: u64,
    /// A body in one frame stays where it was read.
    first: Bytes,
    more: BytesMut,
}

impl Assembly {
    pub(super) fn new(limit: u64) -> Assembly {
        Assembly { limit, partial: None }
    }

    /// A message begins.
    pub(super) fn begin(&mut self, delivery: Delivery) {
        self.partial =
            Some(Partial { delivery, header: None, received: 0, first: Bytes::new(), more: BytesMut::new() });
    }

    /// Its header; a message without a payload is whole with it.
    pub(super) fn header(&mut self, properties: Bytes, size: u64) -> Result<Option<Incoming>, Broken> {
        match &mut self.partial {
            Some(partial) if partial.header.is_none() => partial.header = Some((properties, size)),
            _ => return Err(Broken("a header without a delivery".to_owned())),
        }
        Ok(self.whole())
    }

    /// A part of its payload.
    pub(super) fn body(&mut self, part: Bytes) -> Result<Option<Incoming>, Broken> {
        let limit = self.limit;
        let Some((partial, size)) = self
            .partial
            .as_mut()
            .and_then(|partial| partial.header.as_ref().map(|(_, size)| *size).map(|size| (partial, size)))
        else {
            return Err(Broken("a body without a header".to_owned()));
        };
        partial.received += part.len() as u64;
        if partial.received > size {
            return Err(Broken("a body that is longer than its header says".to_owned()));
        }
        partial.keep(part, size, limit);
        Ok(self.whole())
    }

    fn whole(&mut self) -> Option<Incoming> {
        let partial = self
            .partial
            .take_if(|partial| partial.header.as_ref().is_some_and(|(_, size)| partial.received == *size))?;
        let Partial { delivery, header, first, more, .. } = partial;
        let (properties, size) = header?;
        let payload = if more.is_empty() { first } else { more.freeze() };
        Some(Incoming { delivery, properties, payload, size })
    }
}

impl Partial {
    fn keep(&mut self, part: Bytes, size: u64, limit: u64) {
        if self.received == part.len() as u64 && size <= limit {
            self.first = part;
            return;
        }
        if self.more.is_empty() {
            // The size is the sender's word: room is made as the bytes come, in few steps.
            self.more.reserve(usize::try_from(size.min(limit).min(1 << 20)).unwrap_or(KEPT));
            self.more.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        let room = if size <= limit { usize::MAX } else { KEPT.saturating_sub(self.more.len()) };
        self.more.extend_from_slice(&part[..part.len().min(room)]);
    }
}

/// What a header says that concerns us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Properties<'m> {
    pub(super) content_type: Option<&'m [u8]>,
    pub(super) headers: Table<'m>,
    rest: Cursor<'m>,
    flags: u64,
}

impl<'m> Properties<'m> {
    /// Reads the properties of a message, the headers to their end.
    ///
    /// # Errors
    /// [`Broken`] says which part is not what it should be.
    pub(super) fn read(properties: &'m [u8]) -> Result<Properties<'m>, Broken> {
        let mut cursor = Cursor(properties);
        let flags = cursor.number(2)?;
        let mut more = flags;
        while more & 1 == 1 {
            more = cursor.number(2)?;
        }
        let content_type = if flags & 1 << 15 != 0 { Some(cursor.short()?) } else { None };
        if flags & 1 << 14 != 0 {
            cursor.short()?;
        }
        let headers = Table::new(if flags & 1 << 13 != 0 { cursor.long()? } else { &[] });
        headers.check()?;
        Ok(Properties { content_type, headers, rest: cursor, flags })
    }

    /// The message's id, as far as it can be read.
    pub(super) fn message_id(self) -> Option<&'m [u8]> {
        let Properties { mut rest, flags, .. } = self;
        for bit in [12, 11] {
            if flags & 1 << bit != 0 {
                rest.take(1).ok()?;
            }
        }
        for bit in [10, 9, 8] {
            if flags & 1 << bit != 0 {
                rest.short().ok()?;
            }
        }
        if flags & 1 << 7 != 0 { rest.short().ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delivery() -> Delivery {
        Delivery { tag: 1, redelivered: false, exchange: Bytes::new(), routing_key: Bytes::from_static(b"q") }
    }

    fn assemble(limit: u64, size: u64, parts: &[&[u8]]) -> Result<Option<Incoming>, Broken> {
        let mut assembly = Assembly::new(limit);
        assembly.begin(delivery());
        let mut whole = assembly.header(Bytes::from_static(b"\0\0"), size)?;
        for part in parts {
            assert_eq!(whole, None);
            whole = assembly.body(Bytes::copy_from_slice(part))?;
        }
        Ok(whole)
    }

    #[test]
    fn a_message_is_whole_with_its_last_part() {
        assert_eq!(assemble(9, 0, &[]).unwrap().unwrap().payload, "");
        assert_eq!(assemble(9, 2, &[b"hi"]).unwrap().unwrap().payload, "hi");
        assert_eq!(assemble(9, 9, &[b"one", b"two", b"six"]).unwrap().unwrap().payload, "onetwosix");
        assert_eq!(assemble(9, 3, &[b"hi"]).unwrap(), None);
    }

    #[test]
    fn of_a_message_that_is_too_large_the_first_bytes_are_kept() {
        let part = vec![b'x'; 40 << 10];
        let whole = assemble(1000, 3 * (40 << 10), &[&part, &part, &part]).unwrap().unwrap();
        assert_eq!((whole.payload.len(), whole.size), (KEPT, 3 * (40 << 10)));
    }

    #[test]
    fn frames_out_of_turn_are_the_brokers_fault() {
        let mut assembly = Assembly::new(9);
        assert!(assembly.body(Bytes::new()).is_err());
        assert!(assembly.header(Bytes::new(), 1).is_err());
        assembly.begin(delivery());
        assert!(assembly.body(Bytes::new()).is_err());
        assert!(assemble(9, 2, &[b"long"]).is_err());
    }

    #[test]
    fn properties_are_found_behind_each_other() {
        // Content type, encoding, headers, and a priority that follows.
        let read = Properties::read(b"\xe8\x00\x04text\x04gzip\x00\x00\x00\x04\x01at\x01\x05").unwrap();
        assert_eq!((read.content_type, read.headers.count()), (Some(&b"text"[..]), 1));
        let read = Properties::read(b"\0\0").unwrap();
        assert_eq!((read.content_type, read.headers.count()), (None, 0));
        assert!(Properties::read(b"\x80\x01").is_err());
        assert!(Properties::read(b"\x20\x00\x00\x00\x00\x03\x01at").is_err(), "a header without its value");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            drop(Properties::read(&bytes));
        }
    }
}
