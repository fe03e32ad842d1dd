//! Fakes at the ports, for the tests of what stands between them: closures as functions and outputs, a desk that hands out
//! receipts, a source in memory, and dead letters on a disk in memory.

mod source;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use smallvec::smallvec;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) use source::{Memory, Message, Pipe};

use crate::account::Account;
use crate::dead_letter::{Archive, Postbox, Selection, Targets};
use crate::delivery::{
    Inbox, Intake, Ledger, Outcome, Recall, Recaller, Receipt, Route, Seat, Settlements, Undecodable,
};
use crate::dispatch::Arrival;
use crate::event::{Event, Text};
use crate::invoke::Turns;
use crate::parked::Yard;
use crate::pool::{Limits, Options, Pool};
use crate::port::{
    BoxFuture, Call, Clock, Confirm, Function, Offer, Output, PublishError, StartError, Verdict, Verdicts, Worker,
};
use crate::store::testing::Platter;
use crate::store::{ClockHandle, Quota, Schema, Settings, Stamp, Store};

/// An event with this id and nothing else of interest.
pub(crate) fn event(id: &str) -> Event {
    Event::new(id.into(), "/fake".into(), "fake".into()).unwrap()
}

/// A message that is no event.
pub(crate) fn undecodable(raw: &'static str) -> Undecodable {
    Undecodable { raw: raw.into(), reason: "it is no event".to_owned(), facts: vec![("topic".into(), "a/b".into())] }
}

/// One verdict.
pub(crate) fn one(verdict: Verdict) -> Verdicts {
    smallvec![verdict]
}

/// Done without results.
pub(crate) fn done() -> Verdicts {
    one(Verdict::Done(Vec::new()))
}

/// Failed for now.
pub(crate) fn again() -> Verdicts {
    one(Verdict::Retry { after: None, error: "not now".to_owned() })
}

/// A closure as a function whose workers share it.
#[derive(Clone)]
pub(crate) struct Calls<F>(pub(crate) F);

impl<F> Function for Calls<F>
where
    F: Fn(Event, Call) -> BoxFuture<'static, Verdicts> + Clone + Send + Sync + 'static,
{
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn Worker>, StartError>> {
        let worker: Box<dyn Worker> = Box::new(self.clone());
        Box::pin(std::future::ready(Ok(worker)))
    }
}

impl<F> Worker for Calls<F>
where
    F: Fn(Event, Call) -> BoxFuture<'static, Verdicts> + Send + Sync,
{
    fn call<'a>(&'a self, events: &'a [Event], call: &'a Call) -> BoxFuture<'a, Verdicts> {
        (self.0)(events[0].clone(), call.clone())
    }
}

/// A function that answers at once.
pub(crate) fn judge(answer: impl Fn(&Event, &Call) -> Verdicts + Clone + Send + Sync + 'static) -> Arc<dyn Function> {
    Arc::new(Calls(move |event: Event, call| -> BoxFuture<'static, Verdicts> {
        let answer = answer.clone();
        Box::pin(async move { answer(&event, &call) })
    }))
}

/// A closure that starts workers, or does not.
pub(crate) struct Starts<F>(pub(crate) F);

impl<F> Function for Starts<F>
where
    F: Fn() -> BoxFuture<'static, Result<Box<dyn Worker>, StartError>> + Send + Sync,
{
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn Worker>, StartError>> {
        (self.0)()
    }
}

/// How the pool of a test differs from one worker.
pub(crate) fn options(function: Arc<dyn Function>, min: usize, max: usize) -> Options {
    Options {
        name: "f".into(),
        function,
        limits: Limits { min, max },
        concurrency: 1,
        idle_after: Duration::from_secs(60),
        turns: Arc::new(Turns::new(4)),
    }
}

/// A pool that is alive for as long as the test's runtime.
pub(crate) fn running(options: Options) -> Pool {
    let pool = Pool::new(options);
    tokio::spawn(pool.clone().run());
    pool
}

/// An output that answers with a closure and remembers what it was given.
pub(crate) struct Recorder<F> {
    seen: Arc<Mutex<Vec<Event>>>,
    answer: F,
}

/// What an output was given, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Event>>>);

impl Seen {
    pub(crate) fn ids(&self) -> Vec<Text> {
        self.0.lock().iter().map(|event| event.id().clone()).collect()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }
}

impl<F: Fn(&Event) -> Say + Send + Sync> Output for Recorder<F> {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        self.seen.lock().push(event.clone());
        match (self.answer)(event) {
            Say::Now(result) => Confirm::Now(result),
            Say::Later(result) => {
                let (ticket, later) = offer.accept();
                tokio::spawn(async move { ticket.answer(result.await) });
                later
            }
        }
    }
}

/// What a recorder answers.
pub(crate) enum Say {
    /// Known already.
    Now(Result<(), PublishError>),
    /// Known once this resolves, in a task of its own.
    Later(BoxFuture<'static, Result<(), PublishError>>),
}

/// An output and what it saw.
pub(crate) fn recorder(answer: impl Fn(&Event) -> Say + Send + Sync + 'static) -> (Arc<dyn Output>, Seen) {
    let seen = Seen::default();
    (Arc::new(Recorder { seen: Arc::clone(&seen.0), answer }), seen)
}

/// Stands still.
pub(crate) struct Wall;

impl Clock for Wall {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)
    }
}

/// Wall time that goes when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    /// A bin in this time.
    pub(crate) fn bin(&self) -> Bin {
        Bin::at(Platter::new(Vec::new()), ClockHandle(Arc::new(self.clone())))
    }

    pub(crate) fn pass(&self, time: Duration) {
        *self.0.lock() += time;
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.now().into()
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        Wall.now() + *self.0.lock()
    }
}

/// Wall time that goes as the tests' own does.
pub(crate) struct Ticking(Instant);

impl Ticking {
    pub(crate) fn clock() -> ClockHandle {
        ClockHandle(Arc::new(Ticking(Instant::now())))
    }
}

impl Clock for Ticking {
    fn now(&self) -> SystemTime {
        Wall.now() + self.0.elapsed()
    }
}

/// Dead letters, and what is parked, on a disk in memory.
pub(crate) struct Bin {
    pub(crate) archive: Archive,
    pub(crate) postbox: Postbox,
    pub(crate) account: Account,
    pub(crate) task: JoinHandle<()>,
    pub(crate) platter: Platter,
    pub(crate) store: Store,
    /// Wall time that outlives it, if it has one.
    clock: Option<ClockHandle>,
}

impl Bin {
    pub(crate) fn open() -> Bin {
        Bin::with(Quota::default())
    }

    pub(crate) fn with(quota: Quota) -> Bin {
        Bin::on(Platter::new(Vec::new()), quota, Targets::default()).unwrap()
    }

    /// On this disk, unless it fails while the file is opened, for letters that go to these outputs besides.
    pub(crate) fn on(platter: Platter, quota: Quota, targets: Targets) -> Result<Bin, String> {
        Bin::with_clock(platter, quota, targets, None)
    }

    /// In this wall time.
    pub(crate) fn at(platter: Platter, clock: ClockHandle) -> Bin {
        Bin::with_clock(platter, Quota::default(), Targets::default(), Some(clock)).unwrap()
    }

    fn with_clock(platter: Platter, quota: Quota, targets: Targets, own: Option<ClockHandle>) -> Result<Bin, String> {
        let outputs = targets.addressees();
        let clock = own.clone().unwrap_or(ClockHandle(Arc::new(Wall)));
        let settings = Settings { clock: clock.clone(), ..Settings::default() };
        let specs = Archive::specs(quota, &outputs).into_iter().chain(Yard::specs()).collect();
        let store = platter.store(Schema::DELIVERIES, specs, settings)?;
        let archive = Archive::of(&store, quota, &outputs).unwrap();
        let account = Account::in_memory(1000, clock.clone());
        let (postbox, task) = Postbox::start(archive.clone(), clock, targets);
        Ok(Bin { archive, postbox, account, task, platter, store, clock: own })
    }

    /// What is parked in it, in wall time that goes as the test's own.
    pub(crate) fn yard(&self, max_bytes: u64) -> Yard {
        let yard = Yard::of(&self.store, max_bytes, self.clock.clone().unwrap_or_else(Ticking::clock)).unwrap();
        // Of a file that is closed only figures are asked.
        drop(yard.remember());
        yard
    }

    /// The same disk as it is found after a crash.
    pub(crate) fn found(&self) -> Bin {
        let platter = Platter::new(self.platter.found(None));
        Bin::with_clock(platter, Quota::default(), Targets::default(), self.clock.clone()).unwrap()
    }

    /// What is kept now.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        let page = self.archive.page(&Selection::default(), None, usize::MAX).unwrap();
        let json = |(id, letter): (_, crate::dead_letter::Letter)| {
            let mut text = Vec::new();
            letter.write_json(id, &mut text);
            serde_json::from_slice(&text).unwrap()
        };
        page.letters.into_iter().map(json).collect()
    }
}

/// A source's desk: hands out receipts and hears what became of them.
pub(crate) struct Desk {
    intake: Intake,
    settlements: Settlements,
    pub(crate) ledger: Ledger,
    held: Hold,
    /// The seat of every receipt that was handed out.
    seats: Vec<Seat>,
}

#[derive(Clone, Default)]
struct Hold {
    receipts: Arc<Mutex<Vec<Receipt>>>,
    recalls: Arc<Mutex<Vec<Recall>>>,
}

impl Route for Hold {
    fn route(&mut self, _event: Event, receipt: Receipt) {
        self.receipts.lock().push(receipt);
    }
    fn undecodable(&mut self, _message: Undecodable, receipt: Receipt) {
        self.receipts.lock().push(receipt);
    }
    fn flush(&mut self) {}
    fn recaller(&self) -> Recaller {
        let recalls = Arc::clone(&self.recalls);
        Box::new(move |recall| recalls.lock().push(recall.clone()))
    }
}

impl Desk {
    pub(crate) fn new(capacity: usize) -> Desk {
        Desk::over(capacity, Ledger::default())
    }

    /// With these books.
    pub(crate) fn over(capacity: usize, ledger: Ledger) -> Desk {
        let held = Hold::default();
        let inbox = Inbox::new(capacity, ledger.clone(), Box::new(held.clone()));
        let (intake, settlements) = inbox.split();
        Desk { intake, settlements, ledger, held, seats: Vec::new() }
    }

    /// Receipts in as many seats.
    pub(crate) async fn receipts(&mut self, count: usize) -> Vec<Receipt> {
        let mut seats = self.intake.reserve(count).await.unwrap();
        while let Ok(seat) = seats.deliver(event("any")) {
            self.seats.push(seat);
        }
        drop(seats);
        let receipts = std::mem::take(&mut *self.held.receipts.lock());
        assert_eq!(receipts.len(), count, "the desk has too few seats");
        receipts
    }

    /// What the desk wants back: the receipts of these numbers, counted from the first that it handed out.
    pub(crate) fn recall(&mut self, numbers: impl IntoIterator<Item = usize>) -> Recall {
        let seats: Vec<_> = numbers.into_iter().map(|number| self.seats[number]).collect();
        self.settlements.recall(&seats);
        self.held.recalls.lock().pop().expect("somebody is told")
    }

    /// One arrival for each event.
    pub(crate) async fn arrivals(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Arrival> {
        let events: Vec<_> = events.into_iter().collect();
        let receipts = self.receipts(events.len()).await;
        let arrival = |(event, receipt)| Arrival { event, receipt };
        events.into_iter().zip(receipts).map(arrival).collect()
    }

    /// One arrival for each event, from these places of a stream.
    pub(crate) async fn arrivals_at(&mut self, stream: &str, events: Vec<(u64, Event)>) -> Vec<Arrival> {
        let mut seats = self.intake.reserve(events.len()).await.unwrap();
        let stream = seats.stream(&stream.into(), &Text::default());
        for (sequence, event) in &events {
            self.seats.push(seats.deliver_at(event.clone(), stream, *sequence).expect("the desk has seats"));
        }
        drop(seats);
        let receipts = std::mem::take(&mut *self.held.receipts.lock());
        let arrival = |((_, event), receipt)| Arrival { event, receipt };
        events.into_iter().zip(receipts).map(arrival).collect()
    }

    /// Waits until this many more have settled.
    pub(crate) async fn settled(&mut self, count: usize) -> Vec<Outcome> {
        let mut pairs: Vec<(Seat, Outcome)> = Vec::new();
        while pairs.len() < count {
            assert!(self.settlements.next(&mut pairs).await);
        }
        assert_eq!(pairs.len(), count);
        pairs.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Waits until something more has settled.
    pub(crate) async fn more(&mut self) -> Vec<Outcome> {
        let mut pairs: Vec<(Seat, Outcome)> = Vec::new();
        assert!(self.settlements.next(&mut pairs).await);
        pairs.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// What has settled already.
    pub(crate) fn settled_now(&mut self) -> Vec<Outcome> {
        let mut pairs = Vec::new();
        let _ = futures_util::FutureExt::now_or_never(self.settlements.next(&mut pairs));
        pairs.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

/// Lets every task that is ready run until none is, without moving time.
pub(crate) async fn settle_down() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
