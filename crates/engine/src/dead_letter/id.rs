//! What a dead letter is called: its key in the table, and twelve characters that somebody can type.
//!
//! Decision: **a name is a time and a number**. The milliseconds since 1970 stand in front, so that the order of keys is the
//! order of dying, and each name is larger than every earlier one, whatever the clock does.

use std::fmt;
use std::str::FromStr;

use crate::store::Stamp;

/// Bits behind the milliseconds, for those that die together.
const SPARE: u32 = 10;
/// The largest number of milliseconds for which twelve digits suffice.
const MILLIS_MAX: u64 = (1 << 50) - 1;
/// Digits of five bits each, without those that look like others.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 12;

/// The name of one dead letter, such as `01m7zsytm000`. Never used twice in one state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

/// A text that is the name of no dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no id of a dead letter; 'tidemill dlq list' shows them")]
pub struct NoId(String);

impl Id {
    /// The next name at this time.
    pub(super) fn next(after: Option<Id>, now: Stamp) -> Id {
        let now = now.0.min(MILLIS_MAX) << SPARE;
        Id(after.map_or(now, |after| now.max(after.0.saturating_add(1))))
    }

    /// Whether it was given before this time, so that none that is given from then on is the same.
    pub(super) fn is_before(self, now: Stamp) -> bool {
        self.0 >> SPARE < now.0.min(MILLIS_MAX)
    }

    /// Its key in the table.
    pub(super) fn key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The name under this key, if it is one.
    pub(super) fn of(key: &[u8]) -> Option<Id> {
        Some(Id(u64::from_be_bytes(key.try_into().ok()?)))
    }

    /// The smallest key behind this one.
    pub(super) fn behind(self) -> [u8; 8] {
        self.0.saturating_add(1).to_be_bytes()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |place: usize| DIGITS[(self.0 >> (5 * (LENGTH - 1 - place)) & 31) as usize];
        let text: String = (0..LENGTH).map(|place| char::from(digit(place))).collect();
        f.write_str(&text)
    }
}

impl FromStr for Id {
    type Err = NoId;

    /// Case does not matter, and letters that look like digits are taken for them.
    fn from_str(text: &str) -> Result<Id, NoId> {
        let digit = |byte: u8| match byte.to_ascii_lowercase() {
            b'o' => Some(0),
            b'i' | b'l' => Some(1),
            byte => DIGITS.iter().position(|digit| *digit == byte).map(|digit| digit as u64),
        };
        let number = text.bytes().try_fold(0, |number, byte| Some(number << 5 | digit(byte)?));
        number.filter(|_| text.len() == LENGTH).map(Id).ok_or_else(|| NoId(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_grow_whatever_the_clock_does() {
        let first = Id::next(None, Stamp(1_700_000_000_123));
        let second = Id::next(Some(first), Stamp(1_700_000_000_123));
        let third = Id::next(Some(second), Stamp(5));
        let fourth = Id::next(Some(third), Stamp(1_700_000_000_124));
        assert!(first < second && second < third && third < fourth);
        assert_eq!((first.to_string(), third.to_string()), ("01hf7yat3v00".to_owned(), "01hf7yat3v02".to_owned()));
        assert_eq!(Id::next(Some(Id(u64::MAX)), Stamp(0)), Id(u64::MAX));
    }

    #[test]
    fn what_looks_alike_is_the_same() {
        let id = Id::next(None, Stamp(1_700_000_000_123));
        let typed = id.to_string().to_uppercase().replace('0', "O").replace('1', "l");
        assert_eq!(typed.parse(), Ok(id));
        for text in ["", "1", "01hf7yat3v0", "01hf7yat3v000", "01hf7yat3v0u", "ähfxwn61v80"] {
            assert_eq!(text.parse::<Id>(), Err(NoId(text.to_owned())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_has_the_order_of_keys(one in 0..MILLIS_MAX, other in 0..MILLIS_MAX) {
            let (one, other) = (Id::next(None, Stamp(one)), Id::next(None, Stamp(other)));
            prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
            prop_assert_eq!(one.key().cmp(&other.key()), one.cmp(&other));
            prop_assert_eq!(one.to_string().parse(), Ok(one));
            prop_assert_eq!(Id::of(&one.key()), Some(one));
        }
    }
}
