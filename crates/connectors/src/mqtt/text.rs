//! Texts that a broker may end the connection over.
//!
//! MQTT lets a receiver treat control characters and code points that are no characters as a malformed packet, and
//! mosquitto does: the connection ends, with everything else that is on its way on it. So nobody publishes them here.

/// The longest string that MQTT can carry, in bytes.
pub(super) const LONGEST: usize = 65_535;

/// What keeps a text from being a string of MQTT, to be said behind its name, such as `holds a control character`.
#[must_use]
pub fn flaw(text: &str) -> Option<&'static str> {
    if text.len() > LONGEST {
        return Some("is longer than 65535 bytes");
    }
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    if text.contains('\0') {
        return Some("holds a null character");
    }
    if text.contains(char::is_control) {
        return Some("holds a control character");
    }
    let no_character = |c: char| matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    text.contains(no_character).then_some("holds a code point that is no character")
}

/// What keeps a text from being a topic to publish to, to be said as above.
#[must_use]
pub fn topic_flaw(topic: &str) -> Option<&'static str> {
    if topic.is_empty() {
        return Some("is empty");
    }
    if topic.contains(['+', '#']) {
        return Some("holds a wildcard, + or #");
    }
    flaw(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_broker_takes_is_told_from_what_ends_a_connection() {
        for (text, said) in [
            ("v1/veh-1/état 😀", None),
            ("", None),
            ("a\0b", Some("holds a null character")),
            ("a\nb", Some("holds a control character")),
            ("a\u{85}b", Some("holds a control character")),
            ("\u{fdd0}", Some("holds a code point that is no character")),
            ("\u{1fffe}", Some("holds a code point that is no character")),
        ] {
            assert_eq!(flaw(text), said, "{text:?}");
        }
        assert_eq!(flaw(&"x".repeat(LONGEST)), None);
        assert_eq!(flaw(&"x".repeat(LONGEST + 1)), Some("is longer than 65535 bytes"));
    }

    #[test]
    fn a_topic_is_neither_empty_nor_a_filter() {
        for (topic, said) in [
            ("a//b/", None),
            ("$aws/things", None),
            ("", Some("is empty")),
            ("a/+/b", Some("holds a wildcard, + or #")),
            ("a/#", Some("holds a wildcard, + or #")),
            ("a\0", Some("holds a null character")),
        ] {
            assert_eq!(topic_flaw(topic), said, "{topic:?}");
        }
    }
}
