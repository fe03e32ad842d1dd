//! One delivery and the table that owns a line's deliveries.

use slab::Slab;

use super::ages::Ages;
use super::lanes::Place;
use super::publish::Confirmations;
use super::{Arrival, Key};
use crate::dead_letter::Reason;
use crate::delivery::{Outcome, Position, Print, Recall, Receipt, Spot, print};
use crate::event::{Event, Text};
use crate::parked::Stored;
use crate::port::{Confirm, PublishError};
use crate::store::Stamp;

/// An event on its way through one rule: the unit that is retried and settled.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) event: Event,
    origin: Origin,
    /// When its event was received here; 0 where that is of no use.
    received: Stamp,
    /// Attempts of the present stage that have begun.
    pub(super) attempts: u32,
    /// What went wrong with it before, which most never need.
    past: Option<Box<Past>>,
    /// When it arrived, and when its last attempt began: the low half of milliseconds since 1970.
    pub(super) arrived: u32,
    pub(super) began: u32,
    /// Which of the table's ages it is of.
    age: u8,
    /// Results that it has to publish; 255 for that many or more.
    pub(super) results: u8,
    /// Whether its source wants it back.
    pub(super) recalled: bool,
    /// Where it stands in line, if its key orders it.
    pub(super) lane: Option<Place>,
    /// Whether it is being called or published.
    pub(super) active: bool,
    /// The configuration under which it has begun last.
    pub(super) era: u32,
    pub(super) stage: Stage,
}

impl Delivery {
    /// Whether its function has to judge it.
    pub(super) fn is_called(&self) -> bool {
        matches!(self.stage, Stage::Call)
    }

    /// What went wrong with it before.
    pub(super) fn past(&mut self) -> &mut Past {
        self.past.get_or_insert_default()
    }

    /// The same, without making room for it.
    pub(super) fn known_past(&self) -> Past {
        self.past.as_deref().cloned().unwrap_or_default()
    }

    /// When an attempt failed first.
    pub(super) fn failed(&self) -> Option<Stamp> {
        self.past.as_ref().and_then(|past| past.failed)
    }

    /// How often it was given up before and sent on its way again.
    pub(super) fn redrives(&self) -> u32 {
        self.past.as_ref().map_or(0, |past| past.redrives)
    }

    /// Calls before it had results, where it took more than one.
    pub(super) fn calls(&self) -> u32 {
        self.past.as_ref().map_or(0, |past| past.calls)
    }

    /// Whether something went wrong with it before, or it was parked.
    pub(super) fn is_troubled(&self) -> bool {
        self.past.is_some() || matches!(self.origin, Origin::Row(_))
    }

    /// Notes when its event was received here.
    pub(super) fn received_at(&mut self, at: Stamp) {
        self.received = at;
    }

    /// When its event was received here, if anybody has noted that.
    pub(super) fn received(&self) -> Option<Stamp> {
        Some(self.received).filter(|at| at.0 > 0).or(self.event.received())
    }

    /// Whether it has had every attempt that it may have, and waits for somebody to say what becomes of it.
    pub(super) fn is_spent(&self) -> bool {
        self.past.as_ref().is_some_and(|past| past.spent)
    }

    /// It may be tried as often as one that has just arrived.
    pub(super) fn refresh(&mut self) {
        self.attempts = 0;
        self.past().spent = false;
    }

    /// Whether nobody has ever begun with it.
    pub(super) fn is_new(&self) -> bool {
        self.attempts == 0 && self.past.is_none()
    }

    /// Whether nobody works on it: it waits for its turn, for room or for its next attempt.
    pub(super) fn rests(&self) -> bool {
        !self.active && !matches!(self.stage, Stage::Keep(_) | Stage::Park)
    }

    /// Where its message stands at its broker, if that is known.
    pub(super) fn position(&self) -> Option<Position> {
        match &self.origin {
            Origin::Source(receipt) => receipt.position(),
            Origin::Kept(kept) => kept.0.position(),
            Origin::Row(stored) => stored.position.clone(),
        }
    }

    /// It was written down where it is, and keeps its seat.
    pub(super) fn keep(&mut self, stored: Stored) {
        if let Origin::Source(receipt) = &self.origin {
            let kept = Origin::Kept(Box::new((receipt.fork(), stored)));
            // Its fork has the duty from here on, and this says nothing that could outweigh what becomes of it.
            if let Origin::Source(receipt) = std::mem::replace(&mut self.origin, kept) {
                receipt.settle(Outcome::Ack);
            }
        }
    }

    /// The receipt of a delivery without a row.
    pub(super) fn receipt(&self) -> Option<&Receipt> {
        match &self.origin {
            Origin::Source(receipt) => Some(receipt),
            Origin::Kept(_) | Origin::Row(_) => None,
        }
    }

    /// Its row, if it has one.
    pub(super) fn stored(&self) -> Option<&Stored> {
        match &self.origin {
            Origin::Source(_) => None,
            Origin::Kept(kept) => Some(&kept.1),
            Origin::Row(stored) => Some(stored),
        }
    }
}

/// Whom its end concerns.
#[derive(Debug)]
enum Origin {
    /// A source, which wants to know.
    Source(Receipt),
    /// Both: it was written down while it was here.
    Kept(Box<(Receipt, Stored)>),
    /// A row on the disk, which goes then.
    Row(Box<Stored>),
}

/// What was of a delivery that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Where it stood in line.
    pub(super) lane: Option<Place>,
    /// Whether it was being called or published, and under which configuration.
    pub(super) active: bool,
    pub(super) era: u32,
    /// Its row, and whether that has become a dead letter.
    pub(super) row: Option<(Box<Stored>, bool)>,
    /// Its message, if another fork of that was parked, and the print of its event.
    pub(super) beside: Option<Box<(Spot, Print)>>,
}

/// What was left in a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rest {
    /// Deliveries of sources.
    pub(super) handed: usize,
    /// Of those, the ones whose messages are not on the disk here.
    pub(super) elsewhere: usize,
    /// Deliveries of rows, which stay.
    pub(super) rows: usize,
}

/// What went wrong with a delivery.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// When an attempt failed first.
    pub(super) failed: Option<Stamp>,
    /// How often it was given up before and sent on its way again.
    pub(super) redrives: u32,
    /// Whether it has had every attempt that it may have, and waits for somebody to say what becomes of it.
    pub(super) spent: bool,
    /// What the last failure was, if it had to be remembered.
    pub(super) last: Option<Fault>,
    /// Calls before it had results, where it took more than one.
    pub(super) calls: u32,
}

/// One failure.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// What kind it was, where that has a name.
    pub(super) code: Option<Text>,
    /// What was said, of bounded length.
    pub(super) message: Text,
}

/// What is owed next. A failure repeats its own stage only.
#[derive(Debug)]
pub(super) enum Stage {
    /// The function has to judge the event.
    Call,
    /// These results are not confirmed.
    Publish(Pending),
    /// Given up; settled once it is a dead letter.
    Keep(Reason),
    /// Put aside; settled once its row is on the disk.
    Park,
}

/// What a publishing delivery waits for.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Confirmations under way.
    pub(super) awaited: usize,
    /// Results whose outputs refused them for now.
    pub(super) failed: Vec<Unconfirmed>,
    /// The output and the error that decide; one that is final outranks one that may pass. Boxed, because every delivery has
    /// the room for it and few have the error.
    pub(super) error: Option<Box<(usize, PublishError)>>,
    /// What its rule tells others of it, once everything else is confirmed.
    pub(super) notice: Option<Event>,
}

impl Pending {
    /// Takes one result's confirmation, known or awaited.
    pub(super) fn add(&mut self, awaited: &mut Confirmations, key: Key, result: Unconfirmed, confirm: Confirm) {
        match confirm {
            Confirm::Now(outcome) => self.note(result, outcome),
            Confirm::Later(promise) => {
                self.awaited += 1;
                awaited.expect(&promise, (key, result));
            }
        }
    }

    /// Takes what an output said of one result.
    pub(super) fn note(&mut self, result: Unconfirmed, outcome: Result<(), PublishError>) {
        let Err(error) = outcome else { return };
        let decides = match (self.error.as_deref(), &error) {
            (None, _) => true,
            (Some((_, PublishError::Retry { .. })), PublishError::Reject { .. }) => true,
            (Some(_), _) => false,
        };
        if decides {
            self.error = Some(Box::new((result.output, error)));
        }
        self.failed.push(result);
    }
}

/// One result that one output has not confirmed.
#[derive(Clone, Debug)]
pub(super) struct Unconfirmed {
    pub(super) event: Event,
    /// The output's place in the rule's list.
    pub(super) output: usize,
}

/// The deliveries of one line.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Slab<(u64, Delivery)>,
    serial: u64,
    ages: Ages,
    /// How many of them have a row.
    rows: usize,
    /// How many are on their way to a row, and had none before.
    leaving: usize,
    /// The number of the rule among those that have a bit of their own in a seat.
    pub(super) rule: Option<u32>,
}

impl Table {
    /// Takes in what arrives at this time.
    pub(super) fn insert(&mut self, arrival: Arrival, arrived: u32) -> Key {
        let Arrival { event, receipt } = arrival;
        self.put(Delivery {
            event,
            origin: Origin::Source(receipt),
            received: Stamp::default(),
            attempts: 0,
            past: None,
            arrived,
            began: arrived,
            age: 0,
            results: 0,
            recalled: false,
            lane: None,
            active: false,
            era: 0,
            stage: Stage::Call,
        })
    }

    /// Takes in what comes back from its row at this time.
    pub(super) fn insert_row(
        &mut self,
        event: Event,
        stored: Stored,
        attempts: u32,
        stage: Stage,
        arrived: u32,
    ) -> Key {
        let results = match &stage {
            Stage::Publish(pending) => u8::try_from(pending.failed.len()).unwrap_or(u8::MAX),
            Stage::Call | Stage::Keep(_) | Stage::Park => 0,
        };
        self.rows += 1;
        self.put(Delivery {
            event,
            origin: Origin::Row(Box::new(stored)),
            received: Stamp::default(),
            attempts,
            past: None,
            arrived,
            began: arrived,
            age: 0,
            results,
            recalled: false,
            lane: None,
            active: false,
            era: 0,
            stage,
        })
    }

    // Inline: a delivery is twenty words, which are then written where they stay.
    #[inline(always)]
    fn put(&mut self, mut delivery: Delivery) -> Key {
        delivery.age = self.ages.enter();
        self.serial += 1;
        Key { slot: self.slots.insert((self.serial, delivery)), serial: self.serial }
    }

    /// The delivery, unless it has ended.
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Delivery> {
        self.slots.get_mut(key.slot).filter(|(serial, _)| *serial == key.serial).map(|(_, delivery)| delivery)
    }

    /// Marks the deliveries that a source wants back, and answers which.
    pub(super) fn recall(&mut self, recall: &Recall) -> Vec<Key> {
        let is_meant = |delivery: &Delivery| match &delivery.origin {
            Origin::Source(receipt) => recall.covers(receipt),
            Origin::Kept(kept) => recall.covers(&kept.0),
            Origin::Row(_) => false,
        };
        let meant = self.slots.iter_mut().filter(|(_, (_, delivery))| is_meant(delivery));
        let mark = |(slot, (serial, delivery)): (usize, &mut (u64, Delivery))| {
            delivery.recalled = true;
            Key { slot, serial: *serial }
        };
        meant.map(mark).collect()
    }

    /// Whether the delivery has not ended.
    pub(super) fn has(&self, key: Key) -> bool {
        self.slots.get(key.slot).is_some_and(|(serial, _)| *serial == key.serial)
    }

    /// Ends the delivery, which `look` sees before; answers what was of it, or nothing if it was not there.
    #[inline]
    pub(super) fn settle(&mut self, key: Key, outcome: Outcome, look: impl FnOnce(&Delivery)) -> Option<Ended> {
        let (_, delivery) = self.slots.get(key.slot).filter(|(serial, _)| *serial == key.serial)?;
        look(delivery);
        let (_, delivery) = self.slots.remove(key.slot);
        self.ages.leave(delivery.age);
        let (mut row, mut beside) = (None, None);
        match delivery.origin {
            Origin::Source(receipt) => {
                // What is put aside, or goes back to its source, is not done.
                let done = outcome == Outcome::Ack && !matches!(delivery.stage, Stage::Park);
                if done && receipt.ends_beside(self.rule) {
                    beside = found(&receipt, &delivery.event);
                }
                receipt.settle(outcome);
            }
            Origin::Kept(kept) => {
                let (receipt, stored) = *kept;
                receipt.settle(outcome);
                row = Some((Box::new(stored), matches!(delivery.stage, Stage::Keep(_))));
            }
            Origin::Row(stored) => {
                self.rows -= 1;
                row = Some((stored, matches!(delivery.stage, Stage::Keep(_))));
            }
        }
        Some(Ended { lane: delivery.lane, active: delivery.active, era: delivery.era, row, beside })
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many of them hold a seat, and will until they have ended.
    pub(super) fn seated(&self) -> usize {
        self.slots.len().saturating_sub(self.rows + self.leaving)
    }

    /// One that has no row yet is on its way to one, or has arrived there.
    pub(super) fn leaves(&mut self, key: Key, arrived: bool) {
        let has_none = self.get(key).is_some_and(|delivery| delivery.stored().is_none());
        self.leaving = match arrived {
            true => self.leaving.saturating_sub(usize::from(has_none)),
            false => self.leaving + usize::from(has_none),
        };
    }

    /// What is taken in from here on arrives then, in milliseconds since 1970.
    pub(super) fn turn(&mut self, now: u64) {
        self.ages.turn(now);
    }

    /// Since when the oldest is there, to the second.
    pub(super) fn oldest(&mut self) -> Option<Stamp> {
        self.ages.oldest().map(Stamp)
    }

    /// Every delivery, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Delivery)> {
        self.slots.iter().map(|(slot, (serial, delivery))| (Key { slot, serial: *serial }, delivery))
    }

    /// The same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut Delivery)> {
        self.slots.iter_mut().map(|(slot, (serial, delivery))| (Key { slot, serial: *serial }, delivery))
    }

    /// Ends every delivery; answers how many there were.
    pub(super) fn settle_all(&mut self, outcome: Outcome) -> Rest {
        let mut rest = Rest::default();
        self.ages = Ages::default();
        (self.rows, self.leaving) = (0, 0);
        for (_, delivery) in self.slots.drain() {
            match delivery.origin {
                Origin::Source(receipt) => {
                    rest.handed += 1;
                    rest.elsewhere += usize::from(!receipt.is_durable());
                    receipt.settle(outcome);
                }
                Origin::Kept(kept) => {
                    kept.0.settle(outcome);
                    rest.rows += 1;
                }
                Origin::Row(_) => rest.rows += 1,
            }
        }
        rest
    }
}

/// Where a message stands, and the print of its event.
#[cold]
fn found(receipt: &Receipt, event: &Event) -> Option<Box<(Spot, Print)>> {
    Some(Box::new((receipt.spot()?, print(event))))
}
