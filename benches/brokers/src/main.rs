//! Speed beside raw client loops of each broker: `cargo figures brokers`, or one of them by name. See benches/README.md.
//!
//! The engine is this very program, which is the released one with one function more, as a process of its own with a YAML
//! file; the raw loop is a process too. Each drains the same backlog from the same broker, in turn, three times, so that
//! whatever else the machine does falls on both. What counts is CPU time per event and the ratio within one run.

#![allow(clippy::expect_used, reason = "a figure that cannot be taken ends the run with a sentence")]

mod contest;
mod jetstream;
mod kafka;
mod map;
mod rabbitmq;

use std::process::ExitCode;

use contest::Contest;
use serde_json::json;
use tidemill::Tidemill;
use tidemill::native::stateless;

const NAMES: [&str; 3] = ["kafka", "jetstream", "rabbitmq"];

fn main() -> ExitCode {
    // As in the released binary.
    let _ = mimalloc::MiMalloc.version();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // The two below are this program's own children.
        ["run", ..] => {
            let builtin = Tidemill::builtin();
            builtin.native("map", stateless(map::function)).native("take", stateless(map::take)).main()
        }
        ["raw", "kafka", brokers, from, to, mode, group, events] => {
            kafka::raw(brokers, (from, to), mode, group, number(events));
            ExitCode::SUCCESS
        }
        ["raw", "jetstream", url, durable, events] => {
            runtime().block_on(jetstream::raw(url, durable, number(events)));
            ExitCode::SUCCESS
        }
        ["raw", "rabbitmq", url, queue, events] => {
            runtime().block_on(rabbitmq::raw(url, queue, number(events)));
            ExitCode::SUCCESS
        }
        [] => {
            runtime().block_on(take(&NAMES));
            ExitCode::SUCCESS
        }
        names if names.iter().all(|name| NAMES.contains(name)) => {
            runtime().block_on(take(names));
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("unknown arguments {other:?}: run without any for every broker, or with some of {NAMES:?}");
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

/// Takes the figures, prints them and writes them beside this program.
async fn take(names: &[&str]) {
    Contest::heading();
    let (mut versions, mut contests) = (Vec::new(), Vec::new());
    for name in names {
        let (version, taken) = match *name {
            "kafka" => kafka::take().await,
            "jetstream" => Box::pin(jetstream::take()).await,
            _ => rabbitmq::take().await,
        };
        versions.push(version);
        contests.extend(taken);
    }
    println!("\n{}", versions.join("; "));
    let figures = json!({ "versions": versions, "contests": contests });
    let text = serde_json::to_string_pretty(&figures).expect("figures are JSON");
    let path = std::env::current_exe().expect("this program has a path").with_file_name("brokers.json");
    std::fs::write(&path, format!("{text}\n")).expect("the target folder is writable");
    println!("written to {}", path.display());
}
