//! Pushes every series to a Prometheus Pushgateway.
//!
//! A push is a PUT of the whole group, so what expired here vanishes there, and a clean stop deletes the group: the
//! gateway itself never forgets anything. A gateway that is away costs nothing but pushes: the next one carries the same
//! totals. The group is `job` and `instance`, so that two engines never replace each other's series.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::metric::Link;
use engine::port::{BoxFuture, PublishError};
use engine::registry::{OpenError, Setup};
use parking_lot::Mutex;
use reqwest::{Client, Method, Url};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::prometheus::Target;

/// Whether this binary can push.
pub(crate) const AVAILABLE: bool = true;

const REQUEST_MAX: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(60);
const EXCERPT_MAX: usize = 200;

type Body = Box<dyn Fn() -> String + Send>;

/// A running push. Dropping it ends pushing and leaves the group to the gateway, as a crash would.
pub(crate) struct Pusher {
    group: String,
    task: Mutex<Option<Running>>,
}

/// How to end the task, and how it ended.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), String>>);

struct Gateway {
    client: Client,
    group: Url,
    /// The group without credentials, for messages.
    name: String,
    link: Link,
    failures: u32,
}

impl Pusher {
    /// Begins to push what `body` answers. Nothing is sent before this returns.
    ///
    /// # Errors
    /// The URL is none, or its secret cannot be had.
    pub(crate) fn start(target: &Target, setup: &Setup, body: Body) -> Result<Pusher, OpenError> {
        let refused = |message: String| OpenError { message, cause: None };
        let url = target.url.reveal().map_err(|error| refused(error.to_string()))?;
        let group = group(&url, &target.job, &setup.instance)
            .map_err(|reason| refused(format!("the pushgateway's url of output '{}' {reason}", setup.name)))?;
        let name = nameless(&group);
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may install one at the same moment, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = Client::builder()
            .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
            .timeout(REQUEST_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| refused(format!("cannot make an http client: {}", sentence(&error))))?;
        let gateway = Gateway { client, group, name: name.clone(), link: setup.link.clone(), failures: 0 };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(gateway.run(target.interval, body, stopped));
        Ok(Pusher { group: name, task: Mutex::new(Some((stop, task))) })
    }

    /// What nobody else may push, without credentials.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// Ends pushing and deletes the group.
    ///
    /// # Errors
    /// The group is still there.
    pub(crate) fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        let task = self.task.lock().take();
        Box::pin(async move {
            let Some((stop, task)) = task else { return Ok(()) };
            // The task only ends before if it panicked, which the handle tells.
            let _ = stop.send(());
            let error = match task.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(error) => format!("pushing to '{}' ended early: {error}", self.group),
            };
            Err(PublishError::Retry { after: None, error })
        })
    }
}

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pusher").field(&self.group).finish()
    }
}

impl Gateway {
    async fn run(mut self, interval: Duration, body: Body, mut stop: oneshot::Receiver<()>) -> Result<(), String> {
        loop {
            // A push that has begun is finished, so that it cannot arrive after the deletion.
            let result = self.send(Method::PUT, body()).await;
            self.report(result);
            let pause = pause(interval, self.failures, fastrand::f64());
            tokio::select! {
                stopped = &mut stop => match stopped {
                    Ok(()) => break,
                    Err(_) => return Ok(()),
                },
                () = sleep(pause) => {}
            }
        }
        let result = self.send(Method::DELETE, String::new()).await;
        self.link.stopped();
        result.map_err(|error| format!("cannot delete the group of '{}': {error}", self.name))
    }

    async fn send(&self, method: Method, body: String) -> Result<(), String> {
        let request = self.client.request(method, self.group.clone());
        let request = request.header("content-type", "text/plain; version=0.0.4; charset=utf-8").body(body);
        let mut response = request.send().await.map_err(|error| sentence(&error.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let answer = response.chunk().await.ok().flatten().unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer);
        let excerpt: String = answer.trim().chars().take(EXCERPT_MAX).flat_map(char::escape_debug).collect();
        Err(format!("it answered {status}: {excerpt}"))
    }

    fn report(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(gateway = self.name, "pushing works again");
                }
                if self.failures > 0 || self.link.read().connects == 0 {
                    self.link.connected();
                }
                self.failures = 0;
            }
            Err(error) => {
                let error = format!("cannot push to '{}': {error}", self.name);
                if self.failures == 0 {
                    tracing::warn!("{error}; trying again");
                }
                self.link.disconnected(error);
                self.failures = self.failures.saturating_add(1);
            }
        }
    }
}

/// How long to wait before the next push: the interval, after failures doubled up to a minute; a fifth more or less, so
/// that replicas do not push in step.
fn pause(interval: Duration, failures: u32, chance: f64) -> Duration {
    if failures == 0 {
        return interval;
    }
    let doubled = interval.saturating_mul(1 << failures.min(16));
    doubled.min(interval.max(PAUSE_MAX)).mul_f64(0.8 + 0.4 * chance)
}

/// The address of a group at the gateway at `url`.
fn group(url: &str, job: &str, instance: &str) -> Result<Url, String> {
    let mut group = Url::parse(url).map_err(|error| format!("is none: {error}"))?;
    if !matches!(group.scheme(), "http" | "https") {
        return Err("has another scheme than http or https".to_owned());
    }
    group.set_query(None);
    group.set_fragment(None);
    let mut path = group.path_segments_mut().map_err(|()| "has no path".to_owned())?;
    path.pop_if_empty().extend(["metrics", "job", job]);
    if instance.is_empty() || instance.contains('/') {
        // The gateway takes such values in base64 only, and a lone sign of equality for none at all.
        let encoded = URL_SAFE_NO_PAD.encode(instance);
        path.extend(["instance@base64", if encoded.is_empty() { "=" } else { &encoded }]);
    } else {
        path.extend(["instance", instance]);
    }
    drop(path);
    Ok(group)
}

/// The address without credentials.
fn nameless(url: &Url) -> String {
    let mut url = url.clone();
    // Both only fail for addresses that cannot carry credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

fn sentence(error: &reqwest::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
