//! The demo as a newcomer types it: it ends by itself, its totals are those of the published cycle whatever went wrong on
//! the way, and they agree with a script that shares no code with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::outcome::PROGRAM;

/// A demo on a free port with a folder of its own for temporary files.
fn demo(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--admin", "127.0.0.1:0"]).args(arguments);
    command.env("TMPDIR", temporary).env("TERM", "dumb").env_remove("TIDEMILL_LOG").stdin(Stdio::null());
    command
}

/// Drives one vehicle through a cycle, 200 times as fast.
fn drive(temporary: &Path, cycle: &str, faults: &str) -> Value {
    let arguments =
        ["--cycle", cycle, "--vehicles", "1", "--speed-up", "200", "--seed", "1", "--json", "--faults", faults];
    report(&demo(temporary, &arguments).output().unwrap())
}

/// The one object that a demo which ended well printed.
fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(report["problems"], serde_json::json!([]));
    assert_eq!(report["conserved"], true);
    assert_eq!(report["lost"], 0);
    report
}

fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} in {report}"))
}

/// What the oracle says of a report, and whether it agrees.
fn judge(folder: &Path, cycle: &str, report: &Value, equal_to: &Value) {
    let written = |name: &str, report: &Value| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, report.to_string()).unwrap();
        path
    };
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3")
        .arg(project.join("tests/oracle/cycle_totals.py"))
        .arg(project.join(format!("src/demo/simulator/cycles/{cycle}.csv")))
        .arg(written("report.json", report))
        .arg("--equal-to")
        .arg(written("other.json", equal_to))
        .output()
        .expect("the oracle needs python3; install it with `apt-get install python3`");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.matches("ok ").count() == 6, "{text}");
}

#[test]
fn a_cycle_gives_its_published_totals_whatever_went_wrong_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    for (cycle, metres) in [("udds", 11_990.0), ("hwfet", 16_507.0)] {
        let calm = drive(folder.path(), cycle, "none");
        let harsh = drive(folder.path(), cycle, "harsh");
        judge(folder.path(), cycle, &harsh, &calm);
        let distance = harsh["distance_m"].as_f64().unwrap();
        assert!((distance - metres).abs() <= 24.0, "{distance}");

        assert_eq!(number(&calm, "/sent/messages"), number(&calm, "/sent/samples"));
        assert_eq!(number(&harsh, "/sent/samples"), number(&calm, "/sent/samples"));
        let (malformed, duplicates) = (number(&harsh, "/sent/malformed"), number(&harsh, "/sent/duplicates"));
        assert!(malformed > 0 && duplicates > 0);
        assert!(number(&harsh, "/samples/duplicate") >= duplicates);
        let rejected = number(&harsh, "/rules/telemetry~1metrics/deadLetters/rejected");
        assert!(rejected + number(&harsh, "/sources/fleet/rejected") >= malformed, "{harsh}");
        assert!(number(&harsh, "/sources/fleet/received") >= number(&harsh, "/sent/confirmed"));
    }
    // Both ran on temporary folders that are gone.
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".json")), "{left:?}");
}

#[tokio::test]
async fn it_answers_while_it_runs_and_a_signal_ends_it_with_everything_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["--cycle", "udds", "--vehicles", "30", "--speed-up", "10", "--faults", "mild", "--work", "1ms", "--json"];
    let mut command = tokio::process::Command::from(demo(folder.path(), &arguments));
    let mut process = testkit::process::Process::start("tidemill demo", &mut command);
    let line = process.line("the admin address", |line| line.starts_with("admin http://")).await;
    let address = line.trim_start_matches("admin http://").trim().parse().unwrap();
    // A line of progress is written once something has been counted.
    process.line("a line of progress", |line| line.contains("workers") && !line.contains(" done 0 ")).await;
    let page = testkit::http::get(address, "/metrics").await.body;
    assert!(page.contains("fleet_distance_meters_total{") && page.contains("tidemill_rule_done_total{"), "{page}");
    assert!(!page.contains("veh-0"), "a series per vehicle: {page}");
    let status = process.terminate().await;
    let lines = process.lines().all();
    let printed = lines.iter().filter(|line| line.starts_with('{')).cloned().collect::<String>();
    let report = report(&Output { status, stdout: printed.into(), stderr: lines.join("\n").into() });
    assert_eq!(report["interrupted"], true);
    assert!(number(&report, "/sent/messages") > 0 && number(&report, "/peak_workers") > 0);
}

#[test]
fn help_and_mistakes_of_usage_start_nothing() {
    let demo = |words: &[&str]| Command::new(PROGRAM).arg("demo").args(words).output().unwrap();
    for words in [&["--help"][..], &["--", "--help"]] {
        let output = demo(words);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("tidemill demo --cycle udds"));
    }
    for (words, sentence) in [
        (&["--vehicles", "0"][..], "vehicles is 0"),
        (&["--cycle", "nedc"], "write one of udds, hwfet, tide"),
        (&["--admin", "0.0.0.0:0"], "token"),
    ] {
        let output = demo(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(sentence) && output.stdout.is_empty(), "{said}");
    }
}
