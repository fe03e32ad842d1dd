//! What there was before an engine joined its group: which partitions are new to the group.
//!
//! With `initialOffset: latest` a group that begins skips what is there already. A partition that is made later is another
//! matter: whatever is in it was written while the group was reading, and none of it is to be skipped. Its members find it
//! seconds later, at whatever length it has by then.
//!
//! Decision: a partition that the group has never committed is new when it was not there at this engine's first look, or
//! when the group had committed others of its topic by then, which also holds for one that was made while nobody ran. The
//! look comes before joining: members that begin a group together commit what they are given at once, and one that looked
//! later would take the partitions of the others for a sign that the group is older than it is.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use tokio::time::sleep;

use super::client::{Client, Inquirer, Member};
use super::lag;
use super::topics::Topics;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How soon the brokers are asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// One engine's first look at its topics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// How many partitions each topic had.
    partitions: HashMap<String, i32>,
    /// Topics of which the group had committed a partition.
    begun: HashSet<String>,
}

impl Before {
    /// Looks, as often as it takes. Until then the consumer, which has joined nothing, is polled for its callbacks. Cancel
    /// safe, but for a question that is under way.
    pub(super) async fn joining(member: &std::sync::Arc<Member>, topics: &Topics) -> Before {
        let look = async {
            loop {
                let topics = topics.clone();
                match Inquirer::of(member).ask(move |member| Before::look(member, &topics)).await {
                    Some(Ok(before)) => return before,
                    Some(Err(cause)) => {
                        let reports = member.context().reports();
                        reports.trouble(&format!("where the group stands is not known yet: {cause}"));
                    }
                    None => {}
                }
                sleep(AGAIN).await;
            }
        };
        let serve = async {
            loop {
                if member.recv().await.is_err() {
                    sleep(AGAIN).await;
                }
            }
        };
        tokio::select! {
            before = look => before,
            () = serve => Before::default(),
        }
    }

    /// Blocks.
    fn look<C: Consumer<Client>>(consumer: &C, topics: &Topics) -> Result<Before, KafkaError> {
        let there = lag::partitions(consumer, topics)?;
        if there.count() == 0 {
            return Ok(Before::default());
        }
        let committed = consumer.committed_offsets(there, ANSWER)?;
        committed.elements().iter().try_for_each(|element| element.error())?;
        Ok(Before::of(&committed))
    }

    /// From every partition that is there, with what the group has committed of it.
    fn of(committed: &TopicPartitionList) -> Before {
        let mut before = Before::default();
        for element in committed.elements() {
            *before.partitions.entry(element.topic().to_owned()).or_default() += 1;
        }
        before.begun = begun(committed);
        before
    }

    /// Whether a partition that the group has never committed is new to it.
    pub(super) fn is_news(&self, topic: &str, number: i32) -> bool {
        self.begun.contains(topic) || self.partitions.get(topic).is_none_or(|count| number >= *count)
    }
}

/// The topics of which some partition has been committed.
pub(super) fn begun(committed: &TopicPartitionList) -> HashSet<String> {
    let elements = committed.elements();
    let known = elements.iter().filter(|element| matches!(element.offset(), Offset::Offset(_)));
    known.map(|element| element.topic().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_later_is_new_and_so_is_what_a_group_has_left_out() {
        let mut list = TopicPartitionList::new();
        for (topic, number, offset) in [
            ("fresh", 0, Offset::Invalid),
            ("fresh", 1, Offset::Invalid),
            ("read", 0, Offset::Offset(7)),
            ("read", 1, Offset::Invalid),
        ] {
            list.add_partition_offset(topic, number, offset).unwrap();
        }
        let before = Before::of(&list);
        assert!(!before.is_news("fresh", 0) && !before.is_news("fresh", 1), "the group begins with them");
        assert!(before.is_news("fresh", 2) && before.is_news("later", 0));
        assert!(before.is_news("read", 1) && before.is_news("read", 2), "the group was there before them");
        assert!(Before::default().is_news("later", 0), "there was nothing");
    }
}
