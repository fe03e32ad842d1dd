//! The connection of an output, and the window of events that wait for their confirmation.
//!
//! The first connection is ours to make, so that its refusals are told in full; afterwards the client reconnects for ever
//! by itself. While it does, events wait, and what was sent without an answer is sent again under the same id.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{Context, ContextBuilder, PublishErrorKind as Kind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event as Happening};
use connectors::backoff::{Backoff, Patience};
use connectors::credentials::reveal;
use connectors::nats::Address;
use connectors::trust::Trust;
use engine::event::Text;
use engine::metric::Link;
use engine::port::PublishError;
use engine::registry::{OpenError, Setup};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::options::Meaning;
use super::parcel::Parcel;

/// How long one sending may wait for its answer; a lost connection swallows answers.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to wait before what was refused for the moment is sent again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What publishes for one output.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    connecting: JoinHandle<()>,
}

struct Shared {
    address: Address,
    jetstream: bool,
    timeout: Duration,
    window: Semaphore,
    /// Whose turn it is to hand a message to the client. Everybody who waits for a connection is woken in any order, and the
    /// turns keep the one in which events were published.
    turn: Mutex<()>,
    /// The client, once there is one.
    client: watch::Receiver<Option<Connected>>,
    link: Link,
}

#[derive(Clone)]
struct Connected {
    client: Client,
    stream: Context,
}

/// Why one sending was not confirmed.
enum Refused {
    /// Sent again at once or soon: nobody was there.
    Again,
    /// For the engine to decide.
    Publish(PublishError),
}

impl Publisher {
    /// Begins to connect in a task of its own.
    pub(super) fn open(meaning: &Meaning, setup: &Setup) -> Result<Publisher, OpenError> {
        let address = Address::parse(&reveal("nats.url", &meaning.url)?)
            .map_err(|flaw| OpenError { message: format!("nats.{}; {}", flaw.message, flaw.help), cause: None })?;
        let link = setup.link.clone();
        let shown = address.to_string();
        let mut options = meaning
            .identity
            .reveal()?
            .options()?
            .name(format!("tidemill-{}-{}", setup.name, setup.instance))
            .ignore_discovered_servers()
            // The client gives a connection up with the third ping to which two have no answer.
            .ping_interval(meaning.keep_alive / 2)
            .reconnect_delay_callback(|attempts| match attempts {
                0 | 1 => Duration::ZERO,
                many => connectors::backoff::nth(many - 2, fastrand::f64()),
            })
            .event_callback({
                let link = link.clone();
                move |happening| {
                    tell(&link, &shown, &happening);
                    std::future::ready(())
                }
            });
        if address.is_tls() {
            let trust = Trust::load(&meaning.tls)?;
            options = options.require_tls(true).tls_client_config((*trust.config).clone());
        }
        let (sender, client) = watch::channel(None);
        let connecting =
            tokio::spawn(connect(address.clone(), options, sender, link.clone(), setup.name.clone(), meaning.window));
        let shared = Shared {
            address,
            jetstream: meaning.form.jetstream,
            timeout: meaning.timeout,
            window: Semaphore::new(meaning.window),
            turn: Mutex::new(()),
            client,
            link,
        };
        Ok(Publisher { shared: Arc::new(shared), connecting })
    }

    /// Sends a message, and resolves when it is confirmed or has waited too long.
    pub(super) fn deliver(&self, parcel: Parcel) -> impl Future<Output = Result<(), PublishError>> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            let wait = shared.timeout;
            timeout(wait, shared.deliver(&parcel)).await.unwrap_or_else(|_| Err(shared.unconfirmed(&parcel.subject)))
        }
    }

    /// Sends off what was published and lets go of the connection.
    pub(super) async fn close(&self) -> Result<(), PublishError> {
        self.connecting.abort();
        let connected = self.shared.client.borrow().clone();
        let Some(Connected { client, .. }) = connected else { return Ok(()) };
        let flushed = match client.connection_state() {
            State::Connected => timeout(GOODBYE, client.flush()).await.is_ok_and(|flushed| flushed.is_ok()),
            // Whatever was not confirmed has failed already, for its own event.
            _ => true,
        };
        self.shared.link.stopped();
        match flushed {
            true => Ok(()),
            false => Err(PublishError::Retry {
                after: None,
                error: format!("server {} did not take the last bytes", self.shared.address),
            }),
        }
    }
}

impl Shared {
    async fn deliver(&self, parcel: &Parcel) -> Result<(), PublishError> {
        // The semaphore is never closed.
        let _place = self.window.acquire().await;
        loop {
            let sent = match self.jetstream {
                true => self.store(parcel).await,
                false => self.send(parcel).await,
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(Refused::Publish(error)) => return Err(error),
                Err(Refused::Again) => sleep(AGAIN).await,
            }
        }
    }

    /// Waits for a connection that stands.
    async fn connected(&self) -> Connected {
        let mut client = self.client.clone();
        loop {
            let connected = client.wait_for(Option::is_some).await.ok().and_then(|client| (*client).clone());
            match connected {
                Some(connected) if connected.client.connection_state() == State::Connected => return connected,
                // The client reconnects by itself, and says so to nobody who waits.
                _ => sleep(AGAIN).await,
            }
        }
    }

    /// Into a stream, which answers.
    async fn store(&self, parcel: &Parcel) -> Result<(), Refused> {
        let message = PublishMessage::build().payload(parcel.payload.clone()).headers(parcel.headers.clone());
        let sent = {
            let _turn = self.turn.lock().await;
            self.connected().await.stream.send_publish(parcel.subject.clone(), message).await
        };
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        let error = match acknowledged {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let subject = &parcel.subject;
        let because = || std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Err(match error.kind() {
            Kind::TimedOut | Kind::BrokenPipe | Kind::MaxAckPending => Refused::Again,
            Kind::StreamNotFound => self.retry(&format!(
                "no stream takes subject '{subject}'; create one that does, or write jetstream: false for core NATS"
            )),
            Kind::MaxPayloadExceeded => self.reject(&too_large(parcel)),
            Kind::Other if is_too_large(&error) => self.reject(&format!("a stream refused '{subject}'{}", because())),
            _ => self.retry(&format!("a stream refused '{subject}'{}", because())),
        })
    }

    /// On a core subject, which nobody answers.
    async fn send(&self, parcel: &Parcel) -> Result<(), Refused> {
        let Parcel { subject, headers, payload } = parcel.clone();
        let (client, published) = {
            let _turn = self.turn.lock().await;
            let client = self.connected().await.client;
            let published = client.publish_with_headers(subject, headers, payload).await;
            (client, published)
        };
        if let Err(error) = published {
            return Err(match error.kind() {
                async_nats::client::PublishErrorKind::MaxPayloadExceeded => self.reject(&too_large(parcel)),
                async_nats::client::PublishErrorKind::InvalidSubject => self.reject(&error.to_string()),
                async_nats::client::PublishErrorKind::Send => Refused::Again,
            });
        }
        client.flush().await.map_err(|_| Refused::Again)
    }

    fn retry(&self, what: &str) -> Refused {
        let error = format!("server {}: {what}", self.address);
        self.link.error(error.clone());
        Refused::Publish(PublishError::Retry { after: None, error })
    }

    fn reject(&self, what: &str) -> Refused {
        Refused::Publish(PublishError::Reject { reason: format!("server {}: {what}", self.address) })
    }

    fn unconfirmed(&self, subject: &str) -> PublishError {
        let (address, wait) = (&self.address, self.timeout);
        let error = format!("server {address} did not confirm '{subject}' within {wait:?}; see that it is there");
        PublishError::Retry { after: None, error }
    }
}

fn too_large(parcel: &Parcel) -> String {
    let Parcel { subject, payload, .. } = parcel;
    format!("'{subject}' has {} bytes, more than max_payload there; raise it", payload.len())
}

/// Whether a stream said that the message is larger than it ever takes.
fn is_too_large(error: &async_nats::jetstream::context::PublishError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<async_nats::jetstream::Error>());
    cause.is_some_and(|cause| cause.error_code() == async_nats::jetstream::ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}

/// Makes the first connection, for ever.
async fn connect(
    address: Address,
    options: ConnectOptions,
    to: watch::Sender<Option<Connected>>,
    link: Link,
    name: Text,
    window: usize,
) {
    let mut backoff = Backoff::new();
    let servers: Vec<String> = address.to_string().split(',').map(str::to_owned).collect();
    loop {
        match options.clone().connect(servers.as_slice()).await {
            Ok(client) => {
                let builder = ContextBuilder::new().timeout(ANSWER).ack_timeout(ANSWER);
                let stream = builder.max_ack_inflight(window).backpressure_on_inflight(true).build(client.clone());
                let _ = to.send(Some(Connected { client, stream }));
                // The output lives as long as somebody may ask for the client.
                return to.closed().await;
            }
            Err(error) => {
                let text = format!("server {address} {}", sentence(&error));
                tracing::warn!(output = %name, "{text}");
                link.disconnected(text);
                sleep(backoff.delay(patience(&error), fastrand::f64())).await;
            }
        }
    }
}

fn sentence(error: &ConnectError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    match kind(error) {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            "refused the connection; correct user and password, token, nkey or credentials".to_owned()
        }
        ConnectErrorKind::Tls => format!("failed the TLS handshake{cause}; see that tls.ca signs its certificate"),
        ConnectErrorKind::TimedOut => "did not answer in time; see that url names a NATS port".to_owned(),
        _ => format!("cannot be reached{cause}; start it, or correct url"),
    }
}

/// What a first connection failed at. The crate calls a handshake that failed a matter of reading and writing.
fn kind(error: &ConnectError) -> ConnectErrorKind {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    match cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::InvalidData) {
        true => ConnectErrorKind::Tls,
        false => error.kind(),
    }
}

fn patience(error: &ConnectError) -> Patience {
    match kind(error) {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication | ConnectErrorKind::Tls => {
            Patience::Long
        }
        _ => Patience::Short,
    }
}

/// Reports what happens to the connection.
fn tell(link: &Link, address: &str, happening: &Happening) {
    match happening {
        Happening::Connected => link.connected(),
        Happening::Disconnected => link.disconnected(format!("server {address} closed the connection")),
        Happening::ClientError(error) => link.disconnected(format!("server {address} cannot be reached: {error}")),
        Happening::ServerError(error) => link.error(format!("server {address} refused: {error}")),
        Happening::LameDuckMode | Happening::Draining | Happening::Closed | Happening::SlowConsumer(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_told() {
        let link = Link::default();
        tell(&link, "nats://h:4222", &Happening::Connected);
        assert_eq!(link.read().connects, 1);
        let denied = async_nats::ServerError::Other("Permissions Violation for Publish to \"a\"".into());
        tell(&link, "nats://h:4222", &Happening::ServerError(denied));
        let said = link.read();
        assert!(said.last_error.unwrap().contains("Permissions Violation"));
        assert_eq!(said.connection, engine::metric::Connection::Connected);
    }
}
