//! A spool that is full does as it was told, and a disk that takes no more stops everything and spoils nothing.

use testkit::client::{Publisher, Settings};
use tokio::process::Command;

use super::*;

const COUNT: usize = 150;
const SEATS: usize = 20;

/// An engine whose spool holds 64 KiB and whose rule is stuck, and who publishes a kilobyte for each number.
async fn overrun(broker: &Mosquitto, network: SocketAddr, sink: SocketAddr, on_full: &str) -> Tidemill {
    let source = mqtt(network, SEATS) + "\nspool: { maxBytes: 64KiB }";
    let state = format!("state: {{ quotas: {{ spool: {{ maxBytes: 1GiB, onFull: {on_full} }} }} }}\n");
    let mut engine = Tidemill::new(PROGRAM, &yaml(&source, sink, &state));
    engine.start().await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "vehicles")).await;
    for number in 0..COUNT {
        publisher.send(&number.to_string(), "telemetry", message(number, 1000)).await;
    }
    assert_eq!(publisher.close().await.confirmed.len(), COUNT, "the broker takes all of them");
    engine
}

#[tokio::test]
async fn a_full_spool_that_blocks_acknowledges_no_more_and_loses_nothing() {
    let broker = Mosquitto::start(Config::profile()).await;
    let network = Recorder::start(broker.address()).await;
    let sink = port::free();
    let mut engine = overrun(&broker, network.address(), sink, "block").await;
    // Less than one event is left of the room.
    let is_full = |status: &Value| spool(status)["bytes"].as_u64() > Some((64 << 10) - 1200);
    let is_held = |status: &Value| status["sources"]["fleet"]["inFlight"] == SEATS && is_full(status);
    let held = engine.status_where("every seat taken", is_held).await;
    assert_balanced(&held);
    assert!(spool(&held)["bytes"].as_u64() <= Some(64 << 10), "{held}");
    let acknowledged = network.record().acknowledged_ids().len();
    assert!((20..COUNT - SEATS).contains(&acknowledged), "{acknowledged} were acknowledged");
    let inbox = Inbox::open_at(sink).await;
    posted(&inbox, 0..COUNT).await;
    network.sees("every message acknowledged", |record| record.acknowledged_ids().len() == COUNT).await;
    assert_balanced(&idle(&engine).await);
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_full_spool_that_drops_counts_what_it_drops_and_keeps_the_rest() {
    for (on_full, reason) in [("dropOldest", "oldest"), ("dropNewest", "newest")] {
        let broker = Mosquitto::start(Config::profile()).await;
        let network = Recorder::start(broker.address()).await;
        let sink = port::free();
        let mut engine = overrun(&broker, network.address(), sink, on_full).await;
        network.sees("every message acknowledged", |record| record.acknowledged_ids().len() == COUNT).await;
        let full = engine.status_where("all of them", |status| spool(status)["appended"] == COUNT).await;
        assert_balanced(&full);
        let dropped = usize::try_from(spool(&full)["dropped"][reason].as_u64().expect("a number")).expect("small");
        assert!((20..COUNT).contains(&dropped), "{full}");
        let inbox = Inbox::open_at(sink).await;
        assert_balanced(&idle(&engine).await);
        let mut left: Vec<usize> =
            posted_ids(&inbox.posted(0).await).iter().map(|id| id.parse().expect("a number")).collect();
        left.sort_unstable();
        left.dedup();
        assert_eq!(left.len() + dropped, COUNT, "{on_full}");
        let (first, last) = (left.contains(&0), left.contains(&(COUNT - 1)));
        // What was in flight already is never dropped, so the very first stays under both.
        assert!(first && last == (on_full == "dropOldest"), "{on_full}: {left:?}");
        assert_eq!(engine.terminate().await.code(), Some(0));
    }
}

/// The program with files of at most so many KiB, which it cannot lift.
fn confined(kibibytes: usize, yaml: &str) -> Tidemill {
    // As on a full disk, writing beyond is an error and no signal.
    let script = format!("trap '' XFSZ; ulimit -S -f {kibibytes}; exec '{PROGRAM}' {}", Tidemill::RUN.join(" "));
    Tidemill::new("/bin/bash", yaml).words(&["-c", &script])
}

#[tokio::test]
async fn a_file_that_cannot_grow_stops_acknowledging_says_so_and_recovers_by_itself() {
    const LARGE: usize = 400;
    let broker = Mosquitto::start(Config::profile()).await;
    let network = Recorder::start(broker.address()).await;
    let sink = port::free();
    let mut engine = confined(4096, &yaml(&mqtt(network.address(), 50), sink, ""));
    engine.start().await;
    let publisher = Publisher::connect(Settings::new(broker.address(), "vehicles")).await;
    for number in 0..LARGE {
        publisher.send(&number.to_string(), "telemetry", message(number, 20_000)).await;
    }
    assert_eq!(publisher.close().await.confirmed.len(), LARGE);
    let failing = |status: &Value| status["stores"]["spool"]["writable"] == false;
    let stuck = engine.status_where("a file that cannot be written to", failing).await;
    assert_balanced(&stuck);
    assert!(
        stuck["stores"]["spool"]["lastError"].as_str().is_some_and(|said| said.contains("cannot write")),
        "{stuck}"
    );
    let ready = engine.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("cannot write to"), "{}", ready.body);
    assert!(engine.get("/metrics").await.body.contains("tidemill_store_writable{store=\"spool\"} 0\n"));
    assert!(network.record().acknowledged_ids().len() < LARGE);

    let process = engine.process().id().expect("it runs").to_string();
    let lifted = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited:"]).status().await;
    assert!(lifted.expect("prlimit can be started").success());
    network.sees("every message acknowledged", |record| record.acknowledged_ids().len() == LARGE).await;
    engine.ready().await;
    let inbox = Inbox::open_at(sink).await;
    posted(&inbox, 0..LARGE).await;
    assert_balanced(&idle(&engine).await);
    assert_eq!(engine.terminate().await.code(), Some(0));
}
