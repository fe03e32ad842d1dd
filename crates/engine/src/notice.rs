//! What is told of a delivery that has ended: an event of its own, for the outputs that `onSuccess` and `onFailure` name.
//!
//! Decisions: it says what the record of an AWS Lambda destination says, **as a CloudEvent**: what a filter may ask for stands
//! in attributes, the event and its results in the data, whole. **Its id is made from what it is about**, so that who gets the
//! same notice twice, which a crash can bring about, can tell. It keeps the subject, the key and the trace of its event, so that
//! it goes where the event goes.

use serde::Serialize;
use smol_str::format_smolstr;

use crate::dead_letter::timestamp;
use crate::event::json::encode_line;
use crate::event::{Event, Name, Text, Value};
use crate::store::Stamp;

/// The type of what is told of a delivery that ended well.
pub const SUCCEEDED: &str = "org.tidemill.delivery.succeeded";
/// The type of what is told of a delivery that was given up.
pub const FAILED: &str = "org.tidemill.delivery.failed";

/// The attribute that names the event which something was made from.
pub(crate) const CAUSE: &str = "causationid";

/// What is known of a delivery that has ended.
#[derive(Debug)]
pub(crate) struct Notice<'n> {
    /// `trigger/rule`.
    pub(crate) rule: &'n str,
    /// The rule's function, if it has one.
    pub(crate) function: Option<&'n str>,
    /// Attempts of the stage that decided.
    pub(crate) attempts: u32,
    /// How often it was given up before and sent on its way again.
    pub(crate) redrives: u32,
    /// When it ended.
    pub(crate) time: Stamp,
    /// Its event.
    pub(crate) event: &'n Event,
}

/// Why a delivery was given up.
#[derive(Debug)]
pub(crate) struct Failure<'n> {
    /// As in its dead letter.
    pub(crate) reason: &'static str,
    /// What kind of failure the last one was, where it has a name.
    pub(crate) code: Option<&'n str>,
    /// What was said last.
    pub(crate) message: &'n str,
    /// When an attempt failed first.
    pub(crate) first: Stamp,
    /// The name of its dead letter.
    pub(crate) letter: String,
}

/// What stands before the event. A type, not a JSON tree, so that the members keep their order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    condition: &'static str,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    attempts: u32,
    redrives: u32,
    time: String,
    #[serde(flatten)]
    failure: Option<Fault<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fault<'a> {
    reason: &'static str,
    code: Option<&'a str>,
    message: &'a str,
    first_time: String,
    dead_letter: &'a str,
}

impl Notice<'_> {
    /// That it ended well, with these results.
    pub(crate) fn succeeded(&self, results: &[Event]) -> Option<Event> {
        let mut data = self.head("succeeded", None);
        data.extend_from_slice(b",\"results\":[");
        for (place, result) in results.iter().enumerate() {
            if place > 0 {
                data.push(b',');
            }
            encode_line(result, &mut data);
        }
        data.extend_from_slice(b"]}");
        self.told(SUCCEEDED, data, None)
    }

    /// That it was given up.
    pub(crate) fn failed(&self, failure: &Failure<'_>) -> Option<Event> {
        let fault = Fault {
            reason: failure.reason,
            code: failure.code,
            message: failure.message,
            first_time: timestamp(failure.first),
            dead_letter: &failure.letter,
        };
        let mut data = self.head("failed", Some(fault));
        data.push(b'}');
        self.told(FAILED, data, Some(failure))
    }

    /// One JSON object up to its event, without its end.
    fn head(&self, condition: &'static str, failure: Option<Fault<'_>>) -> Vec<u8> {
        let Notice { rule, function, attempts, redrives, .. } = *self;
        let head = Head { condition, rule, function, attempts, redrives, time: timestamp(self.time), failure };
        // Text and numbers only: there is nothing that could fail.
        let mut data = serde_json::to_vec(&head).unwrap_or_default();
        data.pop();
        // The events are appended as text: a JSON tree would rewrite their payloads.
        data.extend_from_slice(b",\"event\":");
        encode_line(self.event, &mut data);
        data
    }

    /// The event that says so, which is always one: none of the three attributes that it needs is empty.
    fn told(&self, kind: &'static str, data: Vec<u8>, failure: Option<&Failure<'_>>) -> Option<Event> {
        let event = self.event;
        let redrives = format_smolstr!("{}", self.redrives);
        let id = digest(&[event.source(), event.id(), self.rule, kind, &redrives]);
        let source = format_smolstr!("/tidemill/rules/{}", self.rule);
        let mut notice = Event::new(id, source, Text::new_static(kind)).ok()?;
        let mut edit = notice.edit();
        if let Some(subject) = event.subject() {
            edit.subject(subject.clone());
        }
        edit.time(timestamp(self.time).into()).ok()?;
        edit.data(data.into(), Some(Text::new_static("application/json")));
        let text = |text: &str| Value::String(text.into());
        let key = event.extension("partitionkey");
        let attributes = [
            (CAUSE, Some(Value::String(event.id().clone()))),
            ("rule", Some(text(self.rule))),
            ("function", self.function.map(text)),
            ("attempts", Some(Value::Integer(self.attempts.into()))),
            ("reason", failure.map(|failure| text(failure.reason))),
            ("code", failure.and_then(|failure| failure.code).map(text)),
            ("partitionkey", key.cloned()),
        ];
        for (name, value) in attributes {
            // Constants, which are names.
            if let (Ok(name), Some(value)) = (Name::new(name), value) {
                edit.extension(name, value);
            }
        }
        notice.continue_trace(event);
        Some(notice)
    }
}

/// What these texts have in common with no others, in 32 characters: FNV-1a of 128 bits over each text and its length. It is
/// for those who mean well: somebody who wants two of them to be the same can have that.
pub(crate) fn digest(texts: &[&str]) -> Text {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    let hash = texts.iter().fold(BASIS, |hash, text| {
        let hash = text.bytes().fold(hash, step);
        (text.len() as u64).to_le_bytes().into_iter().fold(hash, step)
    });
    format_smolstr!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::event;

    fn notice<'n>(event: &'n Event) -> Notice<'n> {
        Notice { rule: "t/r", function: Some("f"), attempts: 3, redrives: 1, time: Stamp(1_700_000_000_123), event }
    }

    fn data(notice: &Event) -> serde_json::Value {
        serde_json::from_slice(notice.data().unwrap()).unwrap()
    }

    #[test]
    fn success_tells_of_the_event_and_its_results_whole() {
        let payload = &b"{\"speed\":1.10,\"big\":12345678901234567890123}"[..];
        let key = Name::new("partitionkey").unwrap();
        let event = event("1").with_subject("veh-1".into()).with_extension(key, "k");
        let event = event.with_data(payload.into(), Some("application/json".into()));
        let told = notice(&event).succeeded(&[self::event("a"), self::event("b")]).unwrap();
        assert_eq!((told.r#type().as_str(), told.source().as_str()), (SUCCEEDED, "/tidemill/rules/t/r"));
        assert_eq!((told.subject().map(Text::as_str), told.key().as_deref()), (Some("veh-1"), Some("k")));
        let said: Vec<_> = told.extensions().iter().map(|(name, value)| format!("{name}={}", value.text())).collect();
        assert_eq!(said, ["causationid=1", "rule=t/r", "function=f", "attempts=3", "partitionkey=k"]);
        let text = std::str::from_utf8(told.data().unwrap()).unwrap();
        assert!(text.contains(std::str::from_utf8(payload).unwrap()), "{text}");
        let data = data(&told);
        assert_eq!((&data["condition"], &data["redrives"]), (&"succeeded".into(), &1.into()));
        assert_eq!((&data["results"][1]["id"], &data["time"]), (&"b".into(), &"2023-11-14T22:13:20.123Z".into()));
        assert_eq!(data.get("reason"), None);
    }

    #[test]
    fn failure_tells_why_and_where_the_dead_letter_is() {
        let event = event("1");
        let failure = Failure {
            reason: "exhausted",
            code: Some("timeout"),
            message: "said \"no\"",
            first: Stamp(1_700_000_000_000),
            letter: "01m7zsytm000".to_owned(),
        };
        let bare = Notice { function: None, ..notice(&event) };
        let told = bare.failed(&failure).unwrap();
        assert_eq!(told.r#type(), FAILED);
        let said: Vec<_> = told.extensions().iter().map(|(name, value)| format!("{name}={}", value.text())).collect();
        assert_eq!(said, ["causationid=1", "rule=t/r", "attempts=3", "reason=exhausted", "code=timeout"]);
        let data = data(&told);
        assert_eq!((&data["condition"], &data["message"]), (&"failed".into(), &"said \"no\"".into()));
        assert_eq!((&data["deadLetter"], &data["event"]["id"]), (&"01m7zsytm000".into(), &"1".into()));
        assert_eq!((data.get("function"), data.get("results")), (None, None));
    }

    #[test]
    fn the_same_delivery_has_one_id_and_others_have_others() {
        let event = event("1");
        let id = |notice: Notice<'_>| notice.succeeded(&[]).unwrap().id().clone();
        assert_eq!(id(notice(&event)), id(Notice { attempts: 9, time: Stamp(5), ..notice(&event) }));
        assert_ne!(id(notice(&event)), id(Notice { redrives: 2, ..notice(&event) }), "another life");
        assert_ne!(id(notice(&event)), id(Notice { rule: "t/s", ..notice(&event) }));
        assert_ne!(digest(&["a", "bc"]), digest(&["ab", "c"]), "where one ends counts");
        assert_eq!(digest(&[]), "6c62272e07bb014262b821756295c58d");
    }
}
