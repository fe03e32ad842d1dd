//! Which sequence numbers of one start of a vehicle have been seen.
//!
//! Decision: a bitmap that begins where everything before is complete. An orderly stream costs one word, however long it
//! is; a missing sample holds the beginning back until it comes, at most [`REMEMBERED`] numbers. What is older than that
//! is answered with [`Mark::Unknown`], never guessed: a wrong "new" would count a sample twice.

use std::collections::VecDeque;

/// How many sequence numbers behind the newest one are told apart, at least; more than an hour at 1 Hz. In memory this
/// is at most a kilobyte per start of a vehicle.
pub const REMEMBERED: u64 = 4_096;

const WORD: u64 = 64;
const WORDS: u64 = REMEMBERED / WORD + 1;

/// The numbers of one start.
#[derive(Debug)]
pub(super) struct Seen {
    /// The number of the first word's first bit, a multiple of 64. Numbers from `known` to here were all seen.
    base: u64,
    /// Below here nobody knows.
    known: u64,
    words: VecDeque<u64>,
    highest: Option<u64>,
}

/// What is known of a number that has just been marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Never seen before, and higher than all so far.
    Newest,
    /// Never seen before, but a higher one has been.
    Overtaken,
    /// Seen before.
    Again,
    /// Too old to tell.
    Unknown,
}

impl Seen {
    /// Begins with the first number that arrived, which may not be the first that was sent: half of the memory is kept
    /// for what it has overtaken.
    pub(super) fn from(first: u64) -> Seen {
        let base = align(first.saturating_sub(REMEMBERED / 2));
        Seen { base, known: base, words: VecDeque::new(), highest: None }
    }

    /// Marks a number and says what was known of it.
    pub(super) fn mark(&mut self, number: u64) -> Mark {
        if number < self.known {
            return Mark::Unknown;
        }
        if number < self.base {
            return Mark::Again;
        }
        self.make_room(number);
        let index = ((number - self.base) / WORD) as usize;
        if self.words.len() <= index {
            self.words.resize(index + 1, 0);
        }
        let bit = 1 << (number % WORD);
        let Some(word) = self.words.get_mut(index) else { return Mark::Unknown };
        if *word & bit != 0 {
            return Mark::Again;
        }
        *word |= bit;
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.base += WORD;
        }
        let newest = self.highest.is_none_or(|highest| number > highest);
        if newest {
            self.highest = Some(number);
        }
        if newest { Mark::Newest } else { Mark::Overtaken }
    }

    /// Gives up the oldest numbers when `number` is further ahead than can be remembered.
    fn make_room(&mut self, number: u64) {
        let first = (align(number) / WORD + 1).saturating_sub(WORDS) * WORD;
        if first <= self.base {
            return;
        }
        let dropped = ((first - self.base) / WORD).min(self.words.len() as u64) as usize;
        self.words.drain(..dropped);
        self.base = first;
        self.known = first;
    }

    /// Words in memory.
    #[cfg(test)]
    pub(super) fn words(&self) -> usize {
        self.words.len()
    }
}

fn align(number: u64) -> u64 {
    number / WORD * WORD
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_orderly_stream_costs_one_word() {
        let mut seen = Seen::from(0);
        for number in 0..100_000 {
            assert_eq!(seen.mark(number), Mark::Newest);
            assert!(seen.words() <= 1);
        }
        assert_eq!(seen.mark(17), Mark::Again);
        assert_eq!(seen.mark(99_999), Mark::Again);
    }

    #[test]
    fn a_missing_number_is_waited_for_and_then_given_up() {
        let mut seen = Seen::from(0);
        for number in (0..=REMEMBERED).filter(|number| *number != 3) {
            assert_eq!(seen.mark(number), Mark::Newest);
        }
        assert_eq!(seen.mark(3), Mark::Overtaken);
        assert_eq!(seen.words(), 1);

        let mut seen = Seen::from(0);
        for number in (0..3 * REMEMBERED).filter(|number| *number != 3) {
            assert_eq!(seen.mark(number), Mark::Newest);
            assert!(seen.words() as u64 <= WORDS);
        }
        assert_eq!(seen.mark(3), Mark::Unknown);
        assert_eq!(seen.mark(3 * REMEMBERED - 1), Mark::Again);
    }

    #[test]
    fn numbers_before_the_first_arrival_are_still_new() {
        let mut seen = Seen::from(184_213);
        assert_eq!(seen.mark(184_213), Mark::Newest);
        assert_eq!(seen.mark(184_213 - REMEMBERED / 2), Mark::Overtaken);
        assert_eq!(seen.mark(184_213 - REMEMBERED), Mark::Unknown);
    }

    #[test]
    fn a_leap_gives_up_everything_before_it_in_bounded_steps() {
        let mut seen = Seen::from(0);
        assert_eq!(seen.mark(5), Mark::Newest);
        assert_eq!(seen.mark(1 << 53), Mark::Newest);
        assert!(seen.words() as u64 <= WORDS);
        assert_eq!(seen.mark(6), Mark::Unknown);
        assert_eq!(seen.mark((1 << 53) - REMEMBERED), Mark::Overtaken);
    }

    proptest! {
        /// Within what is remembered, the window answers exactly as a set would.
        #[test]
        fn it_answers_as_a_set_does(
            first in 0..10_000_u64,
            numbers in proptest::collection::vec(0..REMEMBERED / 2, 1..600),
        ) {
            let mut seen = Seen::from(first);
            let mut set = BTreeSet::new();
            for number in numbers {
                let number = first + number;
                let expected = match set.last().copied() {
                    _ if set.contains(&number) => Mark::Again,
                    Some(highest) if number < highest => Mark::Overtaken,
                    _ => Mark::Newest,
                };
                prop_assert_eq!(seen.mark(number), expected);
                set.insert(number);
            }
        }

        /// Whatever arrives, nothing is new twice, and memory stays bounded.
        #[test]
        fn nothing_is_new_twice(numbers in proptest::collection::vec(0..20_000_u64, 1..2_000)) {
            let mut seen = Seen::from(numbers[0]);
            let mut set = BTreeSet::new();
            for number in numbers {
                if matches!(seen.mark(number), Mark::Newest | Mark::Overtaken) {
                    prop_assert!(set.insert(number));
                }
                prop_assert!(seen.words() as u64 <= WORDS);
            }
        }
    }
}
