//! The HTTP protocol binding of CloudEvents.
//!
//! The content type says that a request is structured, or a batch; a binary one carries its attributes in headers that
//! begin with `ce-`, whose values are percent-encoded. `traceparent` and `tracestate` are the hop's, and so those of every
//! event in a batch. Nothing else in a request says anything about an event.

use bytes::Bytes;
use engine::event::{Event, Invalid, Text};
use serde_json::value::RawValue;

use super::{Hop, NoEvent, Received, Template, percent};

/// What the headers of attributes begin with, in lower case as HTTP libraries hand names over.
const PREFIX: &str = "ce-";
/// The media type of a batch in JSON, without its parameters.
const BATCH: &str = "application/cloudevents-batch+json";
/// The media type of each event in it.
const STRUCTURED: &str = "application/cloudevents+json";

/// A request as HTTP delivers it.
#[derive(Clone, Debug)]
pub struct Request<'m> {
    /// The path it was sent to.
    pub path: &'m str,
    /// What the path's captures are, in the order of the template.
    pub captured: &'m [Option<&'m str>],
    /// The content type.
    pub content_type: Option<&'m str>,
    /// The headers in the order in which they came, names in lower case.
    pub headers: &'m [(&'m str, &'m [u8])],
    /// The body.
    pub payload: Bytes,
}

impl Template {
    /// The events that a request is, or the one that this template makes of it. A batch has any number of them, and one
    /// that is none spoils all of it; everything else has exactly one.
    ///
    /// # Errors
    /// [`NoEvent`] when it claims to be an event and is none, or the template cannot make one.
    pub fn http(&self, request: Request<'_>, mut id: impl FnMut() -> Text) -> Result<Vec<Event>, NoEvent> {
        let Request { path, captured, content_type, headers, payload } = request;
        let attributes = headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, *value)));
        let mut hop = Hop::default();
        headers.iter().for_each(|(name, value)| hop.note(name.as_bytes(), value));
        let receive = |content_type, payload, id: &mut dyn FnMut() -> Text| {
            let received = Received {
                whole: path,
                captured,
                content_type,
                binary: attributes.clone().any(|(name, _)| name == "specversion"),
                attributes: attributes.clone().map(|(name, value)| match percent::decode(value) {
                    Ok(value) => Ok((name, value)),
                    Err(cause) => {
                        Err(NoEvent::Header { name: Text::from(format!("{PREFIX}{name}")), problem: cause.to_string() })
                    }
                }),
                hop: Some(&hop),
                payload,
            };
            self.receive(received, id)
        };
        if !content_type.is_some_and(is_batch) {
            return receive(content_type, payload, &mut id).map(|event| vec![event]);
        }
        let items: Vec<&RawValue> = serde_json::from_slice(&payload)
            .map_err(|cause| Invalid::Json(format!("a batch is a JSON array of events: {cause}")))?;
        let event = |item: &&RawValue| receive(Some(STRUCTURED), payload.slice_ref(item.get().as_bytes()), &mut id);
        items.iter().map(event).collect()
    }
}

/// Whether a content type says that the body is a batch of events in JSON.
fn is_batch(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim_end();
    media_type.eq_ignore_ascii_case(BATCH)
}

#[cfg(test)]
mod tests {
    use engine::config::{Check, EventTemplate};

    use super::*;
    use crate::normalise::Origin;

    fn events(content_type: Option<&str>, headers: &[(&str, &str)], body: &'static str) -> Result<Vec<Event>, NoEvent> {
        let origin = Origin { whole: "path", r#type: "plain", source: "{path}" };
        let template = Template::compile(&EventTemplate::default(), &[], &origin, &mut Check::default());
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let payload = Bytes::from_static(body.as_bytes());
        let mut drawn = 0;
        template.http(Request { path: "/in", captured: &[], content_type, headers: &headers, payload }, || {
            drawn += 1;
            Text::from(format!("drawn-{drawn}"))
        })
    }

    const CORE: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "e-1"), ("ce-type", "t"), ("ce-source", "/s%20x")];

    #[test]
    fn a_binary_request_has_its_attributes_in_headers() {
        let mut headers = CORE.to_vec();
        headers.extend([("ce-subject", "Euro%20%E2%82%AC"), ("x-other", "1"), ("ce-num", "\"quoted %22\"")]);
        let [event] = events(Some("text/plain"), &headers, "hello").unwrap().try_into().unwrap();
        assert_eq!((event.id().as_str(), event.source().as_str()), ("e-1", "/s x"));
        assert_eq!(event.subject().unwrap(), "Euro €");
        assert_eq!(event.extension("num").unwrap().text(), "quoted \"");
        assert_eq!(event.datacontenttype().unwrap(), "text/plain");
        assert_eq!(event.data().unwrap(), "hello");
        let [bare] = events(None, &CORE, "").unwrap().try_into().unwrap();
        assert_eq!((bare.data(), bare.datacontenttype()), (None, None));
    }

    #[test]
    fn a_structured_request_is_its_body() {
        let body = r#"{"specversion":"1.0","id":"e-2","type":"t","source":"/s","data":{"b":1, "a":1.10}}"#;
        for content_type in ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"] {
            let [event] = events(Some(content_type), &[("ce-id", "ignored")], body).unwrap().try_into().unwrap();
            assert_eq!((event.id().as_str(), event.data().unwrap().as_ref()), ("e-2", &br#"{"b":1, "a":1.10}"#[..]));
        }
    }

    #[test]
    fn a_batch_has_any_number_of_events_and_one_bad_one_spoils_it() {
        let media_type = Some("application/cloudevents-batch+json; charset=UTF-8");
        let body = r#" [ {"specversion":"1.0","id":"a","type":"t","source":"/s"} ,
            {"specversion":"1.0","id":"b","type":"t","source":"/s","data":[1]}]"#;
        let ids: Vec<_> = events(media_type, &[], body).unwrap().iter().map(|event| event.id().clone()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(events(media_type, &[], "[]").unwrap(), []);
        for body in [r#"[{"specversion":"1.0","id":"a","type":"t","source":"/s"},{"id":"b"}]"#, "{}", "", "[", "[1]"] {
            assert!(events(media_type, &[], body).is_err(), "{body}");
        }
    }

    #[test]
    fn any_other_request_goes_through_the_template() {
        let [event] = events(Some("text/csv"), &[("ce-id", "no event without a specversion")], "a,b")
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(
            (event.id().as_str(), event.r#type().as_str(), event.source().as_str()),
            ("drawn-1", "plain", "/in")
        );
        assert_eq!(event.datacontenttype().unwrap(), "text/csv");
    }

    #[test]
    fn the_trace_in_the_headers_is_the_hops_and_that_of_every_event_in_a_batch() {
        let (hop, origin) = (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        let said = |event: &Event| {
            let own = event.extension("traceparent").map(|value| value.text().into_owned());
            (own.unwrap_or_default(), event.trace().map(|trace| (trace.parent().to_owned(), trace.state().is_some())))
        };
        let (ours, theirs) = (hop.to_owned(), origin.to_owned());
        let mut headers = vec![("traceparent", hop), ("tracestate", "a=1"), ("tracestate", "b=2")];
        headers.extend(CORE);
        let [event] = events(None, &headers, "x").unwrap().try_into().unwrap();
        assert_eq!(said(&event), (ours.clone(), Some((ours.clone(), true))));
        assert_eq!(event.extension("tracestate").unwrap().text(), "a=1,b=2");
        headers.push(("ce-traceparent", origin));
        let [event] = events(None, &headers, "x").unwrap().try_into().unwrap();
        assert_eq!(said(&event), (theirs.clone(), Some((ours.clone(), true))));
        let batch = r#"[{"specversion":"1.0","id":"1","type":"t","source":"/s"},
            {"specversion":"1.0","id":"2","type":"t","source":"/s",
             "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}]"#;
        let batch = events(Some(BATCH), &headers[..1], batch).unwrap();
        let expected = [ours.clone(), theirs].map(|own| (own, Some((ours.clone(), false))));
        assert_eq!(batch.iter().map(said).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_claims_to_be_an_event_and_is_none_is_refused() {
        let mut twice = CORE.to_vec();
        twice.push(("ce-id", "e-2"));
        let mut garbled = CORE.to_vec();
        garbled.push(("ce-subject", "%C0%A0"));
        let no_id: Vec<_> = CORE.iter().copied().filter(|(name, _)| *name != "ce-id").collect();
        for headers in [twice, garbled.clone(), no_id] {
            assert!(events(None, &headers, "").is_err(), "{headers:?}");
        }
        let said = events(None, &garbled, "").unwrap_err().to_string();
        assert!(said.starts_with("header 'ce-subject' cannot be read"), "{said}");
        let avro = events(Some("application/cloudevents+avro"), &[], "").unwrap_err();
        assert!(matches!(avro, NoEvent::Format(_)), "{avro}");
        assert!(matches!(events(Some("application/cloudevents-batch+xml"), &[], ""), Err(NoEvent::Format(_))));
    }
}
