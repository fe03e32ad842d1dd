//! The keys of the two indexes. Both begin with the rule, behind its length, so that what belongs to one rule lies together.

/// What every key of this rule begins with.
pub(super) fn prefix(rule: &str) -> Vec<u8> {
    let length = u16::try_from(rule.len()).unwrap_or(u16::MAX);
    let mut key = length.to_be_bytes().to_vec();
    key.extend_from_slice(&rule.as_bytes()[..usize::from(length)]);
    key
}

/// The rule of a key, and what all keys of it begin with.
pub(super) fn rule_of(key: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = key.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let rule = std::str::from_utf8(rest.get(..length)?).ok()?;
    Some((rule, &key[..2 + length]))
}

/// The smallest key that is larger than every key with this beginning.
pub(super) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut key = prefix[..=last].to_vec();
    key[last] += 1;
    Some(key)
}

/// Where a time of this rule stands.
pub(super) fn due(prefix: &[u8], due: u64, sequence: u64) -> Vec<u8> {
    [prefix, &due.to_be_bytes(), &sequence.to_be_bytes()].concat()
}

/// The time and the sequence of such a key.
pub(super) fn due_of(prefix: &[u8], key: &[u8]) -> Option<(u64, u64)> {
    let (due, sequence) = key.strip_prefix(prefix)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*due), u64::from_be_bytes(sequence.try_into().ok()?)))
}

/// What every key of this lane begins with.
pub(super) fn lane(prefix: &[u8], lane: &str) -> Vec<u8> {
    let length = u32::try_from(lane.len()).unwrap_or(u32::MAX);
    [prefix, &length.to_be_bytes(), lane.as_bytes()].concat()
}

/// The lane of such a key; the empty one stands for the rule itself, for no key orders by that.
pub(super) fn lane_of<'k>(prefix: &[u8], key: &'k [u8]) -> Option<&'k str> {
    let (length, name) = key.strip_prefix(prefix)?.split_first_chunk::<4>()?;
    let whole = name.len() == u32::from_be_bytes(*length) as usize;
    std::str::from_utf8(name).ok().filter(|_| whole)
}

/// Where a row of a lane stands.
pub(super) fn place(prefix: &[u8], name: &str, sequence: u64) -> Vec<u8> {
    let mut key = lane(prefix, name);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// The lane and the sequence of such a key.
pub(super) fn place_of<'k>(prefix: &[u8], key: &'k [u8]) -> Option<(&'k str, u64)> {
    let (length, rest) = key.strip_prefix(prefix)?.split_first_chunk::<4>()?;
    let (name, sequence) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((std::str::from_utf8(name).ok()?, u64::from_be_bytes(sequence.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_follows_a_beginning_is_found() {
        assert_eq!(behind(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(behind(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(behind(b"\xff"), None);
        assert_eq!(behind(b""), None);
    }

    proptest! {
        #[test]
        fn keys_come_back_and_lie_with_their_own(rule in "[a-z/]{1,20}", other in "[a-z/]{1,20}", name in ".{0,12}", number: u64) {
            let prefix = prefix(&rule);
            prop_assert_eq!(due_of(&prefix, &due(&prefix, number, 7)), Some((number, 7)));
            let placed = place(&prefix, &name, number);
            prop_assert_eq!(place_of(&prefix, &placed), Some((name.as_str(), number)));
            let key = lane(&prefix, &name);
            prop_assert_eq!(lane_of(&prefix, &key), Some(name.as_str()));
            for key in [due(&prefix, number, 7), place(&prefix, &name, number)] {
                prop_assert_eq!(rule_of(&key), Some((rule.as_str(), prefix.as_slice())));
                prop_assert!(key > prefix && key < behind(&prefix).unwrap());
                prop_assert!(rule == other || !key.starts_with(&super::prefix(&other)));
            }
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (rule_of(&bytes), due_of(b"", &bytes), place_of(b"", &bytes), lane_of(b"", &bytes));
        }
    }
}
