//! What a source may deliver again of what is in the lot, and of what was done beside it.

use super::{Coming, Lot};
use crate::delivery::{Print, Spot, Taken};
use crate::dispatch::Key;
use crate::event::Text;

/// One fork of a message that may be delivered again.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) spot: Spot,
    pub(crate) print: Print,
    /// The rules whose forks are done.
    pub(crate) done: Vec<Text>,
}

impl Lot {
    /// Writes down by what copies of a fork are known that is parked; answers its message if that is of use.
    pub(super) fn take(&mut self, fork: Fork) -> Option<Spot> {
        let Fork { spot, print, done } = fork;
        self.done(&spot, print, &done);
        let useful = self.reader.yard.take(&spot, &self.rule, print, Taken::Coming, &mut self.staged);
        useful.then_some(spot)
    }

    /// How far this fork has been taken over, if it is a copy.
    pub(crate) fn taken(&self, spot: &Spot, print: Print) -> Option<Taken> {
        spot.taken(&self.rule, print)
    }

    /// Confirms a copy of what is on its way to the disk once that is there. Answers whether that is possible.
    pub(crate) fn follow(&mut self, key: Key, spot: &Spot, print: Print) -> bool {
        if self.fault.is_some() || !self.reader.yard.take(spot, &self.rule, print, Taken::Coming, &mut self.staged) {
            return false;
        }
        let spot = Some(spot.clone());
        self.coming.push_back(Coming { key, place: None, due: None, before: None, spot, copy: true });
        self.unsent += 1;
        true
    }

    /// The forks of these rules are done beside one that was parked.
    pub(crate) fn done(&mut self, spot: &Spot, print: Print, rules: &[Text]) {
        for rule in rules {
            self.reader.yard.take(spot, rule, print, Taken::Over, &mut self.staged);
        }
    }

    /// The number of the rule among those that have a bit of their own in a seat.
    pub(crate) fn enroll(&self) -> Option<u32> {
        self.reader.yard.tracks().enroll(&self.rule)
    }

    /// The rules that have these bits.
    pub(crate) fn rules(&self, bits: u64) -> Vec<Text> {
        self.reader.yard.tracks().rules(bits)
    }
}
