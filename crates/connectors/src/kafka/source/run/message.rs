//! From one message to an event in a seat.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use engine::config::AckPoint;
use engine::delivery::{Seats, Undecodable};
use engine::event::{Event, Text};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{Run, STORE};
use crate::kafka::assignment::Partition;
use crate::kafka::source::Ingredients;
use crate::kept;
use crate::normalise::Record;

/// Of a payload that is too large, so much is kept.
const KEPT: usize = 64 << 10;

/// Names and values in order.
type HeaderList<'m> = SmallVec<[(&'m str, Option<&'m [u8]>); 12]>;

impl Run<'_> {
    /// Hands one message over, unless its partition is not this member's any more.
    pub(super) fn deliver(&mut self, message: &BorrowedMessage<'_>, seats: &mut Seats<'_>) {
        let Some(slot) = self.assignment.find(message.topic(), message.partition()) else { return };
        let Some(partition) = self.assignment.get(slot).filter(|partition| !partition.leaving) else { return };
        let offset = message.offset().unsigned_abs();
        let (topic, number) = (&partition.topic, &partition.text);
        let name = || Text::from(format!("{topic}/{number}"));
        let stream = match partition.stream {
            Some(stream) => stream,
            None => {
                let stream = seats.stream(&name(), &Text::default());
                partition.stream = Some(stream);
                // The group begins where it stands: what is below was accepted, by this member or another.
                self.accepted.push((stream, offset));
                stream
            }
        };
        let seat = match event(self.made_of, partition, message) {
            Ok(event) => seats.deliver_at(event, stream, offset).ok(),
            Err(raw) => seats.reject_at(*raw, stream, offset).ok(),
        };
        // Whoever calls this has a seat.
        let Some(seat) = seat else { return };
        self.occupied += 1;
        let place = self.assignment.delivered(slot, message.offset());
        self.places[seat.index()] = match self.made_of.ack {
            AckPoint::Received => {
                place.and_then(|place| self.assignment.finished(place));
                self.store.get_or_insert_with(|| Instant::now() + STORE);
                None
            }
            _ => place,
        };
    }
}

/// The event that a message is, or its raw bytes and why it is none.
pub(super) fn event(
    made_of: &Ingredients,
    partition: &Partition,
    message: &BorrowedMessage<'_>,
) -> Result<Event, Box<Undecodable>> {
    let payload = message.payload();
    let refuse = |reason: String| {
        let kept = payload.unwrap_or_default();
        let most = if kept.len() > made_of.limit { KEPT } else { kept.len() };
        let raw = Bytes::copy_from_slice(&kept[..kept.len().min(most)]);
        Box::new(Undecodable { raw, reason, facts: facts(partition, message) })
    };
    let length = payload.map_or(0, <[u8]>::len);
    if length > made_of.limit {
        let reason = format!("the payload has {length} bytes, which is more than maxMessageSize ({})", made_of.limit);
        return Err(refuse(format!("{reason}; {} of them are kept", length.min(KEPT))));
    }
    let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
    let captured: SmallVec<[Option<&str>; 4]> =
        partition.captured.iter().map(|part| part.as_ref().map(Text::as_str)).chain([key]).collect();
    let headers = headers(message).ok_or_else(|| refuse("the name of a header is not UTF-8".to_owned()))?;
    let record = Record {
        topic: &partition.topic,
        partition: &partition.text,
        offset: message.offset(),
        captured: &captured,
        key: message.key(),
        headers: headers.into_iter(),
        payload: payload.map(Bytes::copy_from_slice),
    };
    let id = || partition.ids.at(message.offset().unsigned_abs());
    made_of.template.kafka(record, id).map_err(|cause| refuse(cause.to_string()))
}

/// The headers, or nothing if one of their names is not UTF-8: the crate panics over such a name.
fn headers<'m>(message: &'m BorrowedMessage<'_>) -> Option<HeaderList<'m>> {
    let Some(headers) = message.headers() else { return Some(HeaderList::new()) };
    let read = || headers.iter().map(|header| (header.key, header.value)).collect();
    catch_unwind(AssertUnwindSafe(read)).ok()
}

/// Where the message stood, and its headers.
fn facts(partition: &Partition, message: &BorrowedMessage<'_>) -> Vec<(Text, Text)> {
    let mut facts = vec![
        ("topic".into(), partition.topic.clone()),
        ("partition".into(), partition.text.clone()),
        ("offset".into(), Text::new(message.offset().to_string())),
    ];
    if let Some(key) = message.key() {
        facts.push(("key".into(), Text::new(String::from_utf8_lossy(&key[..key.len().min(KEPT)]))));
    }
    let mut kept = kept::Headers::default();
    for (name, value) in headers(message).unwrap_or_default() {
        kept.add(name.as_bytes(), value);
    }
    facts.extend(kept.fact());
    facts
}
