//! From an event to a message: its routing key, its properties and its payload.
//!
//! There is no binding of CloudEvents for AMQP 0-9-1; that of AMQP 1.0 is taken over. Binary mode has the attributes as
//! text in headers `cloudEvents_NAME`, the prefix which that binding prefers (both are read), and the media type in the
//! property `content_type`; structured mode has the event in JSON. The property `message_id` is the event's id in both,
//! and headers `traceparent` and `tracestate` carry the trace on.

use bytes::Bytes;
use connectors::amqp::{FRAME, Stamp};
use connectors::normalise::is_amqp_fact;
use engine::event::{Event, json};

use crate::message::{Mode, STRUCTURED, Template, attributes, content_type, hop};

/// The longest name that AMQP can carry, in bytes.
pub(super) const LONGEST: usize = 255;

/// How events become messages.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) routing_key: Template,
    pub(super) mode: Mode,
    /// The largest payload, in bytes.
    pub(super) largest: u64,
}

/// A message that is ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parcel {
    pub(super) routing_key: Box<str>,
    /// The event's id, as far as it fits.
    pub(super) message_id: Option<Box<str>>,
    pub(super) properties: Bytes,
    pub(super) payload: Bytes,
}

/// How the headers of attributes begin.
const PREFIX: &str = "cloudEvents_";

impl Form {
    /// The message for `event`, or why there is none.
    pub(super) fn parcel(&self, event: &Event) -> Result<Parcel, String> {
        let mut buffer = String::new();
        let routing_key = self.routing_key.fill(event, &mut buffer).map_err(|missing| {
            format!("{missing}, which routingKey needs; write one that every event has, or filter these events out")
        })?;
        if routing_key.len() > LONGEST {
            let shown: String = routing_key.chars().take(60).collect();
            let size = routing_key.len();
            return Err(format!(
                "the routing key '{shown}...' has {size} bytes, and AMQP carries {LONGEST}; shorten what routingKey is made of"
            ));
        }
        let message_id = Some(event.id().as_str()).filter(|id| id.len() <= LONGEST);
        let (media_type, mut headers, payload) = match self.mode {
            Mode::Binary => {
                // How another message came is not true of this one.
                let own = attributes(event).filter(|(name, _)| !is_amqp_fact(name));
                let headers = own.map(|(name, value)| (format!("{PREFIX}{name}"), value.into_owned()));
                (content_type(event), headers.collect::<Vec<_>>(), event.data().cloned().unwrap_or_default())
            }
            Mode::Structured => {
                let mut text = Vec::new();
                json::encode(event, &mut text);
                (Some(STRUCTURED), Vec::new(), text.into())
            }
            Mode::Payload => (content_type(event), Vec::new(), event.data().cloned().unwrap_or_default()),
        };
        headers.extend(hop(event).map(|(name, value)| (name.to_owned(), value.to_owned())));
        if payload.len() as u64 > self.largest {
            let (size, largest) = (payload.len(), self.largest);
            return Err(format!(
                "the payload has {size} bytes, more than maxMessageSize ({largest}); raise it, and max_message_size there"
            ));
        }
        let too_long = |(name, _): &&(String, String)| name.len() > LONGEST;
        if let Some((name, _)) = headers.iter().find(too_long) {
            let shown: String = name.chars().take(60).collect();
            return Err(format!(
                "the header '{shown}...' has a name of {} bytes, and AMQP carries {LONGEST}; shorten the attribute's, or use \
                 mode: structured",
                name.len()
            ));
        }
        if let Some(size) = media_type.map(str::len).filter(|size| *size > LONGEST) {
            return Err(format!(
                "the event's datacontenttype has {size} bytes, and AMQP carries {LONGEST}; shorten it, or use mode: structured"
            ));
        }
        let stamp = Stamp { content_type: media_type, message_id };
        let Some(properties) = stamp.properties(headers) else {
            return Err(format!(
                "the event's attributes do not fit into one frame of {FRAME} bytes (frame_max); shorten them, or use \
                 mode: structured"
            ));
        };
        Ok(Parcel { routing_key: routing_key.into(), message_id: message_id.map(Into::into), properties, payload })
    }
}

#[cfg(test)]
mod tests {
    use engine::config::{Check, Spanned};
    use engine::event::Name;

    use super::*;
    use crate::tests::{HOP, ORIGIN, traced};

    fn form(routing_key: &str, mode: Mode) -> Form {
        let typed = Spanned { value: routing_key.to_owned(), ..Spanned::default() };
        Form { routing_key: Template::compile(&typed, &mut Check::default()), mode, largest: 1000 }
    }

    fn event() -> Event {
        Event::new("e 1".into(), "/fleet/é".into(), "org.example.alert".into())
            .unwrap()
            .with_data(Bytes::from_static(b"{\"n\":1.10}"), None)
    }

    #[test]
    fn a_binary_message_has_its_data_as_payload_and_a_structured_one_the_event() {
        let parcel = form("alerts.{type}", Mode::Binary).parcel(&event()).unwrap();
        assert_eq!((&*parcel.routing_key, parcel.message_id.as_deref()), ("alerts.org.example.alert", Some("e 1")));
        assert_eq!(parcel.payload, "{\"n\":1.10}");
        let read = parcel.properties.windows(PREFIX.len() + 2).any(|part| part == b"cloudEvents_id");
        assert!(read, "the prefix that is preferred");
        let parcel = form("alerts", Mode::Structured).parcel(&event()).unwrap();
        assert_eq!(json::decode(&parcel.payload).unwrap().data(), event().data());
        let parcel = form("alerts", Mode::Payload).parcel(&event()).unwrap();
        assert_eq!(parcel.payload, "{\"n\":1.10}");
        let holds = |parcel: &Parcel, text: &[u8]| parcel.properties.windows(text.len()).any(|part| part == text);
        assert!(holds(&parcel, b"application/json") && !holds(&parcel, PREFIX.as_bytes()));
    }

    #[test]
    fn how_another_message_came_is_not_said_of_this_one() {
        let event = event().with_extension(Name::new("amqproutingkey").unwrap(), "orders.new");
        let parcel = form("alerts", Mode::Binary).parcel(&event).unwrap();
        assert!(!parcel.properties.windows(10).any(|part| part == b"routingkey"));
    }

    #[test]
    fn the_trace_goes_on_in_headers_of_its_own() {
        for mode in [Mode::Binary, Mode::Structured, Mode::Payload] {
            let properties = form("alerts", mode).parcel(&traced(event())).unwrap().properties;
            let once = |part: &str| properties.windows(part.len()).filter(|text| *text == part.as_bytes()).count();
            let attribute = usize::from(mode == Mode::Binary);
            assert_eq!((once("\x0btraceparentS\0\0\0\x37"), once(HOP), once("\x0atracestate")), (1, 1, 1));
            assert_eq!((once("cloudEvents_traceparent"), once(ORIGIN)), (attribute, attribute));
        }
    }

    #[test]
    fn what_cannot_be_a_message_is_refused_in_words() {
        let refused = |routing_key: &str, event: Event| form(routing_key, Mode::Binary).parcel(&event).unwrap_err();
        assert!(refused("a.{tenant}", event()).contains("no attribute 'tenant'"));
        let tenant = |text: String| event().with_extension(Name::new("tenant").unwrap(), text.as_str());
        assert!(refused("a.{tenant}", tenant("x".repeat(255))).contains("has 257 bytes, and AMQP carries 255"));
        assert!(refused("a", tenant("x".repeat(140_000))).contains("one frame of 131072 bytes"));
        assert!(refused("a", event().with_data(vec![0; 1001].into(), None)).contains("max_message_size"));
        assert!(refused("a", event().with_datacontenttype("x".repeat(256).into())).contains("datacontenttype"));
        let name = Name::new(&"n".repeat(250)).unwrap();
        assert!(refused("a", event().with_extension(name, "x")).contains("has a name of 262 bytes"));
        let long = Event::new("i".repeat(256).into(), "/s".into(), "t".into()).unwrap();
        assert_eq!(form("a", Mode::Binary).parcel(&long).unwrap().message_id, None);
    }
}
