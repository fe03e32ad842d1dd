//! Letters for the tests of whoever writes, reads or shows them: one of each kind, whose fields are all different.

use super::{Content, Letter, Reason};
use crate::event::Event;
use crate::store::Stamp;

/// A delivery whose five attempts failed.
pub(crate) fn exhausted(event: Event) -> Letter {
    Letter {
        reason: Reason::Exhausted,
        attempts: 5,
        redrives: 0,
        edits: 0,
        rule: Some("t/r".into()),
        function: Some("f".into()),
        source: None,
        code: Some("timeout".into()),
        message: "it said \"no\"".into(),
        first: Stamp(1_699_999_995_000),
        last: Stamp(1_700_000_000_123),
        position: None,
        forward: None,
        content: Content::Event(event),
    }
}

/// A message that is no event.
pub(crate) fn undecodable(raw: &'static [u8]) -> Letter {
    Letter {
        reason: Reason::Undecodable,
        attempts: 0,
        rule: None,
        function: None,
        source: Some("fleet".into()),
        code: None,
        message: "not UTF-8".into(),
        first: Stamp(1_700_000_000_123),
        content: Content::Raw {
            raw: raw.into(),
            facts: vec![("topic".into(), "v1/\"a\"".into()), ("qos".into(), "1".into())],
        },
        ..exhausted(crate::fake::event("any"))
    }
}
