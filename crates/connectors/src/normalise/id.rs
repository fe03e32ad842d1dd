//! New ids for events that have none.
//!
//! An id is a random prefix, drawn once per run of a source, and a counter: unique without a look at anything, in order
//! of arrival, and 23 characters long, which an event holds without an allocation.

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
        write(self.next, &mut self.text[PREFIX..]);
        self.next += 1;
        Text::new(std::str::from_utf8(&self.text).unwrap_or_default())
    }
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
    fn two_runs_share_nothing() {
        assert_ne!(Ids::new(1).draw(), Ids::new(2).draw());
    }
}
