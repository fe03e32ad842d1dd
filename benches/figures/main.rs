//! Every figure that the project quotes, by one command: `cargo figures`. See benches/README.md.
//!
//! Prints a table and writes `figures.json` into the target folder. With `-- f1` only the instruction count is taken and
//! compared with the committed one, which is what CI does: counts repeat, times do not.

#![allow(clippy::expect_used, reason = "a figure that cannot be taken ends the run with a sentence")]

mod fleet;
mod footprint;
mod keys;
mod load;
mod measure;
mod memory;
mod spool;
mod tax;

use std::process::ExitCode;

use serde_json::{Value, json};

use fleet::Client;
use measure::Cost;
use tax::Way;

/// The committed instruction count of F1.
const COMMITTED: &str = include_str!("../instructions.json");
/// How much more than the committed count fails.
const SLACK: f64 = 0.02;

fn main() -> ExitCode {
    // As in the released binary.
    let _ = mimalloc::MiMalloc.version();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // The two below are this program's own children.
        ["tax", events, key] => {
            let way = Way::ALL.into_iter().find(|way| way.key() == *key).expect("a way that is measured");
            tax::run(number(events), tax::Clock::Still, way);
            ExitCode::SUCCESS
        }
        ["raw", broker, events, window] => {
            let receive = load::receive(broker.parse().expect("an address"), number(events), number(window) as u16);
            runtime().block_on(receive);
            ExitCode::SUCCESS
        }
        ["f1"] => gate(),
        ["brokers", names @ ..] => brokers(names),
        names if !names.is_empty() && names.iter().all(|name| BROKERS.contains(name)) => brokers(names),
        ["f4" | "mqtt"] => {
            runtime().block_on(fleet_alone());
            ExitCode::SUCCESS
        }
        ["keys"] => {
            runtime().block_on(keys_alone());
            ExitCode::SUCCESS
        }
        ["spool"] => {
            runtime().block_on(spool_alone());
            ExitCode::SUCCESS
        }
        [] => {
            let figures = runtime().block_on(all());
            let text = serde_json::to_string_pretty(&figures).expect("figures are JSON");
            let path = std::env::current_exe().expect("this program has a path").with_file_name("figures.json");
            std::fs::write(&path, format!("{text}\n")).expect("the target folder is writable");
            println!("\nwritten to {}", path.display());
            ExitCode::SUCCESS
        }
        other => {
            eprintln!(
                "unknown arguments {other:?}: run without any for every figure of the engine, with 'f1' for the gate, with 'mqtt' for MQTT to Prometheus alone, with 'spool' for the spool beside bare redb, with 'keys' for order by key beside a greedy schedule, with 'brokers' for speed beside raw loops, or with some of {BROKERS:?}"
            );
            ExitCode::from(2)
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Those that `benches/brokers` knows, a program of its own.
const BROKERS: [&str; 3] = ["kafka", "jetstream", "rabbitmq"];

/// Builds that program and runs it.
fn brokers(names: &[&str]) -> ExitCode {
    let status = measure::cargo(&["run", "--quiet", "--release", "-p", "tidemill-brokers", "--"], names).status();
    if status.expect("cargo runs").success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// F1 by callgrind: the difference between N and 2N events.
fn tax_instructions(way: Way) -> f64 {
    const EVENTS: u64 = 20_000;
    let count = |events: u64| {
        let events = events.to_string();
        measure::instructions(&["tax", &events, way.key()])
    };
    (count(2 * EVENTS) - count(EVENTS)) as f64 / EVENTS as f64
}

fn gate() -> ExitCode {
    let committed: Value = serde_json::from_str(COMMITTED).expect("the committed count is JSON");
    let mut passed = true;
    for way in Way::ALL {
        let key = way.key();
        let committed = committed[key].as_f64().expect("a count");
        let now = tax_instructions(way);
        let change = now / committed - 1.0;
        println!("F1: {now:.0} {key}, committed {committed:.0}, {:+.2} %", change * 100.0);
        if change > SLACK {
            println!("more than {:.0} % above: make it cheaper, or say in the commit why it costs that", SLACK * 100.0);
            passed = false;
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// F1 by the wall clock, in microseconds per event: the median of five differences.
fn tax_microseconds() -> f64 {
    const EVENTS: u64 = 500_000;
    let mut differences: Vec<f64> = (0..5)
        .map(|_| {
            let run = |events| tax::run(events, tax::Clock::Real, Way::Plain).as_secs_f64();
            (run(2 * EVENTS) - run(EVENTS)) * 1e6 / EVENTS as f64
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    differences[2]
}

async fn all() -> Value {
    println!("| figure | goal | measured | raw client loop |\n|---|---|---|---|");
    let [instructions, later, ordered] = Way::ALL.map(tax_instructions);
    row("F1 engine tax, instructions per event", "4,000", &format!("{instructions:.0}"), "");
    row("F1 with an output that confirms later, instructions per event", "", &format!("{later:.0}"), "");
    let goal = format!("{:.0}", instructions * 1.3);
    row("F1 in order of each of 1,000 keys, instructions per event", &goal, &format!("{ordered:.0}"), "");
    let microseconds = tokio::task::spawn_blocking(tax_microseconds).await.expect("no panic");
    row("F1 engine tax, us per event, one thread", "0.5", &format!("{microseconds:.3}"), "");
    let [[engine, spooled, raw], [stub, stub_spooled, stub_raw]] = fleet_alone().await;
    let spool = spool_alone().await;
    let keys = keys_alone().await;
    let footprint = footprint::take().await;
    row("idle memory, MB", "15", &format!("{:.1}", footprint.resident_mb), "");
    row("ready after start, ms", "50", &format!("{:.1}", footprint.ready_ms), "");
    json!({
        "f1": { "instructionsPerEvent": instructions, "instructionsPerEventConfirmedLater": later, "instructionsPerEventOrdered": ordered, "microsecondsPerEvent": microseconds },
        "f4": {
            "mosquitto": { "engine": engine, "spooled": spooled, "raw": raw },
            "stub": { "engine": stub, "spooled": stub_spooled, "raw": stub_raw },
        },
        "spool": spool,
        "keys": keys,
        "footprint": footprint,
    })
}

/// F4: the engine, the same with its spool, and the raw loop, behind mosquitto and behind the stub.
async fn fleet_alone() -> [[Cost; 3]; 2] {
    let behind_mosquitto = triples(|client| fleet::behind_mosquitto(client, 100_000)).await;
    let [engine, spooled, raw] = behind_mosquitto.each_ref().map(us);
    row("F4 behind mosquitto at 10,000/s, CPU us per event", "15", &engine, &raw);
    row("F4 behind mosquitto at 10,000/s, spooled, CPU us per event", "", &spooled, &raw);
    let behind_stub = triples(|client| fleet::behind_stub(client, 2_000_000)).await;
    let [engine, spooled, raw] = behind_stub.each_ref().map(|cost| format!("{:.0}", cost.per_core_second));
    row("F4 behind the stub, events per second and core", "350,000", &engine, &raw);
    row("F4 behind the stub, spooled, events per second and core", "", &spooled, &raw);
    [behind_mosquitto, behind_stub]
}

/// The spool beside bare redb.
async fn spool_alone() -> Value {
    let figure = spool::take().await;
    let (spool, bare) = (format!("{:.0}", figure.spool), format!("{:.0}", figure.bare));
    row("spool, records per second", "", &spool, &bare);
    row("spool beside bare redb", "0.85", &format!("{:.2}", figure.ratio), "1");
    json!({ "spool": figure.spool, "bare": figure.bare, "ratio": figure.ratio, "group": figure.group })
}

/// Order by key beside a greedy schedule, with the seats that a source has unless somebody writes others.
async fn keys_alone() -> Value {
    let mut ratios = serde_json::Map::new();
    for keys in [20, 1_000, 10_000] {
        let ratio = keys::take(keys, 1_000).await;
        row(&format!("{keys} keys in order, beside a greedy schedule"), "1.05", &format!("{ratio:.3}"), "1");
        ratios.insert(keys.to_string(), ratio.into());
    }
    ratios.into()
}

/// Each client three times in turn; the medians.
async fn triples<F: Future<Output = Cost>>(run: impl Fn(Client) -> F) -> [Cost; 3] {
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (client, costs) in [Client::Engine, Client::Spooled, Client::Raw].into_iter().zip(&mut costs) {
            let cost = run(client).await;
            // The table shows medians; who compares two builds wants to see how they scatter.
            eprintln!("{client:?} {cost:?}");
            costs.push(cost);
        }
    }
    costs.map(Cost::median)
}

fn us(cost: &Cost) -> String {
    format!("{:.1}", cost.cpu_us)
}

fn row(figure: &str, goal: &str, measured: &str, raw: &str) {
    println!("| {figure} | {goal} | {measured} | {raw} |");
}
