//! An event as filters read it: looked at once, compared many times.

use crate::event::{Attribute, Event, Name, Text};

/// The core attributes of one event side by side, for all the filters that it meets.
#[derive(Clone, Debug)]
pub struct View<'e> {
    pub(super) event: &'e Event,
    core: [Option<&'e [u8]>; CORE],
}

/// How many core attributes there are.
const CORE: usize = 8;

/// Where an attribute stands in a [`View`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column(usize);

impl<'e> View<'e> {
    /// The view of one event.
    #[must_use]
    pub fn of(event: &'e Event) -> View<'e> {
        let text = |text: Option<&'e Text>| text.map(|text| text.as_bytes());
        let core = [
            Some(&b"1.0"[..]),
            text(Some(event.id())),
            text(Some(event.source())),
            text(Some(event.r#type())),
            text(event.subject()),
            text(event.time()),
            text(event.datacontenttype()),
            text(event.dataschema()),
        ];
        View { event, core }
    }

    #[inline]
    pub(super) fn column(&self, column: Column) -> Option<&'e [u8]> {
        self.core.get(column.0).copied().flatten()
    }
}

impl Column {
    /// The one that says the same of every event.
    pub(super) const SPEC_VERSION: Column = Column(0);

    /// The column of a core attribute, or the name of an extension, which has none.
    pub(super) fn of(attribute: &Attribute) -> Result<Column, &Name> {
        Ok(Column(match attribute {
            Attribute::SpecVersion => 0,
            Attribute::Id => 1,
            Attribute::Source => 2,
            Attribute::Type => 3,
            Attribute::Subject => 4,
            Attribute::Time => 5,
            Attribute::DataContentType => 6,
            Attribute::DataSchema => 7,
            Attribute::Extension(name) => return Err(name),
        }))
    }
}
