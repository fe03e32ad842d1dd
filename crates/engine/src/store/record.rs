//! One record as it lies in a file: a CRC32C, the time it was written, and the value.
//!
//! redb verifies a file when it opens it and not when it reads from it, and a bit that flips in between comes back as a
//! wrong value. So every record carries a checksum of its own, over the table's name, the key, the time and the value: a
//! record that lies under another key is as damaged as one whose bytes have changed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes in front of a value: four of checksum, eight of time.
pub(super) const HEADER: usize = 12;

/// A record whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'r> {
    /// When it was written, as whoever wrote it said.
    pub stamp: Stamp,
    /// What was written.
    pub value: &'r [u8],
}

impl Record<'_> {
    /// The bytes that it takes in the file, without its key.
    #[must_use]
    pub fn size(&self) -> usize {
        HEADER + self.value.len()
    }
}

/// A wall time in whole milliseconds since 1970, which is what a record keeps of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    /// That much earlier, or 1970.
    #[must_use]
    pub fn before(self, length: Duration) -> Stamp {
        Stamp(self.0.saturating_sub(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time it stands for.
    #[must_use]
    pub fn time(self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.0)).unwrap_or(UNIX_EPOCH)
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Stamp {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Stamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What the checksums of a table's records begin with.
pub(super) fn seed(table: &str) -> u32 {
    crc32c::crc32c(table.as_bytes())
}

fn checksum(seed: u32, key: &[u8], rest: &[u8]) -> u32 {
    // The length of the key belongs to it: else a byte could wander from the key's end to the value's beginning.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes();
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c_append(seed, &length), key), rest)
}

/// Writes the record of `value` behind what `into` holds; the key stands there already, from `key` on.
pub(super) fn write(seed: u32, into: &mut Vec<u8>, key: usize, stamp: Stamp, value: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&stamp.0.to_le_bytes());
    value(into);
    let sum = checksum(seed, &into[key..start], &into[start + 4..]);
    into[start..start + 4].copy_from_slice(&sum.to_le_bytes());
}

/// The record in `bytes`, if they are what was once written under `key`.
pub(super) fn read<'r>(seed: u32, key: &[u8], bytes: &'r [u8]) -> Option<Record<'r>> {
    let (sum, rest) = bytes.split_first_chunk::<4>()?;
    if checksum(seed, key, rest) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (stamp, value) = rest.split_first_chunk::<8>()?;
    Some(Record { stamp: Stamp(u64::from_le_bytes(*stamp)), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = key.to_vec();
        write(seed(table), &mut bytes, 0, Stamp(7), |into| into.extend_from_slice(value));
        bytes.split_off(key.len())
    }

    #[test]
    fn a_record_comes_back() {
        let bytes = written("spool", b"key", b"value");
        assert_eq!(bytes.len(), HEADER + 5);
        assert_eq!(read(seed("spool"), b"key", &bytes), Some(Record { stamp: Stamp(7), value: b"value" }));
        assert_eq!(read(seed("spool"), b"", &written("spool", b"", b"")).unwrap().value, b"");
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let (key, bytes) = (b"key".to_vec(), written("spool", b"key", b"value"));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(seed("spool"), &key, &flipped), None, "bit {bit} of the record");
        }
        for bit in 0..key.len() * 8 {
            let mut flipped = key.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(seed("spool"), &flipped, &bytes), None, "bit {bit} of the key");
        }
    }

    #[test]
    fn a_record_belongs_to_its_table_and_its_key() {
        let bytes = written("spool", b"key", b"value");
        for (table, key) in [("dead", "key"), ("spool", "ke"), ("spool", "keyy"), ("spool", "")] {
            assert_eq!(read(seed(table), key.as_bytes(), &bytes), None, "{table} {key}");
        }
        for length in 0..bytes.len() {
            assert_eq!(read(seed("spool"), b"key", &bytes[..length]), None, "{length} bytes of it");
        }
    }

    #[test]
    fn times_are_kept_to_the_millisecond() {
        let time = UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        assert_eq!(Stamp::from(time).time(), UNIX_EPOCH + Duration::from_millis(1_700_000_000_123));
        assert_eq!(Stamp::from(UNIX_EPOCH - Duration::from_secs(1)), Stamp(0));
        assert_eq!(Stamp(5).before(Duration::MAX), Stamp(0));
        assert_eq!(Stamp(5_000).before(Duration::from_secs(2)), Stamp(3_000));
    }
}
