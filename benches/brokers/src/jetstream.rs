//! A durable pull consumer of JetStream: take every message and acknowledge it.
//!
//! The raw loop pulls 2,000 at a time through async-nats and sends an acknowledgement for each message without waiting.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, AckKind};
use futures_util::StreamExt as _;
use testkit::nats::{Config, Nats};
use testkit::patience::{RETRY, within};

use crate::contest::{Contest, Run, Side, say};
use crate::map::payload;

const EVENTS: u64 = 200_000;
const STREAM: &str = "LOAD";
/// Messages on their way at once, for both.
const SEATS: usize = 4000;
/// Unconfirmed publishes while loading.
const WINDOW: usize = 1000;

/// One stream of telemetry, a consumer for each run.
pub(crate) async fn take() -> (String, Vec<Contest>) {
    let server = Nats::start(Config::new()).await;
    let url = server.url();
    load(&url).await;
    let id = server.process().id().expect("it runs");
    let run = async |side, round| {
        let durable = format!("{side:?}-{round}");
        make(&url, &durable).await;
        match side {
            Side::Engine => Run::Engine(yaml(&url, &durable)),
            Side::Raw => Run::Raw(["raw", "jetstream", &url, &durable, &EVENTS.to_string()].map(str::to_owned).into()),
        }
    };
    let check = async |_| {
        let counted = async {
            while unacknowledged(&url).await > 0 {
                tokio::time::sleep(RETRY).await;
            }
        };
        within("every acknowledgement to be counted", counted).await;
    };
    let contest = Contest::hold("JetStream, consume and acknowledge, 198 B", EVENTS, id, run, check).await;
    let client = connect(&url).await;
    let version = client.server_info().version;
    (format!("nats-server {version}, async-nats 0.51"), vec![contest])
}

fn yaml(url: &str, durable: &str) -> String {
    format!(
        "sources: {{ in: {{ nats: {{ url: '{url}', subjects: ['load.>'], stream: {STREAM}, durable: {durable} }}, seats: {SEATS} }} }}\n\
         functions: {{ take: {{ native: take, workers: {{ min: 1, max: 1 }} }} }}\n\
         triggers: {{ t: {{ source: in, rules: {{ r: {{ function: take }} }} }} }}\n"
    )
}

async fn connect(url: &str) -> async_nats::Client {
    async_nats::connect(url).await.expect("the server lets us in")
}

async fn load(url: &str) {
    let context = jetstream::new(connect(url).await);
    let config =
        jetstream::stream::Config { name: STREAM.into(), subjects: vec!["load.>".into()], ..Default::default() };
    context.create_stream(config).await.expect("a stream");
    let mut numbers = 0..EVENTS;
    loop {
        let mut acks = Vec::with_capacity(WINDOW);
        for number in numbers.by_ref().take(WINDOW) {
            let subject = format!("load.veh-{:06}", number % 1000);
            acks.push(context.publish(subject, payload(number, 198).into()).await.expect("it is sent"));
        }
        if acks.is_empty() {
            return;
        }
        for ack in acks {
            ack.await.expect("it is stored");
        }
    }
}

async fn make(url: &str, durable: &str) {
    let stream = jetstream::new(connect(url).await).get_stream(STREAM).await.expect("the stream");
    let config = pull::Config {
        durable_name: Some(durable.to_owned()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: SEATS as i64 * 2,
        ack_wait: Duration::from_secs(30),
        ..Default::default()
    };
    stream.create_consumer(config).await.expect("a consumer");
}

/// What any consumer of the stream has not acknowledged.
async fn unacknowledged(url: &str) -> u64 {
    let stream = jetstream::new(connect(url).await).get_stream(STREAM).await.expect("the stream");
    let mut names = stream.consumer_names();
    let mut left = 0;
    while let Some(name) = names.next().await {
        let name = name.expect("a name");
        let mut consumer: PullConsumer = stream.get_consumer(&name).await.expect("the consumer");
        let info = consumer.info().await.expect("its state");
        left += info.num_pending + info.num_ack_pending as u64;
    }
    left
}

/// The raw loop.
pub(crate) async fn raw(url: &str, durable: &str, events: u64) {
    let client = connect(url).await;
    let stream = jetstream::new(client.clone()).get_stream(STREAM).await.expect("the stream");
    let consumer: PullConsumer = stream.get_consumer(durable).await.expect("the consumer");
    let mut messages = consumer.stream().max_messages_per_batch(2000).messages().await.expect("messages");
    for number in 0..events {
        let message = messages.next().await.expect("the stream goes on").expect("a message");
        if number == 0 {
            say("first");
        }
        std::hint::black_box(&message.payload);
        message.ack_with(AckKind::Ack).await.expect("the connection lives");
    }
    client.flush().await.expect("everything is sent");
    say("finished");
    // The figures read this process's CPU time before it goes.
    std::future::pending::<()>().await;
}
