//! A client of a test: it makes queues, publishes with confirmation, looks, and takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use lapin::message::DeliveryResult;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};

use crate::certificates::Certificates;
use crate::patience::{RETRY, within};

/// A connection of a test.
pub struct Peer {
    connection: Connection,
    channel: Channel,
}

/// A message that was taken from a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What it was published to.
    pub routing_key: String,
    /// Its content type, empty without one.
    pub content_type: String,
    /// 2 is persistent.
    pub delivery_mode: Option<u8>,
    /// Its headers that are text.
    pub headers: BTreeMap<String, String>,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Peer {
    pub(super) async fn connect(url: &str, certificates: Option<&Certificates>) -> Self {
        let config = OwnedTLSConfig {
            cert_chain: certificates.map(|certificates| certificates.authority.clone()),
            identity: certificates.map(|certificates| OwnedIdentity::PKCS8 {
                pem: certificates.client.clone().into_bytes(),
                key: certificates.client_key.clone().into_bytes(),
            }),
        };
        let runtime = lapin::runtime::default_runtime().expect("a test has a runtime");
        let connecting = Connection::connect_with_config(url, ConnectionProperties::default(), config, runtime);
        let connection = within("a connection", connecting).await.expect("the broker lets it in");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirmations");
        Self { connection, channel }
    }

    /// Makes a durable queue of a type, `classic` or `quorum`.
    pub async fn declare(&self, queue: &str, kind: &str) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, arguments).await.expect("the queue is made");
    }

    /// Makes a durable topic exchange and binds a queue to it.
    pub async fn bind(&self, queue: &str, exchange: &str, routing_key: &str) {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let made = self.channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, FieldTable::default());
        made.await.expect("the exchange is made");
        self.attach(queue, exchange, routing_key).await;
    }

    /// Binds a queue to an exchange that is there.
    pub async fn attach(&self, queue: &str, exchange: &str, routing_key: &str) {
        let options = QueueBindOptions::default();
        let bound =
            self.channel.queue_bind(queue.into(), exchange.into(), routing_key.into(), options, FieldTable::default());
        bound.await.expect("the queue is bound");
    }

    /// Deletes a queue, whoever consumes it.
    pub async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("the queue is deleted");
    }

    /// Publishes a persistent message with these headers and waits until the broker has confirmed it.
    pub async fn send(&self, exchange: &str, routing_key: &str, headers: FieldTable, payload: &[u8]) {
        let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
        self.send_with(exchange, routing_key, properties, payload).await;
    }

    /// Publishes a message with these properties and waits until the broker has confirmed it.
    pub async fn send_with(&self, exchange: &str, routing_key: &str, properties: BasicProperties, payload: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = self.channel.basic_publish(exchange.into(), routing_key.into(), options, payload, properties);
        let confirmed = within("a confirmation", async { sent.await.expect("sent").await.expect("confirmed") }).await;
        assert!(confirmed.is_ack() && confirmed.take_message().is_none(), "'{routing_key}' reached no queue");
    }

    /// Publishes many payloads and waits until all are confirmed.
    pub async fn send_all(&self, exchange: &str, routing_key: &str, payloads: impl Iterator<Item = impl AsRef<[u8]>>) {
        let mut confirmations = Vec::new();
        for payload in payloads {
            let properties = BasicProperties::default().with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            let sent =
                self.channel.basic_publish(exchange.into(), routing_key.into(), options, payload.as_ref(), properties);
            confirmations.push(sent.await.expect("sent"));
        }
        for confirmation in confirmations {
            assert!(within("a confirmation", confirmation).await.expect("confirmed").is_ack());
        }
    }

    /// How many messages are ready in a queue, and how many consumers it has.
    pub async fn count(&self, queue: &str) -> (u32, u32) {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        let queue = queue.expect("the queue is there");
        (queue.message_count(), queue.consumer_count())
    }

    /// Waits for a message in a queue and takes it.
    pub async fn take(&self, queue: &str) -> Message {
        within("a message in the queue", async {
            loop {
                let options = BasicGetOptions::default();
                if let Some(got) = self.channel.basic_get(queue.into(), options).await.expect("the queue is there") {
                    got.acker.ack(BasicAckOptions::default()).await.expect("acknowledged");
                    return message(&got);
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
    }

    /// Waits until so many messages are in a queue, and answers the payload of each in order. They stay there, marked as
    /// delivered before.
    pub async fn peek(&self, queue: &str, count: usize) -> Vec<Vec<u8>> {
        within("messages in the queue", async {
            while (self.count(queue).await.0 as usize) < count {
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
        // On a channel of its own, whose end puts everything back.
        let channel = self.connection.create_channel().await.expect("a channel");
        let mut payloads = Vec::new();
        while let Some(got) = channel.basic_get(queue.into(), BasicGetOptions::default()).await.expect("the queue") {
            payloads.push(got.data.clone());
        }
        channel.close(200, "OK".into()).await.expect("closed");
        payloads
    }

    /// Consumes a queue from now on, for as long as the connection lasts; the broker counts every message as acknowledged
    /// when it has sent it.
    pub async fn follow(&self, queue: &str, see: impl Fn(Message) + Send + Sync + 'static) {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer = self.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let see = Arc::new(see);
        consumer.await.expect("the queue is there").set_delegate(move |delivery: DeliveryResult| {
            if let Ok(Some(delivery)) = &delivery {
                see(message(delivery));
            }
            std::future::ready(())
        });
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.connection.close(200, "OK".into()).await.expect("closed");
    }
}

/// Properties of a persistent message with headers that are text.
#[must_use]
pub fn properties(headers: impl IntoIterator<Item = (String, String)>) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    BasicProperties::default().with_headers(table).with_delivery_mode(2)
}

fn message(delivery: &lapin::message::Delivery) -> Message {
    let properties = &delivery.properties;
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    };
    let headers = properties.headers().iter().flat_map(|table| table.inner());
    let headers = headers.filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
    Message {
        routing_key: delivery.routing_key.to_string(),
        content_type: properties.content_type().as_ref().map(ToString::to_string).unwrap_or_default(),
        delivery_mode: *properties.delivery_mode(),
        headers: headers.collect(),
        payload: delivery.data.clone(),
    }
}
