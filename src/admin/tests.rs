//! The API on real sockets, for a running engine.

mod drip;
mod letters;
mod rules;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use engine::config::{Environment, Files, load_files};
use engine::event::Event;
use engine::port::{Stop, SystemClock};
use engine::registry::Registry;
use engine::supervisor::{Engine, Host, Housing};
use functions::native::{self, stateless};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::client::{self, Error, Request};
use super::{Address, Bound, Guard, Server, Token};
use drip::Drip;

const FILE: &str = "
sources: { spring: { drip: {} } }
functions: { drink: { native: drink } }
triggers:
  water:
    source: spring
    rules:
      drunk: { function: drink }
      spilt: { when: { exact: { type: ice } }, function: drink }
";

/// An engine, and both listeners in front of it.
struct Mill {
    runtime: Runtime,
    engine: Arc<Engine>,
    server: Option<Server>,
    admin: Address,
    observe: Address,
    connect: watch::Sender<bool>,
    stopped: watch::Receiver<Option<Stop>>,
    folder: TempDir,
}

impl Mill {
    fn start(threads: usize, token: Option<&str>) -> Mill {
        Mill::with(stateless(async |_, _| ()), threads, token)
    }

    fn with(drink: impl native::Entry, threads: usize, token: Option<&str>) -> Mill {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        let (connect, connected) = watch::channel(false);
        let (stop, stopped) = watch::channel(None);
        let drink = native::Registry::default().with("drink", drink);
        let kind = Drip { connect: connected, stopped: Arc::new(stop) };
        let registry = Registry::default().with_source(kind).with_function(drink);
        let mut files = Files::default();
        files.add("mill.yaml", FILE);
        let loaded = load_files(files, "mill", &registry, &Environment::default());
        let plan = loaded.plan.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let host = Host {
            instance: "mill-1".into(),
            state: folder.path().to_owned(),
            clock: Arc::new(SystemClock),
            turns: 1,
            housing: Housing::Here,
            idle_after: Duration::from_secs(60),
        };
        let engine = Arc::new(runtime.block_on(Engine::start(plan, host)).unwrap());
        let bind = |address: &str| Bound::bind(&address.parse().unwrap(), "--admin").unwrap();
        let (admin, observe) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let addresses = (admin.address().clone(), observe.address().clone());
        let token = Token::find(None, token.map(str::to_owned)).unwrap();
        let guard = Guard::admin(admin.address(), token).unwrap();
        let server = Server::start(&engine, Some((admin, guard)), Some(observe), None).unwrap();
        let (admin, observe) = addresses;
        Mill { runtime, engine, server: Some(server), admin, observe, connect, stopped, folder }
    }

    fn connect(&self) {
        self.connect.send_replace(true);
        self.runtime.block_on(self.engine.becomes_ready());
    }

    fn get(&self, path: &str) -> Result<Value, Error> {
        ask(&self.admin, "GET", path)
    }

    fn end(mut self) {
        self.runtime.block_on(self.engine.drain(Duration::from_secs(30)));
        self.server.take().unwrap().stop();
        self.runtime.shutdown_background();
        drop(self.folder);
    }
}

fn ask(address: &Address, method: &str, path: &str) -> Result<Value, Error> {
    client::ask(address, None, Request { method, path, body: b"" }, Duration::from_secs(60))
}

/// One request as it goes over the wire, and the whole answer with header names in lower case.
fn raw(address: &Address, request: &str) -> String {
    let Address::Tcp(address) = address else { panic!("a TCP address") };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What only rule `spilt` matches, besides the rule that matches everything.
fn ice() -> Event {
    Event::new("by-hand".into(), "/me".into(), "ice".into()).unwrap()
}

/// The figure behind the keys.
fn figure(status: &Value, keys: &[&str]) -> u64 {
    keys.iter().fold(status, |value, key| &value[*key]).as_u64().unwrap_or_else(|| panic!("{keys:?} in {status}"))
}

#[test]
fn the_identities_hold_in_every_answer() {
    let mill = Mill::start(2, None);
    mill.connect();
    let mut polls = 0;
    loop {
        let status = mill.get("/v1/status").unwrap();
        let source = |key| figure(&status, &["sources", "spring", key]);
        let ended = source("settled") + source("rejected") + source("handedBack") + source("inFlight");
        assert_eq!(source("received"), ended, "{status}");
        for (name, rule) in status["rules"].as_object().unwrap() {
            let sum = |keys: &[&str]| keys.iter().map(|key| figure(rule, &[key])).sum::<u64>();
            let dropped: u64 = rule["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
            let ended = sum(&["done", "deadLettered", "handedBack", "parked", "inFlight"]) + dropped;
            assert_eq!(sum(&["matched", "recovered", "replayed", "looped"]), ended, "{name} in {status}");
        }
        polls += 1;
        if polls >= 50 && source("settled") > 100 && source("rejected") > 1 {
            assert!(figure(&status, &["rules", "water/drunk", "matched"]) > 0);
            assert_eq!(figure(&status, &["rules", "water/spilt", "matched"]), 0);
            assert!(figure(&status, &["rules", "water/spilt", "filtered"]) > 0);
            break;
        }
    }
    mill.end();
}

#[test]
fn the_status_has_every_word_of_its_promise() {
    let mill = Mill::start(2, None);
    mill.connect();
    let status = mill.get("/v1/status").unwrap();
    assert_eq!((&status["name"], &status["instance"]), (&"mill".into(), &"mill-1".into()));
    assert_eq!(status["sources"]["spring"]["connection"], "connected");
    assert!(status["sources"]["spring"].as_object().unwrap().contains_key("lastError"));
    for keys in [
        ["triggers", "water", "unmatched"],
        ["pools", "drink", "workers"],
        ["pools", "drink", "busy"],
        ["pools", "drink", "queued"],
    ] {
        figure(&status, &keys);
    }
    assert!(status["outputs"].is_object());
    mill.end();
}

#[test]
fn readiness_names_who_is_away() {
    let mill = Mill::start(2, None);
    for address in [&mill.admin, &mill.observe] {
        assert_eq!(ask(address, "GET", "/healthz").unwrap()["healthy"], true);
        let answer = raw(address, "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 503 ") && answer.contains(r#""notConnected":["spring"]"#), "{answer}");
    }
    mill.connect();
    assert_eq!(mill.get("/readyz").unwrap()["ready"], true);
    mill.runtime.block_on(mill.engine.drain(Duration::from_secs(30)));
    assert_eq!(mill.get("/readyz").unwrap_err().to_string(), "the engine is ending");
    assert_eq!(*mill.stopped.borrow(), Some(Stop::Keep));
    mill.end();
}

#[test]
fn metrics_are_prometheus_text_with_or_without_the_engines_own() {
    let mill = Mill::start(2, None);
    let get = |query: &str| raw(&mill.observe, &format!("GET /metrics{query} HTTP/1.0\r\nHost: any.example\r\n\r\n"));
    let whole = get("");
    assert!(whole.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{whole}");
    assert!(whole.contains("tidemill_source_received_total{source=\"spring\"}"), "{whole}");
    assert!(get("?engine=1").contains("tidemill_"));
    let users = get("?engine=0");
    assert!(users.starts_with("HTTP/1.0 200 ") && !users.contains("tidemill_"), "{users}");
    assert!(get("?engine=2").starts_with("HTTP/1.0 400 "));
    mill.end();
}

#[test]
fn the_guard_stands_before_every_path() {
    let mill = Mill::start(2, Some("0123456789abcdef"));
    let bearer = "Authorization: Bearer 0123456789abcdef\r\n";
    for path in ["/v1/status", "/metrics", "/healthz", "/readyz", "/no/such"] {
        let get = |headers: &str| raw(&mill.admin, &format!("GET {path} HTTP/1.0\r\n{headers}\r\n"));
        let answer = get("Host: localhost\r\n");
        assert!(answer.starts_with("HTTP/1.0 401 ") && answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
        assert!(answer.contains("content-type: application/json\r\n") && answer.contains(r#"{"error":"#), "{answer}");
        let foreign = get(&format!("Host: evil.example\r\n{bearer}"));
        assert!(foreign.starts_with("HTTP/1.0 403 "), "{foreign}");
        let foreign = get(&format!("Host: localhost\r\nOrigin: http://evil.example\r\n{bearer}"));
        assert!(foreign.starts_with("HTTP/1.0 403 "), "{foreign}");
        let answer = get(&format!("Host: localhost\r\n{bearer}"));
        assert!(!answer.starts_with("HTTP/1.0 40") || path == "/no/such", "{answer}");
    }
    let token = Token::find(None, Some("0123456789abcdef".to_owned())).unwrap();
    let status = Request { method: "GET", path: "/v1/status", body: b"" };
    client::ask(&mill.admin, token.as_ref(), status, Duration::from_secs(60)).unwrap();
    assert!(mill.get("/v1/status").unwrap_err().to_string().contains("Authorization"));
    mill.end();
}

#[test]
fn what_is_not_there_is_said_in_a_sentence() {
    let mill = Mill::start(2, None);
    let sentence = |address, method, path| ask(address, method, path).unwrap_err().to_string();
    assert!(sentence(&mill.admin, "GET", "/v1/nothing").contains("GET /v1/status"));
    assert!(sentence(&mill.admin, "POST", "/v1/status").contains("method"));
    assert!(sentence(&mill.admin, "GET", "/v1/sources/spring/leave").contains("method"));
    assert!(sentence(&mill.observe, "GET", "/v1/status").contains("no such path"));
    assert!(sentence(&mill.observe, "POST", "/v1/sources/spring/leave").contains("no such path"));
    assert_eq!(*mill.stopped.borrow(), None);
    mill.end();
}

#[test]
fn a_source_leaves_once() {
    let mill = Mill::start(2, None);
    mill.connect();
    let leave = || ask(&mill.admin, "POST", "/v1/sources/spring/leave");
    assert_eq!(leave().unwrap()["left"], "spring");
    assert_eq!(*mill.stopped.borrow(), Some(Stop::Leave));
    assert!(leave().unwrap_err().to_string().contains("no source 'spring' is running"));
    mill.end();
}

#[test]
fn a_paused_source_reads_nothing_until_it_is_resumed() {
    let mill = Mill::start(2, None);
    mill.connect();
    let received = || figure(&mill.get("/v1/status").unwrap(), &["sources", "spring", "received"]);
    let tell = |verb| ask(&mill.admin, "POST", &format!("/v1/sources/spring/{verb}")).unwrap();
    while received() == 0 {}
    assert_eq!(tell("pause")["paused"], "spring");
    // What it had reserved before may still come; then everything settles and nothing follows.
    let status = loop {
        let status = mill.get("/v1/status").unwrap();
        if figure(&status, &["sources", "spring", "inFlight"]) == 0 {
            break status;
        }
    };
    assert_eq!(status["sources"]["spring"]["paused"], true);
    // Seats that were reserved before the pause are no messages yet; a source that uses them is not reading on.
    let mut before = received();
    loop {
        assert_eq!(mill.runtime.block_on(mill.engine.send("spring", ice())), Ok(()));
        match received() {
            now if now == before => break,
            now => before = now,
        }
    }
    mill.runtime.block_on(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(received(), before);
    assert_eq!(tell("resume")["resumed"], "spring");
    while received() == before {}
    assert!(
        ask(&mill.admin, "POST", "/v1/sources/sprung/pause").unwrap_err().to_string().contains("no source 'sprung'")
    );
    mill.end();
}

#[test]
fn an_event_can_be_sent_by_hand_and_is_answered_once_it_is_done() {
    let mill = Mill::start(2, None);
    mill.connect();
    ask(&mill.admin, "POST", "/v1/sources/spring/pause").unwrap();
    let send = |path, body: &str| {
        client::ask(&mill.admin, None, Request { method: "POST", path, body: body.as_bytes() }, Duration::from_secs(60))
    };
    let ice = r#"{"specversion":"1.0","id":"by-hand","source":"/me","type":"ice"}"#;
    assert_eq!(send("/v1/sources/spring/events", ice).unwrap()["sent"], "by-hand");
    // The answer may overtake the books, which a line lays open at the end of its turn.
    let done = || figure(&mill.get("/v1/status").unwrap(), &["rules", "water/spilt", "done"]);
    while done() == 0 {}
    assert_eq!(done(), 1, "only what is sent by hand is ice");
    let refused = |path, body| send(path, body).unwrap_err().to_string();
    assert!(refused("/v1/sources/spring/events", "{}").contains("specversion"));
    assert!(refused("/v1/sources/sprung/events", ice).contains("no source 'sprung'"));
    mill.end();
}

#[test]
fn a_grace_time_can_be_over_at_once() {
    let mill = Mill::with(stateless(async |_, _| std::future::pending::<()>().await), 2, None);
    mill.connect();
    while figure(&mill.get("/v1/status").unwrap(), &["rules", "water/drunk", "inFlight"]) == 0 {}
    let drained = mill.runtime.block_on(mill.engine.drain_until(std::future::ready(())));
    assert!(drained.handed_back > 0, "{drained:?}");
    let status = mill.get("/v1/status").unwrap();
    assert!(figure(&status, &["sources", "spring", "handedBack"]) > 0, "{status}");
    assert_eq!(figure(&status, &["sources", "spring", "inFlight"]), 0, "{status}");
    mill.end();
}

#[test]
fn closed_connections_give_their_places_back() {
    let mill = Mill::start(2, None);
    let Address::Tcp(address) = &mill.admin else { panic!("a TCP address") };
    // As many as a listener has places.
    let idle: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    drop(idle);
    assert!(mill.get("/v1/status").is_ok());
    mill.end();
}

#[test]
fn an_engine_without_a_free_thread_still_answers() {
    let mill = Mill::start(1, None);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (blocked, blocks) = std::sync::mpsc::channel();
    mill.runtime.spawn(async move {
        blocked.send(()).unwrap();
        // The engine's only thread, until this test lets it go.
        let _ = released.recv();
    });
    blocks.recv().unwrap();
    assert!(mill.get("/v1/status").is_ok());
    assert!(ask(&mill.observe, "GET", "/metrics").is_err_and(|error| matches!(error, Error::Foreign(_))), "no JSON");
    drop(release);
    mill.end();
}
