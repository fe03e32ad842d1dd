//! Clients that send events in binary mode, each as the protocol's binding writes them.

use mqtt5::mqttbytes::v5::PublishProperties;
use testkit::client::{Publisher, Settings};
use testkit::http;
use testkit::kcat::Kcat;
use testkit::rabbitmq::properties;

use super::{Places, Plain};

/// Sends the events to one source, and returns when all of them are confirmed.
pub(super) async fn send(places: &Places, kind: &str, events: &[Plain]) {
    match kind {
        "mqtt" => mqtt(places, events).await,
        "kafka" => kafka(places, events).await,
        "nats" => nats(places, events).await,
        "amqp" => amqp(places, events).await,
        _ => http(places, events).await,
    }
}

async fn mqtt(places: &Places, events: &[Plain]) {
    let publisher = Publisher::connect(Settings::new(places.mqtt.address(), "sender")).await;
    for event in events {
        let properties = PublishProperties {
            user_properties: event.attributes.clone().into_iter().chain(hop(event)).collect(),
            content_type: Some(event.content_type.clone()),
            ..PublishProperties::default()
        };
        publisher.send_with(event.id(), "in", event.data.clone(), properties).await;
    }
    assert_eq!(publisher.close().await.unconfirmed, []);
}

async fn kafka(places: &Places, events: &[Plain]) {
    let kcat = Kcat::new(places.kafka.address());
    for event in events {
        let headers = event.attributes.iter().map(|(name, value)| format!("ce_{name}={value}"));
        let more = hop(event).map(|(name, value)| format!("{name}={value}"));
        let headers: Vec<_> = headers.chain(more).chain([format!("content-type={}", event.content_type)]).collect();
        let arguments: Vec<&str> = headers.iter().flat_map(|header| ["-H", header]).collect();
        kcat.produce_bytes(&places.topics[0], &arguments, &event.data).await;
    }
}

async fn nats(places: &Places, events: &[Plain]) {
    let mut peer = places.nats.peer().await;
    for event in events {
        let headers = event.attributes.iter().map(|(name, value)| format!("ce-{name}: {}\r\n", escaped(value)));
        let more = hop(event).map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.chain(more).collect();
        let block = format!("NATS/1.0\r\n{headers}Content-Type: {}\r\n\r\n", event.content_type);
        peer.store("in.events", block.as_bytes(), &event.data).await;
    }
}

async fn amqp(places: &Places, events: &[Plain]) {
    let peer = places.amqp.peer().await;
    for event in events {
        let headers = event.attributes.iter().map(|(name, value)| (format!("cloudEvents:{name}"), value.clone()));
        let properties = properties(headers.chain(hop(event))).with_content_type(event.content_type.as_str().into());
        peer.send_with("", &places.queues[0], properties, &event.data).await;
    }
}

async fn http(places: &Places, events: &[Plain]) {
    for event in events {
        let headers = event.attributes.iter().map(|(name, value)| (format!("ce-{name}"), escaped(value)));
        let headers = headers.chain(hop(event)).chain([("content-type".to_owned(), event.content_type.clone())]);
        let headers: Vec<_> = headers.collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = http::request(places.http, "POST", "/", &headers, &event.data).await.expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
}

/// The header of the hop.
fn hop(event: &Plain) -> Option<(String, String)> {
    event.hop.as_ref().map(|hop| ("traceparent".to_owned(), hop.clone()))
}

/// Percent-encoded as headers want it: what is not printable ASCII, spaces, quotes and percent signs.
fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'!' | b'#'..=b'$' | b'&'..=b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}
