//! Core subjects: queue groups share them, and what comes while nobody is there is lost.

use super::*;

#[tokio::test]
async fn two_engines_of_a_queue_group_split_a_stream_and_each_event_comes_once() {
    let server = server().await;
    let member = |instance: &str| engine(&server.url(), &["queueGroup: mill"]).variable("TIDEMILL_INSTANCE", instance);
    let (mut one, mut two) = (member("one"), member("two"));
    one.start().await;
    two.start().await;
    let mut peer = server.peer().await;
    for number in 0..2000 {
        let payload = format!("{{\"id\":\"{number}\"}}");
        peer.publish("v1.demo.veh-1.telemetry", b"", payload.as_bytes()).await;
        if number % 100 == 0 {
            // No faster than the engines can take: the rest of a burst would be dropped and counted.
            within("both engines to keep up", async {
                while ids(&one).len() + ids(&two).len() + 100 < number {
                    tokio::time::sleep(RETRY).await;
                }
            })
            .await;
        }
    }
    within("every event in one of the files", async {
        while ids(&one).len() + ids(&two).len() < 2000 {
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
    let (first, second) = (ids(&one), ids(&two));
    assert!(first.len() > 200 && second.len() > 200, "{} and {}", first.len(), second.len());
    assert!(first.keys().all(|id| !second.contains_key(id)), "an event came to both");
    assert!(first.values().chain(second.values()).all(|count| *count == 1));
    let status = one.status().await;
    assert_balanced(&status);
    assert!(one.terminate().await.success());
    assert!(two.terminate().await.success());
}

#[tokio::test]
async fn subjects_that_overlap_bring_an_event_once() {
    let server = server().await;
    let yaml = format!(
        "sources:
  fleet: {{ nats: {{ url: \"{}\", subjects: [\"v1.{{vehicle}}.>\", \"v1.*.t\", \"v2.{{vehicle}}.t\"] }}, event: {{ id: id }} }}
outputs:
  events: {{ file: {{ path: events.jsonl }} }}
triggers:
  telemetry: {{ source: fleet, rules: {{ keep: {{ output: events }} }} }}
",
        server.url()
    );
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    let mut peer = server.peer().await;
    for (number, subject) in ["v1.a.t", "v1.a.x", "v2.b.t"].iter().enumerate() {
        peer.publish(subject, b"", format!("{{\"id\":\"{number}\"}}").as_bytes()).await;
    }
    let ids = file_has(&engine, 0..3).await;
    assert!(ids.values().all(|count| *count == 1), "{ids:?}");
    let captured: Vec<_> = events(&engine).iter().map(|event| event["vehicle"].to_string()).collect();
    assert_eq!(captured, ["\"a\"", "\"a\"", "\"b\""]);
    assert!(engine.terminate().await.success());
}
