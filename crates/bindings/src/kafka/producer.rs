//! librdkafka's producer, the thread that serves its callbacks, and what waits for room in it.
//!
//! A delivery report is a callback for one event. While events are on their way the thread looks for reports once every
//! [`GATHER`] and answers them together: a line is woken once for hundreds of confirmations. When none is, it looks for
//! what else librdkafka has to say every [`TURN`], until the next event wakes it.
//!
//! It never waits inside the crate's poll: that rounds what is left of its time down to whole milliseconds, so that the
//! last one of every wait goes by at full speed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{JoinHandle, Thread, park_timeout, sleep};
use std::time::Duration;

use connectors::kafka::Reports;
use engine::event::Event;
use engine::port::{Confirm, Offer, PublishError, Ticket};
use engine::registry::OpenError;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use super::record::Form;
use super::window::Window;

/// How often the thread looks for news when nothing is on its way.
const TURN: Duration = Duration::from_millis(100);
/// How long confirmations are gathered.
const GATHER: Duration = Duration::from_millis(1);

/// A producer with its thread.
pub(super) struct Producer {
    inner: Arc<BaseProducer<Desk>>,
    ended: Arc<AtomicBool>,
    listener: Thread,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What librdkafka's callbacks work on.
pub(super) struct Desk {
    reports: Reports,
    form: Form,
    window: Window,
    /// What was reported and is not told yet.
    reported: Mutex<Vec<(Ticket, Result<(), PublishError>)>>,
    /// How often librdkafka has called: as long as it grows, there may be more to hear.
    calls: AtomicUsize,
    /// Events that librdkafka has no room for, in order, with their numbers.
    waiting: Mutex<VecDeque<(Event, usize)>>,
    /// The producer itself, for sending from a callback.
    producer: OnceLock<Weak<BaseProducer<Desk>>>,
}

/// What became of handing a message over.
enum Handed {
    /// librdkafka has it.
    Over,
    /// There is no room.
    Full,
    /// It never will.
    Refused(PublishError),
}

impl Producer {
    /// Makes a producer and starts its thread; librdkafka connects in the background.
    ///
    /// # Errors
    /// [`OpenError`] when librdkafka refuses the configuration, or there is no thread to be had.
    pub(super) fn start(config: &ClientConfig, reports: Reports, form: Form) -> Result<Arc<Producer>, OpenError> {
        let sentence = reports.sentence("no producer can be made; check tls and sasl");
        let desk = Desk {
            reports,
            form,
            window: Window::default(),
            reported: Mutex::default(),
            calls: AtomicUsize::new(0),
            waiting: Mutex::default(),
            producer: OnceLock::new(),
        };
        let made: Result<BaseProducer<Desk>, KafkaError> = config.create_with_context(desk);
        let inner =
            Arc::new(made.map_err(|cause| OpenError {
                message: format!("{sentence}: {cause}"),
                cause: Some(Box::new(cause)),
            })?);
        // It was never set before.
        let _ = inner.context().producer.set(Arc::downgrade(&inner));
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("kafka output".to_owned()).spawn({
            let (inner, ended) = (Arc::clone(&inner), Arc::clone(&ended));
            move || {
                let desk = inner.context();
                while !ended.load(Ordering::Relaxed) {
                    desk.listen(&inner);
                    // A delivery makes room by itself; this is for room that came without one.
                    desk.send_waiting();
                    if desk.window.unconfirmed() > 0 {
                        sleep(GATHER);
                    } else {
                        park_timeout(TURN);
                    }
                }
            }
        });
        let thread = thread
            .map_err(|cause| OpenError { message: "cannot start a thread".to_owned(), cause: Some(Box::new(cause)) })?;
        let listener = thread.thread().clone();
        Ok(Arc::new(Producer { inner, ended, listener, thread: Mutex::new(Some(thread)) }))
    }

    /// Hands an event to librdkafka, or behind those that wait for room.
    pub(super) fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        let desk = self.inner.context();
        let (ticket, later) = offer.accept();
        let (number, first) = desk.window.open(ticket);
        if first {
            self.listener.unpark();
        }
        let mut waiting = desk.waiting.lock();
        let handed = if waiting.is_empty() { desk.hand_over(&self.inner, event, number) } else { Handed::Full };
        match handed {
            Handed::Over => later,
            Handed::Full => {
                waiting.push_back((event.clone(), number));
                later
            }
            Handed::Refused(error) => {
                // librdkafka does not have it, so that nobody else asks for the place.
                drop(desk.window.close(number));
                Confirm::Now(Err(error))
            }
        }
    }

    /// Waits until everything was confirmed or refused, ends the thread, and lets go of the brokers. Blocks.
    ///
    /// # Errors
    /// How many events were not confirmed within `patience`.
    pub(super) fn close(&self, patience: Duration) -> Result<(), PublishError> {
        let desk = self.inner.context();
        // The thread goes on serving what flushing waits for.
        let _ = self.inner.flush(patience);
        self.ended.store(true, Ordering::Relaxed);
        self.listener.unpark();
        if let Some(thread) = self.thread.lock().take() {
            // It cannot panic over what it was given, and nobody could help if it did.
            let _ = thread.join();
        }
        // What was reported since it looked last.
        desk.listen(&self.inner);
        desk.reports.link().stopped();
        match desk.window.unconfirmed() {
            0 => Ok(()),
            count => {
                let error = desk.reports.sentence(&format!("{count} events were not confirmed before the end"));
                Err(PublishError::Retry { after: None, error })
            }
        }
    }
}

impl Desk {
    fn hand_over(&self, producer: &BaseProducer<Desk>, event: &Event, number: usize) -> Handed {
        let sent = self.form.with_record(event, number, |record| {
            producer.send(record).map_err(|(cause, record)| (cause, record.topic.to_owned()))
        });
        match sent {
            Ok(Ok(())) => Handed::Over,
            Ok(Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))) => Handed::Full,
            Ok(Err((cause, topic))) => Handed::Refused(self.refusal(&cause, &topic)),
            Err(reason) => Handed::Refused(PublishError::Reject { reason }),
        }
    }

    /// Sends what waits, as far as there is room.
    fn send_waiting(&self) {
        let Some(producer) = self.producer.get().and_then(Weak::upgrade) else { return };
        let mut waiting = self.waiting.lock();
        while let Some((event, number)) = waiting.front() {
            match self.hand_over(&producer, event, *number) {
                Handed::Over => {}
                Handed::Full => return,
                Handed::Refused(error) => self.report(*number, Err(error)),
            }
            waiting.pop_front();
        }
    }

    /// What became of an event is known.
    fn report(&self, number: usize, outcome: Result<(), PublishError>) {
        let Some(ticket) = self.window.close(number) else { return };
        self.reported.lock().push((ticket, outcome));
    }

    /// Hears everything that librdkafka has to say by now, and answers what was reported.
    fn listen(&self, producer: &BaseProducer<Desk>) {
        loop {
            let before = self.calls.load(Ordering::Relaxed);
            producer.poll(Duration::ZERO);
            if self.calls.load(Ordering::Relaxed) == before {
                break;
            }
        }
        self.tell();
    }

    fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers what was reported.
    fn tell(&self) {
        Ticket::answer_all(&mut self.reported.lock());
    }

    /// What an error means for an event.
    fn refusal(&self, cause: &KafkaError, topic: &str) -> PublishError {
        use RDKafkaErrorCode as Code;
        let code = cause.rdkafka_error_code();
        let advice = match code {
            Some(Code::MessageSizeTooLarge) => "; raise maxMessageSize here and max.message.bytes of the topic",
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => "; create the topic",
            Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => "; allow this user to write it",
            Some(Code::MessageTimedOut) => " (timeout)",
            Some(Code::Fatal) => "; the producer cannot go on, so restart the engine",
            _ => "",
        };
        let words = code.map_or_else(|| cause.to_string(), |code| code.to_string());
        let error = self.reports.sentence(&format!("topic '{topic}': {words}{advice}"));
        match code {
            Some(
                Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::InvalidRecord
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::InvalidTopic
                | Code::InvalidTimestamp
                | Code::PolicyViolation
                | Code::UnsupportedForMessageFormat,
            ) => PublishError::Reject { reason: error },
            _ => {
                self.reports.link().error(error.clone());
                PublishError::Retry { after: None, error }
            }
        }
    }
}

impl ClientContext for Desk {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.called();
        self.reports.log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.called();
        self.reports.statistics(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.called();
        self.reports.error(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.called();
        self.reports.token()
    }
}

impl ProducerContext for Desk {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        self.called();
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((cause, message)) => Err(self.refusal(cause, message.topic())),
        };
        self.report(number, outcome);
        // A poll that finds the lock taken leaves this to whoever has it, or to the next turn.
        if self.waiting.try_lock().is_some_and(|waiting| !waiting.is_empty()) {
            self.send_waiting();
        }
    }
}
