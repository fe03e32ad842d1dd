//! The few requests of JetStream's API that a source needs, and what it reads from the answers.
//!
//! Fields are read leniently: a server that knows more policies than we do is not refused for it.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::connection::{Connection, answered};
use super::fault::Fault;
use super::options::{Create, Durable};
use super::wire::Broken;

/// What of a stream matters here.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Stream {
    pub(super) config: StreamConfig,
    /// When it was made; with a sequence it names a message for ever.
    pub(super) created: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamConfig {
    pub(super) subjects: Vec<String>,
    pub(super) retention: String,
    pub(super) storage: String,
    pub(super) discard: String,
    pub(super) max_msgs: i64,
    pub(super) max_bytes: i64,
    /// Nanoseconds.
    pub(super) max_age: u64,
}

/// What of a consumer matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Consumer {
    pub(super) config: ConsumerConfig,
    pub(super) num_pending: u64,
    pub(super) num_ack_pending: u64,
    /// Everything of the stream up to here is acknowledged.
    pub(super) ack_floor: Floor,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Floor {
    pub(super) stream_seq: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConsumerConfig {
    pub(super) ack_policy: String,
    pub(super) deliver_subject: Option<String>,
    /// Nanoseconds.
    pub(super) ack_wait: u64,
    pub(super) max_deliver: i64,
    pub(super) max_ack_pending: i64,
    pub(super) max_batch: i64,
    /// Nanoseconds; 0 is no limit.
    pub(super) max_expires: u64,
    /// Nanoseconds; 0 is for ever.
    pub(super) inactive_threshold: u64,
    pub(super) filter_subject: String,
    pub(super) filter_subjects: Vec<String>,
    pub(super) headers_only: bool,
}

impl Consumer {
    /// Messages that nobody has finished: not delivered yet, and delivered but not acknowledged.
    pub(super) fn lag(&self) -> u64 {
        self.num_pending.saturating_add(self.num_ack_pending)
    }
}

impl ConsumerConfig {
    /// How long a message may stay unacknowledged.
    pub(super) fn lease(&self) -> Duration {
        match self.ack_wait {
            0 => Duration::from_secs(30),
            nanos => Duration::from_nanos(nanos),
        }
    }

    /// How long a pull request may stand, if that is bounded.
    pub(super) fn longest(&self) -> Option<Duration> {
        (self.max_expires > 0).then(|| Duration::from_nanos(self.max_expires))
    }

    /// What it delivers of its stream; nothing when that is everything.
    pub(super) fn filters(&self) -> Vec<&str> {
        match self.filter_subject.as_str() {
            "" => self.filter_subjects.iter().map(String::as_str).collect(),
            one => vec![one],
        }
    }
}

/// The consumer, by an answer to [`consumer_info`]; nothing when it is a refusal, which says nothing of it.
pub(super) fn told(answer: &[u8]) -> Option<Consumer> {
    if serde_json::from_slice::<Answer>(answer).ok()?.error.is_some() {
        return None;
    }
    serde_json::from_slice(answer).ok()
}

/// An answer that says no.
#[derive(Debug, Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Answer {
    error: Option<Refusal>,
}

/// The stream, made first if it may be and is not there.
pub(super) async fn stream(connection: &mut Connection, durable: &Durable) -> Result<Stream, Fault> {
    let name = &durable.stream;
    let info = format!("{}.STREAM.INFO.{name}", durable.api());
    if let Some(stream) = call(connection, &info, &Value::Null).await?.found("stream", name)? {
        return Ok(stream);
    }
    let Some(create) = &durable.create else {
        return Err(Fault::JetStream(format!("has no stream '{name}'; create it, or write create: {{}} here")));
    };
    let subject = format!("{}.STREAM.CREATE.{name}", durable.api());
    match call(connection, &subject, &stream_request(durable, create)).await? {
        Reply::Done(stream) => Ok(stream),
        // Another replica may have been quicker.
        Reply::Refused(refusal) => match call(connection, &info, &Value::Null).await? {
            Reply::Done(stream) => Ok(stream),
            Reply::Refused(_) => Err(refused("stream", name, &refusal)),
        },
    }
}

/// The consumer, made first if it may be and is not there.
pub(super) async fn consumer(
    connection: &mut Connection,
    durable: &Durable,
    stream: &Stream,
    capacity: usize,
) -> Result<Consumer, Fault> {
    let Durable { stream: stream_name, durable: name, .. } = durable;
    let info = consumer_info(durable);
    if let Some(consumer) = call(connection, &info, &Value::Null).await?.found("consumer", name)? {
        return Ok(consumer);
    }
    let Some(create) = &durable.create else {
        let text = format!("has no consumer '{name}' on stream '{stream_name}'; create it, or write create: {{}} here");
        return Err(Fault::JetStream(text));
    };
    let several = connection.info.is_at_least(2, 10);
    let request = consumer_request(durable, create, stream, capacity, several)?;
    let subject = format!("{}.CONSUMER.DURABLE.CREATE.{stream_name}.{name}", durable.api());
    match call(connection, &subject, &request).await? {
        Reply::Done(consumer) => Ok(consumer),
        Reply::Refused(refusal) => match call(connection, &info, &Value::Null).await? {
            Reply::Done(consumer) => Ok(consumer),
            Reply::Refused(_) => Err(refused("consumer", name, &refusal)),
        },
    }
}

/// Where to ask for the state of the consumer.
pub(super) fn consumer_info(durable: &Durable) -> String {
    format!("{}.CONSUMER.INFO.{}.{}", durable.api(), durable.stream, durable.durable)
}

fn stream_request(durable: &Durable, create: &Create) -> Value {
    json!({
        "name": durable.stream,
        "subjects": durable.subjects,
        "retention": create.retention.name(),
        "storage": create.storage.name(),
        "num_replicas": create.replicas,
        "max_age": u64::try_from(create.max_age.as_nanos()).unwrap_or(u64::MAX),
        "max_bytes": create.max_bytes.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX)),
        "max_msgs": -1,
        "max_consumers": -1,
        "discard": "old",
    })
}

fn consumer_request(
    durable: &Durable,
    create: &Create,
    stream: &Stream,
    capacity: usize,
    several: bool,
) -> Result<Value, Fault> {
    let mut config = json!({
        "durable_name": durable.durable,
        "ack_policy": "explicit",
        "deliver_policy": create.deliver.name(),
        "replay_policy": "instant",
        "ack_wait": u64::try_from(create.ack_wait.as_nanos()).unwrap_or(u64::MAX),
        "max_deliver": -1,
        // Room for as many replicas as anybody is likely to run; beyond it the server stops without a word.
        "max_ack_pending": create.max_ack_pending.unwrap_or(capacity.saturating_mul(16).max(1000)),
    });
    let everything = durable.subjects.len() == stream.config.subjects.len()
        && durable.subjects.iter().all(|subject| stream.config.subjects.contains(subject));
    match durable.subjects.as_slice() {
        _ if everything => {}
        [one] => config["filter_subject"] = one.as_str().into(),
        many if several => config["filter_subjects"] = json!(many),
        _ => {
            let text = "takes only one subject of a stream for each consumer before version 2.10; write one subject, or \
                        the stream's own subjects";
            return Err(Fault::JetStream(text.to_owned()));
        }
    }
    Ok(json!({ "stream_name": durable.stream, "config": config }))
}

enum Reply<T> {
    Done(T),
    Refused(Refusal),
}

impl<T> Reply<T> {
    /// What was asked for, nothing if it is not there.
    fn found(self, noun: &str, name: &str) -> Result<Option<T>, Fault> {
        match self {
            Reply::Done(found) => Ok(Some(found)),
            Reply::Refused(refusal) if refusal.code == 404 => Ok(None),
            Reply::Refused(refusal) => Err(refused(noun, name, &refusal)),
        }
    }
}

fn refused(noun: &str, name: &str, refusal: &Refusal) -> Fault {
    Fault::JetStream(format!("refused {noun} '{name}': {} (code {})", refusal.description, refusal.code))
}

async fn call<T: DeserializeOwned>(
    connection: &mut Connection,
    subject: &str,
    request: &Value,
) -> Result<Reply<T>, Fault> {
    let payload = if request.is_null() { String::new() } else { request.to_string() };
    let Some(answer) = answered(connection.request(subject, payload.as_bytes()).await?) else {
        let text = "has no JetStream for this user; configure jetstream {} there, or leave stream and durable out";
        return Err(Fault::JetStream(text.to_owned()));
    };
    let broken = |cause| Broken(format!("an answer of its JetStream API cannot be read: {cause}"));
    let refusal = serde_json::from_slice::<Answer>(&answer).map_err(broken)?.error;
    match refusal {
        Some(refusal) => Ok(Reply::Refused(refusal)),
        None => Ok(Reply::Done(serde_json::from_slice(&answer).map_err(broken)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable(subjects: &[&str]) -> Durable {
        Durable {
            subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
            stream: "FLEET".to_owned(),
            durable: "mill".to_owned(),
            domain: None,
            create: None,
        }
    }

    fn of_subjects(subjects: &[&str]) -> Stream {
        let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        Stream { config: StreamConfig { subjects, ..StreamConfig::default() }, created: String::new() }
    }

    fn config(subjects: &[&str], stream: &[&str], several: bool) -> Result<Value, Fault> {
        let create = Create::default();
        consumer_request(&durable(subjects), &create, &of_subjects(stream), 100, several)
            .map(|mut v| v["config"].take())
    }

    #[test]
    fn a_consumer_filters_only_what_it_does_not_want() {
        let whole = config(&["a.*"], &["a.*"], false).unwrap();
        assert!(whole.get("filter_subject").is_none());
        assert_eq!((whole["ack_policy"].as_str(), whole["max_deliver"].as_i64()), (Some("explicit"), Some(-1)));
        assert_eq!(whole["max_ack_pending"], 1600);
        assert_eq!(config(&["a.*"], &["a.*", "b"], false).unwrap()["filter_subject"], "a.*");
        assert_eq!(config(&["a", "b"], &["a", "b", "c"], true).unwrap()["filter_subjects"], json!(["a", "b"]));
        assert!(config(&["a", "b"], &["a", "b", "c"], false).unwrap_err().to_string().contains("2.10"));
    }

    #[test]
    fn an_answer_is_read_leniently() {
        let json = r#"{"type":"x","config":{"ack_policy":"flow_control","ack_wait":2000000000,"max_ack_pending":-1,"filter_subjects":["a"]},
            "created":"2026-11-21T06:58:00.123Z","num_pending":7,"num_ack_pending":3,"ack_floor":{"consumer_seq":4,"stream_seq":5},"delivered":{}}"#;
        let consumer: Consumer = serde_json::from_str(json).unwrap();
        assert_eq!((consumer.lag(), consumer.config.lease()), (10, Duration::from_secs(2)));
        assert_eq!(consumer.config.filters(), ["a"]);
        assert_eq!(ConsumerConfig::default().lease(), Duration::from_secs(30));
        let told = told(json.as_bytes()).unwrap();
        assert_eq!((told.lag(), told.ack_floor.stream_seq), (10, 5));
    }

    #[test]
    fn a_refusal_is_no_lag_of_zero() {
        let refusal = br#"{"type":"x","error":{"code":503,"err_code":10008,"description":"system unavailable"}}"#;
        assert!(told(refusal).is_none() && told(b"no json").is_none());
    }
}
