//! The program as a user types it: exit codes, streams, the addresses that it prints, its state folder and its end. None of
//! this needs a broker; the sources here look for one where nobody listens.

use std::process::{Command, Output};

use serde_json::Value;
use testkit::http;
use testkit::tidemill::Tidemill;

use crate::outcome::PROGRAM;

/// A source without a broker: nobody listens on port 1.
const ALONE: &str = r#"
sources:
  fleet: { mqtt: { url: "mqtt://127.0.0.1:1", topics: ["a/{b}"] }, event: { type: t, source: /s } }
outputs:
  out: { file: { path: out.jsonl } }
triggers:
  all: { source: fleet, rules: { keep: { output: out } } }
"#;

fn tidemill(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn check_says_what_is_wrong_on_standard_error_and_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.yaml");
    std::fs::write(&path, ALONE.replace("topics", "topisc")).unwrap();
    let path = path.to_str().unwrap();
    let output = tidemill(&["check", path]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    let said = text(&output.stderr);
    assert!(said.contains("topisc") && said.contains("topics") && !said.contains('\u{1b}'), "{said}");

    let output = tidemill(&["check", "--json", path]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), ""));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["sound"], false);
    assert_eq!(answer["diagnostics"][0]["line"], 3);

    let output = tidemill(&["run", path, "--admin", "127.0.0.1:0"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    assert!(text(&output.stderr).contains("topisc"));
}

#[test]
fn check_prints_what_every_rule_promises() {
    for path in ["examples/vehicle-telemetry/tidemill.yaml", "examples/vehicle-telemetry"] {
        let output = tidemill(&["check", path]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("telemetry/metrics: "), "{}", text(&output.stdout));
    }
    let output = tidemill(&["check", "--json", "examples/vehicle-telemetry/tidemill.yaml"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["sound"], &answer["rules"][0]["rule"]), (&true.into(), &"telemetry/metrics".into()));
}

#[test]
fn the_schema_knows_the_kinds_of_this_binary() {
    let output = tidemill(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["sources"].is_object());
    for kind in ["cron", "http", "mqtt", "native", "prometheus", "log", "file"] {
        assert!(text(&output.stdout).contains(&format!("\"{kind}\"")), "{kind}");
    }
}

#[test]
fn an_admin_api_that_others_can_reach_needs_a_token() {
    let output = tidemill(&["run", "examples/vehicle-telemetry/tidemill.yaml", "--admin", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("TIDEMILL_ADMIN_TOKEN") && said.contains("--admin-token-file"), "{said}");
}

#[tokio::test]
async fn an_engine_without_its_broker_runs_answers_and_ends_well() {
    let mut engine = Tidemill::new(PROGRAM, ALONE);
    engine.start_degraded().await;
    assert_eq!(engine.get("/readyz").await.status, 503);
    assert_eq!(engine.get("/healthz").await.status, 200);
    let status =
        engine.status_where("the refused connection", |status| !status["sources"]["fleet"]["lastError"].is_null());
    assert_eq!(status.await["sources"]["fleet"]["received"], 0);
    let instance = std::fs::read_to_string(engine.find("instance").unwrap()).unwrap();
    assert_eq!(engine.status().await["instance"], instance.trim());
    assert_eq!(engine.terminate().await.code(), Some(0));
    assert!(engine.find("tidemill-state").is_some());

    engine.start_degraded().await;
    assert_eq!(engine.status().await["instance"], instance.trim(), "it keeps its id");
    assert_eq!(engine.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_engine_on_the_same_folder_is_refused() {
    let mut first = Tidemill::new(PROGRAM, ALONE).variable("TIDEMILL_INSTANCE", "edge-1");
    first.start_degraded().await;
    let pid = first.process().id().unwrap();
    let second = Command::new(PROGRAM)
        .args(["run", "tidemill.yaml", "--admin", "127.0.0.1:0"])
        .current_dir(first.folder())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(said.contains("'edge-1'") && said.contains(&format!("process {pid}")), "{said}");
    assert_eq!(first.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_taken_address_names_the_option() {
    let mut first = Tidemill::new(PROGRAM, ALONE);
    first.start_degraded().await;
    let address = first.admin().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.yaml"), ALONE).unwrap();
    let second =
        Command::new(PROGRAM).args(["run", "other.yaml", "--admin", &address]).current_dir(folder.path()).output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains(&format!("{address} is taken")), "{}", text(&second.stderr));
}

#[tokio::test]
async fn status_and_leave_speak_to_a_unix_socket() {
    let mut engine = Tidemill::new(PROGRAM, ALONE).argument("--observe").argument("unix:observe.sock");
    engine.start_degraded().await;
    let admin = engine.admin().to_string();
    let output = tidemill(&["status", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("SOURCE") && text(&output.stdout).contains("fleet"));
    let output = tidemill(&["status", "--json", "--admin", &admin]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["name"], "tidemill");
    let output = tidemill(&["leave", "fleat", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("'fleat'") && text(&output.stderr).contains("fleet"));
    for (verb, done) in [("pause", "paused"), ("resume", "resumed")] {
        let output = tidemill(&[verb, "fleet", "--admin", &admin]);
        assert_eq!((output.status.code(), text(&output.stdout).trim()), (Some(0), format!("{done} fleet").as_str()));
    }
    let output =
        tidemill(&["send", "fleet", "--type", "t", "--data", "1", "--attribute", "tenant=a", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("sent send-"), "{}", text(&output.stdout));
    // The observe page is no place to ask for a status.
    let observe = format!("unix:{}", engine.folder().join("observe.sock").display());
    let output = tidemill(&["status", "--admin", &observe]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no such path"), "{}", text(&output.stderr));
    let foreign = http::request(engine.admin(), "GET", "/v1/status", &[("host", "evil.example")], "").await;
    assert_eq!(foreign.unwrap().status, 403);
    assert_eq!(engine.terminate().await.code(), Some(0));
    assert_eq!(engine.find("observe.sock"), None);
}

#[tokio::test]
async fn what_is_said_is_machine_readable_and_standard_output_is_for_data() {
    let mut engine = Tidemill::new(PROGRAM, ALONE).argument("--log-format").argument("json");
    engine.start_degraded().await;
    engine.process().line("the start", |line| line.contains("\"started\"")).await;
    assert_eq!(engine.terminate().await.code(), Some(0));
    let lines = engine.process().lines().all();
    for line in &lines {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert!(lines.iter().any(|line| line.contains("\"drained\"") && line.contains("\"handed_back\":0")), "{lines:?}");
}
