//! What librdkafka says to a consumer. Every callback runs inside a poll, in the source's own task; what it says is noted
//! here and answered by the task itself, because giving a partition back takes as long as what is in flight of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;

use tokio::task::spawn_blocking;

use super::access::Reports;
use super::statistics::Report;

/// The consumer of a source.
pub(super) type Member = StreamConsumer<Client>;

/// What a consumer was told.
#[derive(Debug)]
pub(super) enum News {
    /// The group gives these partitions to it.
    Assigned(Partitions),
    /// The group wants these back.
    Revoked(Partitions),
    /// The group has given these to somebody else already.
    Lost(Partitions),
    /// The figures of the last second.
    Figures(Report),
    /// The group has accepted these offsets of the next messages to read.
    Committed(Vec<(String, i32, u64)>),
}

/// Topics and numbers.
pub(super) type Partitions = Vec<(String, i32)>;

/// Asks a member what blocks, without keeping it: the last handle of a member leaves the group, which blocks too, and must
/// not do so where a run ends.
#[derive(Clone)]
pub(super) struct Inquirer {
    member: Weak<Member>,
    asking: Arc<Mutex<()>>,
}

impl Inquirer {
    /// Whoever asks `member`.
    pub(super) fn of(member: &Arc<Member>) -> Inquirer {
        Inquirer { member: Arc::downgrade(member), asking: Arc::clone(&member.context().asking) }
    }

    /// Asks on a thread for such things; nothing when the member has left. Giving up waiting does not end the question.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Member) -> T + Send + 'static,
    ) -> Option<T> {
        let Inquirer { member, asking } = self.clone();
        let ask = move || {
            // Held beyond the handle: whoever leaves waits for it, and drops the last one.
            let _busy = asking.lock();
            member.upgrade().map(|member| question(&member))
        };
        spawn_blocking(ask).await.ok().flatten()
    }
}

/// Leaves the group, which blocks, once nobody asks anything of the member any more.
pub(super) fn dismiss(member: Arc<Member>) {
    let asking = Arc::clone(&member.context().asking);
    let _alone = asking.lock();
    drop(member);
}

/// One consumer's ear.
#[derive(Debug)]
pub(super) struct Client {
    reports: Reports,
    news: Mutex<VecDeque<News>>,
    /// Nobody reads the news any more: partitions are given back at once.
    closing: AtomicBool,
    /// Held by whoever asks something that blocks, and by whoever leaves: the last handle is dropped where that may block.
    asking: Arc<Mutex<()>>,
}

impl Client {
    pub(super) fn new(reports: Reports) -> Client {
        Client { reports, news: Mutex::default(), closing: AtomicBool::new(false), asking: Arc::default() }
    }

    pub(super) fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Takes the news in order.
    pub(super) fn take_news(&self, into: &mut VecDeque<News>) {
        into.append(&mut self.news.lock());
    }

    /// Whether there is any.
    pub(super) fn has_news(&self) -> bool {
        !self.news.lock().is_empty()
    }

    /// From now on rebalances are answered at once.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Client {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.reports.log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match Report::read(statistics) {
            Ok(report) => self.news.lock().push_back(News::Figures(report)),
            Err(cause) => tracing::debug!(name = %self.reports.name(), "librdkafka's statistics: {cause}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.error(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.reports.token()
    }
}

impl ConsumerContext for Client {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = matches!(what, RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
        if self.closing.load(Ordering::Relaxed) {
            let nothing = TopicPartitionList::new();
            let answered = if assigned { assign(consumer, &nothing) } else { unassign(consumer, list) };
            if let Err(cause) = answered {
                tracing::debug!(name = %self.reports.name(), "a rebalance while leaving: {cause}");
            }
            return;
        }
        let partitions = list.elements().iter().map(|part| (part.topic().to_owned(), part.partition())).collect();
        let news = match (assigned, consumer.assignment_lost()) {
            (true, _) => News::Assigned(partitions),
            (false, false) => News::Revoked(partitions),
            (false, true) => News::Lost(partitions),
        };
        self.news.lock().push_back(news);
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        let Err(cause) = result else {
            return self.news.lock().push_back(News::Committed(committed(list)));
        };
        use RDKafkaErrorCode as Code;
        match cause.rdkafka_error_code() {
            // Nothing was new, or the partitions are somebody else's by now, who begins where they stand.
            Some(
                Code::NoOffset
                | Code::RebalanceInProgress
                | Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::AssignmentLost,
            ) => {}
            _ => self.reports.trouble(&format!("the offsets could not be committed: {cause}")),
        }
    }
}

/// What of a commit has been accepted, as the offsets of the next messages to read.
fn committed(list: &TopicPartitionList) -> Vec<(String, i32, u64)> {
    let element = |part: TopicPartitionListElem<'_>| {
        let next = part.offset().to_raw().and_then(|offset| u64::try_from(offset).ok())?;
        part.error().ok()?;
        Some((part.topic().to_owned(), part.partition(), next))
    };
    list.elements().into_iter().filter_map(element).collect()
}

/// Takes partitions that the group has given, from the offsets in the list.
pub(super) fn assign<C: Consumer<Client>>(consumer: &C, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        _ => consumer.assign(list),
    }
}

/// Gives partitions back. What was stored of them is committed on the way, unless they are lost.
pub(super) fn unassign<C: Consumer<Client>>(consumer: &C, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    }
}
