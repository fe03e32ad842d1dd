//! Finding the rules that may match without asking each of them.
//!
//! A rule that pins attributes to exact values is filed under one of them; for an event, one look-up per attribute in use
//! gives the candidates, which are then matched in full. Rules that pin nothing are candidates as far as
//! one byte of the event allows it. Only configured
//! values are stored, so a quick hash without a random seed cannot be flooded.

use rustc_hash::FxHashMap;

use super::Trigger;
use crate::event::{Attribute, Event, Text};
use crate::filter::{Filter, Hint};

/// Where a rule stands: its trigger, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trigger: usize,
    pub(super) rule: usize,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pinned: Vec<(Attribute, FxHashMap<Text, Vec<Place>>)>,
    /// Of each trigger, the rules that pin nothing.
    others: Vec<Vec<Other>>,
}

/// A rule that every event of its trigger may match, as far as its hint allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other {
    pub(super) hint: Hint,
    pub(super) rule: usize,
}

impl Index {
    pub(super) fn new(triggers: &[Trigger]) -> Index {
        let mut index = Index { others: vec![Vec::new(); triggers.len()], ..Index::default() };
        for (at, trigger) in triggers.iter().enumerate() {
            for (number, (filter, _)) in trigger.rules.iter().enumerate() {
                let place = Place { trigger: at, rule: number };
                let filters = filter.iter().chain(&trigger.filter);
                let mut pins: Vec<_> = filters.flat_map(Filter::pinned).collect();
                // An attribute that others are filed under already costs no further look-up.
                let known = pins.iter().position(|(name, _)| index.pinned.iter().any(|(pinned, _)| pinned == *name));
                match (known, pins.is_empty()) {
                    (_, true) => {
                        let hint = filter.as_ref().map_or(Hint::NONE, Filter::hint);
                        index.others[at].push(Other { hint, rule: number });
                    }
                    (known, false) => index.file(pins.swap_remove(known.unwrap_or(0)), place),
                }
            }
        }
        index
    }

    fn file(&mut self, (attribute, value): (&Attribute, &str), place: Place) {
        let known = self.pinned.iter().position(|(name, _)| name == attribute);
        let at = known.unwrap_or_else(|| {
            self.pinned.push((attribute.clone(), FxHashMap::default()));
            self.pinned.len() - 1
        });
        self.pinned[at].1.entry(value.into()).or_default().push(place);
    }

    /// Rules that are filed under what the event says; each of [`Index::others`] may match beside them.
    pub(super) fn named<'i>(&'i self, event: &'i Event) -> impl Iterator<Item = &'i [Place]> {
        self.pinned.iter().filter_map(|(attribute, values)| {
            let value = event.attribute(attribute)?;
            values.get(value.as_ref()).map(Vec::as_slice)
        })
    }

    /// Rules of one trigger that every event may match.
    pub(super) fn others(&self, trigger: usize) -> &[Other] {
        &self.others[trigger]
    }
}
