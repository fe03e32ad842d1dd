//! The few figures of librdkafka's statistics that are read, once a second: whether a broker is there, whether the group
//! has given this member its place, and what waits.

use std::collections::HashMap;

use serde::Deserialize;

/// What is read of one report.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    brokers: HashMap<String, Broker>,
    #[serde(default)]
    topics: HashMap<String, Topic>,
    cgrp: Option<Membership>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    state: String,
}

#[derive(Debug, Deserialize)]
struct Membership {
    join_state: String,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: HashMap<i32, Figures>,
}

/// What one partition says.
#[derive(Debug, Deserialize)]
struct Figures {
    fetchq_cnt: i64,
    next_offset: i64,
    app_offset: i64,
    ls_offset: i64,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn read(json: &[u8]) -> Result<Report, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Whether some broker answers.
    pub(super) fn is_up(&self) -> bool {
        self.brokers.values().any(|broker| broker.state == "UP")
    }

    /// Whether the member has its place in the group, which may be one without partitions.
    pub(super) fn has_joined(&self) -> bool {
        self.cgrp.as_ref().is_some_and(|group| group.join_state == "steady")
    }

    /// Messages of these partitions that wait at the broker and in the client; `None` while that of one is unknown.
    pub(super) fn lag<'p>(&self, partitions: impl Iterator<Item = (&'p str, i32)>) -> Option<u64> {
        partitions.map(|(topic, number)| self.topics.get(topic)?.partitions.get(&number)?.lag()).sum()
    }
}

impl Figures {
    /// The end up to which this member may read is `ls_offset`. Markers of transactions stand in between, which only the
    /// next offset to be fetched knows to have passed.
    fn lag(&self) -> Option<u64> {
        let end = u64::try_from(self.ls_offset).ok()?;
        let fetched = u64::try_from(self.next_offset).ok();
        if self.fetchq_cnt == 0 && fetched.is_some_and(|next| next >= end) {
            return Some(0);
        }
        let taken = u64::try_from(self.app_offset).ok().or(fetched)?;
        Some(end.saturating_sub(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(next: i64, app: i64, end: i64, queued: i64) -> Report {
        let text = format!(
            r#"{{"name":"x","brokers":{{"a:1/1":{{"state":"UP","nodeid":1}},"b":{{"state":"DOWN"}}}},
               "cgrp":{{"state":"up","join_state":"steady"}},
               "topics":{{"t":{{"topic":"t","partitions":{{"-1":{{"fetchq_cnt":0,"next_offset":-1001,"app_offset":-1001,
               "ls_offset":-1001}},"0":{{"fetchq_cnt":{queued},"next_offset":{next},"app_offset":{app},
               "ls_offset":{end}}}}}}}}}}}"#
        );
        Report::read(text.as_bytes()).unwrap()
    }

    fn lag(next: i64, app: i64, end: i64, queued: i64) -> Option<u64> {
        report(next, app, end, queued).lag([("t", 0)].into_iter())
    }

    #[test]
    fn what_waits_is_counted_from_what_was_taken() {
        assert_eq!(lag(50, 20, 100, 30), Some(80));
        assert_eq!(lag(100, 100, 100, 0), Some(0));
        assert_eq!(lag(100, 99, 100, 0), Some(0), "the last offset is a transaction's marker");
        assert_eq!(lag(100, 90, 100, 5), Some(10));
        assert_eq!(lag(40, -1001, 100, 0), Some(60), "nothing was taken yet");
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        assert_eq!(lag(0, 0, -1001, 0), None);
        assert_eq!(lag(-1001, -1001, 100, 0), None);
        assert_eq!(report(1, 1, 1, 0).lag([("t", 0), ("t", 1)].into_iter()), None);
        assert_eq!(
            report(1, 1, 1, 0).lag(std::iter::empty()),
            Some(0),
            "a member without partitions has nothing waiting"
        );
    }

    #[test]
    fn brokers_and_membership_are_read() {
        let report = report(1, 1, 1, 0);
        assert!(report.is_up() && report.has_joined());
        let nothing = Report::read(b"{}").unwrap();
        assert!(!nothing.is_up() && !nothing.has_joined());
    }
}
