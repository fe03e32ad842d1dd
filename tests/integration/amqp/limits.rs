//! Messages at the limits of the protocol and of the broker: what fits arrives, what does not is rejected in words, and
//! neither costs the connection, or more than one channel.

use testkit::rabbitmq::{Config, RabbitMq, properties, shared};

use super::*;

/// Why events were given up.
async fn messages(engine: &Tidemill) -> String {
    let letters = dead_letters(engine).await;
    let letters = letters.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    letters.map(|letter| format!("{}\n", letter["message"])).collect()
}

/// Waits until so many deliveries have ended; answers how many are done and how many were rejected.
async fn all_ended(engine: &Tidemill, count: u64) -> (u64, u64) {
    let read = |status: &Value| {
        let rule = &status["rules"]["telemetry/keep"];
        (rule["done"].as_u64().unwrap_or(0), rule["deadLetters"]["rejected"].as_u64().unwrap_or(0))
    };
    let status = engine.status_where("every delivery's end", |status| read(status).0 + read(status).1 == count).await;
    assert_balanced(&status);
    read(&status)
}

/// An event with a subject and an extension that are so long.
fn long(number: usize, subject: usize, extension: usize) -> String {
    let [subject, extension] = [subject, extension].map(|length| "x".repeat(length));
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{number}\",\"type\":\"t\",\"source\":\"/s\",\"subject\":\"{subject}\",\
         \"tenant\":\"{extension}\"}}"
    )
}

#[tokio::test]
async fn what_just_fits_arrives_and_what_does_not_is_rejected_before_it_is_sent() {
    let broker = shared().await;
    let (peer, queue, out, exchange) = (broker.peer().await, broker.name(), broker.name(), broker.name());
    peer.declare(&queue, "classic").await;
    peer.declare(&out, "classic").await;
    peer.bind(&out, &exchange, "#").await;
    let url = broker.url();
    let output = format!("{{ amqp: {{ url: \"{url}\", exchange: {exchange}, routingKey: \"{{subject}}\" }} }}");
    let mut engine = into(&url, &queue, &[], &output);
    engine.start().await;
    // Around 255 bytes of a routing key, and around a frame of headers, whatever else is in it.
    let keys = (0..4).map(|number| long(number, 254 + number, 1));
    let headers = (4..68).map(|number| long(number, 5, 130_440 + 10 * number));
    peer.send_all("", &queue, keys.chain(headers)).await;
    let (done, rejected) = all_ended(&engine, 68).await;
    assert!(done > 2 && rejected > 2, "{done} done, {rejected} rejected");
    let rejects = messages(&engine).await;
    assert_eq!(rejects.matches("bytes, and AMQP carries 255; shorten what routingKey is made of").count(), 2);
    assert_eq!(rejects.matches("do not fit into one frame of 131072 bytes").count() as u64, rejected - 2);
    let status = engine.status().await;
    assert_eq!(status["outputs"]["events"]["lastError"], Value::Null, "the broker had nothing against any");
    assert_eq!(u64::from(peer.count(&out).await.0), done);
    drained(&mut engine, &peer, &queue).await;
}

#[tokio::test]
async fn a_message_that_the_broker_finds_too_large_is_rejected_and_its_neighbours_arrive() {
    let broker = RabbitMq::start(Config::new().line("max_message_size = 100000")).await;
    let peer = broker.peer().await;
    for queue in ["in", "out"] {
        peer.declare(queue, "classic").await;
    }
    // What fits as it comes is a third larger as text.
    let output = format!("{{ amqp: {{ url: \"{}\", routingKey: out, mode: structured }} }}", broker.url());
    let mut engine = into(&broker.url(), "in", &[], &output);
    engine.start().await;
    for number in 0..20 {
        let headers = [("specversion", "1.0".to_owned()), ("id", number.to_string()), ("source", "/s".to_owned())];
        let headers = headers.into_iter().chain([("type", "t".to_owned())]);
        let headers = headers.map(|(name, value)| (format!("cloudEvents:{name}"), value));
        let properties = properties(headers).with_content_type("application/octet-stream".into());
        let size = if number % 7 == 3 { 90_000 } else { 100 };
        peer.send_with("", "in", properties, &vec![0xff; size]).await;
    }
    assert_eq!(all_ended(&engine, 20).await, (17, 3));
    let rejects = messages(&engine).await;
    assert_eq!(rejects.matches("lower maxMessageSize, or raise max_message_size there").count(), 3, "{rejects}");
    // What the broker had taken and not confirmed when it closed the channel may be there twice.
    assert!(peer.count("out").await.0 >= 17);
    drained(&mut engine, &peer, "in").await;
}
