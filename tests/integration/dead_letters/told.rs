//! `onSuccess` and `onFailure`: whoever is told reads why and of which event, also when he was away and the engine was killed
//! meanwhile; and whoever is not told yet holds back what ended well, and nothing else.

use super::*;

/// What of a delivery that failed, and of one that ended well, is known of the events of these requests.
fn causes(bodies: impl IntoIterator<Item = Value>) -> HashSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    bodies.into_iter().map(|data| (text(&data["condition"]), text(&data["event"]["id"]))).collect()
}

fn told(status: &Value, figure: &str) -> u64 {
    status["deadLetters"]["told"]["pager"][figure].as_u64().expect("a number")
}

#[tokio::test]
async fn whoever_was_away_is_told_of_everything_after_a_kill() {
    const COUNT: usize = 30;
    let (hook, nobody, pager) = (port::free(), port::free(), port::free());
    let yaml = format!(
        "sources:
  hook: {{ http: {{ listen: \"{hook}\" }}, ack: processed, seats: 100 }}
outputs:
  nobody: {{ http: {{ url: \"http://{nobody}/\" }} }}
  pager: {{ http: {{ url: \"http://{pager}/\" }} }}
  kept: {{ file: {{ path: kept.jsonl }} }}
triggers:
  alerts:
    source: hook
    rules:
      post: {{ output: nobody, when: {{ exact: {{ type: bad }} }}, retry: {{ maxAttempts: 1 }}, onFailure: pager }}
      keep: {{ output: kept, when: {{ exact: {{ type: good }} }}, retry: {{ maxAttempts: 1000, backoffPolicy: constant, backoffDelay: 2s }}, onSuccess: pager }}
"
    );
    let mut engine = Tidemill::new(PROGRAM, &yaml);
    engine.start().await;
    for number in 0..COUNT {
        for kind in ["good", "bad"] {
            let id = format!("{kind}-{number}");
            assert_eq!(post(hook, &id, kind, "{\"v\":1.10}").await, Some(202), "both are on the disk by then");
        }
    }
    let waits =
        |status: &Value| told(status, "waiting") == COUNT as u64 && status["rules"]["alerts/keep"]["matched"] == COUNT;
    let status = engine.status_where("everything waits", waits).await;
    assert_balanced(&status);
    assert_eq!(status["rules"]["alerts/keep"]["done"], 0, "it is not done before somebody is told");
    engine.kill().await;

    let inbox = Inbox::open_at(pager).await;
    engine.start().await;
    let all = |status: &Value| told(status, "waiting") == 0 && status["rules"]["alerts/keep"]["done"] == COUNT;
    let status = engine.status_where("everything is told", all).await;
    assert_balanced(&status);
    let wanted: HashSet<(String, String)> = (0..COUNT)
        .flat_map(|number| {
            let of = |condition: &str, kind: &str| (condition.to_owned(), format!("{kind}-{number}"));
            [of("failed", "bad"), of("succeeded", "good")]
        })
        .collect();
    let bodies: Vec<Value> =
        inbox.posted(2 * COUNT).await.iter().map(|(_, body)| serde_json::from_slice(body).expect("JSON")).collect();
    assert_eq!(causes(bodies.clone()), wanted);
    let good = bodies.iter().find(|data| data["event"]["id"] == "good-0").expect("told");
    assert_eq!((&good["results"][0]["id"], &good["rule"]), (&"good-0".into(), &"alerts/keep".into()));
    let letters: Vec<Value> = lines(&said(&engine, &["list", "--json", "--admin", &engine.admin().to_string()]));
    let named: HashSet<&str> = bodies.iter().filter_map(|data| data["deadLetter"].as_str()).collect();
    assert_eq!(letters.iter().filter_map(|letter| letter["id"].as_str()).collect::<HashSet<_>>(), named);
    let kept = std::fs::read_to_string(engine.folder().join("kept.jsonl")).expect("it is there");
    assert_eq!(kept.lines().count(), COUNT, "what was confirmed is not published again");
    let metrics = engine.get("/metrics").await.body;
    assert!(metrics.contains("tidemill_notices_waiting{output=\"pager\"} 0\n"), "{metrics}");
    assert!(engine.terminate().await.success());
}
