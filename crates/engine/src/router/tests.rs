//! Which rules an event reaches, what is counted, and when what is left over settles.

use std::sync::Arc;

use futures_util::FutureExt;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::account::Name;
use crate::delivery::{Inbox, Intake, Ledger, Settlements};
use crate::dispatch::testing::{Taken, feed};
use crate::fake::{Bin, event, undecodable};
use crate::filter::Filter;

/// A source whose router feeds lines that a test reads.
struct Routed {
    intake: Intake,
    settlements: Settlements,
    ledger: Ledger,
    bin: Bin,
}

fn routed(triggers: Vec<Trigger>) -> Routed {
    let (bin, ledger) = (Bin::open(), Ledger::default());
    let router = Router::new("s".into(), triggers, bin.postbox.clone(), bin.account.pen(Name::default()));
    let (intake, settlements) = Inbox::new(64, ledger.clone(), Box::new(router)).split();
    Routed { intake, settlements, ledger, bin }
}

impl Routed {
    async fn deliver(&mut self, events: Vec<Event>) {
        let mut seats = self.intake.reserve(events.len()).await.unwrap();
        for event in events {
            seats.deliver(event).unwrap();
        }
    }

    /// Outcomes of what has settled.
    fn settled(&mut self) -> Vec<Outcome> {
        let mut pairs = Vec::new();
        let _ = self.settlements.next(&mut pairs).now_or_never();
        pairs.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

/// A trigger whose rules feed the lines in the answer.
fn trigger(filter: Option<Filter>, rules: Vec<Option<Filter>>) -> (Trigger, Vec<Taken>, Arc<Tally>) {
    let tally = Arc::new(Tally::new(rules.len()));
    let (feeds, taken): (Vec<_>, Vec<_>) = rules.iter().map(|_| feed()).unzip();
    let rules = rules.into_iter().zip(feeds).collect();
    (Trigger { filter, rules, keeps_unmatched: None, tally: Arc::clone(&tally), slots: None }, taken, tally)
}

fn exact(name: &str, text: &str) -> Filter {
    Filter::exact([(crate::event::Attribute::named(name).unwrap(), text)]).unwrap()
}

fn typed(id: &str, r#type: &str) -> Event {
    Event::new(id.into(), "/a".into(), r#type.into()).unwrap()
}

#[tokio::test]
async fn every_rule_that_matches_gets_the_event_and_a_receipt_of_its_own() {
    let (first, mut lines, tally) = trigger(None, vec![None, Some(exact("type", "x")), Some(exact("type", "y"))]);
    let (second, mut others, _) = trigger(None, vec![Some(exact("source", "/a"))]);
    let mut routed = routed(vec![first, second]);
    routed.deliver(vec![typed("1", "x")]).await;
    let mut arrivals: Vec<_> = [lines[0].all(), lines[1].all(), others[0].all()].into_iter().flatten().collect();
    assert_eq!(arrivals.iter().map(|arrival| arrival.event.id().as_str()).collect::<Vec<_>>(), ["1", "1", "1"]);
    assert!(lines[2].all().is_empty());
    assert_eq!(tally.read(), Counts { offered: 1, unmatched: 0, filtered: vec![0, 0, 1] });
    // The message settles with the last of its forks, whichever that is.
    arrivals.rotate_left(1);
    for arrival in arrivals {
        assert_eq!(routed.settled(), []);
        arrival.receipt.settle(Outcome::Ack);
    }
    assert_eq!(routed.settled(), [Outcome::Ack]);
}

#[tokio::test]
async fn what_no_rule_wants_is_counted_and_acknowledged_with_its_batch() {
    let (loud, _lines, tally) = trigger(Some(exact("type", "x")), vec![Some(exact("source", "/b"))]);
    let (other, _others, silent) = trigger(Some(exact("type", "z")), vec![None]);
    let mut routed = routed(vec![loud, other]);
    {
        let mut seats = routed.intake.reserve(2).await.unwrap();
        seats.deliver(typed("1", "x")).unwrap();
        seats.deliver(typed("2", "y")).unwrap();
        assert_eq!(tally.read(), Counts { filtered: vec![0], ..Counts::default() }, "counted with the batch");
        assert_eq!(routed.ledger.read().settled, 0);
    }
    assert_eq!(tally.read(), Counts { offered: 1, unmatched: 1, filtered: vec![1] });
    assert_eq!(silent.read(), Counts { filtered: vec![0], ..Counts::default() });
    assert_eq!(routed.ledger.read().received, 2, "received before it can settle");
    assert_eq!(routed.settled(), [Outcome::Ack, Outcome::Ack]);
    assert!(routed.ledger.read().balance());
}

#[tokio::test]
async fn what_no_rule_of_a_trigger_takes_is_kept_where_it_says_so_and_settles_with_its_letter() {
    let (keeps, mut lines, tally) = trigger(None, vec![Some(exact("type", "x"))]);
    let (other, mut others, _) = trigger(None, vec![Some(exact("type", "y"))]);
    let mut routed = routed(vec![Trigger { keeps_unmatched: Some("t".into()), ..keeps }, other]);
    routed.deliver(vec![typed("1", "x"), typed("2", "y"), typed("3", "z")]).await;
    assert_eq!(tally.read(), Counts { offered: 3, unmatched: 2, filtered: vec![2] });
    let mut pairs = Vec::new();
    assert!(routed.settlements.next(&mut pairs).await);
    assert_eq!(
        pairs.iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(),
        [Outcome::Ack],
        "only the third is settled"
    );
    let records = routed.bin.records();
    let said = |at: usize| {
        ["reason", "rule", "source", "message"].map(|name| records[at][name].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(said(0), ["unmatched", "t", "s", "no rule of trigger 't' matches"]);
    assert_eq!(records[0]["event"]["knativeerrordest"], "/tidemill/triggers/t");
    assert_eq!([0, 1].map(|at: usize| records[at]["event"]["id"].as_str().unwrap_or_default().to_owned()), ["2", "3"]);
    lines[0].all().into_iter().chain(others[0].all()).for_each(|arrival| arrival.receipt.settle(Outcome::Ack));
    assert_eq!(routed.settled(), [Outcome::Ack; 2]);
    assert!(routed.ledger.read().balance());
}

#[tokio::test]
async fn several_sources_share_one_triggers_count() {
    let (first, mut taken, tally) = trigger(None, vec![Some(exact("type", "x"))]);
    let rules = first.rules.iter().map(|(filter, feed)| (filter.clone(), feed.clone())).collect();
    let second = Trigger { filter: None, rules, keeps_unmatched: None, tally: Arc::clone(&tally), slots: None };
    let (mut one, mut two) = (routed(vec![first]), routed(vec![second]));
    one.deliver(vec![typed("1", "x"), typed("2", "y")]).await;
    two.deliver(vec![typed("3", "x")]).await;
    assert_eq!(tally.read(), Counts { offered: 3, unmatched: 1, filtered: vec![1] });
    let arrivals = taken[0].all();
    assert_eq!(arrivals.iter().map(|arrival| arrival.event.id().as_str()).collect::<Vec<_>>(), ["1", "3"]);
    drop(arrivals);
    let retry = Outcome::Retry { after: std::time::Duration::ZERO };
    assert_eq!((one.settled(), two.settled()), (vec![Outcome::Ack, retry], vec![retry]), "each to its own source");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_rejected_once_it_is_on_record() {
    let (only, mut taken, tally) = trigger(None, vec![None]);
    let mut routed = routed(vec![only]);
    let mut seats = routed.intake.reserve(2).await.unwrap();
    seats.reject(undecodable("oh")).unwrap();
    drop(seats);
    let mut pairs = Vec::new();
    assert!(routed.settlements.next(&mut pairs).await);
    assert_eq!(pairs[0].1, Outcome::Reject);
    assert_eq!(routed.ledger.read().rejected, 1);
    let records = routed.bin.records();
    assert_eq!((&records[0]["reason"], &records[0]["source"]), (&"undecodable".into(), &"s".into()));
    assert!(taken[0].all().is_empty());
    assert_eq!(tally.read().offered, 0);
}

#[tokio::test]
async fn a_batch_without_anything_does_nothing() {
    let (only, mut taken, tally) = trigger(None, vec![None]);
    let mut routed = routed(vec![only]);
    drop(routed.intake.reserve(4).await.unwrap());
    assert!(taken[0].batches().is_empty() && routed.settled().is_empty());
    let mut router =
        Router::new("s".into(), Vec::new(), routed.bin.postbox.clone(), routed.bin.account.pen(Name::default()));
    router.flush();
    assert_eq!(tally.read().offered, 0);
}

#[tokio::test]
async fn without_any_trigger_a_message_is_acknowledged() {
    let mut routed = routed(Vec::new());
    routed.deliver(vec![event("1")]).await;
    assert_eq!(routed.settled(), [Outcome::Ack]);
}

#[tokio::test]
async fn a_rule_gets_its_part_of_a_batch_at_once_and_in_order() {
    let (only, mut taken, _) = trigger(None, vec![Some(exact("type", "x"))]);
    let mut routed = routed(vec![only]);
    routed.deliver(vec![typed("1", "x"), typed("2", "y"), typed("3", "x")]).await;
    let batches = taken[0].batches();
    let ids: Vec<Vec<_>> =
        batches.iter().map(|batch| batch.iter().map(|arrival| arrival.event.id().as_str()).collect()).collect();
    assert_eq!(ids, [["1", "3"]]);
}

const NAMES: [&str; 4] = ["type", "source", "subject", "fleet"];
const TEXTS: [&str; 3] = ["a", "b", "ab"];

fn filters() -> impl Strategy<Value = Filter> {
    let attribute = || (select(&NAMES[..]), select(&TEXTS[..]));
    let named = |(name, text): (&str, &'static str)| [(crate::event::Attribute::named(name).unwrap(), text)];
    let leaf = prop_oneof![
        3 => attribute().prop_map(move |pair| Filter::exact(named(pair)).unwrap()),
        1 => attribute().prop_map(move |pair| Filter::prefix(named(pair)).unwrap()),
        1 => attribute().prop_map(move |pair| Filter::suffix(named(pair)).unwrap()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..3).prop_map(|filters| Filter::all(filters).unwrap()),
            2 => prop::collection::vec(inner.clone(), 1..3).prop_map(|filters| Filter::any(filters).unwrap()),
            1 => inner.prop_map(|filter| Filter::not(filter).unwrap()),
        ]
    })
}

fn events() -> impl Strategy<Value = Event> {
    let text = || select(&TEXTS[..]);
    (text(), text(), prop::option::of(text()), prop::option::of(text())).prop_map(|(kind, source, subject, fleet)| {
        let mut event = Event::new("1".into(), source.into(), kind.into()).unwrap();
        for (name, text) in [("subject", subject), ("fleet", fleet)] {
            if let Some(text) = text {
                event.set(name, text.into()).unwrap();
            }
        }
        event
    })
}

/// The filters of several triggers and of their rules.
fn layouts() -> impl Strategy<Value = Vec<(Option<Filter>, Vec<Option<Filter>>)>> {
    let some = || prop::option::weighted(0.8, filters());
    prop::collection::vec((some(), prop::collection::vec(some(), 0..4)), 0..5)
}

proptest! {
    /// The index is an optimisation: it must find what asking every rule finds.
    #[test]
    fn the_index_finds_what_a_full_scan_finds(layout in layouts(), events in prop::collection::vec(events(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = runtime.enter();
        let (mut triggers, mut lines, mut tallies) = (Vec::new(), Vec::new(), Vec::new());
        for (filter, rules) in &layout {
            let (trigger, taken, tally) = trigger(filter.clone(), rules.clone());
            triggers.push(trigger);
            lines.push(taken);
            tallies.push(tally);
        }
        let mut routed = routed(triggers);
        runtime.block_on(routed.deliver(events.clone()));
        let takes = |filter: &Option<Filter>, event: &Event| filter.as_ref().is_none_or(|filter| filter.matches(event));
        let mut left = 0;
        for ((filter, rules), (lines, tally)) in layout.iter().zip(lines.iter_mut().zip(&tallies)) {
            let offered: Vec<_> = events.iter().filter(|event| takes(filter, event)).collect();
            let mut expected = Counts { offered: offered.len() as u64, ..Counts::default() };
            for (rule, line) in rules.iter().zip(lines) {
                let wanted: Vec<_> = offered.iter().copied().filter(|event| takes(rule, event)).collect();
                let got = line.all();
                prop_assert_eq!(got.iter().map(|arrival| &arrival.event).collect::<Vec<_>>(), wanted.clone());
                expected.filtered.push((offered.len() - wanted.len()) as u64);
                got.into_iter().for_each(|arrival| arrival.receipt.settle(Outcome::Ack));
            }
            let unmatched = |event: &&Event| !rules.iter().any(|rule| takes(rule, event));
            expected.unmatched = offered.into_iter().filter(unmatched).count() as u64;
            left += expected.unmatched;
            prop_assert_eq!(tally.read(), expected);
        }
        prop_assert!(left <= (events.len() * layout.len()) as u64);
        prop_assert_eq!(routed.settled(), vec![Outcome::Ack; events.len()], "every receipt is accounted for");
        prop_assert!(routed.ledger.read().balance());
    }
}
