//! The task of an output: it connects for ever, publishes as far as the broker and the window go, and hands answers out.
//!
//! There is always a connection, or one on its way. A further one is opened only when there is more to publish, and every
//! connection has as many unconfirmed messages as the broker allows on it; each has a client id of its own.
//!
//! What a lost connection leaves unconfirmed goes first on the next one, so that a broker's restart spends no attempts; such
//! a message may be there twice. Two things keep a message that a broker ends the connection over from doing so for ever,
//! with everybody else on its way: a broker that says so fails everything on that connection, and a message that was on
//! [`SENDINGS`] connections in vain has failed.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use connectors::backoff::Backoff;
use connectors::mqtt::{self, Answer, Fault, Manner, Posting};
use engine::event::Text;
use engine::metric::Link;
use engine::port::{BoxFuture, PublishError, Ticket};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::parcel::Parcel;
use super::verdict::verdict;
use super::window::{Outcome, Waiting, Window};

/// How long what was published may take to be confirmed once the engine ends.
const FLUSH: Duration = Duration::from_secs(20);
/// With so many bytes unsent, nothing more is put on its way.
const UNSENT: usize = 1 << 20;
/// On how many connections a message is published before it counts as failed.
const SENDINGS: u8 = 3;

/// What an output publishes with.
pub(super) struct Terms {
    pub(super) access: mqtt::Terms,
    pub(super) name: Text,
    pub(super) manner: Manner,
    pub(super) connections: usize,
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
        let (timeout, address) = (terms.timeout, terms.access.address());
        let task = tokio::spawn(Task::new(terms, arriving).serve());
        Publisher { timeout, work: Mutex::new(Some(work)), task: Mutex::new(Some(task)), address }
    }

    /// Puts a message behind those before it; its ticket is answered when it is confirmed or has failed.
    pub(super) fn publish(&self, parcel: Parcel, ticket: Ticket) {
        let waiting = Waiting { parcel, ticket, deadline: Instant::now() + self.timeout, sendings: 0 };
        let refused = match &*self.work.lock() {
            Some(work) => work.send(waiting).err().map(|refused| refused.0),
            None => Some(waiting),
        };
        if let Some(waiting) = refused {
            waiting.settle(retry(format!("the output to broker {} is closed", self.address)));
        }
    }

    /// Waits until everything was confirmed or has failed, and says goodbye.
    pub(super) async fn close(&self) -> Result<(), PublishError> {
        drop(self.work.lock().take());
        let task = self.task.lock().take();
        let Some(task) = task else { return Ok(()) };
        match task.await {
            Ok(0) => Ok(()),
            Ok(count) => retry(format!("broker {}: {count} events were not confirmed before the end", self.address)),
            Err(cause) => retry(cause.to_string()),
        }
    }
}

struct Task {
    terms: Terms,
    address: String,
    arriving: mpsc::UnboundedReceiver<Waiting>,
    /// What is not on its way, in order.
    queue: VecDeque<Waiting>,
    /// At least one.
    lanes: Vec<Lane>,
    /// Which of them is looked at first.
    turn: usize,
    backoff: Backoff,
    /// When a further connection may be opened.
    further: Instant,
    /// The last fault.
    said: Option<String>,
    /// Until when everything has to be confirmed, once nothing more arrives.
    end: Option<Instant>,
}

/// A connection, or one on its way, and what is on its way on it.
struct Lane {
    number: usize,
    state: State,
    window: Window,
    since: Option<Instant>,
}

enum State {
    Opening(BoxFuture<'static, Result<Posting, Fault>>),
    Up(Box<Posting>),
}

impl Task {
    fn new(terms: Terms, arriving: mpsc::UnboundedReceiver<Waiting>) -> Task {
        let mut task = Task {
            address: terms.access.address(),
            terms,
            arriving,
            queue: VecDeque::new(),
            lanes: Vec::new(),
            turn: 0,
            backoff: Backoff::new(),
            further: Instant::now(),
            said: None,
            end: None,
        };
        task.open(Duration::ZERO);
        task
    }

    /// Opens one more connection, under the first number that is free.
    fn open(&mut self, delay: Duration) {
        let taken = |number: &usize| self.lanes.iter().any(|lane| lane.number == *number);
        let number = (0..).find(|number| !taken(number)).unwrap_or_default();
        let (access, manner) = (self.terms.access.clone(), self.terms.manner);
        let opening = async move {
            sleep(delay).await;
            Posting::open(&access, number, manner).await
        };
        let state = State::Opening(Box::pin(opening));
        self.lanes.push(Lane { number, state, window: Window::default(), since: None });
    }

    /// Serves until nothing more arrives and everything has been told; answers how many events were not confirmed.
    async fn serve(mut self) -> usize {
        loop {
            self.send();
            if self.end.is_some_and(|end| self.unfinished() == 0 || end <= Instant::now()) {
                return self.goodbye().await;
            }
            let due = self.due();
            self.turn = self.turn.wrapping_add(1);
            let (lanes, turn) = (&mut self.lanes, self.turn);
            tokio::select! {
                biased;
                arrived = self.arriving.recv(), if self.end.is_none() => match arrived {
                    Some(waiting) => self.queue.push_back(waiting),
                    None => self.end = Some(Instant::now() + FLUSH),
                },
                (at, moved) = std::future::poll_fn(|context| moves(lanes, turn, context)) => match moved {
                    Ok(Some(posting)) => self.welcomed(at, posting),
                    Ok(None) => self.hear(at),
                    Err(fault) => self.lost(at, &fault),
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.expire(),
            }
        }
    }

    fn on_their_way(&self) -> usize {
        self.lanes.iter().map(|lane| lane.window.len()).sum()
    }

    fn unfinished(&self) -> usize {
        self.queue.len() + self.on_their_way()
    }

    /// Puts on its way what there is, as far as the window and the connections go.
    fn send(&mut self) {
        while let Ok(waiting) = self.arriving.try_recv() {
            self.queue.push_back(waiting);
        }
        let mut room = self.terms.window.saturating_sub(self.on_their_way());
        for lane in &mut self.lanes {
            let State::Up(posting) = &mut lane.state else { continue };
            while room > 0 && lane.window.has_room(posting.receive_maximum()) && posting.unsent() < UNSENT {
                let Some(waiting) = self.queue.pop_front() else { return };
                room -= usize::from(send(posting, &mut lane.window, waiting, self.terms.manner, &self.address));
            }
        }
        let bound = |lane: &Lane| match &lane.state {
            State::Up(posting) => !lane.window.has_room(posting.receive_maximum()),
            State::Opening(_) => false,
        };
        let wanted = room > 0 && !self.queue.is_empty() && self.lanes.len() < self.terms.connections;
        if wanted && self.lanes.iter().all(bound) && self.further <= Instant::now() {
            self.open(Duration::ZERO);
        }
    }

    /// Takes what the broker has answered on a connection.
    fn hear(&mut self, at: usize) {
        loop {
            let Some(Lane { state: State::Up(posting), window, .. }) = self.lanes.get_mut(at) else { return };
            window.left(posting.left()).for_each(|waiting| waiting.settle(Ok(())));
            match posting.answer() {
                Ok(Some(Answer { packet, refused })) => {
                    let Some(waiting) = window.answered(packet) else { continue };
                    let outcome = refused.map_or(Ok(()), |refused| {
                        let error = verdict(&self.address, &waiting.parcel.topic, &refused);
                        self.terms.link.error(error.to_string());
                        Err(error)
                    });
                    waiting.settle(outcome);
                }
                Ok(None) => return,
                Err(fault) => return self.lost(at, &fault),
            }
        }
    }

    fn is_up(&self) -> bool {
        self.lanes.iter().any(|lane| matches!(lane.state, State::Up(_)))
    }

    fn welcomed(&mut self, at: usize, posting: Posting) {
        if !self.is_up() {
            self.terms.link.connected();
        }
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let (name, most) = (&self.terms.name, posting.receive_maximum());
        tracing::info!(output = %name, broker = %self.address, number = lane.number, receive_maximum = most, "connected");
        lane.since = Some(Instant::now());
        lane.state = State::Up(Box::new(posting));
        self.said = None;
    }

    /// A connection is gone, or could not be made. If it was the last one, the next one is on its way.
    fn lost(&mut self, at: usize, fault: &Fault) {
        let lane = self.lanes.remove(at);
        let text = format!("broker {} {fault}", self.address);
        if self.said.as_ref() == Some(&text) {
            tracing::debug!(output = %self.terms.name, "{text}");
        } else {
            tracing::warn!(output = %self.terms.name, "{text}");
        }
        let (unconfirmed, leaving) = lane.window.into_rest();
        // It may have left or not, and nobody will say so: whether to risk a second time is for the rule to decide.
        leaving.into_iter().for_each(|waiting| waiting.settle(retry(text.clone())));
        for waiting in unconfirmed.into_iter().rev() {
            if fault.blames_a_message() {
                waiting.settle(retry(text.clone()));
            } else if waiting.sendings >= SENDINGS {
                let topic = &waiting.parcel.topic;
                let error = format!("{text}, as {SENDINGS} connections did with '{topic}' on its way on them");
                waiting.settle(retry(error));
            } else {
                self.queue.push_front(waiting);
            }
        }
        self.backoff.connected_for(lane.since.map_or(Duration::ZERO, |since| since.elapsed()));
        let delay = self.backoff.delay(fault.patience(), fastrand::f64());
        self.further = Instant::now() + delay;
        if self.is_up() {
            self.terms.link.error(text.clone());
        } else {
            self.terms.link.disconnected(text.clone());
        }
        if self.lanes.is_empty() {
            self.open(delay);
        }
        self.said = Some(text);
    }

    /// When something has waited for too long, or the end has come.
    fn due(&self) -> Option<Instant> {
        let waiting = self.queue.front().map(|waiting| waiting.deadline);
        let lanes = self.lanes.iter().filter_map(|lane| lane.window.deadline());
        waiting.into_iter().chain(lanes).chain(self.end).min()
    }

    /// Tells those who have waited for too long. A connection on which nobody is left to wait for anything is replaced.
    fn expire(&mut self) {
        let now = Instant::now();
        let (address, timeout) = (&self.address, self.terms.timeout);
        let because = self.said.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        let late = |topic: &str| format!("broker {address} did not confirm '{topic}' within {timeout:?}{because}");
        while let Some(waiting) = self.queue.pop_front_if(|waiting| waiting.deadline <= now) {
            let error = late(&waiting.parcel.topic);
            waiting.settle(retry(error));
        }
        for lane in &mut self.lanes {
            for waiting in lane.window.expired(now) {
                let error = late(&waiting.parcel.topic);
                self.terms.link.error(error.clone());
                waiting.settle(retry(error));
            }
        }
        let stuck = |lane: &Lane| match &lane.state {
            State::Up(posting) => lane.window.is_stuck(posting.receive_maximum().min(self.terms.window)),
            State::Opening(_) => false,
        };
        if let Some(at) = self.lanes.iter().position(stuck) {
            self.lost(at, &Fault::Unconfirmed);
        }
    }

    async fn goodbye(self) -> usize {
        let unfinished = self.unfinished();
        for lane in self.lanes {
            if let State::Up(posting) = lane.state
                && !posting.close().await
            {
                tracing::debug!(output = %self.terms.name, "the broker did not hear goodbye");
            }
        }
        self.terms.link.stopped();
        unfinished
    }
}

/// Publishes a message on a connection; tells whether it is on its way.
fn send(posting: &mut Posting, window: &mut Window, mut waiting: Waiting, manner: Manner, address: &str) -> bool {
    if let Some((size, limit)) = posting.too_large(waiting.parcel.message()) {
        let topic = &waiting.parcel.topic;
        let reason = format!(
            "broker {address} takes packets of {limit} bytes at most, and '{topic}' has {size}; raise it there, or filter \
             these events out"
        );
        waiting.settle(Err(PublishError::Reject { reason }));
        return false;
    }
    waiting.sendings += 1;
    if manner.quality == 0 {
        posting.publish(0, waiting.parcel.message());
        window.leave(posting.mark(), waiting);
    } else {
        posting.publish(window.next(), waiting.parcel.message());
        window.publish(waiting);
    }
    true
}

fn retry(error: String) -> Outcome {
    Err(PublishError::Retry { after: None, error })
}

/// Goes on opening, or reads and writes, on whichever connection something happens first.
fn moves(lanes: &mut [Lane], turn: usize, context: &mut Context<'_>) -> Poll<(usize, Result<Option<Posting>, Fault>)> {
    let count = lanes.len();
    for step in 0..count {
        let at = (turn + step) % count;
        let moved = match &mut lanes[at].state {
            State::Up(posting) => posting.poll_exchange(context).map_ok(|()| None),
            State::Opening(opening) => opening.as_mut().poll(context).map_ok(Some),
        };
        if let Poll::Ready(moved) = moved {
            return Poll::Ready((at, moved));
        }
    }
    Poll::Pending
}
