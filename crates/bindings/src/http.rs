//! `http`: every event posted to an address, confirmed by the status that answers it.
//!
//! | what happened | what becomes of the event |
//! |---|---|
//! | 2xx | done |
//! | 404, 408, 409, 425, 429, 5xx, no answer, `timeout` over | tried again by the rule's policy, not before `Retry-After` |
//! | any other status, redirects among them | rejected |
//! | an attribute that the path needs is absent | rejected |
//!
//! `statusPolicy` can change what a status means. Only the path can depend on the event, never the host; the host's name
//! is resolved by [`reach`], so that the address that was found to be allowed is the one that is connected to; and
//! redirects are never followed, because they would lead past both.

mod excerpt;
mod options;
mod policy;
mod reach;
mod request;
mod target;
#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connectors::credentials::{self, Login};
use connectors::http::signature::Signature;
use connectors::tls::Files;
use connectors::trust::Trust;
use engine::config::{Check, Secret};
use engine::event::{Event, Text};
use engine::metric::Link;
use engine::port::{BoxFuture, Clock, Confirm, Offer, Output, PublishError};
use engine::registry::{OpenError, OutputKind, OutputPlan, Setup};
use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, Request, Response};
use tokio::sync::Semaphore;

use excerpt::Excerpt;
pub use options::Options;
use policy::{Decision, Policy};
use reach::{Reach, Resolver};
use request::Form;
use target::Target;

use crate::courier::Courier;
use crate::message::Mode;

/// The kind `http`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How much of an answer is read so that its connection can be used again; a longer one costs its connection.
const ANSWER: usize = 64 << 10;

impl OutputKind for Http {
    type Options = Options;
    const NAME: &'static str = "http";

    fn check(&self, options: Options, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        options.meaning(check).map(|plan| Box::new(plan) as _)
    }
}

/// A checked output.
struct Plan {
    url: Secret,
    mode: Mode,
    reach: Reach,
    connections: usize,
    timeout: Duration,
    policy: Policy,
    headers: Vec<(HeaderName, Secret)>,
    bearer: Option<Secret>,
    login: Login,
    signature: Option<Signature>,
    tls: Files,
}

impl OutputPlan for Plan {
    fn durable(&self) -> bool {
        true
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Output>, OpenError> {
        let refused = |message: String| OpenError { message, cause: None };
        let url = credentials::reveal("http.url", &self.url)?;
        let target = Target::parse(&url, self.reach)
            .map_err(|flaw| refused(format!("http.url: {}; {}", flaw.message, flaw.help)))?;
        let origin = target.origin().to_owned();
        let mut client = Client::builder()
            .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
            .timeout(self.timeout)
            .connect_timeout(CONNECT.min(self.timeout))
            .pool_max_idle_per_host(self.connections)
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve the host's name by itself.
            .no_proxy()
            .dns_resolver(Resolver::new(self.reach));
        if target.is_tls() {
            client = client.tls_backend_preconfigured((*Trust::load(&self.tls)?.config).clone());
        } else {
            install_provider();
        }
        let client =
            client.build().map_err(|cause| refused(format!("cannot make an http client: {}", sentence(&cause))))?;
        let key = self.signature.as_ref().map(|signature| signature.open("http.auth.hmac")).transpose()?;
        let form = Form { target, mode: self.mode, headers: self.headers()?, key };
        let excerpt = Excerpt::new(&form.headers, self.url.literal().is_none());
        let sender = Sender {
            name: setup.name,
            origin,
            client,
            places: Semaphore::new(self.connections),
            policy: self.policy.clone(),
            excerpt,
            link: setup.link,
            clock: setup.clock,
            failing: AtomicBool::new(false),
        };
        Ok(Box::new(Poster { form, sender: Arc::new(sender), courier: Courier::default() }))
    }
}

impl Plan {
    /// The headers that every request has.
    fn headers(&self) -> Result<HeaderMap, OpenError> {
        let mut headers = HeaderMap::new();
        for (name, secret) in &self.headers {
            let key = format!("http.headers.{name}");
            headers.append(name, request::secret_value(&key, &credentials::reveal(&key, secret)?)?);
        }
        let authorization = match (&self.bearer, self.login.is_some()) {
            (Some(token), _) => Some(format!("Bearer {}", credentials::reveal("http.auth.bearer", token)?)),
            (None, true) => Some(request::basic(&self.login.reveal("http.auth.basic")?)),
            (None, false) => None,
        };
        if let Some(text) = authorization {
            headers.insert(reqwest::header::AUTHORIZATION, request::secret_value("http.auth", &text)?);
        }
        Ok(headers)
    }
}

/// A client without TLS still wants to know which provider it would use.
fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may install one at the same moment, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

struct Poster {
    form: Form,
    sender: Arc<Sender>,
    courier: Courier,
}

/// What sends requests and judges answers.
struct Sender {
    name: Text,
    /// Scheme, host and port: what may be said of the address.
    origin: String,
    client: Client,
    places: Semaphore,
    policy: Policy,
    excerpt: Excerpt,
    link: Link,
    clock: Arc<dyn Clock>,
    failing: AtomicBool,
}

impl Output for Poster {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        match self.form.request(event) {
            Err(reason) => Confirm::Now(Err(PublishError::Reject { reason })),
            Ok(request) => {
                let sender = Arc::clone(&self.sender);
                self.courier.send(offer, async move { sender.send(request).await })
            }
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async {
            self.courier.close().await;
            self.sender.link.stopped();
            Ok(())
        })
    }
}

impl Sender {
    async fn send(&self, request: Request) -> Result<(), PublishError> {
        // Nobody closes the semaphore; if somebody did, there would be no bound to keep.
        let _place = self.places.acquire().await.ok();
        let hidden = self.excerpt.hides(request.url());
        match self.client.execute(request).await {
            Ok(response) => self.judge(response, &hidden).await,
            Err(cause) => {
                let error = format!("no answer from {}: {}", self.origin, sentence(&cause.without_url()));
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(output = %self.name, "{error}; trying again");
                }
                self.link.disconnected(error.as_str());
                Err(PublishError::Retry { after: None, error })
            }
        }
    }

    async fn judge(&self, mut response: Response, hidden: &[String]) -> Result<(), PublishError> {
        self.answered();
        let status = response.status();
        let decision = self.policy.decide(status);
        let after = response.headers().get(RETRY_AFTER).and_then(|value| policy::retry_after(value, self.clock.now()));
        let answer = read(&mut response, self.excerpt.reads()).await;
        if decision == Decision::Done {
            return Ok(());
        }
        let excerpt = self.excerpt.of(&answer, hidden);
        let colon = if excerpt.is_empty() { "" } else { ": " };
        let error = format!("{} answered {status}{colon}{excerpt}", self.origin);
        self.link.error(error.as_str());
        Err(match decision {
            Decision::Reject => PublishError::Reject { reason: error },
            _ => PublishError::Retry { after, error },
        })
    }

    /// Somebody is there.
    fn answered(&self) {
        let failed = self.failing.swap(false, Ordering::Relaxed);
        if failed {
            tracing::info!(output = %self.name, "{} answers again", self.origin);
        }
        if failed || self.link.read().connects == 0 {
            self.link.connected();
        }
    }
}

/// The first bytes of an answer; read to its end if it is short.
async fn read(response: &mut Response, most: usize) -> String {
    let (mut kept, mut read) = (Vec::new(), 0);
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        kept.extend(chunk.iter().take(most.saturating_sub(kept.len())));
        if read > ANSWER {
            break;
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
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
