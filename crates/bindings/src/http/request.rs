//! From an event to a request. Headers `traceparent` and `tracestate` carry its trace on in every mode.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use connectors::credentials::Revealed;
use connectors::http::signature::Key;
use engine::event::{Event, json};
use engine::registry::OpenError;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request};

use super::target::Target;
use crate::message::{Mode, STRUCTURED, attributes, content_type, hop, percent};

/// What requests look like.
pub(super) struct Form {
    pub(super) target: Target,
    pub(super) mode: Mode,
    /// What every request has, credentials among it.
    pub(super) headers: HeaderMap,
    pub(super) key: Option<Key>,
}

impl Form {
    /// The request that carries `event`.
    ///
    /// # Errors
    /// Why there is none, lower case.
    pub(super) fn request(&self, event: &Event) -> Result<Request, String> {
        let mut request = Request::new(Method::POST, self.target.fill(event)?);
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let body = match self.mode {
            Mode::Structured => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
                let mut body = Vec::new();
                json::encode(event, &mut body);
                Bytes::from(body)
            }
            Mode::Binary => {
                for (name, value) in attributes(event) {
                    let unfit = |_| format!("attribute '{name}' does not fit into a header");
                    let header = HeaderName::try_from(format!("ce-{name}"));
                    let header = header.map_err(|cause| format!("{cause}: '{name}'"))?;
                    headers.insert(header, HeaderValue::from_str(&percent(&value)).map_err(unfit)?);
                }
                data(event, headers)?
            }
            Mode::Payload => data(event, headers)?,
        };
        for (name, value) in hop(event) {
            headers.insert(name, HeaderValue::from_str(value).map_err(|cause| format!("{name}: {cause}"))?);
        }
        if let Some(key) = &self.key {
            let signed = HeaderValue::try_from(key.sign(&body)).map_err(|cause| cause.to_string())?;
            headers.insert(key.header().clone(), signed);
        }
        *request.body_mut() = Some(body.into());
        Ok(request)
    }
}

/// The data, whose media type is a header.
fn data(event: &Event, headers: &mut HeaderMap) -> Result<Bytes, String> {
    if let Some(media_type) = content_type(event) {
        let unfit = |_| "the event's datacontenttype does not fit into a header".to_owned();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(media_type).map_err(unfit)?);
    }
    Ok(event.data().cloned().unwrap_or_default())
}

/// A header's value that is never shown.
///
/// # Errors
/// [`OpenError`] names the key.
pub(super) fn secret_value(key: &str, text: &str) -> Result<HeaderValue, OpenError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| OpenError { message: format!("{key} holds a character that no header can carry"), cause: None })?;
    value.set_sensitive(true);
    Ok(value)
}

/// How a user and a password are shown.
pub(super) fn basic(login: &Revealed) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", part(&login.user), part(&login.password))))
}

#[cfg(test)]
mod tests {
    use engine::event::{Name, Value};

    use super::*;
    use crate::http::reach::Reach;
    use crate::tests::{HOP, ORIGIN, traced};

    fn form(mode: Mode) -> Form {
        let target = Target::parse("http://a/{partitionkey}", Reach { private: true }).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", secret_value("http.headers.x-api-key", "s3cret").unwrap());
        Form { target, mode, headers, key: None }
    }

    fn event() -> Event {
        Event::new("e-1".into(), "/fleet/é".into(), "t".into())
            .unwrap()
            .with_extension(Name::new("partitionkey").unwrap(), "veh 1")
            .with_extension(Name::new("level").unwrap(), Value::Integer(3))
            .with_data(Bytes::from_static(b"{\"b\": 1.10}"), Some("application/json".into()))
    }

    fn shown(request: &Request) -> Vec<String> {
        let shown = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut shown: Vec<_> = request.headers().iter().map(shown).collect();
        shown.sort();
        shown
    }

    #[test]
    fn a_binary_request_carries_the_data_as_it_is() {
        let request = form(Mode::Binary).request(&event()).unwrap();
        assert_eq!((request.method(), request.url().as_str()), (&Method::POST, "http://a/veh%201"));
        assert_eq!(
            shown(&request),
            [
                "ce-id: e-1",
                "ce-level: 3",
                "ce-partitionkey: veh%201",
                "ce-source: /fleet/%C3%A9",
                "ce-specversion: 1.0",
                "ce-type: t",
                "content-type: application/json",
                "x-api-key: s3cret",
            ]
        );
        assert_eq!(request.body().unwrap().as_bytes().unwrap(), b"{\"b\": 1.10}");
        assert!(!format!("{request:?}").contains("s3cret"));
    }

    #[test]
    fn a_structured_request_carries_the_whole_event() {
        let request = form(Mode::Structured).request(&event()).unwrap();
        assert_eq!(shown(&request), ["content-type: application/cloudevents+json", "x-api-key: s3cret"]);
        let body = Bytes::copy_from_slice(request.body().unwrap().as_bytes().unwrap());
        assert_eq!(json::decode(&body).unwrap(), event());
    }

    #[test]
    fn the_data_alone_has_its_media_type_and_no_attribute() {
        let request = form(Mode::Payload).request(&event()).unwrap();
        assert_eq!(shown(&request), ["content-type: application/json", "x-api-key: s3cret"]);
        assert_eq!(request.body().unwrap().as_bytes().unwrap(), b"{\"b\": 1.10}");
    }

    #[test]
    fn the_trace_goes_on_in_headers_of_its_own() {
        for mode in [Mode::Binary, Mode::Structured, Mode::Payload] {
            let request = form(mode).request(&traced(event())).unwrap();
            let trace: Vec<_> = shown(&request).into_iter().filter(|header| header.contains("trace")).collect();
            let attribute = (mode == Mode::Binary).then(|| format!("ce-traceparent: {ORIGIN}"));
            let headers = [format!("traceparent: {HOP}"), "tracestate: rojo=1,\tcongo=a b".to_owned()];
            assert_eq!(trace, attribute.into_iter().chain(headers).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let odd = event().with_datacontenttype("text/é\n".into());
        assert!(form(Mode::Binary).request(&odd).unwrap_err().contains("datacontenttype"));
        let Err(error) = secret_value("http.auth", "a\nb") else { panic!("accepted") };
        assert!(error.message.starts_with("http.auth holds a character"));
        let login = Revealed { user: Some("Aladdin".into()), password: Some("open sesame".into()) };
        assert_eq!(basic(&login), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
