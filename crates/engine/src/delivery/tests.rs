//! The promises of seats, receipts and outcomes, in one thread, from random operations, and in every interleaving that
//! loom finds.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;

use super::*;
use crate::event::Event;

/// Keeps the receipts that were flushed, for a test to settle.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<(Vec<Receipt>, Vec<Receipt>)>>);

impl Route for Held {
    fn route(&mut self, _event: Event, receipt: Receipt) {
        self.0.lock().0.push(receipt);
    }
    fn undecodable(&mut self, _message: Undecodable, receipt: Receipt) {
        self.0.lock().0.push(receipt);
    }
    fn flush(&mut self) {
        let (staged, flushed) = &mut *self.0.lock();
        flushed.append(staged);
    }
}

impl Held {
    fn pop(&self) -> Receipt {
        self.0.lock().1.remove(0)
    }
    fn count(&self) -> usize {
        self.0.lock().1.len()
    }
}

fn event() -> Event {
    Event::new("1".into(), "/s".into(), "t".into()).unwrap()
}

fn inbox(capacity: usize) -> (Intake, Settlements, Ledger, Held) {
    let (ledger, held) = (Ledger::default(), Held::default());
    let (intake, settlements) = Inbox::new(capacity, ledger.clone(), Box::new(held.clone())).split();
    (intake, settlements, ledger, held)
}

fn retry(millis: u64) -> Outcome {
    Outcome::Retry { after: Duration::from_millis(millis) }
}

/// What `next` appends without waiting; `None` when it would wait.
fn ready(settlements: &mut Settlements) -> Option<(bool, Vec<(Seat, Outcome)>)> {
    let mut pairs = Vec::new();
    let more = settlements.next(&mut pairs).now_or_never()?;
    Some((more, pairs))
}

#[test]
fn outcomes_are_ordered_and_survive_their_encoding() {
    let ascending = [Outcome::Ack, Outcome::Reject, retry(0), retry(1), retry(60_000)];
    assert!(ascending.is_sorted());
    assert!(ascending.map(Outcome::encode).is_sorted());
    assert_eq!(ascending.map(|outcome| Outcome::decode(outcome.encode())), ascending);
}

#[test]
fn where_a_message_stands_is_known_as_long_as_it_is_in_its_seat() {
    let held = Held::default();
    let ledger = Ledger::of("fleet".into(), Tracks::default());
    let (mut intake, mut settlements) = Inbox::new(1, ledger, Box::new(held.clone())).split();
    let mut deliver = |made: &str, sequence: Option<u64>| {
        let mut seats = intake.reserve(1).now_or_never().unwrap().unwrap();
        let stream = seats.stream(&"S".into(), &made.into());
        assert_eq!(stream, seats.stream(&"S".into(), &made.into()), "it is said once");
        match sequence {
            Some(sequence) => seats.deliver_at(event(), stream, sequence).unwrap(),
            None => seats.deliver(event()).unwrap(),
        };
        assert!(seats.deliver_at(event(), stream, 1).is_err(), "no seat is left");
        drop(seats);
        let receipt = held.pop();
        let position = receipt.fork().position();
        assert_eq!(receipt.position(), position, "each fork knows it");
        receipt.settle(Outcome::Ack);
        ready(&mut settlements).unwrap();
        position
    };
    let position = |made: &str, sequence| {
        let (source, stream, made) = ("fleet".into(), "S".into(), made.into());
        Some(Position { source, stream, made, sequence })
    };
    assert_eq!(deliver("", Some(u64::MAX)), position("", u64::MAX));
    assert_eq!(deliver("2026", Some(7)), position("2026", 7));
    assert_eq!(deliver("", None), None, "that was of the one before");
    assert_eq!(position("2026", 7).unwrap().text(), "S/7");
}

#[test]
fn what_may_be_a_copy_is_told_by_the_numbers_of_its_stream() {
    let (held, tracks) = (Held::default(), Tracks::default());
    let position = |sequence| Position { source: "fleet".into(), stream: "S".into(), made: "".into(), sequence };
    tracks.recover(&position(3), &"t/r".into(), 1);
    let inbox = Inbox::new(8, Ledger::of("fleet".into(), tracks), Box::new(held.clone()));
    let (mut intake, _settlements) = inbox.split();
    let mut seats = intake.reserve(8).now_or_never().unwrap().unwrap();
    let [stream, other] = ["S", "T"].map(|name| seats.stream(&name.into(), &"".into()));
    for (stream, sequence) in [(stream, 2), (stream, 3), (stream, 5), (stream, 4), (stream, 5), (stream, 6), (other, 1)]
    {
        seats.deliver_at(event(), stream, sequence).unwrap();
    }
    seats.deliver(event()).unwrap();
    drop(seats);
    let again: Vec<bool> = held.0.lock().1.iter().map(Receipt::is_again).collect();
    assert_eq!(again, [true, true, false, true, true, false, false, false]);
}

#[test]
fn whoever_parks_knows_who_was_done_and_whoever_is_done_later_knows_that() {
    let (mut intake, _settlements, _, held) = inbox(1);
    intake.reserve(1).now_or_never().unwrap().unwrap().deliver(event()).unwrap();
    let parked = held.pop();
    let [early, unnumbered, late, last] = [(); 4].map(|()| parked.fork());
    assert!(!early.ends_beside(Some(3)) && !unnumbered.ends_beside(None));
    early.settle(Outcome::Ack);
    unnumbered.settle(Outcome::Ack);
    assert_eq!(parked.parks(), 1 << 3);
    assert!(late.ends_beside(Some(41)));
    late.settle(Outcome::Ack);
    assert_eq!(parked.parks(), 1 << 3 | 1 << 41);
    parked.settle(Outcome::Ack);
    assert!(last.ends_beside(Some(0)), "the last one needs no bit to know");
    last.settle(Outcome::Ack);
}

#[test]
fn a_seat_is_free_only_when_its_pair_was_taken() {
    let (mut intake, mut settlements, ledger, held) = inbox(1);
    let mut seats = intake.reserve(5).now_or_never().unwrap().unwrap();
    let seat = seats.deliver(event()).unwrap();
    assert!(seats.is_empty());
    assert!(seats.deliver(event()).is_err(), "no seat is left");
    drop(seats);
    held.pop().settle(Outcome::Ack);
    assert!(intake.reserve(1).now_or_never().is_none(), "settled, but not taken");
    assert_eq!(ready(&mut settlements), Some((true, vec![(seat, Outcome::Ack)])));
    assert!(intake.reserve(1).now_or_never().is_some());
    assert!(ledger.read().balance());
}

#[test]
fn the_greatest_outcome_of_all_forks_wins_and_the_last_fork_settles() {
    let (mut intake, mut settlements, ledger, held) = inbox(4);
    intake.reserve(1).now_or_never().unwrap().unwrap().deliver(event()).unwrap();
    let first = held.pop();
    let (second, third) = (first.fork(), first.fork());
    first.settle(Outcome::Ack);
    second.settle(retry(70));
    assert_eq!(ready(&mut settlements), None, "one fork is open");
    third.settle(Outcome::Reject);
    let (_, pairs) = ready(&mut settlements).unwrap();
    assert_eq!(pairs[0].1, retry(70));
    assert_eq!(ledger.read().handed_back, 1);
}

#[test]
fn a_dropped_receipt_is_a_failure() {
    let (mut intake, mut settlements, ledger, held) = inbox(4);
    intake.reserve(1).now_or_never().unwrap().unwrap().deliver(event()).unwrap();
    drop(held.pop());
    assert_eq!(ready(&mut settlements).unwrap().1[0].1, retry(0));
    assert_eq!((ledger.read().settled, ledger.read().handed_back), (0, 1));
}

#[test]
fn pairs_come_in_completion_order_and_nothing_is_routed_before_it_is_in_the_books() {
    let (mut intake, mut settlements, ledger, held) = inbox(4);
    let mut seats = intake.reserve(3).now_or_never().unwrap().unwrap();
    let order: Vec<_> = (0..3).map(|_| seats.deliver(event()).unwrap()).collect();
    assert_eq!((held.count(), ledger.read().received), (0, 0));
    drop(seats);
    assert_eq!((held.count(), ledger.read().received, ledger.read().in_flight), (3, 3, 3));
    let mut receipts: Vec<_> = (0..3).map(|_| held.pop()).collect();
    receipts.remove(2).settle(Outcome::Ack);
    receipts.remove(0).settle(Outcome::Reject);
    receipts.remove(0).settle(Outcome::Ack);
    let settled: Vec<_> = ready(&mut settlements).unwrap().1.iter().map(|(seat, _)| *seat).collect();
    assert_eq!(settled, [order[2], order[0], order[1]]);
    let books = ledger.read();
    assert_eq!((books.settled, books.rejected, books.in_flight), (2, 1, 0));
}

#[test]
fn a_run_ends_when_the_intake_is_gone_and_everything_has_settled() {
    let (mut intake, mut settlements, _, held) = inbox(4);
    intake.reserve(1).now_or_never().unwrap().unwrap().deliver(event()).unwrap();
    drop(intake);
    assert_eq!(ready(&mut settlements), None, "one is in flight");
    held.pop().settle(Outcome::Ack);
    assert!(ready(&mut settlements).unwrap().0);
    assert_eq!(ready(&mut settlements), Some((false, Vec::new())));
}

#[tokio::test]
async fn dropping_the_intake_wakes_a_waiting_settlements_half() {
    let (intake, mut settlements, _, _) = inbox(4);
    let waiting = tokio::spawn(async move { settlements.next(&mut Vec::new()).await });
    tokio::task::yield_now().await;
    drop(intake);
    assert!(!waiting.await.unwrap());
}

#[tokio::test]
async fn what_is_in_flight_when_settlements_are_dropped_is_handed_back_and_the_intake_closes() {
    let (mut intake, settlements, ledger, held) = inbox(2);
    let mut seats = intake.reserve(2).await.unwrap();
    seats.deliver(event()).unwrap();
    drop(seats);
    drop(settlements);
    assert_eq!((ledger.read().handed_back, ledger.read().in_flight), (1, 0));
    assert_eq!(intake.reserve(1).await.err(), Some(Closed));
    held.pop().settle(Outcome::Ack);
    assert!(ledger.read().balance(), "a late receipt changes nothing");
}

#[test]
fn a_delivery_after_settlements_are_gone_is_handed_back() {
    let (mut intake, settlements, ledger, _held) = inbox(2);
    let mut seats = intake.reserve(2).now_or_never().unwrap().unwrap();
    drop(settlements);
    seats.deliver(event()).unwrap();
    drop(seats);
    let books = ledger.read();
    assert_eq!((books.received, books.handed_back, books.in_flight), (1, 1, 0));
}

#[test]
fn books_are_kept_over_runs() {
    let ledger = Ledger::default();
    for run in 1..=3 {
        let held = Held::default();
        let (mut intake, mut settlements) = Inbox::new(2, ledger.clone(), Box::new(held.clone())).split();
        intake.reserve(1).now_or_never().unwrap().unwrap().deliver(event()).unwrap();
        held.pop().settle(Outcome::Ack);
        assert!(ready(&mut settlements).unwrap().0);
        assert_eq!((ledger.read().received, ledger.read().settled), (run, run));
    }
}

proptest::proptest! {
    /// Random batches and settlements: the books balance after every step, and each seat settles exactly once.
    #[test]
    fn books_balance_after_every_step(steps in proptest::collection::vec((0u8..5, 0usize..6), 1..200)) {
        let (mut intake, mut settlements, ledger, held) = inbox(5);
        let (mut open, mut delivered, mut settled) = (Vec::new(), 0u64, 0u64);
        for (kind, number) in steps {
            match kind {
                0 | 1 => if let Some(Ok(mut seats)) = intake.reserve(number).now_or_never() {
                    while number > 1 && seats.deliver(event()).is_ok() { delivered += 1; }
                },
                2 if held.count() > 0 => {
                    let receipt = held.pop();
                    open.extend((0..number).map(|_| receipt.fork()));
                    receipt.settle(Outcome::Ack);
                }
                3 if !open.is_empty() => {
                    let receipt = open.swap_remove(number % open.len());
                    if number == 0 { drop(receipt) } else { receipt.settle(retry(number as u64)) }
                }
                _ => if let Some((_, pairs)) = ready(&mut settlements) { settled += pairs.len() as u64 },
            }
            let books = ledger.read();
            proptest::prop_assert!(books.balance(), "{books:?}");
            proptest::prop_assert_eq!(books.received, delivered);
            proptest::prop_assert_eq!(books.settled + books.rejected + books.handed_back, settled);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_source_gets_no_seats_and_loses_none() {
    let (mut intake, mut settlements, ledger, held) = inbox(2);
    let seat = intake.reserve(1).await.unwrap().deliver(event()).unwrap();
    ledger.pause();
    assert!(
        ledger.is_paused() && intake.is_paused() && intake.reserve(2).now_or_never().is_none(),
        "one is free, but not to be had"
    );
    held.pop().settle(Outcome::Ack);
    assert_eq!(ready(&mut settlements), Some((true, vec![(seat, Outcome::Ack)])), "what was read is settled");
    let waiting = tokio::spawn(async move { intake.reserve(2).await.map(|seats| seats.len()) });
    tokio::task::yield_now().await;
    ledger.resume();
    let reserved = tokio::time::timeout(Duration::from_secs(120), waiting).await;
    assert_eq!(reserved.expect("whoever waits learns of it").unwrap(), Ok(2));
    assert!(ledger.read().balance());
}
