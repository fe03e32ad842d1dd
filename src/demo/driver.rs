//! The driver: publishes what the simulator hands out, when it is due, until the broker has confirmed it.
//!
//! Decision: a message that was not confirmed is sent again, as a vehicle would, so every true sample reaches the broker
//! at least once whatever happens to the connection. Decision: the driver keeps no more than [`AHEAD`] messages ahead of
//! the engine. Past that it falls behind its timetable instead of filling the broker, whose queue is bounded too and
//! would drop the oldest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use engine::port::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::simulator::{Ledger, Message, Simulator};
use crate::run::Signals;

/// Messages that may wait for the broker's confirmation.
pub(super) const WINDOW: usize = 200;
/// Confirmed messages that the engine may not have received yet.
const AHEAD: u64 = 50_000;
/// How long a message rests that has failed more than once.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells whether the broker has confirmed a message.
pub(super) type Confirm = BoxFuture<'static, Result<(), Unconfirmed>>;

/// A message may not have reached the broker, and why.
#[derive(Debug)]
pub(super) struct Unconfirmed(pub(super) String);

/// Takes messages to the broker, in order.
pub(super) trait Post: Send {
    /// Takes a message on its way; waits only for room. Whether it arrived is told later.
    fn post(&mut self, message: &Message) -> impl Future<Output = Confirm> + Send;

    /// Ends the connection.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// What has been published so far.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Progress {
    /// What the simulator has handed out.
    #[serde(flatten)]
    pub(super) ledger: Ledger,
    /// Messages that the broker has confirmed.
    pub(super) confirmed: u64,
    /// How often a message was sent again because it was not confirmed.
    pub(super) resent: u64,
    /// How long after it was due the last message was sent. What the broker or the engine cannot keep up with shows here.
    #[serde(skip)]
    pub(super) behind: Duration,
    /// Whether nothing more will come and everything is confirmed.
    #[serde(skip)]
    pub(super) finished: bool,
    /// Why a message was last sent again.
    #[serde(skip)]
    pub(super) last_error: Option<String>,
}

/// A message on its way.
struct Open {
    message: Message,
    attempts: u32,
    confirm: Confirm,
}

/// A fleet, its way to the broker, and what is under way.
pub(super) struct Driver<P> {
    fleet: Simulator,
    post: P,
    open: VecDeque<Open>,
    progress: Arc<Mutex<Progress>>,
}

impl<P: Post> Driver<P> {
    /// A driver that keeps `progress` up to date.
    pub(super) fn new(fleet: Simulator, post: P, progress: Arc<Mutex<Progress>>) -> Driver<P> {
        Driver { fleet, post, open: VecDeque::with_capacity(WINDOW), progress }
    }

    /// Publishes until the run is over or the first signal, and then until everything is confirmed. `received` is how many
    /// messages the engine has received.
    pub(super) async fn run(mut self, mut received: watch::Receiver<u64>, signals: Signals) {
        let began = Instant::now();
        while let Some(message) = self.fleet.next() {
            let due = began + message.due;
            let stopped = self.wait(due, &mut received, &signals).await;
            // Handed out is handed out: also the last message is sent when a signal comes before it is due.
            self.send(message, 0).await;
            let mut progress = self.progress.lock();
            progress.ledger = self.fleet.ledger();
            progress.behind = due.elapsed();
            drop(progress);
            if stopped {
                break;
            }
        }
        while !self.open.is_empty() {
            let told = told(&mut self.open).await;
            self.judge(told).await;
        }
        self.progress.lock().finished = true;
        self.post.close().await;
    }

    /// Takes confirmations until `due` has come and there is room, or the first signal; answers whether it was that.
    async fn wait(&mut self, due: Instant, received: &mut watch::Receiver<u64>, signals: &Signals) -> bool {
        loop {
            let ahead = self.progress.lock().confirmed.saturating_sub(*received.borrow_and_update());
            let (near, room) = (ahead < AHEAD, self.open.len() < WINDOW);
            tokio::select! {
                biased;
                told = told(&mut self.open), if !self.open.is_empty() => self.judge(told).await,
                () = signals.reached(1) => return true,
                () = sleep_until(due), if near && room => return false,
                changed = received.changed(), if !near => if changed.is_err() {
                    // Nobody counts any more: the run is being given up.
                    return true;
                },
            }
        }
    }

    async fn send(&mut self, message: Message, attempts: u32) {
        let confirm = self.post.post(&message).await;
        self.open.push_back(Open { message, attempts: attempts + 1, confirm });
    }

    /// Counts the first message under way as confirmed, or sends it again.
    async fn judge(&mut self, told: Result<(), Unconfirmed>) {
        let Some(first) = self.open.pop_front() else { return };
        let Err(Unconfirmed(why)) = told else {
            self.progress.lock().confirmed += 1;
            return;
        };
        {
            let mut progress = self.progress.lock();
            progress.resent += 1;
            progress.last_error = Some(why);
        }
        if first.attempts > 1 {
            sleep(PAUSE).await;
        }
        self.send(first.message, first.attempts).await;
    }
}

/// What is told of the message that is longest under way; never, if none is. Cancel safe.
async fn told(open: &mut VecDeque<Open>) -> Result<(), Unconfirmed> {
    match open.front_mut() {
        Some(first) => first.confirm.as_mut().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
