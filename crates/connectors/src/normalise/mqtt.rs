//! The MQTT protocol binding of CloudEvents.
//!
//! MQTT 5 says in its content type that a message is structured, and carries the attributes of a binary one as user
//! properties, whose names have no prefix. So `traceparent` and `tracestate` are attributes of a binary message, and of any
//! other the hop's. A message of MQTT 3.1.1 has neither, and keeps neither when a broker passes it
//! on to MQTT 5; so without a content type a JSON object with a `specversion` is a structured event too.

use std::borrow::Cow;

use bytes::Bytes;
use engine::event::Event;

use super::{Hop, Ids, NoEvent, Received, Template};

/// A message as MQTT delivers it. `U` gives the user properties in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct Message<'m, U> {
    /// The topic it was published to.
    pub topic: &'m str,
    /// What the topic's captures are, in the order of the template.
    pub captured: &'m [Option<&'m str>],
    /// The content type of MQTT 5.
    pub content_type: Option<&'m str>,
    /// Whether a user property is called `specversion`.
    pub binary: bool,
    /// The user properties of MQTT 5.
    pub user: U,
    /// What the user properties say that belong to the hop, as far as they are no attributes.
    pub hop: Option<&'m Hop<'m>>,
    /// The payload.
    pub payload: Bytes,
}

impl Template {
    /// The event that an MQTT message is, or that this template makes of it.
    ///
    /// # Errors
    /// [`NoEvent`] when it claims to be an event and is none, or the template cannot make one.
    pub fn mqtt<'m, U>(&self, ids: &mut Ids, message: Message<'m, U>) -> Result<Event, NoEvent>
    where
        U: Iterator<Item = (&'m str, &'m str)>,
    {
        let received = Received {
            whole: message.topic,
            captured: message.captured,
            content_type: message.content_type,
            binary: message.binary,
            attributes: message.user.map(|(name, value)| Ok((name, Cow::Borrowed(value)))),
            hop: message.hop.filter(|_| !message.binary),
            payload: message.payload,
        };
        self.receive(received, || ids.draw())
    }
}

#[cfg(test)]
mod tests;
