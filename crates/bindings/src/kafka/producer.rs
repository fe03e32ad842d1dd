//! librdkafka's producer, the thread that serves its callbacks, and its succession.
//!
//! A delivery report is a callback for one event. While events are on their way the thread looks for reports once every
//! [`GATHER`] and answers them together: a line is woken once for hundreds of confirmations. When none is, it looks for
//! what else librdkafka has to say every [`TURN`], until the next event wakes it.
//!
//! It never waits inside the crate's poll: that rounds what is left of its time down to whole milliseconds, so that the
//! last one of every wait goes by at full speed.
//!
//! An instance that has failed for good is replaced by this thread. What was on its way gets a moment for its brokers'
//! answers; what has none by then fails, to be tried again by its rule, and may be there twice. What comes meanwhile waits, in
//! order, and is sent by the next instance, which is made after a growing pause: one that fails at once must not be
//! replaced without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, park_timeout};
use std::time::Duration;

use connectors::backoff::{Backoff, Patience};
use connectors::kafka::Reports;
use engine::event::Event;
use engine::port::{Confirm, Offer, PublishError};
use engine::registry::OpenError;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer as _, PurgeConfig};
use tokio::time::Instant;

use super::desk::{Desk, Ear, Instance};
use super::record::Form;

/// How often the thread looks for news when nothing is on its way.
const TURN: Duration = Duration::from_millis(100);
/// How long confirmations are gathered.
const GATHER: Duration = Duration::from_millis(1);
/// How long brokers may take to answer for what an instance had sent before it failed.
const ANSWERS: Duration = Duration::from_secs(3);

/// A producer with its thread.
pub(super) struct Producer {
    desk: Arc<Desk>,
    ended: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Producer {
    /// Makes a producer and starts its thread; librdkafka connects in the background.
    ///
    /// # Errors
    /// [`OpenError`] when librdkafka refuses the configuration, or there is no thread to be had.
    pub(super) fn start(config: &ClientConfig, reports: Reports, form: Form) -> Result<Arc<Producer>, OpenError> {
        let sentence = reports.sentence("no producer can be made; check tls and sasl");
        let desk = Arc::new(Desk::new(reports, form));
        let first = instance(config, &desk)
            .map_err(|cause| OpenError { message: format!("{sentence}: {cause}"), cause: Some(Box::new(cause)) })?;
        desk.line.lock().present = Some(first);
        let ended = Arc::new(AtomicBool::new(false));
        let succession = Succession {
            desk: Arc::clone(&desk),
            config: config.clone(),
            ended: Arc::clone(&ended),
            backoff: Backoff::new(),
            since: Instant::now(),
            due: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("kafka output".to_owned()).spawn(move || succession.serve());
        let thread = thread
            .map_err(|cause| OpenError { message: "cannot start a thread".to_owned(), cause: Some(Box::new(cause)) })?;
        // It was never set before.
        let _ = desk.listener.set(thread.thread().clone());
        Ok(Arc::new(Producer { desk, ended, thread: Mutex::new(Some(thread)) }))
    }

    /// Hands an event to librdkafka, or behind those that wait for room.
    pub(super) fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        self.desk.publish(event, offer)
    }

    /// Waits until everything was confirmed or refused, ends the thread, and lets go of the brokers. Blocks.
    ///
    /// # Errors
    /// How many events were not confirmed within `patience`.
    pub(super) fn close(&self, patience: Duration) -> Result<(), PublishError> {
        let deadline = Instant::now() + patience;
        let mut open = self.desk.open();
        while open > 0 && Instant::now() < deadline {
            if let Some(instance) = self.desk.present() {
                // The thread goes on serving what flushing waits for.
                drop(instance.flush(TURN.min(deadline - Instant::now())));
            }
            open = self.desk.open();
            if open > 0 {
                // Flushing does not wait for what is not with librdkafka yet.
                self.desk.wake();
                park_timeout(GATHER);
            }
        }
        self.end();
        if let Some(thread) = self.thread.lock().take() {
            // It cannot panic over what it was given, and nobody could help if it did.
            let _ = thread.join();
        }
        self.desk.reports.link().stopped();
        match open {
            0 => Ok(()),
            count => {
                let error = self.desk.reports.sentence(&format!("{count} events were not confirmed before the end"));
                Err(PublishError::Retry { after: None, error })
            }
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.desk.wake();
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.end();
    }
}

/// One instance; librdkafka connects in the background.
fn instance(config: &ClientConfig, desk: &Arc<Desk>) -> Result<Arc<Instance>, KafkaError> {
    config.create_with_context(Ear::new(Arc::clone(desk))).map(Arc::new)
}

/// The thread's own: instances, one after the other.
struct Succession {
    desk: Arc<Desk>,
    config: ClientConfig,
    ended: Arc<AtomicBool>,
    backoff: Backoff,
    /// When the present instance was made.
    since: Instant,
    /// When the next one is to be.
    due: Instant,
}

impl Succession {
    fn serve(mut self) {
        while !self.ended.load(Ordering::Relaxed) {
            match self.desk.present() {
                Some(instance) => self.poll(instance),
                None => self.succeed(),
            }
        }
        let last = self.desk.line.lock().present.take();
        if let Some(last) = last {
            // What was reported since it looked last.
            self.desk.listen(&last);
            // What it has not confirmed is answered for while it is dropped.
            drop(last);
        }
        self.desk.tell();
    }

    /// Serves callbacks for a moment.
    fn poll(&mut self, instance: Arc<Instance>) {
        let ear = instance.context();
        self.desk.listen(&instance);
        if ear.is_troubled()
            && let Some((code, words)) = instance.client().fatal_error()
        {
            return self.retire(instance, code, &words);
        }
        // A delivery makes room by itself; this is for room that came without one.
        self.desk.send_waiting();
        let open = ear.window.unconfirmed() > 0;
        // The last handle must not stay with this thread while it rests.
        drop(instance);
        park_timeout(if open { GATHER } else { TURN });
    }

    /// Lets go of an instance that can send nothing more.
    fn retire(&mut self, instance: Arc<Instance>, code: RDKafkaErrorCode, words: &str) {
        let ear = instance.context();
        {
            let mut line = self.desk.line.lock();
            line.present = None;
            line.leaving = Some(Arc::clone(&ear.window));
        }
        let deadline = Instant::now() + ANSWERS;
        while ear.window.unconfirmed() > 0 && Instant::now() < deadline && !self.ended.load(Ordering::Relaxed) {
            self.desk.listen(&instance);
            park_timeout(GATHER);
        }
        instance.purge(PurgeConfig::default().queue().inflight());
        drop(instance.flush(TURN));
        for ticket in ear.window.take_all() {
            self.desk.report(ticket, Err(ear.casualty("?")));
        }
        self.desk.tell();
        self.desk.line.lock().leaving = None;
        let failed = ear.casualties.load(Ordering::Relaxed);
        // It waits for its threads, and is nobody else's.
        drop(instance);

        self.backoff.connected_for(self.since.elapsed());
        let delay = self.backoff.delay(patience(code), fastrand::f64());
        self.due = Instant::now() + delay;
        let advice = match patience(code) {
            Patience::Long => "; allow this user to write idempotently (cluster: IdempotentWrite)",
            Patience::Short => "",
        };
        let what = format!("the producer failed for good: {words}{advice}; another one takes over");
        let sentence = self.desk.reports.sentence(&what);
        tracing::warn!(
            output = %self.desk.reports.name(),
            failed, ?delay,
            "{sentence}; events that were not confirmed are tried again and may be there twice"
        );
        self.desk.reports.link().disconnected(sentence);
    }

    /// Makes the next instance once it is due.
    fn succeed(&mut self) {
        let left = self.due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return park_timeout(left.min(TURN));
        }
        match instance(&self.config, &self.desk) {
            Ok(instance) => {
                self.since = Instant::now();
                self.desk.line.lock().present = Some(instance);
                self.desk.send_waiting();
            }
            Err(cause) => {
                self.desk.reports.trouble(&format!("no producer can be made: {cause}"));
                self.due = Instant::now() + self.backoff.delay(Patience::Short, fastrand::f64());
            }
        }
    }
}

/// Whether somebody has to change something before another instance can do better.
fn patience(code: RDKafkaErrorCode) -> Patience {
    use RDKafkaErrorCode as Code;
    match code {
        Code::ClusterAuthorizationFailed | Code::TransactionalIdAuthorizationFailed | Code::UnsupportedFeature => {
            Patience::Long
        }
        _ => Patience::Short,
    }
}
