//! From a message of NATS to an event, or to the reason why it is none.

use bytes::{Bytes, BytesMut};
use engine::delivery::Undecodable;
use engine::event::{Event, Name, Text};

use super::{Run, Staged};
use crate::nats::header::Headers;
use crate::nats::options::Reading;
use crate::normalise::{NoEvent, Received};

/// The most bytes of headers that are kept beside the payload of what is no event.
const HEADERS: usize = 4096;

/// What the transport knows of every message, as extension attributes.
#[derive(Debug)]
pub(super) struct Facts {
    subject: Option<Name>,
    /// The name of the stream, and the attributes that say it and the place in it.
    stream: Option<(Text, Name, Name)>,
    durable: bool,
}

impl Facts {
    pub(super) fn new(reading: &Reading) -> Facts {
        let name = |name: &str| Name::new(name).ok();
        let stream = match reading {
            Reading::Core(_) => None,
            Reading::Stream(durable) => name("natsstream")
                .zip(name("natssequence"))
                .map(|(stream, sequence)| (Text::new(&durable.stream), stream, sequence)),
        };
        Facts { subject: name("natssubject"), stream, durable: matches!(reading, Reading::Stream(_)) }
    }

    /// Whether messages come from a durable consumer.
    pub(super) fn durable(&self) -> bool {
        self.durable
    }

    /// The stream's name, if there is one.
    pub(super) fn stream_name(&self) -> Option<&Text> {
        self.stream.as_ref().map(|(name, ..)| name)
    }

    fn add(&self, event: &mut Event, subject: &str, sequence: Option<u64>) {
        let mut edit = event.edit();
        if let Some(name) = &self.subject {
            edit.extension(name.clone(), Text::new(subject));
        }
        if let (Some((stream, name, place)), Some(sequence)) = (&self.stream, sequence) {
            edit.extension(name.clone(), stream.clone());
            // Beyond what an integer attribute can be, so it is text.
            edit.extension(place.clone(), Text::from(sequence.to_string()));
        }
    }
}

impl Run<'_> {
    /// The event that a message is, or why it is none.
    pub(super) fn event(&mut self, staged: &Staged) -> Result<Event, Undecodable> {
        let message = &staged.message;
        let sequence = staged.position.map(|position| position.place.sequence);
        let refuse = |reason: String| self.refused(staged, reason);
        let Ok(subject) = std::str::from_utf8(&message.subject) else {
            return Err(refuse("its subject is not UTF-8 text".to_owned()));
        };
        let Some(captured) = self.made_of.subjects.capture(subject) else {
            return Err(refuse("its subject matches none of the source's subjects".to_owned()));
        };
        let headers = match Headers::read(&message.headers) {
            Ok(headers) => headers,
            Err(flaw) => return Err(refuse(flaw.to_string())),
        };
        let received = Received {
            whole: subject,
            captured: &captured,
            content_type: headers.content_type,
            binary: headers.binary,
            attributes: headers.attributes(),
            hop: Some(&headers.hop),
            payload: message.payload.clone(),
        };
        let (positions, ids) = (&self.positions, &mut self.made_of.ids);
        let event: Result<Event, NoEvent> = self.made_of.template.receive(received, || match (positions, sequence) {
            (Some((_, positions)), Some(sequence)) => positions.at(sequence),
            _ => ids.draw(),
        });
        match event {
            Ok(mut event) => {
                self.facts.add(&mut event, subject, sequence);
                Ok(event)
            }
            Err(cause) => Err(self.refused(staged, cause.to_string())),
        }
    }

    fn refused(&self, staged: &Staged, reason: String) -> Undecodable {
        let Staged { message, position, .. } = staged;
        let text = |bytes: &[u8]| Text::from(String::from_utf8_lossy(bytes));
        let mut facts = vec![("subject".into(), text(&message.subject))];
        if let (Some((stream, ..)), Some(position)) = (&self.facts.stream, position) {
            facts.push(("stream".into(), stream.clone()));
            facts.push(("sequence".into(), Text::from(position.place.sequence.to_string())));
        }
        Undecodable { raw: raw(&message.headers, &message.payload), reason, facts }
    }
}

/// The message as it came: its headers, as far as they are not absurdly long, and its payload.
fn raw(headers: &Bytes, payload: &Bytes) -> Bytes {
    if headers.is_empty() {
        return payload.clone();
    }
    let headers = &headers[..headers.len().min(HEADERS)];
    let mut raw = BytesMut::with_capacity(headers.len() + payload.len());
    raw.extend_from_slice(headers);
    raw.extend_from_slice(payload);
    raw.freeze()
}
