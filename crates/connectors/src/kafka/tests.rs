//! The source against librdkafka's own mock of a cluster: what it delivers, what it waits for, and what it commits. What
//! only a real broker can show is in the integration tests.

use std::sync::Arc;
use std::time::Duration;

use engine::config::{AckPoint, Check, EventTemplate, Spanned};
use engine::delivery::{Inbox, Ledger, Outcome, Receipt};
use engine::event::Event;
use engine::metric::{Connection, Link, Page};
use engine::port::{Shutdown, SourceError, Stop, SystemClock, Trigger};
use engine::registry::{Setup, SourceCommon, SourceKind as _};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Kafka;
use crate::given::{Given, Keep, soon};

/// Nothing here takes long; whoever waits longer waits for ever.
const LONG: Duration = Duration::from_secs(180);
const SEATS: usize = 20;

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A running source.
struct Running {
    given: mpsc::Receiver<Given>,
    ledger: Ledger,
    link: Link,
    trigger: Trigger,
    task: JoinHandle<Result<(), SourceError>>,
}

fn cluster(messages: usize) -> Cluster {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("orders", 1, 1).unwrap();
    produce(&cluster, 0..messages);
    cluster
}

fn produce(cluster: &Cluster, numbers: std::ops::Range<usize>) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    for number in numbers {
        let payload = number.to_string();
        producer.send(BaseRecord::<(), _>::to("orders").payload(&payload)).map_err(|(cause, _)| cause).unwrap();
    }
    producer.flush(LONG).unwrap();
}

/// Where the group stands.
fn committed(servers: &str) -> Offset {
    let asker: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", servers).set("group.id", "tidemill-orders").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition("orders", 0);
    asker.committed_offsets(list, LONG).unwrap().elements()[0].offset()
}

impl Running {
    fn start(cluster: &Cluster, ack: Option<AckPoint>, more: &str) -> Running {
        let options = format!(
            r#"{{"brokers":["{}"],"topics":["orders"],"sessionTimeout":"20s"{more}}}"#,
            cluster.bootstrap_servers()
        );
        // The mock has several listeners, and one of them is enough.
        let options =
            options.replacen(&cluster.bootstrap_servers(), cluster.bootstrap_servers().split(',').next().unwrap(), 1);
        let common = SourceCommon {
            name: Spanned::new("orders".into(), Default::default()),
            ack: ack.map(|ack| Spanned::new(ack, Default::default())),
            event: EventTemplate::default(),
            seats: SEATS,
        };
        let mut check = Check::default();
        let plan = Kafka.check(serde_json::from_str(&options).unwrap(), &common, &mut check);
        let link = Link::default();
        let setup = Setup {
            name: "orders".into(),
            instance: "one".into(),
            seats: SEATS,
            state: None,
            clock: Arc::new(SystemClock),
            link: link.clone(),
            page: Page::default(),
        };
        let mut source = plan.unwrap_or_else(|| panic!("{:?}", check.finish())).open(setup).unwrap();
        let (keep, given, _) = Keep::new();
        let (trigger, shutdown) = Shutdown::channel();
        let ledger = Ledger::default();
        let inbox = Inbox::new(SEATS, ledger.clone(), Box::new(keep));
        let task = tokio::spawn(async move { source.run(inbox, shutdown).await });
        Running { given, ledger, link, trigger, task }
    }

    async fn next(&mut self) -> (Event, Receipt) {
        let given = timeout(LONG, self.given.recv()).await;
        let given = given.unwrap_or_else(|_| panic!("no message comes: {:?}", self.link.read()));
        given.expect("the source runs").event()
    }

    /// Whether nothing more comes for a while in which anything would have come.
    async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_secs(3), self.given.recv()).await.is_err()
    }

    async fn end(self) {
        self.trigger.stop(Stop::Keep);
        soon(self.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_has_settled_is_committed_and_what_was_handed_back_is_read_again_by_a_new_run() {
    let cluster = cluster(30);
    let mut running = Running::start(&cluster, None, "");
    let mut held = Vec::new();
    for number in 0..SEATS {
        let (event, receipt) = running.next().await;
        assert_eq!(event.data().unwrap(), number.to_string().as_bytes());
        assert_eq!(receipt.position().unwrap().text(), format!("orders/0/{number}"));
        held.push((number, receipt));
    }
    assert!(running.is_quiet().await, "there are no more seats");
    assert_eq!(running.link.read().connection, Connection::Connected);
    // All but the eleventh finish, the last ones first.
    for (number, receipt) in held.drain(..).rev() {
        receipt.settle(if number == 10 { Outcome::Retry { after: Duration::ZERO } } else { Outcome::Ack });
    }
    let ended = soon(running.task).await.unwrap();
    let Err(SourceError::Restart(sentence, None)) = ended else { panic!("{ended:?}") };
    assert!(sentence.contains("an event was handed back"), "{sentence}");
    assert_eq!((running.ledger.read().settled, running.ledger.read().handed_back), (SEATS as u64 - 1, 1));
    let servers = cluster.bootstrap_servers();
    let stands = tokio::task::spawn_blocking(move || committed(&servers)).await.unwrap();
    assert_eq!(stands, Offset::Offset(10));
    let mut again = Running::start(&cluster, None, "");
    for number in 10..30 {
        let (event, receipt) = again.next().await;
        assert_eq!(event.data().unwrap(), number.to_string().as_bytes());
        receipt.settle(Outcome::Ack);
    }
    again.end().await;
}

#[tokio::test]
async fn a_message_that_takes_long_lets_only_so_many_finish_behind_it() {
    let cluster = cluster(1000);
    let mut running = Running::start(&cluster, None, r#","maxUncommitted":100"#);
    let (_, slow) = running.next().await;
    // So many are sure to come, however long that takes.
    for _ in 0..100 {
        running.next().await.1.settle(Outcome::Ack);
    }
    let mut finished = 100;
    while let Ok(Some(given)) = timeout(Duration::from_secs(3), running.given.recv()).await {
        given.event().1.settle(Outcome::Ack);
        finished += 1;
    }
    // Beyond the limit comes at most what was under way when it was reached.
    assert!(finished <= 100 + 2 * SEATS, "{finished} finished behind it");
    slow.settle(Outcome::Ack);
    for _ in finished + 1..1000 {
        running.next().await.1.settle(Outcome::Ack);
    }
    running.end().await;
    let servers = cluster.bootstrap_servers();
    let stands = tokio::task::spawn_blocking(move || committed(&servers)).await.unwrap();
    assert_eq!(stands, Offset::Offset(1000));
}

#[tokio::test]
async fn what_is_received_is_committed_when_that_is_asked_for() {
    let cluster = cluster(10);
    let mut running = Running::start(&cluster, Some(AckPoint::Received), "");
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(running.next().await.1);
    }
    soon(async {
        loop {
            let servers = cluster.bootstrap_servers();
            let asked = tokio::task::spawn_blocking(move || committed(&servers));
            if asked.await.unwrap() == Offset::Offset(10) {
                return;
            }
        }
    })
    .await;
    held.into_iter().for_each(|receipt| receipt.settle(Outcome::Ack));
    running.end().await;
}
