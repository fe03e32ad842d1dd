//! A source on its port, with an engine that only keeps what it is given: the suite alone decides what becomes of a message.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use engine::config::{Check, EventTemplate, Spanned};
use engine::delivery::{Inbox, Ledger, Outcome, Receipt, Route, Undecodable};
use engine::event::Event;
use engine::metric::{Link, Page};
use engine::port::{Shutdown, Source, SourceError, Stop, SystemClock, Trigger};
use engine::registry::{Setup, SourceCommon, SourceKind};
use serde_json::Value;
use testkit::patience::{RETRY, within};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many seats a source has where their number does not matter.
pub(super) const SEATS: usize = 100;

/// A message that the engine was given.
#[derive(Debug)]
pub(super) enum Given {
    Event(Event, Receipt),
    Undecodable(Undecodable, Receipt),
}

struct Keep(mpsc::Sender<Given>);

impl Route for Keep {
    fn route(&mut self, event: Event, receipt: Receipt) {
        self.0.try_send(Given::Event(event, receipt)).expect("no more messages than there are seats");
    }
    fn undecodable(&mut self, message: Undecodable, receipt: Receipt) {
        self.0.try_send(Given::Undecodable(message, receipt)).expect("no more messages than there are seats");
    }
    fn flush(&mut self) {}
}

/// A source that can be run.
pub(super) struct Opened {
    source: Box<dyn Source>,
    link: Link,
    seats: usize,
}

/// Makes a source of a kind from what a user would type; the object that it reads is its name too.
pub(super) fn open<K: SourceKind>(kind: &K, object: &str, seats: usize, typed: Value) -> Opened {
    let link = Link::default();
    let setup = setup(object, seats, &link);
    let name = Spanned { value: object.into(), ..Spanned::default() };
    let text = |text: &str| Some(Spanned { value: text.to_owned(), ..Spanned::default() });
    // What has no id is malformed, whatever the broker.
    let event =
        EventTemplate { r#type: text("numbered"), source: text("/suite"), id: text("id"), ..Default::default() };
    let common = SourceCommon { name, ack: None, event, seats };
    let mut check = Check::default();
    let options = serde_json::from_value(typed).expect("the options of the suite can be read");
    let plan = kind.check(options, &common, &mut check);
    let source = plan.unwrap_or_else(|| panic!("{:?}", check.finish())).open(setup).expect("a source");
    Opened { source, link, seats }
}

/// What an adapter of the suite is given.
pub(super) fn setup(name: &str, seats: usize, link: &Link) -> Setup {
    Setup {
        name: name.into(),
        instance: "one".into(),
        seats,
        state: None,
        clock: Arc::new(SystemClock),
        link: link.clone(),
        page: Page::default(),
    }
}

/// A message of the suite: JSON with a number, and as much more as its size asks for.
pub(super) fn message(number: usize, size: usize) -> Vec<u8> {
    let bare = format!("{{\"id\":\"{number}\"}}");
    let fill = size.saturating_sub(bare.len() + 10);
    if fill == 0 {
        bare.into_bytes()
    } else {
        format!("{{\"id\":\"{number}\",\"fill\":\"{}\"}}", "x".repeat(fill)).into_bytes()
    }
}

/// The number of an event of the suite.
pub(super) fn number(event: &Event) -> usize {
    event.id().parse().unwrap_or_else(|_| panic!("an event of somebody else: {event:?}"))
}

/// A running source. Dropping it ends the run without a goodbye, as a crash would.
pub(super) struct Rig {
    given: mpsc::Receiver<Given>,
    pub(super) ledger: Ledger,
    pub(super) link: Link,
    stop: Trigger,
    run: JoinHandle<Result<(), SourceError>>,
}

impl Rig {
    /// Begins a run without waiting for anything.
    pub(super) fn begin(opened: Opened) -> Rig {
        let Opened { mut source, link, seats } = opened;
        let (ledger, (sender, given)) = (Ledger::default(), mpsc::channel(100_000));
        let (stop, shutdown) = Shutdown::channel();
        let (books, line) = (ledger.clone(), link.clone());
        // As the engine does it: a run that ends with the wish for another is followed by one.
        let run = tokio::spawn(async move {
            loop {
                let inbox = Inbox::new(seats, books.clone(), Box::new(Keep(sender.clone())));
                match source.run(inbox, shutdown.clone()).await {
                    Err(SourceError::Restart(sentence, _)) if shutdown.now().is_none() => {
                        println!("the source starts again: {sentence}");
                        line.disconnected(sentence);
                        tokio::time::sleep(RETRY).await;
                    }
                    ended => return ended,
                }
            }
        });
        Rig { given, ledger, link, stop, run }
    }

    /// Begins a run, and waits until the source is connected.
    pub(super) async fn start(opened: Opened) -> Rig {
        let rig = Rig::begin(opened);
        within("a connection", rig.link.connects()).await;
        rig
    }

    /// The next event's number and the right to settle it.
    pub(super) async fn next(&mut self) -> (usize, Receipt) {
        match self.given().await {
            Given::Event(event, receipt) => (number(&event), receipt),
            Given::Undecodable(message, _) => panic!("not an event: {}", message.reason),
        }
    }

    /// The next message, whatever it is.
    pub(super) async fn given(&mut self) -> Given {
        let link = self.link.clone();
        let given = tokio::time::timeout(testkit::patience::LIMIT, self.given.recv()).await;
        match given.unwrap_or_else(|_| panic!("no message comes: {:?}", link.read())) {
            Some(given) => given,
            None => panic!("the source has ended: {:?}", (&mut self.run).await),
        }
    }

    /// The next so many events.
    pub(super) async fn take(&mut self, count: usize) -> Vec<(usize, Receipt)> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.push(self.next().await);
        }
        taken
    }

    /// Acknowledges whatever comes until every number of the range has come; answers the numbers as they came.
    pub(super) async fn acknowledge(&mut self, wanted: Range<usize>) -> Vec<usize> {
        self.acknowledge_but(wanted, HashSet::new()).await
    }

    /// The same, where some have come already.
    pub(super) async fn acknowledge_but(&mut self, wanted: Range<usize>, mut seen: HashSet<usize>) -> Vec<usize> {
        let mut came = Vec::new();
        while !wanted.clone().all(|number| seen.contains(&number)) {
            let (number, receipt) = self.next().await;
            receipt.settle(Outcome::Ack);
            seen.insert(number);
            came.push(number);
        }
        came
    }

    /// Waits until the last error holds `part`; answers it.
    pub(super) async fn error(&self, part: &str) -> String {
        let link = self.link.clone();
        until(&format!("an error about {part}"), || link.read().last_error.filter(|error| error.contains(part))).await
    }

    /// Asks for the end.
    pub(super) fn stop(&self) {
        self.stop.stop(Stop::Keep);
    }

    /// Waits for the end of the run, hands back what nobody has settled, and checks the books.
    pub(super) async fn drained(mut self) {
        self.stop();
        let ending = async {
            loop {
                tokio::select! {
                    // Nobody settles it: dropping it hands it back.
                    Some(_) = self.given.recv() => {}
                    ended = &mut self.run => return ended,
                }
            }
        };
        let ended = within("the end of the run", ending).await;
        ended.expect("the source does not panic").expect("the source ends well");
        while self.given.try_recv().is_ok() {}
        let books = self.ledger.read();
        assert!(books.balance() && books.in_flight == 0, "{books:?}");
    }

    /// Ends the run without a goodbye, and forgets everything that is open.
    pub(super) async fn crash(mut self) {
        self.run.abort();
        let _ = (&mut self.run).await;
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.run.abort();
    }
}

/// Looks until there is something to see.
pub(super) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await
}
