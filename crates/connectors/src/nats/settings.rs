//! Whether the settings of a stream and its consumer keep what the engine promises: pure, and said in sentences.
//!
//! Decision: what would lose or mix up messages is refused; what is a risk is said in the log and in the status, and the
//! source goes on, because only its owner knows whether the risk was meant.

use std::time::Duration;

use super::api::{ConsumerConfig, StreamConfig};
use super::options::Durable;

/// A lease shorter than this may pass while a progress report is on its way.
const SHORT: Duration = Duration::from_secs(2);

/// Why the consumer cannot be used, to be put after "server ADDRESS ".
pub(super) fn unusable(durable: &Durable, stream: &StreamConfig, consumer: &ConsumerConfig) -> Option<String> {
    let name = format!("consumer '{}' of stream '{}'", durable.durable, durable.stream);
    if consumer.deliver_subject.is_some() {
        return Some(format!("has {name} as one that pushes; make one that is pulled from, or name another durable"));
    }
    if consumer.ack_policy != "explicit" {
        let policy = &consumer.ack_policy;
        return Some(format!("has {name} with ack policy '{policy}', which loses what fails; make it explicit"));
    }
    if consumer.headers_only {
        return Some(format!("has {name} delivering headers only; make it deliver payloads too"));
    }
    let filters = consumer.filters();
    let wanted: Vec<&str> = durable.subjects.iter().map(String::as_str).collect();
    let same = filters.len() == wanted.len() && wanted.iter().all(|subject| filters.contains(subject));
    if !filters.is_empty() && !same {
        let (filters, wanted) = (filters.join(", "), wanted.join(", "));
        return Some(format!("has {name} filtering '{filters}' and not '{wanted}'; change one of them"));
    }
    // Without a filter it brings whatever the stream holds, and what is none of ours would be terminated: on a work queue
    // that deletes it. A stream that lists no subjects, such as a mirror, cannot be judged.
    let strange = |subject: &&String| !durable.subjects.iter().any(|wanted| covers(wanted, subject));
    if filters.is_empty()
        && let Some(subject) = stream.subjects.iter().find(strange)
    {
        let wanted = wanted.join(", ");
        return Some(format!(
            "has {name} without a filter, so that it brings '{subject}' too; make it filter '{wanted}'"
        ));
    }
    None
}

/// Whether every subject that `narrow` stands for is one of those that `wide` stands for.
fn covers(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split('.'), narrow.split('.'));
    loop {
        match (wide.next(), narrow.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// What is a risk, a sentence each.
pub(super) fn risks(stream: &StreamConfig, consumer: &ConsumerConfig, durable: &Durable, seats: usize) -> Vec<String> {
    let (stream_name, name) = (&durable.stream, &durable.durable);
    let mut risks = Vec::new();
    let pending = consumer.max_ack_pending;
    if pending > 0 && usize::try_from(pending).is_ok_and(|pending| pending < seats) {
        risks.push(format!(
            "consumer '{name}' has max_ack_pending {pending}, which is below the {seats} seats of this engine alone, and all \
             engines of the consumer share it: the server stops delivering there without a word"
        ));
    }
    if consumer.lease() < SHORT {
        let lease = consumer.lease();
        risks.push(format!(
            "consumer '{name}' has ack_wait {lease:?}: an event is delivered again when a progress report takes longer than \
             half of it; set 30s"
        ));
    }
    if consumer.max_deliver > 0 {
        let most = consumer.max_deliver;
        risks.push(format!(
            "consumer '{name}' has max_deliver {most}: a message that was delivered so often is never delivered again, and \
             nobody is told; set -1"
        ));
    }
    if consumer.inactive_threshold > 0 {
        let after = Duration::from_nanos(consumer.inactive_threshold);
        risks.push(format!(
            "consumer '{name}' has inactive_threshold {after:?}: the server deletes it when no engine has asked for so long, \
             and with it how far the stream was read; set 0"
        ));
    }
    if stream.storage == "memory" {
        risks.push(format!("stream '{stream_name}' is kept in memory: a server that restarts forgets it"));
    }
    let mut limits = Vec::new();
    if stream.max_msgs > 0 {
        limits.push(format!("max_msgs {}", stream.max_msgs));
    }
    if stream.max_bytes > 0 {
        limits.push(format!("max_bytes {}", stream.max_bytes));
    }
    if stream.max_age > 0 {
        limits.push(format!("max_age {:?}", Duration::from_nanos(stream.max_age)));
    }
    // A stream that refuses new messages when it is full loses only by age.
    let refuses = stream.discard == "new" && stream.max_age == 0;
    if !limits.is_empty() && !refuses {
        let kept = if stream.retention == "workqueue" { " although it is a work queue" } else { "" };
        let limits = limits.join(", ");
        risks.push(format!(
            "stream '{stream_name}' drops messages that were never delivered beyond {limits}{kept}; watch the lag"
        ));
    }
    risks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable() -> Durable {
        Durable {
            subjects: vec!["a.*".to_owned()],
            stream: "FLEET".to_owned(),
            durable: "mill".to_owned(),
            domain: None,
            create: None,
        }
    }

    fn good() -> ConsumerConfig {
        ConsumerConfig {
            ack_policy: "explicit".to_owned(),
            ack_wait: 30_000_000_000,
            max_deliver: -1,
            max_ack_pending: 1000,
            ..ConsumerConfig::default()
        }
    }

    #[test]
    fn a_consumer_that_would_lose_or_mix_up_is_refused() {
        let refused = |change: fn(&mut ConsumerConfig)| {
            let mut consumer = good();
            change(&mut consumer);
            unusable(&durable(), &StreamConfig::default(), &consumer).unwrap_or_default()
        };
        assert_eq!(refused(|_| {}), "");
        assert_eq!(refused(|consumer| consumer.filter_subject = "a.*".to_owned()), "");
        assert!(refused(|consumer| consumer.deliver_subject = Some("x".to_owned())).contains("pushes"));
        assert!(refused(|consumer| consumer.ack_policy = "none".to_owned()).contains("ack policy 'none'"));
        assert!(refused(|consumer| consumer.headers_only = true).contains("headers only"));
        assert!(refused(|consumer| consumer.filter_subject = "b".to_owned()).contains("filtering 'b' and not 'a.*'"));
    }

    #[test]
    fn a_consumer_without_a_filter_is_one_for_all_of_its_stream() {
        let refused = |subjects: &[&str]| {
            let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
            unusable(&durable(), &StreamConfig { subjects, ..StreamConfig::default() }, &good()).unwrap_or_default()
        };
        for fits in [&["a.*"][..], &["a.b"], &["a.b", "a.c"], &[]] {
            assert_eq!(refused(fits), "", "{fits:?}");
        }
        for (strange, named) in [(&["a.*", "b"][..], "'b'"), (&["a.>"], "'a.>'"), (&["*.b"], "'*.b'"), (&["a"], "'a'")]
        {
            assert!(refused(strange).contains(&format!("brings {named} too; make it filter 'a.*'")), "{strange:?}");
        }
        assert!(covers("a.>", "a.b.>") && covers("a.>", "a.*") && !covers("a.>", "a") && !covers("a", "a.b"));
    }

    #[test]
    fn every_risk_has_its_sentence() {
        let said = |stream: &StreamConfig, consumer: &ConsumerConfig| risks(stream, consumer, &durable(), 1000);
        let file = StreamConfig { storage: "file".to_owned(), max_msgs: -1, max_bytes: -1, ..StreamConfig::default() };
        assert_eq!(said(&file, &good()), [""; 0]);
        let risky = ConsumerConfig {
            max_ack_pending: 999,
            ack_wait: 1_000_000_000,
            max_deliver: 5,
            inactive_threshold: 1_000_000_000,
            ..good()
        };
        let found = said(&file, &risky);
        for (risk, part) in found.iter().zip(["max_ack_pending 999", "ack_wait 1s", "max_deliver 5", "threshold 1s"]) {
            assert!(risk.contains(part), "{risk}");
        }
        assert_eq!(found.len(), 4);
        let mut stream = StreamConfig { storage: "memory".to_owned(), max_age: 60_000_000_000, ..file.clone() };
        stream.retention = "workqueue".to_owned();
        let found = said(&stream, &good());
        assert!(found[0].contains("kept in memory") && found[1].contains("max_age 60s although it is a work queue"));
        let refusing = StreamConfig { discard: "new".to_owned(), max_bytes: 1, ..file };
        assert_eq!(said(&refusing, &good()), [""; 0], "a stream that refuses tells its publishers");
    }
}
