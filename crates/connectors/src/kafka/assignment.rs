//! The partitions that this member has.
//!
//! A partition that goes and comes back is another one: what was in flight of the first must never move the offset of the
//! second. So each stands in a slot with a generation, and whatever is in flight remembers both.

use std::collections::HashMap;

use engine::delivery::Stream;
use engine::event::Text;
use rdkafka::TopicPartitionList;
use rdkafka::topic_partition_list::Offset;

use super::watermark::{Ticket, Watermark};
use crate::normalise::{Ids, prefix};

/// One partition as long as this member has it.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) topic: Text,
    pub(super) number: i32,
    /// The number as text.
    pub(super) text: Text,
    /// What the captures of the topic are.
    pub(super) captured: Vec<Option<Text>>,
    /// The ids of its events that have none.
    pub(super) ids: Ids,
    pub(super) watermark: Watermark,
    /// What the engine knows it as, once something of it was delivered.
    pub(super) stream: Option<Stream>,
    /// Whether it is paused because too much of it has finished above the watermark.
    pub(super) halted: bool,
    /// Whether it is being given back: nothing more of it is delivered.
    pub(super) leaving: bool,
    /// Whether it may be committed further than it was stored.
    dirty: bool,
}

/// Which delivery of which partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    slot: usize,
    generation: u32,
    ticket: Ticket,
}

/// The partitions of this member.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    slots: Vec<(u32, Option<Partition>)>,
    /// Slots by topic and number.
    index: HashMap<Text, HashMap<i32, usize>>,
    /// The slot of the last message; the next one is likely of the same.
    last: usize,
}

impl Assignment {
    /// Adds a partition.
    pub(super) fn add(&mut self, topic: &str, number: i32, captured: Vec<Option<Text>>) {
        let topic = Text::new(topic);
        let partition = Partition {
            ids: Ids::new(prefix(&[topic.as_bytes(), &number.to_le_bytes()])),
            text: Text::new(number.to_string()),
            topic: topic.clone(),
            number,
            captured,
            watermark: Watermark::default(),
            stream: None,
            halted: false,
            leaving: false,
            dirty: false,
        };
        let free = self.slots.iter().position(|(_, partition)| partition.is_none());
        let slot = free.unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() - 1
        });
        self.slots[slot].0 = self.slots[slot].0.wrapping_add(1);
        self.slots[slot].1 = Some(partition);
        self.index.entry(topic).or_default().insert(number, slot);
    }

    /// Removes a partition.
    pub(super) fn remove(&mut self, topic: &str, number: i32) {
        if let Some(slot) = self.index.get_mut(topic).and_then(|numbers| numbers.remove(&number)) {
            self.slots[slot].1 = None;
        }
    }

    /// The slot of a partition.
    pub(super) fn find(&mut self, topic: &str, number: i32) -> Option<usize> {
        let same = |partition: &Partition| partition.number == number && partition.topic == topic;
        if !self.slots.get(self.last).and_then(|(_, partition)| partition.as_ref()).is_some_and(same) {
            self.last = *self.index.get(topic)?.get(&number)?;
        }
        Some(self.last)
    }

    /// The partition in a slot.
    pub(super) fn get(&mut self, slot: usize) -> Option<&mut Partition> {
        self.slots.get_mut(slot)?.1.as_mut()
    }

    /// Every partition.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.slots.iter().filter_map(|(_, partition)| partition.as_ref())
    }

    /// Every partition, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        self.slots.iter_mut().filter_map(|(_, partition)| partition.as_mut())
    }

    /// A message of the partition in `slot` was delivered.
    pub(super) fn delivered(&mut self, slot: usize, offset: i64) -> Option<Place> {
        let (generation, partition) = self.slots.get_mut(slot)?;
        let ticket = partition.as_mut()?.watermark.delivered(offset);
        Some(Place { slot, generation: *generation, ticket })
    }

    /// A message has finished. Answers its partition, unless that was lost meanwhile.
    pub(super) fn finished(&mut self, place: Place) -> Option<&mut Partition> {
        let (generation, partition) = self.slots.get_mut(place.slot)?;
        let partition = partition.as_mut().filter(|_| *generation == place.generation)?;
        partition.dirty |= partition.watermark.finished(place.ticket);
        Some(partition)
    }

    /// The partition of a message that was delivered, unless that was lost meanwhile.
    pub(super) fn of(&self, place: Place) -> Option<&Partition> {
        let (generation, partition) = self.slots.get(place.slot)?;
        partition.as_ref().filter(|_| *generation == place.generation)
    }

    /// What may be committed further than when this was last asked, as the offsets of the next messages to read.
    pub(super) fn take_progress(&mut self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in self.iter_mut() {
            if std::mem::take(&mut partition.dirty)
                && let Some(next) = partition.watermark.next()
            {
                // Only an offset that cannot be written is refused, and a message's can.
                let _ = list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(next));
            }
        }
        list
    }

    /// Whether [`Assignment::take_progress`] would answer anything.
    pub(super) fn has_progressed(&self) -> bool {
        self.iter().any(|partition| partition.dirty)
    }
}

/// The names of some partitions, for librdkafka.
pub(super) fn list<'p>(partitions: impl IntoIterator<Item = &'p Partition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(assignment: &mut Assignment) -> Vec<(i32, i64)> {
        let list = assignment.take_progress();
        list.elements().iter().map(|element| (element.partition(), element.offset().to_raw().unwrap())).collect()
    }

    #[test]
    fn what_was_in_flight_of_a_lost_partition_moves_nothing() {
        let mut assignment = Assignment::default();
        assignment.add("t", 0, Vec::new());
        assignment.add("t", 1, Vec::new());
        let slot = assignment.find("t", 0).unwrap();
        let before = assignment.delivered(slot, 10).unwrap();
        assignment.remove("t", 0);
        assert_eq!(assignment.find("t", 0), None);
        assert!(assignment.of(before).is_none() && assignment.finished(before).is_none());
        assignment.add("t", 0, Vec::new());
        assert_eq!(assignment.find("t", 0), Some(slot), "the slot is the same and the generation is not");
        let after = assignment.delivered(slot, 50).unwrap();
        assert!(assignment.finished(before).is_none() && !assignment.has_progressed());
        assert!(assignment.of(before).is_none() && assignment.of(after).is_some());
        assert!(assignment.finished(after).is_some());
        assert_eq!(progress(&mut assignment), [(0, 51)]);
    }

    #[test]
    fn progress_is_told_once() {
        let mut assignment = Assignment::default();
        for number in 0..3 {
            assignment.add("t", number, Vec::new());
        }
        let mut places = Vec::new();
        for (number, offset) in [(2, 7), (0, 3), (2, 8)] {
            let slot = assignment.find("t", number).unwrap();
            places.push(assignment.delivered(slot, offset).unwrap());
        }
        assert!(assignment.finished(places[2]).is_some() && !assignment.has_progressed());
        assert!(assignment.finished(places[0]).is_some() && assignment.has_progressed());
        assert_eq!(progress(&mut assignment), [(2, 9)]);
        assert_eq!(progress(&mut assignment), []);
        assert_eq!(assignment.find("u", 0), None);
        assert_eq!(assignment.iter().count(), 3);
    }
}
