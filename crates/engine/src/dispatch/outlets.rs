//! Where a rule publishes: the outputs of its results, of which one may be the way back into the router, and those that are told
//! of what ends well.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::event::{Event, Text};
use crate::port::Output;
use crate::router::returns::{is, returned};

/// An output by its name.
pub type Named = (Text, Arc<dyn Output>);

/// The outputs of one rule, under one configuration.
#[derive(Clone, Default)]
pub struct Outlets {
    /// Those of results stand in front.
    all: Vec<Named>,
    results: usize,
    /// The way back among those of results.
    way_back: Option<usize>,
}

impl Outlets {
    /// Every result goes to each of `results`, and what is told of a delivery that ends well to each of `told`.
    #[must_use]
    pub fn new(results: Vec<Named>, told: Vec<Named>) -> Outlets {
        let (count, way_back) = (results.len(), results.iter().position(|(name, _)| is(name)));
        Outlets { all: results.into_iter().chain(told).collect(), results: count, way_back }
    }

    /// Those of results.
    pub(super) fn results(&self) -> &[Named] {
        &self.all[..self.results]
    }

    /// The places of those that are told.
    pub(super) fn told(&self) -> Range<usize> {
        self.results..self.all.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Named> {
        self.all.get(place)
    }

    /// The place of the output of this name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|(known, _)| known == name)
    }

    /// The place of the way back among those of results.
    #[inline]
    pub(super) fn way_back(&self) -> Option<usize> {
        self.way_back
    }

    /// What goes to the output at this place of something that was made of `of`.
    pub(super) fn outgoing(&self, place: usize, event: &Event, of: &Event) -> Event {
        let goes_back = self.all.get(place).is_some_and(|(name, _)| is(name));
        if goes_back { returned(event.clone(), of) } else { event.clone() }
    }
}

impl fmt::Debug for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|(name, _)| name)).finish()
    }
}
