//! The ledger: a producer writes down every event that its broker has confirmed, an engine carries the events through a
//! function to another broker and is killed again and again, and in the end the two sides are compared.
//!
//! What has to hold: every confirmed event arrives at least once, byte for byte; nothing arrives that was not sent; and what
//! arrives more than once stays within what was not committed when the engine was killed, as the broker or the engine itself
//! counts it, whose bound by the configuration is shown. The first new event flows within [`trial::FIRST`] of a restart and
//! the last old one within the broker's own time of redelivery and [`trial::GRACE`]: a restart that takes longer is repeated,
//! because only an engine that waits for something takes longer each time, and a machine that stands still does not.
//!
//! Moments are drawn from a seed, which is printed; `TIDEMILL_LEDGER_SEED` repeats one. `TIDEMILL_LEDGER` says what runs:
//! nothing for the pairs of one broker with three kills each, `all` for every pair of two with twenty, or pairs such as
//! `kafka-nats,nats-amqp`; `TIDEMILL_LEDGER_KILLS` is how many kills each.

// The brokers as the ledger sees them.
mod bank;
// What was sent, confirmed, and has arrived.
mod book;
// Where an engine is killed, and how it is brought there.
mod place;
// The engine: this very binary with a function of its own.
mod mill;
// What came of it, as a table.
mod report;
// One pair of brokers.
mod trial;

use bank::Kind;

/// What is to be tried.
struct Order {
    pairs: Vec<(Kind, Kind)>,
    kills: usize,
    seed: u64,
}

impl Order {
    /// What the environment asks for.
    fn from_environment() -> Self {
        let asked = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let number =
            |name| asked(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")));
        let (pairs, kills) = match asked("TIDEMILL_LEDGER").as_deref() {
            None => (Kind::ALL.map(|kind| (kind, kind)).to_vec(), 3),
            Some("all") => (Kind::ALL.iter().flat_map(|from| Kind::ALL.map(|to| (*from, to))).collect(), 20),
            Some(list) => (list.split(',').map(pair).collect(), 3),
        };
        let kills =
            number("TIDEMILL_LEDGER_KILLS").map_or(kills, |kills| usize::try_from(kills).expect("a small number"));
        Self { pairs, kills, seed: number("TIDEMILL_LEDGER_SEED").unwrap_or_else(|| fastrand::u64(..)) }
    }
}

fn pair(text: &str) -> (Kind, Kind) {
    let (from, to) = text.split_once('-').unwrap_or_else(|| panic!("'{text}' is no pair such as kafka-nats"));
    (Kind::named(from), Kind::named(to))
}

#[tokio::test]
async fn every_confirmed_event_arrives_whenever_the_engine_is_killed() {
    let Order { pairs, kills, seed } = Order::from_environment();
    println!("TIDEMILL_LEDGER_SEED={seed}, {kills} kills of each engine");
    let banks = bank::Banks::open(pairs.iter().flat_map(|(from, to)| [*from, *to])).await;
    let mut reports = Vec::new();
    for (from, to) in pairs {
        let report = trial::run(banks.get(from), banks.get(to), kills, seed).await;
        println!("{}", report.line());
        reports.push(report);
    }
    println!("\n{}", report::table(&reports));
    let faults: Vec<_> = reports.iter().flat_map(report::Report::faults).collect();
    assert!(faults.is_empty(), "TIDEMILL_LEDGER_SEED={seed}:\n{}", faults.join("\n"));
}
