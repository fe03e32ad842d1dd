//! The task of an output: it connects for ever, publishes in order as far as the window goes, and hands confirmations out.
//!
//! What a lost connection leaves unconfirmed goes first on the next one, so that a broker's restart spends no attempts;
//! such a message may be there twice. It goes first, and one at a time, after a channel or connection that the broker closed
//! over something that was published: the message that was meant is among it, would close the next one too, and is the only
//! one that fails for it ([`care`](super::care)).

use std::collections::VecDeque;
use std::time::Duration;

use connectors::amqp::{self, Answer, Blame, Fault, Posting};
use connectors::backoff::{Backoff, Patience};
use engine::event::Text;
use engine::metric::Link;
use engine::port::{BoxFuture, PublishError, Ticket};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::care::Care;
use super::parcel::Parcel;
use super::window::{Outcome, Waiting, Window};

/// How long what was published may take to be confirmed once the engine ends.
const FLUSH: Duration = Duration::from_secs(20);
/// With so many bytes unsent, nothing more is put on its way.
const UNSENT: usize = 1 << 20;

/// What an output publishes with.
pub(super) struct Terms {
    pub(super) access: amqp::Terms,
    pub(super) name: Text,
    /// How the broker's own lists call the connection.
    pub(super) client: Text,
    pub(super) exchange: Text,
    pub(super) window: usize,
    pub(super) timeout: Duration,
    pub(super) link: Link,
}

/// The output's side of the task.
pub(super) struct Publisher {
    timeout: Duration,
    /// Nothing, once the output is closed.
    work: Mutex<Option<mpsc::UnboundedSender<Waiting>>>,
    task: Mutex<Option<JoinHandle<usize>>>,
    address: String,
}

impl Publisher {
    /// Begins to connect.
    #[expect(
        clippy::disallowed_methods,
        reason = "every message in it is awaited by a delivery, and deliveries are bounded"
    )]
    pub(super) fn start(terms: Terms) -> Publisher {
        let (work, arriving) = mpsc::unbounded_channel();
        let (timeout, address) = (terms.timeout, terms.access.address.to_string());
        let task = tokio::spawn(Task::new(terms, arriving).serve());
        Publisher { timeout, work: Mutex::new(Some(work)), task: Mutex::new(Some(task)), address }
    }

    /// Puts a message behind those before it; its ticket is answered when it is confirmed or has failed.
    pub(super) fn publish(&self, parcel: Parcel, ticket: Ticket) {
        let waiting = Waiting { parcel, ticket, deadline: Instant::now() + self.timeout };
        let refused = match &*self.work.lock() {
            Some(work) => work.send(waiting).err().map(|refused| refused.0),
            None => Some(waiting),
        };
        if let Some(waiting) = refused {
            waiting.ticket.answer(retry(format!("the output to broker {} is closed", self.address)));
        }
    }

    /// Waits until everything was confirmed or has failed, and says goodbye.
    pub(super) async fn close(&self) -> Result<(), PublishError> {
        drop(self.work.lock().take());
        let task = self.task.lock().take();
        let Some(task) = task else { return Ok(()) };
        match task.await {
            Ok(0) => Ok(()),
            Ok(count) => {
                let error = format!("broker {}: {count} events were not confirmed before the end", self.address);
                Err(PublishError::Retry { after: None, error })
            }
            Err(cause) => Err(PublishError::Retry { after: None, error: cause.to_string() }),
        }
    }
}

struct Task {
    terms: Terms,
    arriving: mpsc::UnboundedReceiver<Waiting>,
    /// What is not on its way, in order.
    queue: VecDeque<Waiting>,
    window: Window,
    care: Care,
    state: State,
    backoff: Backoff,
    since: Option<Instant>,
    /// Since when the broker has blocked publishing.
    blocked: Option<Instant>,
    /// The last fault.
    said: Option<String>,
    /// Until when everything has to be confirmed, once nothing more arrives.
    end: Option<Instant>,
    /// What the broker has answered in this turn.
    answered: Vec<(Ticket, Outcome)>,
}

enum State {
    Opening(BoxFuture<'static, Result<Posting, Fault>>),
    Up(Box<Posting>),
}

impl Task {
    fn new(terms: Terms, arriving: mpsc::UnboundedReceiver<Waiting>) -> Task {
        let mut task = Task {
            terms,
            arriving,
            queue: VecDeque::new(),
            window: Window::default(),
            care: Care::default(),
            state: State::Opening(Box::pin(std::future::pending())),
            backoff: Backoff::new(),
            since: None,
            blocked: None,
            said: None,
            end: None,
            answered: Vec::new(),
        };
        task.open(Duration::ZERO);
        task
    }

    fn open(&mut self, delay: Duration) {
        let Terms { access, client, exchange, .. } = &self.terms;
        let (access, client, exchange) = (access.clone(), client.clone(), exchange.clone());
        self.state = State::Opening(Box::pin(async move {
            sleep(delay).await;
            Posting::open(&access, &client, &exchange).await
        }));
    }

    /// Serves until nothing more arrives and everything has been told; answers how many events were not confirmed.
    async fn serve(mut self) -> usize {
        loop {
            self.send();
            if self.end.is_some_and(|end| self.queue.is_empty() && self.window.len() == 0 || end <= Instant::now()) {
                return self.goodbye().await;
            }
            let due = self.due();
            tokio::select! {
                biased;
                arrived = self.arriving.recv(), if self.end.is_none() => match arrived {
                    Some(waiting) => self.queue.push_back(waiting),
                    None => self.end = Some(Instant::now() + FLUSH),
                },
                moved = moves(&mut self.state) => match moved {
                    Ok(Some(posting)) => self.welcomed(posting),
                    Ok(None) => {
                        self.hear();
                        Ticket::answer_all(&mut self.answered);
                    }
                    Err(fault) => self.lost(&fault),
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.expire(),
            }
        }
    }

    /// Puts on its way what there is, as far as the window and the connection go.
    fn send(&mut self) {
        while let Ok(waiting) = self.arriving.try_recv() {
            self.queue.push_back(waiting);
        }
        let State::Up(posting) = &mut self.state else { return };
        while self.blocked.is_none()
            && self.window.span() < self.care.limit(self.terms.window)
            && posting.unsent() < UNSENT
        {
            let Some(waiting) = self.queue.pop_front() else { break };
            let Parcel { routing_key, properties, payload, .. } = &waiting.parcel;
            posting.publish(routing_key, properties, payload);
            self.care.published();
            self.window.publish(waiting);
        }
    }

    /// Takes what the broker has answered.
    fn hear(&mut self) {
        loop {
            let State::Up(posting) = &mut self.state else { return };
            match posting.answer() {
                Ok(Some(answer)) => self.answered(answer),
                Ok(None) => return,
                Err(fault) => return self.lost(&fault),
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Confirmed { tag, multiple, taken } => {
                self.care.confirmed();
                let (terms, answered, mut failed) = (&self.terms, &mut self.answered, None);
                self.window.confirmed(tag, multiple, |waiting, returned| {
                    let outcome = terms.outcome(&waiting.parcel.routing_key, taken, returned);
                    if let Err(PublishError::Retry { error, .. }) = &outcome {
                        failed = Some(error.clone());
                    }
                    answered.push((waiting.ticket, outcome));
                });
                if let Some(error) = failed {
                    self.terms.link.error(error);
                }
            }
            Answer::Returned(message) => {
                let routing_key = String::from_utf8_lossy(&message.routing_key).into_owned();
                if !self.window.returned(message) {
                    tracing::warn!(output = %self.terms.name, routing_key, "a message came back that has failed already");
                }
            }
            Answer::Blocked(Some(reason)) => {
                let text = format!("broker {} has blocked publishing: {reason}", self.terms.access.address);
                tracing::warn!(output = %self.terms.name, "{text}");
                self.terms.link.error(text);
                self.blocked.get_or_insert_with(Instant::now);
            }
            Answer::Blocked(None) => self.unblocked(),
        }
    }

    /// What has waited for the broker has not waited in vain: its time begins where it stood.
    fn unblocked(&mut self) {
        if let Some(since) = self.blocked.take() {
            let by = since.elapsed();
            self.queue.iter_mut().for_each(|waiting| waiting.deadline += by);
            self.window.postpone(by);
        }
    }

    fn welcomed(&mut self, posting: Posting) {
        tracing::info!(output = %self.terms.name, broker = %self.terms.access.address, "connected");
        self.terms.link.connected();
        self.since = Some(Instant::now());
        self.said = None;
        self.state = State::Up(Box::new(posting));
    }

    /// The connection is gone, or could not be made: the next one is on its way.
    fn lost(&mut self, fault: &Fault) {
        self.unblocked();
        let text = format!("broker {} {fault}", self.terms.access.address);
        if self.said.as_ref() == Some(&text) {
            tracing::debug!(output = %self.terms.name, "{text}");
        } else {
            tracing::warn!(output = %self.terms.name, "{text}");
        }
        let window = std::mem::take(&mut self.window);
        let (others, unconfirmed) = (window.is_late(), window.into_unconfirmed());
        let publishing = matches!(self.state, State::Up(_));
        let (mut patience, blame) = (fault.patience(), fault.blame());
        match blame {
            // All of them are meant.
            Blame::Everything => unconfirmed.for_each(|waiting| waiting.ticket.answer(retry(text.clone()))),
            _ if publishing => {
                let unconfirmed: Vec<_> = unconfirmed.collect();
                if matches!(blame, Blame::Message { .. }) {
                    // One message is, and the others must not wait for somebody to change something.
                    patience = Patience::Short;
                    if !unconfirmed.is_empty() {
                        // The broker is well, and this end brings the reason nearer: the others need not wait longer for
                        // each of them.
                        self.backoff = Backoff::new();
                    }
                }
                if let Some(waiting) = self.care.ended(blame, others, unconfirmed, &mut self.queue) {
                    waiting.ticket.answer(blamed(blame, &text));
                }
            }
            _ => {}
        }
        self.terms.link.disconnected(text.clone());
        self.said = Some(text);
        self.backoff.connected_for(self.since.take().map_or(Duration::ZERO, |since| since.elapsed()));
        let delay = self.backoff.delay(patience, fastrand::f64());
        self.open(delay);
    }

    /// When something has waited for too long, or the end has come.
    fn due(&self) -> Option<Instant> {
        let waiting = self.queue.front().map(|waiting| waiting.deadline);
        let late = waiting.into_iter().chain(self.window.deadline()).min().filter(|_| self.blocked.is_none());
        late.into_iter().chain(self.end).min()
    }

    /// Tells those who have waited for too long.
    fn expire(&mut self) {
        if self.blocked.is_some() {
            return;
        }
        let now = Instant::now();
        let Terms { access, timeout, .. } = &self.terms;
        let because = self.said.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        let late = |routing_key: &str| {
            format!("broker {} did not confirm '{routing_key}' within {timeout:?}{because}", access.address)
        };
        while let Some(waiting) = self.queue.pop_front_if(|waiting| waiting.deadline <= now) {
            let error = late(&waiting.parcel.routing_key);
            waiting.ticket.answer(retry(error));
        }
        for waiting in self.window.expired(now) {
            let error = late(&waiting.parcel.routing_key);
            self.terms.link.error(error.clone());
            waiting.ticket.answer(retry(error));
        }
    }

    async fn goodbye(self) -> usize {
        let left = self.queue.len() + self.window.len();
        if let State::Up(posting) = self.state
            && let Err(fault) = posting.close().await
        {
            tracing::debug!(output = %self.terms.name, "the broker did not hear goodbye: {fault}");
        }
        self.terms.link.stopped();
        left
    }
}

impl Terms {
    /// What a confirmation means for an event.
    fn outcome(&self, routing_key: &str, taken: bool, returned: Option<String>) -> Outcome {
        let Terms { access, exchange, .. } = self;
        let exchange = if exchange.is_empty() { "(default)" } else { exchange.as_str() };
        let target = format!("exchange '{exchange}', routing key '{routing_key}'");
        match (taken, returned) {
            (true, None) => Ok(()),
            (_, Some(reason)) => retry(format!(
                "broker {}: no queue is bound for {target} ({reason}); bind one, or correct routingKey",
                access.address
            )),
            (false, None) => retry(format!(
                "broker {}: a queue behind {target} refused the event; it may be full (x-overflow: reject-publish)",
                access.address
            )),
        }
    }
}

fn retry(error: String) -> Outcome {
    Err(PublishError::Retry { after: None, error })
}

/// What becomes of the message that a connection or channel was closed over.
fn blamed(blame: Blame, text: &str) -> Outcome {
    match blame {
        Blame::Message { for_good: true } => Err(PublishError::Reject { reason: text.to_owned() }),
        Blame::Perhaps => retry(format!("{text}; twice, with nothing but this event on its way")),
        _ => retry(text.to_owned()),
    }
}

/// Goes on opening, or reads and writes. Cancel safe.
async fn moves(state: &mut State) -> Result<Option<Posting>, Fault> {
    match state {
        State::Up(posting) => posting.exchange().await.map(|()| None),
        State::Opening(opening) => opening.await.map(Some),
    }
}
