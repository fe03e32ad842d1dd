//! Dead letters that somebody puts right: edited in a running engine and in the folder of a stopped one, taken from one engine
//! to another, and sent through the router, no faster than may be.

use super::*;

/// An engine whose rule `post` gives up every event as long as nobody listens at `sink`; `copy` takes them all.
fn mill(hook: SocketAddr, sink: SocketAddr) -> Tidemill {
    let yaml = format!(
        "sources:
  hook: {{ http: {{ listen: \"{hook}\" }}, ack: processed }}
outputs:
  sink: {{ http: {{ url: \"http://{sink}/\" }} }}
  copies: {{ file: {{ path: copies.jsonl }} }}
triggers:
  alerts:
    source: hook
    rules:
      post: {{ output: sink, when: {{ exact: {{ type: alert }} }}, retry: {{ maxAttempts: 1 }} }}
      copy: {{ output: copies }}
"
    );
    Tidemill::new(PROGRAM, &yaml)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_wrong_is_put_right_and_sent_through_the_router() {
    let (hook, sink) = (port::free(), port::free());
    let mut engine = mill(hook, sink);
    engine.start().await;
    for id in ["1", "2"] {
        assert_eq!(post(hook, id, "alert", r#"{"vin":"IOQ","v":1.10}"#).await, Some(202));
    }
    let admin = engine.admin().to_string();
    let running: &[&str] = &["--admin", &admin];
    let ids: Vec<String> = lines(&said(&engine, &[&["list", "--json"], running].concat()))
        .iter()
        .map(|letter| letter["id"].as_str().expect("a text").to_owned())
        .collect();
    engine.write("fix.json", r#"{"vin":"WVWZZZ1JZXW000001"}"#);
    let edit = |words: &[&str], place: &[&str]| said(&engine, &[&["edit"], words, place].concat());
    let dry = edit(&[&ids[0], "--merge", "@fix.json", "--dry-run"], running);
    assert!(dry.contains(r#""data":{"vin":"WVWZZZ1JZXW000001","v":1.10}"#), "{dry}");
    edit(&[&ids[0], "--merge", "@fix.json", "--set", "subject=veh-1"], running);
    let one = said(&engine, &["show", &ids[0], "--json", "--admin", &admin]);
    assert!(one.contains("\"edits\":1") && one.contains("\"subject\":\"veh-1\""), "{one}");
    for (words, code, part) in [
        (&[ids[0].as_str()][..], 2, "--merge"),
        (&[&ids[0], "--merge", "{"], 2, "is no JSON"),
        (&[&ids[0], "--set", "subject"], 2, "NAME=VALUE"),
        (&[&ids[0], "--remove", "colour"], 2, "no extension attribute 'colour'"),
        (&["01hf7yat3v00", "--data", "x"], 1, "there is no dead letter"),
    ] {
        let sentence = refused(&engine, code, &[&["edit"], words, running].concat());
        assert!(sentence.contains(part), "{words:?}: {sentence}");
    }

    assert!(engine.terminate().await.success());
    let stopped: &[&str] = &["--state", STATE];
    let edit = |words: &[&str], place: &[&str]| said(&engine, &[&["edit"], words, place].concat());
    edit(&[&ids[1], "--data", "{\"v\":2.50}"], stopped);
    edit(&[&ids[0], "--set", "colour=red"], stopped);

    let inbox = Inbox::open_at(sink).await;
    engine.start().await;
    let admin = engine.admin().to_string();
    let through = ["replay", "--all", "--through", "router", "--rate", "20", "--admin", &admin];
    assert_eq!(said(&engine, &through), "2 dead letters were replayed\n");
    let posts = inbox.posted(2).await;
    let bodies: Vec<String> = posts.iter().map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect();
    let expected = [r#"{"vin":"WVWZZZ1JZXW000001","v":1.10}"#, r#"{"v":2.50}"#];
    assert!(expected.iter().all(|body| bodies.iter().any(|posted| posted == body)), "{bodies:?}");
    let first = posts.iter().find(|(_, body)| body == expected[0].as_bytes()).expect("it was posted");
    for pair in [("ce-subject", "veh-1"), ("ce-colour", "red")] {
        assert!(first.0.iter().any(|(name, value)| (name.as_str(), value.as_str()) == pair), "{first:?}");
    }
    let status = engine.status_where("nothing stays", |status| status["deadLetters"]["stored"] == 0).await;
    let replayed = |rule: &str| status["rules"][rule]["replayed"].clone();
    assert_eq!((replayed("alerts/post"), replayed("alerts/copy")), (2.into(), 2.into()), "every rule that matches");
    assert!(engine.terminate().await.success());
}

#[tokio::test]
async fn what_one_engine_exports_another_imports_under_its_old_name_and_once() {
    let (hook, sink) = (port::free(), port::free());
    let mut engine = mill(hook, sink);
    engine.start().await;
    for number in 0..20 {
        assert_eq!(post(hook, &number.to_string(), "alert", "{\"v\":1.10}").await, Some(202));
    }
    let garbage = [("content-type", "application/cloudevents+json")];
    assert_eq!(http::request(hook, "POST", "/", &garbage, "{").await.expect("an answer").status, 400);
    assert!(engine.terminate().await.success());
    let export = said(&engine, &["export", "--state", STATE]);

    let mut other = mill(port::free(), port::free());
    other.start().await;
    let admin = other.admin().to_string();
    other.write("dead.jsonl", &export);
    let import = |place: &[&str]| said(&other, &[&["import", "dead.jsonl"], place].concat());
    assert_eq!(import(&["--admin", &admin]), "imported 21 dead letters\n");
    let again = "imported 0 dead letters; 21 were there already, and are as they were\n";
    assert_eq!(import(&["--admin", &admin]), again);
    assert_eq!(said(&other, &["list", "--json", "--admin", &admin]), export, "byte for byte");
    other.write("torn.jsonl", &format!("{export}{{\n"));
    let sentence = refused(&other, 1, &["import", "torn.jsonl", "--admin", &admin]);
    assert!(sentence.contains("line 22 is no dead letter"), "{sentence}");
    assert!(other.terminate().await.success());
    assert_eq!(said(&other, &["import", "dead.jsonl", "--state", STATE]), again);
    assert!(said(&other, &["purge", "--all", "--state", STATE]).contains("removed 21"));
    let back = said(&other, &["import", "dead.jsonl", "--json", "--state", STATE]);
    assert_eq!(back, "{\"duplicates\":0,\"imported\":21}\n");
    assert_eq!(said(&other, &["export", "--state", STATE]), export);
}
