//! Ids for events that have none.
//!
//! An id is a prefix and a number: unique without a look at anything, in order, and 23 characters long, which an event
//! holds without an allocation. Where the broker gives every message a position, the prefix stands for the stream or the
//! partition, so that a message that comes again is the same event. Elsewhere it is random, drawn once per run of a
//! source, and the number counts arrivals.

use engine::event::{Text, TextBuilder};

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of the prefix: 64 bits.
const PREFIX: u32 = 13;
/// Characters of the number: 50 bits.
const NUMBER: u32 = 10;
/// Every pair of digits, one after the other: a number is written two digits at a time.
const PAIRS: &str = match std::str::from_utf8(&pairs()) {
    Ok(text) => text,
    Err(_) => panic!("digits are ASCII"),
};
/// How many pairs there are, in bits.
const PAIR: u32 = 10;

const fn pairs() -> [u8; 2 << PAIR] {
    let mut pairs = [0; 2 << PAIR];
    let mut number = 0;
    while number < 1 << PAIR {
        pairs[2 * number] = DIGITS[number >> 5];
        pairs[2 * number + 1] = DIGITS[number & 31];
        number += 1;
    }
    pairs
}

/// A sequence of ids.
#[derive(Clone, Debug)]
pub struct Ids {
    prefix: Text,
    next: u64,
    /// All but the last pair of the next id, which stays the same for a thousand of them.
    start: Text,
}

impl Ids {
    /// Ids behind `prefix`, which must be random for each run.
    #[must_use]
    pub fn new(prefix: u64) -> Ids {
        let digit = |place: u32| char::from(DIGITS[((prefix >> (5 * place)) & 31) as usize]);
        Ids { prefix: (0..PREFIX).rev().map(digit).collect(), next: 0, start: Text::default() }
    }

    /// The next id.
    pub fn draw(&mut self) -> Text {
        if self.next.trailing_zeros() >= PAIR {
            self.start = self.start(self.next);
        }
        self.next += 1;
        end(&self.start, self.next - 1)
    }

    /// The id of the message at `number`, below 2^50, of what the prefix stands for.
    #[must_use]
    pub fn at(&self, number: u64) -> Text {
        let mut text = [0; (PREFIX + NUMBER) as usize];
        let (start, digits) = text.split_at_mut(PREFIX as usize);
        start.copy_from_slice(self.prefix.as_bytes());
        for (place, digits) in (0..NUMBER / 2).rev().zip(digits.chunks_exact_mut(2)) {
            digits.copy_from_slice(pair(number >> (PAIR * place)).as_bytes());
        }
        Text::new(std::str::from_utf8(&text).unwrap_or_default())
    }

    fn start(&self, number: u64) -> Text {
        let mut text = TextBuilder::new();
        text.push_str(&self.prefix);
        (1..NUMBER / 2).rev().for_each(|place| text.push_str(pair(number >> (PAIR * place))));
        text.finish()
    }
}

fn end(start: &str, number: u64) -> Text {
    let mut text = TextBuilder::new();
    text.push_str(start);
    text.push_str(pair(number));
    text.finish()
}

/// The last two digits of a number.
fn pair(number: u64) -> &'static str {
    let at = 2 * (number & ((1 << PAIR) - 1)) as usize;
    &PAIRS[at..at + 2]
}

/// A prefix that stands for what `parts` name together, such as a stream and the time at which it was made. It is the
/// same in every run and every version: ids that were given out stay what they are.
#[must_use]
pub fn prefix(parts: &[&[u8]]) -> u64 {
    // FNV-1a, with each part's length in between so that moving a byte from one to the next is another text.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = parts.iter().fold(0xcbf2_9ce4_8422_2325, |hash, part| {
        let hash = part.iter().copied().fold(hash, step);
        part.len().to_le_bytes().into_iter().fold(hash, step)
    });
    // Texts that differ in their last byte only differ in few bits until they are spread.
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_distinct_and_ordered() {
        let mut ids = Ids::new(u64::MAX);
        let drawn: Vec<Text> = (0..2000).map(|_| ids.draw()).collect();
        assert_eq!((drawn[0].as_str(), drawn[1500].as_str()), ("fzzzzzzzzzzzz0000000000", "fzzzzzzzzzzzz00000001ew"));
        assert!((0..2000).all(|number| ids.at(number) == drawn[number as usize]));
        assert!(drawn.is_sorted() && drawn.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(drawn.iter().all(|id| id.len() == 23 && !id.is_heap_allocated()));
    }

    #[test]
    fn a_position_has_one_id_for_ever() {
        let telemetry = Ids::new(prefix(&[b"TELEMETRY", b"2026-11-21T06:58:00Z"]));
        assert_eq!(telemetry.at(17), "0cr8ammhs2n82000000000h");
        assert!(telemetry.at(31) < telemetry.at(32));
        assert_ne!(prefix(&[b"ab", b"c"]), prefix(&[b"a", b"bc"]));
        assert_ne!(prefix(&[b"p-1"]) >> 32, prefix(&[b"p-2"]) >> 32);
    }

    #[test]
    fn two_runs_share_nothing() {
        assert_ne!(Ids::new(1).draw(), Ids::new(2).draw());
    }
}
