//! What refuses most events before their filters are run.
//!
//! Decision: **one byte**. Most filters that no index can skip begin with comparing a core attribute with the beginning of a
//! text, and most events differ from it by the end of that: in `veh-7` what is last tells more than what is first. So a
//! router that asks many filters looks at one byte for each, and runs those that it does not refuse.

use super::view::{Column, View};

/// One byte that every event has which a filter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    column: Column,
    place: usize,
    byte: u8,
}

impl Hint {
    /// The hint of a filter that says nothing of the kind: every event's `specversion` begins so.
    pub const NONE: Hint = Hint { column: Column::SPEC_VERSION, place: 0, byte: b'1' };

    /// An attribute begins with `text`; nothing for the empty one.
    pub(super) fn beginning(column: Column, text: &str) -> Option<Hint> {
        let byte = *text.as_bytes().last()?;
        Some(Hint { column, place: text.len() - 1, byte })
    }

    /// Whether the filter may take the event of this view; where not, it certainly does not.
    #[inline(always)]
    #[must_use]
    pub fn allows(self, view: &View<'_>) -> bool {
        view.column(self.column).and_then(|value| value.get(self.place)) == Some(&self.byte)
    }
}
