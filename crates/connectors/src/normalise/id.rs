//! Ids for events that have none.
//!
//! An id is a prefix and a number: unique without a look at anything, in order, and 23 characters long, which an event
//! holds without an allocation. Where the broker gives every message a position, the prefix stands for the stream or the
//! partition, so that a message that comes again is the same event. Elsewhere it is random, drawn once per run of a
//! source, and the number counts arrivals.

use engine::event::Text;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of the prefix: 64 bits.
const PREFIX: usize = 13;
/// Characters of the counter: 50 bits.
const COUNTER: usize = 10;

/// A sequence of ids.
#[derive(Clone, Debug)]
pub struct Ids {
    text: [u8; PREFIX + COUNTER],
    next: u64,
}

impl Ids {
    /// Ids behind `prefix`, which must be random for each run.
    #[must_use]
    pub fn new(prefix: u64) -> Ids {
        let mut text = [0; PREFIX + COUNTER];
        write(prefix, &mut text[..PREFIX]);
        Ids { text, next: 0 }
    }

    /// The next id.
    pub fn draw(&mut self) -> Text {
        self.next += 1;
        self.at(self.next - 1)
    }

    /// The id of the message at `number`, below 2^50, of what the prefix stands for.
    #[must_use]
    pub fn at(&self, number: u64) -> Text {
        let mut text = self.text;
        write(number, &mut text[PREFIX..]);
        Text::new(std::str::from_utf8(&text).unwrap_or_default())
    }
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

/// Writes the low bits of `number` in base 32, right aligned.
fn write(mut number: u64, into: &mut [u8]) {
    for digit in into.iter_mut().rev() {
        *digit = DIGITS[(number & 31) as usize];
        number >>= 5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_distinct_and_ordered() {
        let mut ids = Ids::new(u64::MAX);
        let drawn: Vec<Text> = (0..2000).map(|_| ids.draw()).collect();
        assert_eq!(drawn[0], "fzzzzzzzzzzzz0000000000");
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
