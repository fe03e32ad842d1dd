//! What all instances of an output's producer have in common, and what librdkafka says to each of them.
//!
//! An idempotent producer can fail for good: when brokers have lost what they knew of it, or when its user may not write so.
//! Then a new instance takes over ([`Producer`](super::producer::Producer)). So the events that wait stand here, each with its
//! ticket, and the window of what is not confirmed belongs to the instance that it was given to: a late report of the old one
//! cannot be mistaken for the new one's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use connectors::kafka::Reports;
use engine::event::Event;
use engine::port::{Confirm, Offer, PublishError, Ticket};
use parking_lot::Mutex;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use super::record::Form;
use super::window::Window;

/// One instance of librdkafka's producer.
pub(super) type Instance = BaseProducer<Ear>;

/// What all instances of one output work on.
pub(super) struct Desk {
    pub(super) reports: Reports,
    form: Form,
    /// What was reported and is not told yet.
    reported: Mutex<Vec<(Ticket, Result<(), PublishError>)>>,
    /// Who tells it, and listens.
    pub(super) listener: OnceLock<Thread>,
    pub(super) line: Mutex<Line>,
}

/// Who sends, and what waits to be sent.
#[derive(Default)]
pub(super) struct Line {
    /// Nothing, while a new instance is due.
    pub(super) present: Option<Arc<Instance>>,
    /// What an instance that has failed has not answered for yet.
    pub(super) leaving: Option<Arc<Window>>,
    /// Events that there is no room for, in order.
    waiting: VecDeque<(Event, Ticket)>,
}

/// What one instance's callbacks work on.
pub(super) struct Ear {
    desk: Arc<Desk>,
    pub(super) window: Arc<Window>,
    /// How often librdkafka has called: as long as it grows, there may be more to hear.
    calls: AtomicUsize,
    /// Something went wrong since anybody looked.
    troubled: AtomicBool,
    /// Events that failed with it.
    pub(super) casualties: AtomicUsize,
}

/// What became of handing a message over.
enum Handed {
    /// librdkafka has it.
    Over,
    /// There is no room, or nobody to take it.
    Later,
    /// It never will.
    Refused(PublishError),
}

impl Desk {
    pub(super) fn new(reports: Reports, form: Form) -> Desk {
        Desk { reports, form, reported: Mutex::default(), listener: OnceLock::new(), line: Mutex::default() }
    }

    /// Hands an event to the present instance, or behind those that wait.
    pub(super) fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        let (ticket, later) = offer.accept();
        let mut line = self.line.lock();
        let Line { present, waiting, .. } = &mut *line;
        let Some(instance) = present.as_ref().filter(|_| waiting.is_empty()) else {
            waiting.push_back((event.clone(), ticket));
            return later;
        };
        let window = &instance.context().window;
        let (number, first) = window.open(ticket);
        if first {
            self.wake();
        }
        match self.hand_over(instance, event, number) {
            Handed::Over => {}
            Handed::Later => waiting.extend(window.close(number).map(|ticket| (event.clone(), ticket))),
            Handed::Refused(error) => {
                // librdkafka does not have it, so that nobody else asks for the place.
                drop(window.close(number));
                return Confirm::Now(Err(error));
            }
        }
        later
    }

    fn hand_over(&self, instance: &Instance, event: &Event, number: usize) -> Handed {
        use RDKafkaErrorCode as Code;
        let sent = self.form.with_record(event, number, |record| {
            instance.send(record).map_err(|(cause, record)| (cause, record.topic.to_owned()))
        });
        match sent {
            Ok(Ok(())) => Handed::Over,
            Ok(Err((KafkaError::MessageProduction(Code::QueueFull), _))) => Handed::Later,
            Ok(Err((KafkaError::MessageProduction(Code::Fatal), _))) => {
                instance.context().trouble();
                Handed::Later
            }
            Ok(Err((cause, topic))) => Handed::Refused(self.refusal(&cause, &topic)),
            Err(reason) => Handed::Refused(PublishError::Reject { reason }),
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn send_waiting(&self) {
        let mut line = self.line.lock();
        let Line { present: Some(instance), waiting, .. } = &mut *line else { return };
        let window = &instance.context().window;
        while let Some((event, ticket)) = waiting.pop_front() {
            let (number, _) = window.open(ticket);
            let handed = self.hand_over(instance, &event, number);
            if matches!(handed, Handed::Over) {
                continue;
            }
            let Some(ticket) = window.close(number) else { continue };
            match handed {
                Handed::Refused(error) => self.report(ticket, Err(error)),
                _ => return waiting.push_front((event, ticket)),
            }
        }
    }

    /// The instance that sends now.
    pub(super) fn present(&self) -> Option<Arc<Instance>> {
        self.line.lock().present.clone()
    }

    /// Events that are not confirmed, wherever they are.
    pub(super) fn open(&self) -> usize {
        let Line { present, leaving, waiting } = &*self.line.lock();
        let windows = present.iter().map(|instance| &instance.context().window).chain(leaving);
        waiting.len() + windows.map(|window| window.unconfirmed()).sum::<usize>()
    }

    /// What became of an event is known.
    pub(super) fn report(&self, ticket: Ticket, outcome: Result<(), PublishError>) {
        self.reported.lock().push((ticket, outcome));
    }

    /// Hears everything that librdkafka has to say by now, and answers what was reported.
    pub(super) fn listen(&self, instance: &Instance) {
        let calls = &instance.context().calls;
        loop {
            let before = calls.load(Ordering::Relaxed);
            instance.poll(Duration::ZERO);
            if calls.load(Ordering::Relaxed) == before {
                break;
            }
        }
        self.tell();
    }

    /// Has the thread look at once.
    pub(super) fn wake(&self) {
        if let Some(listener) = self.listener.get() {
            listener.unpark();
        }
    }

    /// Answers what was reported.
    pub(super) fn tell(&self) {
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

impl Ear {
    pub(super) fn new(desk: Arc<Desk>) -> Ear {
        let [calls, casualties] = [0; 2].map(AtomicUsize::new);
        Ear { desk, window: Arc::default(), calls, troubled: AtomicBool::new(false), casualties }
    }

    fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn trouble(&self) {
        self.troubled.store(true, Ordering::Relaxed);
    }

    /// Whether something went wrong since this was last asked, which may be that it can send nothing more.
    pub(super) fn is_troubled(&self) -> bool {
        self.troubled.swap(false, Ordering::Relaxed)
    }

    /// What becomes of an event that was given to an instance which has failed.
    pub(super) fn casualty(&self, topic: &str) -> PublishError {
        self.trouble();
        self.casualties.fetch_add(1, Ordering::Relaxed);
        let what = format!("topic '{topic}': the producer failed for good and another one takes over");
        let error = self.desk.reports.sentence(&format!("{what}; the event may have been written already"));
        PublishError::Retry { after: None, error }
    }
}

impl ClientContext for Ear {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.called();
        self.desk.reports.log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.called();
        self.desk.reports.statistics(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.called();
        // That it is fatal is not said here, but what it is.
        self.trouble();
        self.desk.reports.error(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.called();
        self.desk.reports.token()
    }
}

impl ProducerContext for Ear {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        use RDKafkaErrorCode as Code;
        self.called();
        let Some(ticket) = self.window.close(number) else { return };
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((cause, message)) => Err(match cause.rdkafka_error_code() {
                Some(
                    Code::Fatal
                    | Code::PurgeQueue
                    | Code::PurgeInflight
                    | Code::OutOfOrderSequenceNumber
                    | Code::UnknownProducerId,
                ) => self.casualty(message.topic()),
                _ => self.desk.refusal(cause, message.topic()),
            }),
        };
        self.desk.report(ticket, outcome);
        // A poll that finds the lock taken leaves this to whoever has it, or to the next turn.
        if self.desk.line.try_lock().is_some_and(|line| !line.waiting.is_empty()) {
            self.desk.send_waiting();
        }
    }
}
