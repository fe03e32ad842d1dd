//! Whether the group has forgotten partitions.
//!
//! A cooperative rebalance has two steps: a member gives partitions back, and joins again so that somebody else gets them. A
//! member that dies between the two and comes back as itself (static membership) is given what it kept, without a
//! rebalance, and nobody asks for the second step: the partitions are read by no one until some member joins or leaves.
//! So a run looks once, when it has its first partitions, whether every partition is in somebody's hands; and when one
//! stays in nobody's for longer than an honest rebalance takes, it leaves the group and joins anew, which shares out all.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Run;
use crate::kafka::client::{Inquirer, Member};
use crate::kafka::topics::Topics;

/// How long a partition may be in nobody's hands: what is in flight of it gets five seconds when it goes, and its next owner
/// is found within one or two.
const PATIENCE: Duration = Duration::from_secs(7);
/// How soon the group is looked at again.
const AGAIN: Duration = Duration::from_millis(500);
/// How many looks may fail before it is left alone.
const FAILURES: usize = 20;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(3);

/// A look at the group that is under way; it says whether partitions are forgotten. Dropping it ends it.
pub(super) struct Census(JoinHandle<bool>);

impl Drop for Census {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits for the answer, if one was asked for. Cancel safe.
pub(super) async fn taken(census: Option<&mut Census>) -> bool {
    match census {
        Some(Census(looking)) => looking.await.unwrap_or(false),
        None => std::future::pending().await,
    }
}

impl Run<'_> {
    /// Looks at the group, once in a run, if its members are known by name.
    pub(super) fn count_in(&mut self) {
        let config = &self.made_of.config;
        let (Some(group), Some(_), false) = (config.get("group.id"), config.get("group.instance.id"), self.counted)
        else {
            return;
        };
        self.counted = true;
        let (group, topics) = (group.to_owned(), self.made_of.topics.clone());
        self.census = Some(Census(tokio::spawn(look(Inquirer::of(self.member), group, topics))));
    }

    /// Leaves and joins anew if partitions are forgotten. What is in flight finishes first, as in any rebalance.
    pub(super) fn counted(&mut self, forgotten: bool) {
        self.census = None;
        if !forgotten || self.ending {
            return;
        }
        let reports = self.member.context().reports();
        let topics = self.made_of.topics.wire();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        tracing::warn!(
            source = %reports.name(),
            "partitions were in nobody's hands, as after a crash in a rebalance; the group shares all of them out again"
        );
        self.member.unsubscribe();
        if let Err(cause) = self.member.subscribe(&topics) {
            reports.trouble(&format!("cannot subscribe to {} again: {cause}", topics.join(", ")));
        }
    }
}

/// Looks until every partition is in somebody's hands, or one was in nobody's for too long.
async fn look(inquirer: Inquirer, group: String, topics: Topics) -> bool {
    let began = Instant::now();
    let mut failures = 0;
    while failures < FAILURES {
        let (group, topics) = (group.clone(), topics.clone());
        let answer = inquirer.ask(move |member| forgotten(member, &group, &topics)).await;
        match answer {
            Some(Ok(Some(false))) => return false,
            Some(Ok(Some(true))) if began.elapsed() >= PATIENCE => return true,
            Some(Ok(_)) => {}
            Some(Err(cause)) => {
                failures += 1;
                tracing::debug!("looking at the group of a Kafka source: {cause}");
            }
            None => return false,
        }
        sleep(AGAIN).await;
    }
    false
}

/// Whether partitions are in nobody's hands; `None` while the group is between two states. Blocks.
fn forgotten(member: &Member, group: &str, topics: &Topics) -> Result<Option<bool>, KafkaError> {
    let groups = member.fetch_group_list(Some(group), ANSWER)?;
    let Some(found) = groups.groups().iter().find(|found| found.name() == group && found.state() == "Stable") else {
        return Ok(None);
    };
    let mut owned = HashSet::new();
    for assignment in found.members().iter().filter_map(|member| member.assignment()) {
        // Members whose words are not understood may have anything.
        let Some(partitions) = partitions(assignment) else { return Ok(Some(false)) };
        owned.extend(partitions);
    }
    let metadata = member.fetch_metadata(None, ANSWER)?;
    let ours = metadata.topics().iter().filter(|topic| topics.capture(topic.name()).is_some());
    let mut all = ours.flat_map(|topic| topic.partitions().iter().map(|part| (topic.name().to_owned(), part.id())));
    Ok(Some(all.any(|partition| !owned.contains(&partition))))
}

/// What an assignment holds, as `ConsumerProtocolAssignment` writes it: a version, then topics with their partitions.
fn partitions(bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    let mut rest = bytes;
    let mut partitions = Vec::new();
    // An empty assignment may have no bytes at all.
    if rest.is_empty() {
        return Some(partitions);
    }
    take::<2>(&mut rest)?;
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        let length = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let topic = std::str::from_utf8(rest.get(..length)?).ok()?;
        rest = &rest[length..];
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            partitions.push((topic.to_owned(), i32::from_be_bytes(take(&mut rest)?)));
        }
    }
    Some(partitions)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_the_protocol_writes_it() {
        let bytes = [
            &[0, 1, 0, 0, 0, 2, 0, 1, b'a'][..],
            &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 2, b'b', b'c', 0, 0, 0, 1, 0, 0, 0, 7],
            &[0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        let held = [("a", 0), ("a", 3), ("bc", 7)].map(|(topic, number)| (topic.to_owned(), number));
        assert_eq!(partitions(&bytes), Some(held.to_vec()));
        assert_eq!(partitions(&[]), Some(vec![]));
        assert_eq!(partitions(&[0, 1, 0, 0, 0, 0]), Some(vec![]));
        for end in 1..bytes.len() - 4 {
            assert_eq!(partitions(&bytes[..end]), None, "cut after {end} bytes");
        }
    }
}
