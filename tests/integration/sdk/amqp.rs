//! Over AMQP 0-9-1: pika publishes what the SDK has made by two bindings, and takes what the SDK then reads by that of
//! AMQP 1.0, which the output writes.

use testkit::rabbitmq::shared;

use super::*;

#[tokio::test]
async fn messages_of_the_sdk_are_events_and_those_of_the_engine_are_to_the_sdk() {
    let broker = shared().await;
    let (peer, url) = (broker.peer().await, broker.url());
    let queues = [broker.name(), broker.name(), broker.name()];
    for queue in &queues {
        peer.declare(queue, "classic").await;
    }
    let [from, binary, structured] = &queues;
    let output = |queue: &str, mode: &str| {
        (mode.to_owned(), format!("{{ amqp: {{ url: \"{url}\", routingKey: {queue}, mode: {mode} }} }}"))
    };
    let outputs = [output(binary, "binary"), output(structured, "structured")];
    let mut engine = passing(&format!("{{ amqp: {{ url: \"{url}\", queue: {from} }} }}"), &outputs);
    engine.start().await;
    run(script!("amqp.py"), &[&url, from]).await;
    let mut received = Vec::new();
    for queue in [binary, structured] {
        received.extend(shown(run(script!("amqp.py"), &[&url, queue, "12"]).await.lines()));
    }
    let modes: &[&str] = &["binary", "structured", "knative", "wrapped"];
    assert_same(&received, &[binary, structured], &[("python", modes)]);
    assert_balanced(&engine.status().await);
    assert!(engine.terminate().await.success());
}
