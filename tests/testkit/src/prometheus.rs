//! Debian's Prometheus tools: a real Pushgateway, and promtool as the judge of an exposition.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::http;
use crate::patience::{RETRY, within};
use crate::port;
use crate::process::Process;
use crate::programs;

/// A Pushgateway of one test, with nothing in it.
pub struct Pushgateway {
    address: SocketAddr,
    process: Process,
}

impl Pushgateway {
    /// Starts one and returns when it is ready.
    ///
    /// # Panics
    /// When it is not installed, or ends, with its log.
    pub async fn start() -> Self {
        let address = port::free();
        let program = programs::find("prometheus-pushgateway", "prometheus-pushgateway");
        let mut command = Command::new(program);
        command.arg(format!("--web.listen-address={address}"));
        let mut process = Process::start("prometheus-pushgateway", &mut command);
        within("the Pushgateway to be ready", async {
            loop {
                if let Some(status) = process.ended() {
                    panic!("the Pushgateway ended with {status}");
                }
                let ready = http::request(address, "GET", "/-/ready", &[], "").await;
                if ready.is_ok_and(|response| response.status == 200) {
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
        Self { address, process }
    }

    /// Its URL, as `push.url` wants it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that has been pushed and not deleted, as it shows it to Prometheus.
    pub async fn metrics(&self) -> String {
        http::get(self.address, "/metrics").await.body
    }

    /// Waits until what it shows satisfies `is_it`, and returns it.
    pub async fn shows(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        within(what, async {
            loop {
                let metrics = self.metrics().await;
                if is_it(&metrics) {
                    return metrics;
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
    }

    /// The process, for its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// What `promtool check metrics` says about an exposition: every problem, or nothing.
///
/// # Errors
/// Its output when it finds fault.
///
/// # Panics
/// When promtool is not installed.
pub async fn check_metrics(exposition: &str) -> Result<(), String> {
    let program = programs::find("promtool", "prometheus");
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("promtool can be started");
    let mut stdin = child.stdin.take().expect("the input is piped");
    // A promtool that has seen enough may close its input early; its verdict is what counts.
    let _ = stdin.write_all(exposition.as_bytes()).await;
    drop(stdin);
    let output = within("promtool", child.wait_with_output()).await.expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() && said.trim().is_empty() { Ok(()) } else { Err(said) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clean_exposition_passes_and_a_faulty_one_is_explained() {
        let clean = "# HELP tide_total Tides so far.\n# TYPE tide_total counter\ntide_total 1\n";
        assert_eq!(check_metrics(clean).await, Ok(()));
        let unhelpful = check_metrics("# TYPE tide counter\ntide 1\n").await.unwrap_err();
        assert!(unhelpful.contains("help"), "{unhelpful}");
        assert!(check_metrics("not a metric at all\n").await.is_err());
    }

    #[tokio::test]
    async fn what_is_pushed_is_shown_until_it_is_deleted() {
        let gateway = Pushgateway::start().await;
        let path = "/metrics/job/tide";
        let put = http::request(gateway.address, "PUT", path, &[], "tide_level 3\n").await;
        assert_eq!(put.unwrap().status, 200);
        gateway.shows("the pushed level", |text| text.contains("tide_level{")).await;
        let delete = http::request(gateway.address, "DELETE", path, &[], "").await;
        assert_eq!(delete.unwrap().status, 202);
        gateway.shows("no level", |text| !text.contains("tide_level{")).await;
    }
}
