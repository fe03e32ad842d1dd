//! Writes that belong together, in one piece of memory: whoever fills it pays a copy and a checksum per record, and
//! nothing else per write.

use super::record::{self, Stamp};

/// One table of a file, as its store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    pub(super) number: u16,
    pub(super) seed: u32,
}

/// Writes that are done together or not at all, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ops: Vec<Op>,
}

/// One write; its bytes lie in its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) table: u16,
    pub(super) act: Act,
    start: usize,
    key: usize,
    value: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The value is a record.
    Put,
    /// There is no value.
    Delete,
    /// From the key up to, and without, the value.
    DeleteRange,
}

/// A write with its bytes.
pub(super) struct Write<'b> {
    pub(super) table: u16,
    pub(super) act: Act,
    pub(super) key: &'b [u8],
    pub(super) value: &'b [u8],
}

/// A buffer that one burst has grown beyond this is given back.
const KEPT: usize = 1 << 20;

impl Batch {
    /// Writes the value that `value` appends, in place of what is there under `key`.
    pub fn put(&mut self, table: Table, key: &[u8], stamp: Stamp, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        record::write(table.seed, &mut self.bytes, start, stamp, value);
        self.push(table, Act::Put, start, key.len());
    }

    /// Removes what is under `key`, if anything is.
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.push(table, Act::Delete, start, key.len());
    }

    /// Removes everything from the key `from` up to, and without, the key `to`.
    pub fn delete_range(&mut self, table: Table, from: &[u8], to: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(from);
        self.bytes.extend_from_slice(to);
        self.push(table, Act::DeleteRange, start, from.len());
    }

    fn push(&mut self, table: Table, act: Act, start: usize, key: usize) {
        let value = self.bytes.len() - start - key;
        self.ops.push(Op { table: table.number, act, start, key, value });
    }

    /// Takes the last write back; answers the bytes that it took, which is what a quota counts of a record.
    pub fn undo(&mut self) -> usize {
        let Some(op) = self.ops.pop() else { return 0 };
        self.bytes.truncate(op.start);
        op.key + op.value
    }

    /// The bytes that the last write takes, which is what a quota counts of a record.
    #[must_use]
    pub fn last_bytes(&self) -> usize {
        self.ops.last().map_or(0, |op| op.key + op.value)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The number of writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// The bytes that it takes, keys included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.ops.clear();
        self.ops.shrink_to(KEPT / size_of::<Op>());
    }

    /// Takes everything out of `other`, which is empty afterwards.
    pub(super) fn append(&mut self, other: &mut Batch) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else {
            self.copy(other);
        }
        other.clear();
    }

    /// Adds everything in `other`, which stays as it is.
    pub(super) fn copy(&mut self, other: &Batch) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ops.extend(other.ops.iter().map(|op| Op { start: op.start + shift, ..*op }));
    }

    pub(super) fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        self.ops.iter().map(|op| {
            let (key, value) = self.bytes[op.start..op.start + op.key + op.value].split_at(op.key);
            Write { table: op.table, act: op.act, key, value }
        })
    }

    /// Bytes that its puts would add to the table of this number, if none took another's place.
    pub(super) fn growth(&self, number: u16) -> u64 {
        let puts = self.ops.iter().filter(|op| op.act == Act::Put && op.table == number);
        puts.map(|op| (op.key + op.value) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table { number: 3, seed: 5 };

    #[test]
    fn batches_follow_each_other() {
        let mut first = Batch::default();
        first.put(TABLE, b"a", Stamp(1), |into| into.extend_from_slice(b"first"));
        let mut second = Batch::default();
        second.delete(TABLE, b"b");
        second.delete_range(TABLE, b"c", b"dd");
        second.put(TABLE, b"", Stamp(2), |_| ());
        first.append(&mut second);
        assert!(second.is_empty() && second.bytes() == 0);
        let writes: Vec<_> = first.writes().map(|write| (write.act, write.key.to_vec())).collect();
        let expected = [(Act::Put, "a"), (Act::Delete, "b"), (Act::DeleteRange, "c"), (Act::Put, "")];
        assert_eq!(writes, expected.map(|(act, key)| (act, key.as_bytes().to_vec())));
        let written: Vec<_> = first.writes().collect();
        assert_eq!(record::read(5, b"a", written[0].value).unwrap().value, b"first");
        assert_eq!(written[2].value, b"dd");
        assert_eq!(first.growth(3), (1 + 12 + 5) + 12);
        assert_eq!(first.growth(2), 0);
        assert_eq!((first.last_bytes(), first.undo(), first.last_bytes()), (12, 12, 3));
        assert_eq!((first.growth(3), first.len(), first.bytes()), (18, 3, 18 + 1 + 3));
    }
}
