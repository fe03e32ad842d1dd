//! The two ends that the figures bring themselves: a publisher at a steady rate, and the raw client loop to compare with.

use std::net::SocketAddr;
use std::time::Duration;

use mqtt5::mqttbytes::QoS;
use mqtt5::{AckMode, AsyncClient, Event, EventLoop, Incoming, MqttOptions, PublishOptions};
use tokio::time::{MissedTickBehavior, interval};

/// How often the publisher wakes.
const TICK: Duration = Duration::from_millis(2);

/// Publishes `events` messages at QoS 1 and `rate` per second, and returns when all are confirmed.
pub(crate) async fn publish(broker: SocketAddr, events: u64, rate: u64, message: fn(u64) -> (String, Vec<u8>)) {
    let (client, mut connection) = connect("figures-load", broker, 1000);
    let confirmed = tokio::spawn(async move {
        let mut confirmed = 0;
        while confirmed < events {
            if let Event::Incoming(Incoming::PubAck(_)) = connection.poll().await.expect("the broker stays") {
                confirmed += 1;
            }
        }
    });
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let each = rate * TICK.as_millis() as u64 / 1000;
    let mut sent = 0;
    while sent < events {
        ticks.tick().await;
        for number in sent..(sent + each).min(events) {
            let (topic, payload) = message(number);
            client.publish(topic, payload, PublishOptions::new(QoS::AtLeastOnce)).await.expect("the connection lives");
        }
        sent = (sent + each).min(events);
    }
    confirmed.await.expect("every message is confirmed");
}

/// Receives and acknowledges `events` messages by hand, and says on standard output how far it is.
pub(crate) async fn receive(broker: SocketAddr, events: u64, window: u16) {
    let (client, mut connection) = connect("figures-raw", broker, window);
    client.subscribe("v1/#", QoS::AtLeastOnce).await.expect("the request fits");
    let mut received = 0;
    while received < events {
        match connection.poll().await.expect("the broker stays") {
            Event::Incoming(Incoming::SubAck(_)) => println!("subscribed"),
            Event::Incoming(Incoming::Publish(publish)) => {
                std::hint::black_box(&publish);
                client.try_ack(&publish).expect("there is room for an acknowledgement");
                received += 1;
            }
            _ => {}
        }
    }
    // The last acknowledgements leave with the next polls.
    while let Ok(polled) = tokio::time::timeout(Duration::from_millis(200), connection.poll()).await {
        polled.expect("the broker stays");
    }
    println!("finished");
    // The figures read this process's CPU time before it goes.
    std::future::pending::<()>().await;
}

fn connect(name: &str, broker: SocketAddr, window: u16) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(name, (broker.ip().to_string(), broker.port()));
    options.set_ack_mode(AckMode::Manual).set_receive_maximum(Some(window)).set_clean_start(true);
    // Without a limit the client looks through 65,535 slots at every flush.
    options.set_outgoing_inflight_upper_limit(1000);
    AsyncClient::builder(options).capacity(usize::from(window) * 2).build()
}
