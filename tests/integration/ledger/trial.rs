//! One pair of brokers: events flow all the time, the engine is killed, comes back, and is judged by what arrives.

use std::time::Duration;

use testkit::patience::LIMIT;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::bank::{Bank, SEATS, Writer};
use super::book::{Book, MARK};
use super::mill;
use super::place::{Engines, Place};
use super::report::{Kill, Report};
use crate::outcome::{assert_balanced, idle, spools};

/// The longest that the first event may take that was sent after a restart.
pub(super) const FIRST: Duration = Duration::from_secs(10);
/// The longest that the last event may take that was owed at a restart, beyond the broker's own time of redelivery.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Events that are sent together, and how often: 400 a second.
const BATCH: usize = 100;
const EVERY: Duration = Duration::from_millis(250);

/// How often a kill is tried again whose victim had ended before it.
const TRIES: usize = 5;
/// How often in a row a restart may take too long. An engine that waits for something does so each time.
const LATE: usize = 4;

/// Carries events from one broker to another while the engine is killed `kills` times.
pub(super) async fn run(source: &dyn Bank, target: &dyn Bank, kills: usize, seed: u64) -> Report {
    let pair = format!("{}-{}", source.kind().name(), target.kind().name());
    let (from, to) = (source.place().await, target.place().await);
    let book = Book::new(&pair, seed);
    let mut tasks = JoinSet::new();
    tasks.spawn(target.reader(&to, book.clone()).await.0);

    let engine = |instance| mill::engine(instance, &source.source(&from), &target.output(&to), SEATS);
    let (victim, guest) = (engine("victim"), engine("guest"));
    let mut engines = Engines { bank: source, from: &from, victim, guest, guest_runs: false };
    engines.victim.start().await;

    let producer = tasks.spawn(produce(source.writer(&from).await, book.clone()));
    let mut trial = Trial { book, terms: source.terms(), random: fastrand::Rng::with_seed(seed), wrong: Vec::new() };
    let mut done = Vec::new();
    for place in Place::of(source.kind(), kills) {
        if !trial.visit(&mut engines, place, &mut done).await {
            break;
        }
    }
    producer.abort();
    trial.end(&mut engines, &mut *target.writer(&to).await).await;
    while let Some(ended) = tasks.try_join_next() {
        if ended.is_err_and(|error| error.is_panic()) {
            trial.wrong.push("a client of the test gave up; its words are above".to_owned());
        }
    }
    trial.report(pair, done)
}

/// Sends events and has them confirmed, for as long as it is polled.
async fn produce(mut writer: Box<dyn Writer>, book: Book) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (numbers, payloads) = book.enter(BATCH);
        writer.put(&payloads).await;
        book.confirm(numbers);
    }
}

struct Trial {
    book: Book,
    terms: super::bank::Terms,
    random: fastrand::Rng,
    wrong: Vec<String>,
}

impl Trial {
    fn limit(&self) -> Duration {
        self.terms.redelivery + GRACE
    }

    /// Kills the engine at a place until it is back in time, and tells whether the trial can go on.
    async fn visit(&mut self, engines: &mut Engines<'_>, place: Place, done: &mut Vec<Kill>) -> bool {
        for _ in 0..LATE {
            let Some(kill) = self.kill(engines, place).await else { return false };
            done.push(kill);
            if !kill.late {
                return true;
            }
        }
        let (place, limit) = (place.name(), self.limit());
        self.wrong.push(format!(
            "the first new event came later than {FIRST:?}, or the last that was owed later than {limit:?}, after {LATE} \
             kills in a row ({place})"
        ));
        true
    }

    /// Lets events flow for a while, kills the engine at a place, starts it again and waits for what is owed. Nothing comes
    /// back when the engine could not be brought there.
    async fn kill(&mut self, engines: &mut Engines<'_>, place: Place) -> Option<Kill> {
        for _ in 0..TRIES {
            let more = self.random.usize(BATCH..4 * BATCH);
            let wanted = self.book.read(|pages| pages.arrived()) + more;
            let flows = self.book.comes_to(Instant::now() + LIMIT, |pages| (pages.arrived() >= wanted).then_some(()));
            if flows.await.is_none() {
                self.wrong.push(format!("events did not flow before a kill ({})", place.name()));
                return None;
            }
            let hit = engines.kill(place).await;
            let done = engines.bank.done(engines.from).await;
            let killed = Instant::now();
            engines.victim.launch();
            if hit {
                return Some(self.recovery(engines, place, killed, done).await);
            }
            engines.victim.admitted().await;
        }
        self.wrong.push(format!("the engine always ended before it could be killed ({})", place.name()));
        None
    }

    /// Judges a restart by what arrives; `done` is what the broker counted as done at the kill.
    async fn recovery(
        &mut self,
        engines: &mut Engines<'_>,
        place: Place,
        killed: Instant,
        done: Option<usize>,
    ) -> Kill {
        let (owed, lately) = self.book.read(|pages| (pages.owed(), pages.arrived_since(killed - self.terms.commits)));
        let commits = if self.terms.commits.is_zero() { 0 } else { lately };
        let first = self.book.comes_to(killed + LIMIT, |pages| pages.first_sent_after(killed));
        let last = self.book.comes_to(killed + LIMIT, |pages| pages.paid(&owed));
        let (first, last, ()) = tokio::join!(first, last, engines.victim.admitted());
        let first = first.map(|at| at - killed);
        let last = last.map(|at| at.map_or(Duration::ZERO, |at| at.saturating_duration_since(killed)));
        // What an engine finds in its own spool was not settled there, whatever the disk had been asked to.
        let status = engines.victim.status().await;
        let found: u64 = spools(&status).filter_map(|(_, spool)| spool["recovered"].as_u64()).sum();
        let repeats = match done {
            // All that was there at the kill has arrived by now, so that this is at least what had arrived then.
            Some(done) => self.book.read(|pages| pages.arrived_once()).saturating_sub(done),
            None => self.terms.uncommitted + usize::try_from(found).unwrap_or(usize::MAX),
        };
        Kill {
            place,
            first,
            last,
            late: first.is_none_or(|first| first > FIRST) || last.is_none_or(|last| last > self.limit()),
            repeats,
            configured: self.terms.uncommitted + commits,
        }
    }

    /// Waits until everything has arrived, ends the engines, and closes the book.
    async fn end(&mut self, engines: &mut Engines<'_>, writer: &mut dyn Writer) {
        let all = self.book.comes_to(Instant::now() + LIMIT, |pages| pages.owed().is_empty().then_some(()));
        if all.await.is_none() {
            self.wrong.push(format!("not everything had arrived after {} s; {}", LIMIT.as_secs(), engines.say().await));
        }
        assert_balanced(&idle(&engines.victim).await);
        for (name, engine, runs) in
            [("engine", &mut engines.victim, true), ("guest", &mut engines.guest, engines.guest_runs)]
        {
            if runs && !engine.terminate().await.success() {
                self.wrong.push(format!("the {name} did not end well"));
            }
        }
        // Whatever the engines have sent stands before the mark.
        writer.put(&[MARK.to_owned()]).await;
        let closed = self.book.comes_to(Instant::now() + LIMIT, |pages| pages.closed.then_some(()));
        if closed.await.is_none() {
            self.wrong.push("the mark at the end did not arrive".to_owned());
        }
    }

    fn report(self, pair: String, kills: Vec<Kill>) -> Report {
        let limit = self.limit();
        let wrong = self.wrong;
        self.book.read(|pages| Report {
            pair,
            confirmed: pages.confirmed(),
            kills,
            limit,
            lost: pages.owed().len(),
            foreign: pages.foreign.len(),
            altered: pages.altered.len(),
            repeated: pages.repeated(),
            wrong,
        })
    }
}
