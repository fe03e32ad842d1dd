//! What an event's id and source are in a record: numbers, since a record has no room for texts of any length.
//!
//! Decision: **a hash of our own that never changes**, because it stands in files: sixteen bytes at a time, one multiplication
//! for each, the two halves of its product folded; the last sixteen overlap the others, so that most ids and sources take two. Ids that somebody makes collide only confuse who asks for one of them.

use crate::event::Event;

const BEGIN: u64 = 0x9e37_79b9_7f4a_7c15;
const EACH: u64 = 0xd6e8_feb8_6659_fd93;
const LAST: u64 = 0xa076_1d64_78bd_642f;

/// An id and the source within which it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Print {
    /// Of the id.
    pub id: u64,
    /// Of the `source` attribute.
    pub source: u32,
}

impl Print {
    /// The print of one event.
    #[inline(always)]
    #[must_use]
    pub fn of(event: &Event) -> Print {
        Print { id: id(event.id()), source: source(event.source()) }
    }
}

/// The number of an id.
#[inline]
pub(super) fn id(text: &str) -> u64 {
    number(text.as_bytes())
}

/// The number of a source.
#[inline]
#[must_use]
pub fn source(text: &str) -> u32 {
    (number(text.as_bytes()) >> 32) as u32
}

#[inline]
fn number(bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        // The two may overlap: what is read twice costs less than a loop.
        (Some(first), Some(last)) if length <= 32 => join(BEGIN, first, last, length),
        (Some(_), Some(last)) => long(bytes, last),
        _ => short(bytes),
    }
}

#[inline]
fn join(state: u64, first: &[u8; 16], last: &[u8; 16], length: u64) -> u64 {
    let ((one, two), (three, four)) = (halves(first), halves(last));
    fold(fold(one ^ state, two ^ EACH) ^ three, four ^ LAST ^ length)
}

#[inline]
fn halves(bytes: &[u8; 16]) -> (u64, u64) {
    let whole = u128::from_le_bytes(*bytes);
    (whole as u64, (whole >> 64) as u64)
}

/// More than 32 bytes.
#[inline(never)]
fn long(bytes: &[u8], last: &[u8; 16]) -> u64 {
    let (mut chunks, _) = bytes.as_chunks::<16>();
    let mut state = BEGIN;
    while let [first, rest @ ..] = chunks
        && !rest.is_empty()
    {
        let (one, two) = halves(first);
        state = fold(one ^ state, two ^ EACH);
        chunks = rest;
    }
    // The last whole piece, and what it overlaps.
    chunks.first().map_or(state, |first| join(state, first, last, bytes.len() as u64))
}

/// Fewer than 16 bytes.
#[inline(never)]
fn short(bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            fold(u64::from_le_bytes(*first) ^ BEGIN, u64::from_le_bytes(*last) ^ LAST ^ length)
        }
        _ => fold(few(bytes) ^ BEGIN, LAST ^ length),
    }
}

/// Fewer than eight bytes as a number.
#[inline]
fn few(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)),
        _ => bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}

#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_numbers_in_files_never_change() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyz";
        let numbers: Vec<u64> = [0, 1, 3, 4, 7, 8, 15, 16, 17, 24, 36].map(|length| id(&text[..length])).into();
        let known: [u64; 11] = [
            7_423_383_483_382_639_721,
            1_041_250_021_050_291_485,
            2_768_810_584_319_373_023,
            6_072_221_188_017_267_879,
            5_698_036_947_121_460_927,
            17_301_065_486_233_576_017,
            5_786_544_608_436_156_133,
            12_763_651_769_272_820_461,
            10_513_568_198_583_597_694,
            6_699_054_425_446_111_412,
            5_566_540_223_135_397_949,
        ];
        assert_eq!(numbers, known);
        assert_eq!(source(text), (id(text) >> 32) as u32);
    }

    #[test]
    fn what_differs_anywhere_has_another_number() {
        let mut seen = HashSet::new();
        for length in 0..70 {
            let text: Vec<u8> = (0..length).collect();
            assert!(seen.insert(number(&text)), "{length}");
            for place in 0..text.len() {
                for bit in 0..8 {
                    let mut other = text.clone();
                    other[place] ^= 1 << bit;
                    assert!(seen.insert(number(&other)), "bit {bit} of byte {place} of {length}");
                }
            }
        }
        let counted: HashSet<u64> = (0..100_000).map(|number| id(&number.to_string())).collect();
        assert_eq!(counted.len(), 100_000);
        let sources: HashSet<u32> = (0..1000).map(|number| source(&format!("/fleet/demo/veh-{number:06}"))).collect();
        assert!(sources.len() >= 999, "{}", sources.len());
    }
}
