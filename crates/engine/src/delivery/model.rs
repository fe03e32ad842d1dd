//! Every interleaving of forks that settle while the source takes, as loom explores them.

use loom::sync::Arc;
use loom::thread;

use super::outcome::Outcome;
use super::position::Tracks;
use super::receipt::Receipt;
use super::seat::{Seat, Table};

/// A table with these seats occupied by one fork each.
fn occupied(seats: u32) -> (Arc<Table>, Vec<Receipt>) {
    let table = Arc::new(Table::new(seats as usize, false, Tracks::default()));
    let receipts = (0..seats).map(Seat).map(|seat| {
        table.occupy(seat);
        Receipt::first(Arc::clone(&table), seat)
    });
    let receipts = receipts.collect();
    (table, receipts)
}

/// Takes until `count` pairs are there, waiting as `Settlements::next` does.
fn take(table: &Table, count: usize) -> Vec<(Seat, Outcome)> {
    let mut pairs = Vec::new();
    while pairs.len() < count {
        loom::future::block_on(std::future::poll_fn(|context| {
            if table.take(&mut pairs) {
                return std::task::Poll::Ready(());
            }
            table.waiter().register(context.waker());
            if table.take(&mut pairs) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }));
    }
    pairs
}

/// Three threads have too many interleavings to try all; those with up to two preemptions find what is to be found.
fn bounded(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn two_forks_settle_one_seat_once_with_the_greater_outcome() {
    loom::model(|| {
        let (table, mut receipts) = occupied(1);
        let first = receipts.remove(0);
        let second = first.fork();
        let other = thread::spawn(move || drop(second));
        first.settle(Outcome::Ack);
        let pairs = take(&table, 1);
        assert!(matches!(pairs.as_slice(), [(Seat(0), Outcome::Retry { .. })]));
        other.join().unwrap();
        assert!(!table.take(&mut Vec::new()), "a seat settles once");
    });
}

#[test]
fn no_settled_seat_is_lost_while_others_are_taken() {
    bounded(|| {
        let (table, mut receipts) = occupied(2);
        let (one, two) = (receipts.remove(0), receipts.remove(0));
        let other = thread::spawn(move || one.settle(Outcome::Ack));
        let third = thread::spawn(move || two.settle(Outcome::Reject));
        let mut pairs = take(&table, 2);
        pairs.sort();
        assert_eq!(pairs, [(Seat(0), Outcome::Ack), (Seat(1), Outcome::Reject)]);
        other.join().unwrap();
        third.join().unwrap();
    });
}

#[test]
fn a_seat_that_is_taken_can_be_occupied_again_while_another_settles() {
    loom::model(|| {
        let (table, mut receipts) = occupied(2);
        let (one, two) = (receipts.remove(0), receipts.remove(0));
        let other = thread::spawn(move || two.settle(Outcome::Ack));
        one.settle(Outcome::Ack);
        let first = take(&table, 1);
        let seat = first[0].0;
        table.occupy(seat);
        Receipt::first(Arc::clone(&table), seat).settle(Outcome::Reject);
        let mut rest = first;
        rest.extend(take(&table, 3 - rest.len()));
        assert_eq!(rest.len(), 3);
        assert_eq!(rest.iter().filter(|(_, outcome)| *outcome == Outcome::Reject).count(), 1);
        other.join().unwrap();
    });
}

#[test]
fn of_one_that_parks_and_one_that_ends_either_knows_the_other() {
    loom::model(|| {
        let (table, mut receipts) = occupied(1);
        let parks = receipts.remove(0);
        let ends = parks.fork();
        let other = thread::spawn(move || {
            let beside = ends.ends_beside(Some(0));
            ends.settle(Outcome::Ack);
            beside
        });
        let known = parks.parks();
        parks.settle(Outcome::Ack);
        let beside = other.join().unwrap();
        assert!(beside || known == 1, "neither knows");
        assert_eq!(take(&table, 1), [(Seat(0), Outcome::Ack)]);
    });
}
