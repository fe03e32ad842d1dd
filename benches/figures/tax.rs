//! F1, the engine's own tax: everything that is neither a client library nor a user's function.
//!
//! An in-memory source hands over at most 64 messages at a time, each 198 B and made an event by the template of an MQTT
//! source, of a thousand vehicles in turn; a trigger with eight rules whose filters no index can skip has one match; one native function answers; a null
//! output confirms, at once or a moment later; all counters are on; one thread. The figure is the difference between a run of
//! N and one of 2N events, so that starting and stopping cancel out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connectors::normalise::{Ids, Message, Origin, Template};
use engine::config::guarantee::Order;
use engine::config::plan::{self, Plan};
use engine::config::{AckPoint, Check, EventTemplate, Span, Spanned};
use engine::delivery::{Inbox, Outcome};
use engine::event::{Attribute, Event, Name};
use engine::filter::Filter;
use engine::pool::Limits;
use engine::port::{
    BoxFuture, Call, Confirm, Function, Offer, Output, Shutdown, Source, SourceError, StartError, SystemClock, Ticket,
    Verdict, Verdicts, Worker,
};
use engine::registry::{FunctionPlan, OpenError, OutputPlan, Setup, SourceFacts, SourcePlan};
use engine::retry::Policy;
use engine::supervisor::{Engine, Host, Housing};
use tokio::sync::{Notify, oneshot};

/// Messages handed over at a time.
const BATCH: usize = 64;
/// Keys of the events.
const VEHICLES: usize = 1000;

/// Which clock the engine reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The machine's.
    Real,
    /// One that stands still, so that two runs take the same decisions.
    Still,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In no order, to an output that confirms before `publish` returns.
    Plain,
    /// To an output that confirms from another task, many together, as the client of a broker does.
    ConfirmedLater,
    /// With the events of each vehicle in order.
    Ordered,
}

impl Way {
    pub(crate) const ALL: [Way; 3] = [Way::Plain, Way::ConfirmedLater, Way::Ordered];

    /// Its name among the figures.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Way::Plain => "instructionsPerEvent",
            Way::ConfirmedLater => "instructionsPerEventConfirmedLater",
            Way::Ordered => "instructionsPerEventOrdered",
        }
    }
}

/// Runs `events` through an engine on this thread; answers how long that took by `clock`.
pub(crate) fn run(events: u64, clock: Clock, way: Way) -> Duration {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(clock == Clock::Still).build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder for the state");
        let (finished, done) = oneshot::channel();
        let host = Host {
            instance: "bench".into(),
            state: folder.path().to_owned(),
            clock: Arc::new(SystemClock),
            turns: usize::MAX,
            housing: Housing::Here,
            idle_after: Duration::from_secs(60),
        };
        let engine = Engine::start(plan(events, way, finished), host).await.expect("it starts");
        let took = done.await.expect("the source ended");
        let status = engine.status();
        assert_eq!(status.rules["telemetry/rule-7"].done, events, "every event is done");
        assert_eq!(status.sources["memory"].settled, events, "every message is acknowledged");
        assert_eq!(engine.drain(Duration::from_secs(5)).await.handed_back, 0);
        took
    })
}

/// A rule of the first function and the first output, with nothing else that could be written.
pub(crate) fn rule(name: &str, order: Order) -> plan::Rule {
    plan::Rule {
        name: name.into(),
        filter: None,
        function: Some(0),
        outputs: vec![0],
        order,
        max_in_flight: usize::MAX,
        max_seats: usize::MAX,
        rate: None,
        weight: engine::dispatch::Weight::MIN,
        timeout: Duration::from_secs(30),
        retry: Policy::default(),
        dead_letter: None,
        is_fed_back: false,
        on_success: Vec::new(),
        on_failure: Vec::new(),
    }
}

fn plan(events: u64, way: Way, finished: oneshot::Sender<Duration>) -> Plan {
    let order = if way == Way::Ordered { Order::Key } else { Order::None };
    let rule = |number: usize| plan::Rule {
        // A prefix pins nothing: every event is compared with all eight.
        filter: Filter::prefix([(Attribute::Subject, format!("veh-{number}"))]).ok(),
        ..rule(&format!("rule-{number}"), order)
    };
    Plan {
        name: "tax".into(),
        sources: vec![plan::Source {
            name: "memory".into(),
            seats: 1000,
            spool: None,
            dead_letter: None,
            plan: Box::new(Memory { events, finished: parking_lot::Mutex::new(Some(finished)) }),
        }],
        functions: vec![plan::Function {
            name: "echo".into(),
            workers: Limits { min: 1, max: 1 },
            concurrency: 1,
            circuit: None,
            plan: Box::new(Echo),
        }],
        outputs: vec![plan::Output { name: "null".into(), circuit: None, plan: Box::new(Null(way)) }],
        triggers: vec![plan::Trigger {
            name: "telemetry".into(),
            sources: vec![0],
            filter: None,
            unmatched: plan::Unmatched::Drop,
            dead_letter: None,
            rules: (0..8).map(rule).collect(),
        }],
        state: plan::State::default(),
        wording: plan::Wording::default(),
        renamed: Vec::new(),
    }
}

/// The source, and its own plan.
struct Memory {
    events: u64,
    finished: parking_lot::Mutex<Option<oneshot::Sender<Duration>>>,
}

impl SourcePlan for Memory {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            ack: AckPoint::Processed,
            redelivers: false,
            keyed: true,
            in_order: true,
            captures: Vec::new(),
            limits: Vec::new(),
        }
    }

    fn open(&self, _: Setup) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Memory { events: self.events, finished: parking_lot::Mutex::new(self.finished.lock().take()) }))
    }
}

impl Source for Memory {
    fn run<'a>(&'a mut self, inbox: Inbox, mut stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let began = tokio::time::Instant::now();
            let (template, mut ids) = (template(), Ids::new(7));
            let payload = payload();
            let vehicles: Vec<String> = (0..VEHICLES).map(|number| format!("veh-7{number:05}")).collect();
            let (mut intake, mut settlements) = inbox.split();
            let (mut read, mut settled) = (0, 0);
            let mut pairs = Vec::new();
            while settled < self.events {
                tokio::select! {
                    biased;
                    true = settlements.next(&mut pairs) => {
                        assert!(pairs.iter().all(|(_, outcome)| *outcome == Outcome::Ack), "nothing fails");
                        settled += pairs.drain(..).count() as u64;
                    }
                    seats = intake.reserve(BATCH), if read < self.events => {
                        let mut seats = seats.expect("the inbox is open");
                        while read < self.events && !seats.is_empty() {
                            let vehicle = vehicles[read as usize % VEHICLES].as_str();
                            let captured = [Some("demo"), Some(vehicle)];
                            let message = Message {
                                topic: "v1/demo/veh-700000/telemetry",
                                captured: &captured,
                                content_type: None,
                                binary: false,
                                user: std::iter::empty(),
                                hop: None,
                                payload: payload.clone(),
                            };
                            let event = template.mqtt(&mut ids, message).expect("an event");
                            seats.deliver(event).expect("a seat");
                            read += 1;
                        }
                    }
                }
            }
            if let Some(finished) = self.finished.lock().take() {
                finished.send(began.elapsed()).expect("somebody waits");
            }
            drop(intake);
            stop.requested().await;
            Ok(())
        })
    }
}

/// 198 bytes of telemetry.
fn payload() -> Bytes {
    let head = r#"{"v":1,"vehicle":"veh-000007","boot":"b1","seq":184213,"time":"2026-11-21T06:58:00Z","signals":{"Vehicle.Speed":87.4,"Vehicle.TraveledDistance":48213950},"note":""#;
    let mut text = head.to_owned();
    while text.len() < 196 {
        text.push('x');
    }
    text.push_str("\"}");
    Bytes::from(text)
}

fn template() -> Template {
    let typed = |text: &str| Some(Spanned::new(text.to_owned(), Span::default()));
    let event = EventTemplate {
        r#type: typed("org.covesa.vss.telemetry.v1"),
        source: typed("/fleet/{fleet}/{vehicle}"),
        subject: typed("{vehicle}"),
        partitionkey: typed("{vehicle}"),
        ..EventTemplate::default()
    };
    let captures = ["fleet", "vehicle"].map(|name| Name::new(name).expect("a name"));
    let origin = Origin { whole: "topic", r#type: "io.tidemill.mqtt.message", source: "/mqtt" };
    let mut check = Check::default();
    let template = Template::compile(&event, &captures, &origin, &mut check);
    assert!(!check.failed(), "the template is right");
    template
}

/// A native function that keeps what it is given.
struct Echo;

impl FunctionPlan for Echo {
    fn open(&self, _: Setup) -> Result<Box<dyn Function>, OpenError> {
        Ok(Box::new(Echo))
    }
}

impl Function for Echo {
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn Worker>, StartError>> {
        Box::pin(std::future::ready(Ok(Box::new(Echo) as Box<dyn Worker>)))
    }
}

impl Worker for Echo {
    fn call<'a>(&'a self, events: &'a [Event], _: &'a Call) -> BoxFuture<'a, Verdicts> {
        let mut verdicts = Verdicts::new();
        events.iter().for_each(|event| verdicts.push(Verdict::Done(vec![event.clone()])));
        Box::pin(std::future::ready(verdicts))
    }
}

/// An output that keeps nothing.
struct Null(Way);

impl OutputPlan for Null {
    fn durable(&self) -> bool {
        false
    }

    fn open(&self, _: Setup) -> Result<Box<dyn Output>, OpenError> {
        if self.0 != Way::ConfirmedLater {
            return Ok(Box::new(Null(self.0)));
        }
        let window = Arc::new(Window::default());
        tokio::spawn(confirm(Arc::clone(&window)));
        Ok(Box::new(Far(window)))
    }
}

impl Output for Null {
    fn publish(&self, event: &Event, _: Offer<'_>) -> Confirm {
        std::hint::black_box(event);
        Confirm::Now(Ok(()))
    }
}

/// What was published and is not confirmed.
#[derive(Default)]
struct Window {
    open: parking_lot::Mutex<Vec<Ticket>>,
    published: Notify,
}

/// An output that is confirmed a moment later.
struct Far(Arc<Window>);

impl Output for Far {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        std::hint::black_box(event);
        let (ticket, later) = offer.accept();
        self.0.open.lock().push(ticket);
        self.0.published.notify_one();
        later
    }
}

async fn confirm(window: Arc<Window>) {
    let mut answers = Vec::new();
    loop {
        window.published.notified().await;
        answers.extend(window.open.lock().drain(..).map(|ticket| (ticket, Ok(()))));
        Ticket::answer_all(&mut answers);
    }
}
