//! A classic and a quorum queue of RabbitMQ: take every message and acknowledge it.
//!
//! The raw loop reads through lapin with the prefetch that the engine has, and acknowledges a hundred at a time.

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use testkit::patience::{RETRY, within};
use testkit::rabbitmq::{Config, RabbitMq};

use crate::contest::{Contest, Run, Side, say};
use crate::map::payload;

const EVENTS: u64 = 50_000;
/// Messages on their way at once, for both.
const SEATS: u16 = 2000;
/// Acknowledged together by the raw loop.
const TOGETHER: u64 = 100;
/// Unconfirmed publishes while loading.
const WINDOW: usize = 500;

/// Both kinds of queue, loaded again for each run.
pub(crate) async fn take() -> (String, Vec<Contest>) {
    let broker = RabbitMq::start(Config::new()).await;
    let (url, peer) = (broker.url(), broker.peer().await);
    let id = broker.process().id().expect("it runs");
    let mut contests = Vec::new();
    for kind in ["classic", "quorum"] {
        peer.declare(kind, kind).await;
        let run = async |side, _| {
            load(&url, kind).await;
            match side {
                Side::Engine => Run::Engine(yaml(&url, kind)),
                Side::Raw => Run::Raw(["raw", "rabbitmq", &url, kind, &EVENTS.to_string()].map(str::to_owned).into()),
            }
        };
        let check = async |_| {
            // Both connections are closed, so that what was not acknowledged is in the queue again.
            let emptied = async {
                while peer.count(kind).await != (0, 0) {
                    tokio::time::sleep(RETRY).await;
                }
            };
            within("the queue to be empty", emptied).await;
        };
        let work = format!("RabbitMQ, consume and acknowledge, {kind} queue, 198 B");
        contests.push(Contest::hold(&work, EVENTS, id, run, check).await);
    }
    let version = broker.control(&["version"]).await;
    (format!("RabbitMQ {}, lapin 4.12", version.trim()), contests)
}

fn yaml(url: &str, queue: &str) -> String {
    format!(
        "sources: {{ in: {{ amqp: {{ url: '{url}', queue: {queue} }}, seats: {SEATS} }} }}\n\
         functions: {{ take: {{ native: take, workers: {{ min: 1, max: 1 }} }} }}\n\
         triggers: {{ t: {{ source: in, rules: {{ r: {{ function: take }} }} }} }}\n"
    )
}

async fn connect(url: &str) -> (Connection, Channel) {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    let connection = connecting.await.expect("the broker lets us in");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

async fn load(url: &str, queue: &str) {
    let (connection, channel) = connect(url).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirmations");
    let mut numbers = 0..EVENTS;
    loop {
        let mut confirms = Vec::with_capacity(WINDOW);
        for number in numbers.by_ref().take(WINDOW) {
            let (payload, properties) = (payload(number, 198), BasicProperties::default().with_delivery_mode(2));
            let options = BasicPublishOptions::default();
            let sent = channel.basic_publish("".into(), queue.into(), options, &payload, properties);
            confirms.push(sent.await.expect("it is sent"));
        }
        if confirms.is_empty() {
            break;
        }
        for confirm in confirms {
            confirm.await.expect("it is stored");
        }
    }
    connection.close(200, "loaded".into()).await.expect("closed");
}

/// The raw loop.
pub(crate) async fn raw(url: &str, queue: &str, events: u64) {
    let (connection, channel) = connect(url).await;
    channel.basic_qos(SEATS, BasicQosOptions::default()).await.expect("a prefetch");
    let consuming =
        channel.basic_consume(queue.into(), "raw".into(), BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = consuming.await.expect("a consumer");
    for number in 1..=events {
        let delivery = consumer.next().await.expect("the channel stays open").expect("a delivery");
        if number == 1 {
            say("first");
        }
        std::hint::black_box(&delivery.data);
        if number % TOGETHER == 0 || number == events {
            channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await.expect("it is sent");
        }
    }
    connection.close(200, "finished".into()).await.expect("closed");
    say("finished");
    // The figures read this process's CPU time before it goes.
    std::future::pending::<()>().await;
}
