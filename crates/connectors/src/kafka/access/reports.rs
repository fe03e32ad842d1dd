//! What librdkafka says of its connections, in sentences that name the brokers and what to change.

use engine::event::Text;
use engine::metric::{Connection, Link};
use parking_lot::Mutex;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Tokens;
use crate::kafka::statistics::Report;

/// Where one client's words go.
#[derive(Debug)]
pub struct Reports {
    /// The name of the source or output.
    name: Text,
    address: String,
    link: Link,
    tokens: Option<Tokens>,
    /// Why a broker was lost the last time; that all of them are is said later, and without a reason.
    reason: Mutex<Option<String>>,
    /// What was logged of the present loss.
    said: Mutex<Option<String>>,
}

impl Reports {
    /// Reports on the client of the adapter `name` to the brokers at `address`.
    #[must_use]
    pub fn new(name: Text, address: String, link: Link, tokens: Option<Tokens>) -> Reports {
        Reports { name, address, link, tokens, reason: Mutex::new(None), said: Mutex::new(None) }
    }

    /// The adapter's connection.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The adapter's name.
    #[must_use]
    pub fn name(&self) -> &Text {
        &self.name
    }

    /// A sentence about these brokers.
    #[must_use]
    pub fn sentence(&self, what: &str) -> String {
        format!("kafka at {}: {what}", self.address)
    }

    /// Something went wrong in the client's background.
    pub fn error(&self, error: &KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => {
                let last = self.reason.lock().clone();
                let why = last.unwrap_or_else(|| "no broker answers".to_owned());
                let sentence = self.sentence(&why);
                // It is said with every attempt, and need be heard once.
                if self.said.lock().replace(why.clone()) != Some(why) {
                    tracing::warn!(name = %self.name, "{sentence}");
                }
                self.link.disconnected(sentence);
            }
            Some(code @ (Code::Authentication | Code::SSL | Code::BrokerTransportFailure | Code::Resolve)) => {
                let advice = match code {
                    Code::Authentication => "; check sasl.mechanism and what it logs in with",
                    Code::SSL => "; check tls.ca, tls.cert and tls.key",
                    _ => "",
                };
                let sentence = format!("{}{advice}", brief(reason));
                self.link.error(self.sentence(&sentence));
                *self.reason.lock() = Some(sentence);
            }
            Some(Code::UnknownTopicOrPartition) => {
                self.trouble(&format!("{}; create the topic, or change topics", brief(reason)));
            }
            Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed) => {
                self.trouble(&format!("{}; allow this user to read it", brief(reason)));
            }
            _ => self.trouble(&brief(reason)),
        }
    }

    /// Something that somebody should know and that ends nothing.
    pub fn trouble(&self, what: &str) {
        let sentence = self.sentence(what);
        tracing::warn!(name = %self.name, "{sentence}");
        self.link.error(sentence);
    }

    /// A line of librdkafka's own log.
    pub fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        use RDKafkaLogLevel as Level;
        let name = &self.name;
        match level {
            // A reader that stood where the topic's retention has been already: nothing else says so.
            Level::Warning if facility == "OFFSET" => {
                let skipped = skipped(line);
                let many = skipped.map_or_else(String::new, |count| format!(" of {count} offsets"));
                let advice = "raise the retention of the topic, or read faster";
                self.trouble(&format!("what stood there{many} is gone and was never read; {advice}: {line}"));
                // At least one; how many more is not known when the new place is asked for first.
                self.link.dropped("retention", skipped.unwrap_or(1));
            }
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
                tracing::debug!(%name, facility, "librdkafka warns: {line}");
            }
            Level::Notice | Level::Info | Level::Debug => tracing::trace!(%name, facility, "librdkafka: {line}"),
        }
    }

    /// The figures of the last second, from which a producer knows that a broker answers.
    pub fn statistics(&self, json: &[u8]) {
        if Report::read(json).is_ok_and(|report| report.is_up()) {
            self.connected();
        }
    }

    /// The client is ready, for the first time or again.
    pub fn connected(&self) {
        if self.link.read().connection != Connection::Connected {
            *self.said.lock() = None;
            self.link.connected();
        }
    }

    /// The next token.
    ///
    /// # Errors
    /// When there is none; it is reported too.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.tokens.as_ref().ok_or("kafka.sasl has no token")?;
        tokens.draw().inspect_err(|cause| self.trouble(&cause.to_string()))
    }
}

/// How many offsets lie between the two that a line about a reset names, if it names both.
fn skipped(line: &str) -> Option<u64> {
    let mut numbers = line.split("offset ").filter_map(|rest| {
        let end = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<u64>().ok()
    });
    let (from, to) = (numbers.next()?, numbers.next()?);
    to.checked_sub(from).filter(|count| *count > 0)
}

/// librdkafka's words without the parts that only its authors need: the thread, the URL twice, and how long something took.
fn brief(reason: &str) -> String {
    let reason = reason.split_once(" (after ").map_or(reason, |(words, _)| words);
    let reason = reason.split_once("]: ").map_or(reason, |(_, words)| words);
    let mut words = reason.trim().trim_end_matches('.').to_owned();
    if let Some(first) = words.get_mut(..1)
        && reason.chars().nth(1).is_some_and(char::is_lowercase)
    {
        first.make_ascii_lowercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> Reports {
        Reports::new("orders".into(), "a:1,b:2".to_owned(), Link::default(), None)
    }

    fn say(reports: &Reports, code: RDKafkaErrorCode, reason: &str) -> String {
        reports.error(&KafkaError::Global(code), reason);
        reports.link().read().last_error.unwrap()
    }

    #[test]
    fn one_lost_broker_is_an_error_and_all_of_them_a_lost_connection() {
        let reports = reports();
        reports.link().connected();
        let reason =
            "[thrd:a:1/1]: a:1/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        let said = say(&reports, RDKafkaErrorCode::BrokerTransportFailure, reason);
        assert_eq!(said, "kafka at a:1,b:2: a:1/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused");
        assert_eq!(reports.link().read().connection, Connection::Connected);
        let said = say(&reports, RDKafkaErrorCode::AllBrokersDown, "2/2 brokers are down");
        assert!(said.ends_with("Connection refused"), "{said}");
        assert_eq!(reports.link().read().connection, Connection::Disconnected);
    }

    #[test]
    fn what_retention_took_is_said_and_counted() {
        let reports = reports();
        let line = |to: &str| {
            format!(
                "[thrd:main]: orders [0]: offset reset (at offset 5 (leader epoch 0), broker 1) to {to}: fetch failed \
                 due to requested offset not available on the broker: Broker: Offset out of range"
            )
        };
        reports.log(RDKafkaLogLevel::Warning, "OFFSET", &line("cached BEGINNING offset offset 12 (leader epoch -1)"));
        let said = reports.link().read().last_error.unwrap();
        assert!(said.contains("7 offsets is gone") && said.contains("orders [0]"), "{said}");
        reports.log(RDKafkaLogLevel::Warning, "OFFSET", &line("offset BEGINNING (leader epoch -1)"));
        reports.log(RDKafkaLogLevel::Info, "OFFSET", &line("offset BEGINNING (leader epoch -1)"));
        reports.log(RDKafkaLogLevel::Warning, "FETCH", "x");
        let dropped: Vec<_> = reports.link().read().dropped.into_iter().collect();
        assert_eq!(dropped, [("retention".into(), 8)]);
    }

    #[test]
    fn a_refusal_says_what_to_change() {
        let said = say(&reports(), RDKafkaErrorCode::Authentication, "SASL authentication error: invalid credentials");
        assert!(said.ends_with("invalid credentials; check sasl.mechanism and what it logs in with"), "{said}");
        let topic = "Subscribed topic not available: nope: Broker: Unknown topic or partition";
        let said = say(&reports(), RDKafkaErrorCode::UnknownTopicOrPartition, topic);
        assert!(said.contains("subscribed topic not available: nope") && said.contains("create the topic"), "{said}");
    }
}
