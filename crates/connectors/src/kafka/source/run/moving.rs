//! Partitions that come and go.
//!
//! One rebalance is answered after the other, in the order in which the group asked. A partition that comes may need to be
//! told where to begin; one that goes is paused, what is in flight of it may finish within a bound, and what has finished
//! is stored before it is given back, so that its next owner repeats as little as possible. A partition that is lost
//! already is dropped at once, and nothing of it is committed: its generation is over.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::Offset;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Run;
use crate::kafka::before::Before;
use crate::kafka::client::{self, Inquirer, Member, News, Partitions};
use crate::kafka::lag;
use crate::kafka::source::Initial;

/// How long what is in flight of a partition may take to finish before it is given back all the same. Far less than the
/// five minutes after which the group takes a member for dead.
const DRAIN: Duration = Duration::from_secs(5);
/// How soon a broker is asked again where a partition begins.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A rebalance that is being answered.
pub(super) enum Moving {
    /// Where the new partitions begin is being asked.
    Coming(JoinHandle<Result<TopicPartitionList, KafkaError>>, Partitions),
    /// What is in flight of these may finish until then.
    Going(Partitions, Instant),
}

/// An answer to where the new partitions begin.
pub(super) type Resolved = Result<TopicPartitionList, String>;

impl Moving {
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Moving::Coming(..) => None,
            Moving::Going(_, until) => Some(*until),
        }
    }
}

/// Waits for the answer, if one was asked for. Cancel safe.
pub(super) async fn resolved(moving: Option<&mut Moving>) -> Resolved {
    match moving {
        Some(Moving::Coming(asked, _)) => match asked.await {
            Ok(answer) => answer.map_err(|cause| cause.to_string()),
            Err(cause) => Err(cause.to_string()),
        },
        _ => std::future::pending().await,
    }
}

impl Run<'_> {
    /// Answers the group as far as that is possible now.
    pub(super) fn move_on(&mut self) {
        loop {
            match self.moving.take() {
                Some(coming @ Moving::Coming(..)) => {
                    self.moving = Some(coming);
                    return;
                }
                Some(Moving::Going(partitions, until)) => {
                    if !self.is_level(&partitions) {
                        if Instant::now() < until {
                            self.moving = Some(Moving::Going(partitions, until));
                            return;
                        }
                        let source = self.member.context().reports().name();
                        let what = "what is in flight of partitions that the group wants back did not finish in time";
                        tracing::warn!(%source, partitions = partitions.len(), "{what}; it is delivered again");
                    }
                    self.store();
                    self.give_back(&partitions);
                }
                None => {}
            }
            match self.news.pop_front() {
                None => return,
                Some(News::Figures(_) | News::Committed(_)) => {}
                Some(News::Assigned(partitions)) => {
                    self.tell(&partitions, "the group gives partitions to this engine");
                    self.count_in();
                    self.come(partitions, false);
                }
                Some(News::Lost(partitions)) => {
                    let what = format!("the group took {} partitions away", partitions.len());
                    let reports = self.member.context().reports();
                    reports.trouble(&format!("{what}; what was in flight of them is delivered again"));
                    self.give_back(&partitions);
                }
                Some(News::Revoked(partitions)) => {
                    self.tell(&partitions, "the group wants partitions back; what is in flight of them may finish");
                    self.go(partitions);
                }
            }
        }
    }

    /// Logs a rebalance that moves something: a stall of some partitions is often explained by it.
    fn tell(&self, partitions: &Partitions, what: &str) {
        if !partitions.is_empty() {
            let source = self.member.context().reports().name();
            tracing::info!(%source, partitions = partitions.len(), "{what}");
        }
    }

    /// Whether nothing of these partitions is in flight.
    fn is_level(&mut self, partitions: &Partitions) -> bool {
        partitions.iter().all(|(topic, number)| {
            let slot = self.assignment.find(topic, *number);
            slot.and_then(|slot| self.assignment.get(slot)).is_none_or(|part| part.watermark.is_level())
        })
    }

    /// Takes new partitions, after asking where to begin if that is not simply where the group stands.
    fn come(&mut self, partitions: Partitions, again: bool) {
        let list = named(&partitions);
        if self.made_of.initial == Initial::Earliest || partitions.is_empty() {
            return self.take(&list, &partitions);
        }
        let (inquirer, initial) = (Inquirer::of(self.member), self.made_of.initial);
        let before = self.made_of.before.clone().unwrap_or_default();
        let asked = tokio::spawn(async move {
            if again {
                sleep(AGAIN).await;
            }
            let asked = inquirer.ask(move |member| begin(member, &list, initial, &before)).await;
            asked.unwrap_or(Err(KafkaError::Canceled))
        });
        self.moving = Some(Moving::Coming(asked, partitions));
    }

    /// Takes partitions with the answer, or asks again.
    pub(super) fn resolved(&mut self, answer: Resolved) {
        let Some(Moving::Coming(_, partitions)) = self.moving.take() else { return };
        match answer {
            Ok(list) => {
                self.take(&list, &partitions);
                // Committed at once: a member that dies now must not begin later the next time.
                let known: TopicPartitionList = list
                    .elements()
                    .iter()
                    .filter(|element| matches!(element.offset(), Offset::Offset(_)))
                    .map(|element| ((element.topic().to_owned(), element.partition()), element.offset()))
                    .collect();
                if known.count() > 0 {
                    self.report(self.member.store_offsets(&known));
                }
            }
            Err(cause) => {
                self.member.context().reports().trouble(&format!("where to begin is not known yet: {cause}"));
                self.come(partitions, true);
            }
        }
    }

    fn take(&mut self, list: &TopicPartitionList, partitions: &Partitions) {
        for (topic, number) in partitions {
            let captured = self.made_of.topics.capture(topic);
            self.assignment.add(topic, *number, captured.unwrap_or_default());
        }
        if let Err(cause) = client::assign(&**self.member, list) {
            self.member.context().reports().trouble(&format!("new partitions could not be taken: {cause}"));
        }
        // librdkafka remembers that a partition was paused when this member had it before.
        self.report(match self.held {
            Some(_) => self.member.pause(list),
            None => self.member.resume(list),
        });
        self.connected();
    }

    /// Stops reading partitions that the group wants back.
    fn go(&mut self, partitions: Partitions) {
        for (topic, number) in &partitions {
            if let Some(slot) = self.assignment.find(topic, *number)
                && let Some(partition) = self.assignment.get(slot)
            {
                partition.leaving = true;
            }
        }
        self.report(self.member.pause(&named(&partitions)));
        self.moving = Some(Moving::Going(partitions, Instant::now() + DRAIN));
    }

    /// Answers what the group has asked and this run has not answered yet. librdkafka closes no consumer that owes an
    /// answer: the thread that waits for it would never end, and neither would the membership that it keeps alive.
    pub(super) fn leave(&mut self) {
        // From here on the client answers by itself.
        self.member.context().close();
        self.hear();
        let open = self.moving.take().map(|moving| match moving {
            Moving::Coming(asked, partitions) => {
                asked.abort();
                News::Assigned(partitions)
            }
            Moving::Going(partitions, _) => News::Revoked(partitions),
        });
        for news in open.into_iter().chain(std::mem::take(&mut self.news)) {
            match news {
                News::Figures(_) | News::Committed(_) => {}
                News::Assigned(_) => self.report(client::assign(&**self.member, &TopicPartitionList::new())),
                News::Revoked(partitions) | News::Lost(partitions) => self.give_back(&partitions),
            }
        }
    }

    pub(super) fn give_back(&mut self, partitions: &Partitions) {
        for (topic, number) in partitions {
            self.assignment.remove(topic, *number);
        }
        // What waits for a seat is of this assignment alone: in the next one it would stand before what is read again.
        let gone = |message: &BorrowedMessage<'_>| {
            partitions.iter().any(|(topic, number)| *number == message.partition() && topic == message.topic())
        };
        self.staged.retain(|message| !gone(message));
        if self.staged.is_empty() {
            self.waiting = None;
        }
        if let Err(cause) = client::unassign(&**self.member, &named(partitions)) {
            self.member.context().reports().trouble(&format!("partitions could not be given back: {cause}"));
        }
    }
}

/// Names and numbers, for librdkafka.
pub(super) fn named(partitions: &[(String, i32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, number) in partitions {
        list.add_partition(topic, *number);
    }
    list
}

/// Where partitions begin: where the group stands, which is left to librdkafka, or at an offset. Blocks.
fn begin(
    member: &Member,
    list: &TopicPartitionList,
    initial: Initial,
    before: &Before,
) -> Result<TopicPartitionList, KafkaError> {
    let committed = member.committed_offsets(list.clone(), ANSWER)?;
    let (mut unknown, mut news) = (TopicPartitionList::new(), TopicPartitionList::new());
    for element in committed.elements() {
        element.error()?;
        let (topic, number) = (element.topic(), element.partition());
        match element.offset() {
            Offset::Offset(_) => {}
            _ => {
                let new = initial == Initial::Latest && before.is_news(topic, number);
                (if new { &mut news } else { &mut unknown }).add_partition(topic, number);
            }
        }
    }
    let mut list = list.clone();
    let mut begin = |firsts: TopicPartitionList| -> Result<(), KafkaError> {
        for element in firsts.elements() {
            element.error()?;
            list.set_partition_offset(element.topic(), element.partition(), element.offset())?;
        }
        Ok(())
    };
    if news.count() > 0 {
        let source = member.context().reports().name();
        tracing::info!(%source, partitions = news.count(), "partitions are new to the group and read from their beginning");
        begin(lag::offsets(member, &news, Offset::Beginning)?)?;
    }
    if unknown.count() > 0 {
        match initial {
            Initial::Earliest => {}
            Initial::Latest => begin(lag::offsets(member, &unknown, Offset::End)?)?,
            Initial::Since(time) => begin(lag::since(member, &unknown, time)?)?,
        }
    }
    Ok(list)
}
