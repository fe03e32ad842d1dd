//! Tables of AMQP: what a message's headers and a queue's arguments are.
//!
//! The types are RabbitMQ's, which differ from the specification's in a few letters. Reading never copies and never fails
//! for what a value says, only for where it ends: a table whose lengths lie is told with its place, and is the message's
//! fault and not the connection's.

use bytes::{BufMut, BytesMut};

use super::wire::{Broken, Cursor};
use crate::normalise::Field;

/// The names and values of a table, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'t>(Cursor<'t>);

impl<'t> Table<'t> {
    /// The content of a table, without its length.
    pub(super) fn new(content: &'t [u8]) -> Table<'t> {
        Table(Cursor(content))
    }

    /// Whether every entry ends where the next one begins.
    pub(super) fn check(self) -> Result<(), Broken> {
        let mut table = self;
        while !table.0.0.is_empty() {
            table.entry()?;
        }
        Ok(())
    }

    fn entry(&mut self) -> Result<(&'t [u8], Field<'t>), Broken> {
        let name = self.0.short()?;
        Ok((name, value(&mut self.0)?))
    }
}

/// The entries of a table that was checked; it ends at the first that is broken.
impl<'t> Iterator for Table<'t> {
    type Item = (&'t [u8], Field<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() { None } else { self.entry().ok() }
    }
}

fn value<'t>(cursor: &mut Cursor<'t>) -> Result<Field<'t>, Broken> {
    let signed = |number: u64, bits: u32| ((number << (64 - bits)) as i64) >> (64 - bits);
    Ok(match cursor.number(1)? as u8 {
        b't' => Field::Boolean(cursor.number(1)? != 0),
        b'b' => Field::Integer(signed(cursor.number(1)?, 8)),
        b'B' => Field::Integer(cursor.number(1)? as i64),
        b's' | b'U' => Field::Integer(signed(cursor.number(2)?, 16)),
        b'u' => Field::Integer(cursor.number(2)? as i64),
        b'I' => Field::Integer(signed(cursor.number(4)?, 32)),
        b'i' => Field::Integer(cursor.number(4)? as i64),
        b'l' | b'L' => Field::Integer(cursor.number(8)? as i64),
        b'T' => Field::Timestamp(cursor.number(8)?),
        b'S' => Field::Text(cursor.long()?),
        b'x' => Field::Bytes(cursor.long()?),
        b'V' => Field::Void,
        b'f' => {
            cursor.take(4)?;
            Field::Other("a floating-point number")
        }
        b'd' => {
            cursor.take(8)?;
            Field::Other("a floating-point number")
        }
        b'D' => {
            cursor.take(5)?;
            Field::Other("a decimal")
        }
        b'A' => {
            cursor.long()?;
            Field::Other("an array")
        }
        b'F' => {
            cursor.long()?;
            Field::Other("a table")
        }
        other => return Err(Broken(format!("a value has type {:?}, which is none", char::from(other)))),
    })
}

/// A value of a table that we write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Table(Vec<(String, Argument)>),
}

/// Writes a table with its length.
pub(super) fn write(out: &mut BytesMut, entries: &[(String, Argument)]) {
    let start = out.len();
    out.put_u32(0);
    for (name, argument) in entries {
        super::wire::put_short(out, name);
        match argument {
            Argument::Text(text) => {
                out.put_u8(b'S');
                super::wire::put_long(out, text.as_bytes());
            }
            Argument::Integer(number) => {
                out.put_u8(b'l');
                out.put_i64(*number);
            }
            Argument::Boolean(truth) => {
                out.put_u8(b't');
                out.put_u8(u8::from(*truth));
            }
            Argument::Table(inner) => {
                out.put_u8(b'F');
                write(out, inner);
            }
        }
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every type that RabbitMQ knows, with the name of its letter.
    const ALL: &[(u8, &[u8], Field<'static>)] = &[
        (b't', &[1], Field::Boolean(true)),
        (b'b', &[0xff], Field::Integer(-1)),
        (b'B', &[0xff], Field::Integer(255)),
        (b's', &[0xff, 0xfe], Field::Integer(-2)),
        (b'U', &[0, 7], Field::Integer(7)),
        (b'u', &[0xff, 0xff], Field::Integer(65_535)),
        (b'I', &[0x80, 0, 0, 0], Field::Integer(-2_147_483_648)),
        (b'i', &[0x80, 0, 0, 0], Field::Integer(2_147_483_648)),
        (b'l', &[0xff; 8], Field::Integer(-1)),
        (b'L', &[0, 0, 0, 0, 0, 0, 1, 0], Field::Integer(256)),
        (b'f', &[0; 4], Field::Other("a floating-point number")),
        (b'd', &[0; 8], Field::Other("a floating-point number")),
        (b'D', &[2, 0, 0, 0, 9], Field::Other("a decimal")),
        (b'S', &[0, 0, 0, 2, b'h', b'i'], Field::Text(b"hi")),
        (b'x', &[0, 0, 0, 1, 0xff], Field::Bytes(&[0xff])),
        (b'A', &[0, 0, 0, 2, b't', 1], Field::Other("an array")),
        (b'F', &[0, 0, 0, 4, 1, b'a', b't', 1], Field::Other("a table")),
        (b'T', &[0, 0, 0, 0, 0, 0, 0, 9], Field::Timestamp(9)),
        (b'V', &[], Field::Void),
    ];

    fn content() -> Vec<u8> {
        ALL.iter().flat_map(|(letter, bytes, _)| [&[1, *letter, *letter], *bytes].concat()).collect()
    }

    #[test]
    fn every_type_is_read_to_its_end() {
        let content = content();
        let table = Table::new(&content);
        assert_eq!(table.check(), Ok(()));
        let read: Vec<_> = table.map(|(name, field)| (name[0], field)).collect();
        assert_eq!(read, ALL.iter().map(|(letter, _, field)| (*letter, *field)).collect::<Vec<_>>());
    }

    #[test]
    fn a_length_that_lies_and_a_type_that_is_none_are_told() {
        let content = content();
        let ends: Vec<usize> = (0..content.len()).filter(|end| Table::new(&content[..*end]).check().is_ok()).collect();
        assert_eq!(ends.len(), ALL.len(), "it can be cut only between two entries: {ends:?}");
        let said = Table::new(&[1, b'a', b'?']).check().unwrap_err();
        assert!(said.to_string().contains("'?'"), "{said}");
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = BytesMut::new();
        let inner = vec![("deep".to_owned(), Argument::Boolean(true))];
        let entries = [
            ("x-queue-type".to_owned(), Argument::Text("quorum".into())),
            ("x-delivery-limit".to_owned(), Argument::Integer(5)),
            ("capabilities".to_owned(), Argument::Table(inner)),
        ];
        write(&mut out, &entries);
        let mut cursor = Cursor(&out);
        let read: Vec<_> = Table::new(cursor.long().unwrap()).collect();
        assert!(cursor.0.is_empty());
        assert_eq!(read[0], (&b"x-queue-type"[..], Field::Text(b"quorum")));
        assert_eq!(read[1], (&b"x-delivery-limit"[..], Field::Integer(5)));
        assert_eq!(read[2], (&b"capabilities"[..], Field::Other("a table")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let table = Table::new(&content);
            let whole = table.check().is_ok();
            prop_assert!(!whole || table.count() <= content.len() / 2);
        }
    }
}
