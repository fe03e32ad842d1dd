//! Children that end well, end badly, ignore a signal or never end.

use std::os::unix::process::ExitStatusExt;

use super::*;

fn shell(script: &str) -> Process {
    Process::start("shell", Command::new("sh").arg("-c").arg(script))
}

#[tokio::test]
async fn both_streams_are_kept_and_the_end_is_awaited() {
    let mut process = shell("echo out; echo err >&2; exit 3");
    assert_eq!(process.wait().await.code(), Some(3));
    let mut lines = process.lines().all();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
}

#[tokio::test]
async fn a_line_is_awaited_and_found_again_later() {
    let mut process = shell("echo one; echo ready; read never < /dev/zero");
    assert_eq!(process.line("readiness", |line| line == "ready").await, "ready");
    assert_eq!(process.line("the first line", |line| line == "one").await, "one");
}

#[tokio::test]
async fn a_line_printed_just_before_the_end_is_found() {
    let mut process = shell("echo ready");
    assert_eq!(process.line("readiness", |line| line == "ready").await, "ready");
}

#[tokio::test]
#[should_panic(expected = "ended before readiness; it printed:\nno port")]
async fn a_process_that_ends_before_its_line_fails_with_what_it_printed() {
    shell("echo no port").line("readiness", |line| line == "ready").await;
}

#[tokio::test]
async fn terminate_lets_it_finish_and_kill_does_not() {
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut polite = shell(script);
    polite.line("readiness", |line| line == "ready").await;
    assert_eq!(polite.terminate().await.code(), Some(0));
    assert!(polite.lines().all().contains(&"bye".to_owned()));
    let mut killed = shell(script);
    killed.line("readiness", |line| line == "ready").await;
    assert_eq!(killed.kill().await.signal(), Some(9));
    assert!(!killed.lines().all().contains(&"bye".to_owned()));
}

#[tokio::test]
async fn a_dropped_process_is_gone() {
    let mut process = shell("echo ready; exec sleep 600");
    process.line("readiness", |line| line == "ready").await;
    let id = process.id().unwrap();
    drop(process);
    within("the child to be reaped", async {
        while std::path::Path::new(&format!("/proc/{id}/exe")).canonicalize().is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "cannot be started")]
async fn a_program_that_is_not_there_is_named() {
    let _never = Process::start("nothing", &mut Command::new("/nonexistent/program"));
}
