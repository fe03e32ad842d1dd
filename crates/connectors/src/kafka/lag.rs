//! What waits for a group, asked of the brokers: for when no member of it runs.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::access::Reports;
use super::before;
use super::client::Client;
use super::source::Initial;
use super::topics::Topics;

/// How long one answer of the brokers may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A group that is only looked at: it is never joined.
#[derive(Clone)]
pub struct Group {
    asker: Arc<BaseConsumer<Client>>,
    topics: Topics,
    initial: Initial,
}

/// The brokers did not say what waits.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProbeError {
    /// What happened, to which object, lower case.
    pub message: String,
    /// The cause.
    #[source]
    pub cause: Option<KafkaError>,
}

impl Group {
    /// Looks at the group that `config` names.
    pub(super) fn new(
        mut config: ClientConfig,
        reports: Reports,
        topics: Topics,
        initial: Initial,
    ) -> Result<Group, ProbeError> {
        config.set("statistics.interval.ms", "0");
        config.remove("group.instance.id");
        let problem = |cause| ProbeError { message: reports.sentence("no client can be made"), cause: Some(cause) };
        let asker = config.create_native_config().map_err(problem).and(Ok(config))?;
        let sentence = reports.sentence("no client can be made");
        let made = asker.create_with_context(Client::new(reports));
        let asker = made.map_err(|cause| ProbeError { message: sentence, cause: Some(cause) })?;
        Ok(Group { asker: Arc::new(asker), topics, initial })
    }

    /// Messages that wait for the group; `None` while a partition has no leader. Messages in flight in a running member
    /// are among them, and so are the markers of transactions, of which each can leave one that is never read.
    ///
    /// # Errors
    /// [`ProbeError`] when the brokers do not answer.
    pub async fn lag(&self) -> Result<Option<u64>, ProbeError> {
        let group = self.clone();
        let asked = tokio::task::spawn_blocking(move || group.ask());
        let answer = asked.await.map_err(|cause| ProbeError { message: cause.to_string(), cause: None })?;
        answer.map_err(|cause| {
            let message = self.asker.context().reports().sentence(&format!("what waits is not known: {cause}"));
            ProbeError { message, cause: Some(cause) }
        })
    }

    fn ask(&self) -> Result<Option<u64>, KafkaError> {
        // Requests for tokens and errors are served by polling; a group that was never joined has no messages.
        while self.asker.poll(Duration::ZERO).is_some() {}
        let partitions = partitions(&*self.asker, &self.topics)?;
        if partitions.count() == 0 {
            return Ok(None);
        }
        let committed = self.asker.committed_offsets(partitions.clone(), ANSWER)?;
        let ends = offsets(&*self.asker, &partitions, Offset::End)?;
        let starts = offsets(&*self.asker, &partitions, Offset::Beginning)?;
        let firsts = match self.initial {
            Initial::Earliest => starts.clone(),
            Initial::Latest => ends.clone(),
            Initial::Since(time) => since(&*self.asker, &partitions, time)?,
        };
        // As a member would begin with them.
        let begun = before::begun(&committed);
        let first = |topic: &str| match self.initial {
            Initial::Latest if begun.contains(topic) => &starts,
            _ => &firsts,
        };
        let at = |list: &TopicPartitionList, topic: &str, number| {
            list.find_partition(topic, number).and_then(|found| match found.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            })
        };
        let waiting = partitions.elements().into_iter().map(|element| {
            let (topic, number) = (element.topic(), element.partition());
            let start = at(&starts, topic, number)?;
            let next = at(&committed, topic, number).or_else(|| at(first(topic), topic, number))?;
            Some(at(&ends, topic, number)?.saturating_sub(next.max(start)))
        });
        Ok(waiting.sum())
    }
}

/// Every partition of every topic that was asked for. Blocks.
pub(super) fn partitions<C: Consumer<Client>>(consumer: &C, topics: &Topics) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    let mut add = |asked: Option<&str>| -> Result<(), KafkaError> {
        let metadata = consumer.fetch_metadata(asked, ANSWER)?;
        for topic in metadata.topics().iter().filter(|topic| topics.capture(topic.name()).is_some()) {
            for partition in topic.partitions() {
                list.add_partition(topic.name(), partition.id());
            }
        }
        Ok(())
    };
    if topics.are_open() {
        add(None)?;
    } else {
        for topic in topics.wire() {
            add(Some(&topic))?;
        }
    }
    Ok(list)
}

/// The offset that `which` stands for, of each partition: the beginning, the end, or the first at a time.
pub(super) fn offsets<C: Consumer<Client>>(
    consumer: &C,
    partitions: &TopicPartitionList,
    which: Offset,
) -> Result<TopicPartitionList, KafkaError> {
    let mut asked = partitions.clone();
    asked.set_all_offsets(which)?;
    consumer.offsets_for_times(asked, ANSWER)
}

/// The first offset of each partition at a time or later, or its end. `time` is in milliseconds since 1970.
pub(super) fn since<C: Consumer<Client>>(
    consumer: &C,
    partitions: &TopicPartitionList,
    time: i64,
) -> Result<TopicPartitionList, KafkaError> {
    let mut found = offsets(consumer, partitions, Offset::Offset(time))?;
    let late: Vec<_> = found
        .elements()
        .iter()
        .filter(|element| !matches!(element.offset(), Offset::Offset(_)))
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect();
    if !late.is_empty() {
        let ends = offsets(consumer, partitions, Offset::End)?;
        for (topic, number) in late {
            if let Some(end) = ends.find_partition(&topic, number) {
                found.set_partition_offset(&topic, number, end.offset())?;
            }
        }
    }
    Ok(found)
}
