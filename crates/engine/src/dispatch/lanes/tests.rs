//! How lanes hand over, by hand.

use super::*;

fn delivery(serial: u64) -> Key {
    Key { slot: serial as usize, serial }
}

fn next(left: Left) -> Option<Key> {
    match left {
        Left::Next(next) => Some(next),
        Left::Nobody => None,
        Left::Row(want) => panic!("{want:?} is stored"),
    }
}

fn row(left: Left) -> u64 {
    match left {
        Left::Row(want) => want.behind,
        other => panic!("{other:?} is not stored"),
    }
}

#[test]
fn whoever_leaves_first_hands_over_to_the_next_that_is_there() {
    let mut lanes = Lanes::default();
    let [one, two, three, four] = [1, 2, 3, 4].map(delivery);
    let (a, first) = lanes.enter("a", one);
    assert_eq!(first, Entered::First);
    assert_eq!([two, three].map(|key| lanes.enter("a", key)), [(a, Entered::Behind); 2]);
    let (b, first) = lanes.enter("b", four);
    assert!(first == Entered::First && b != a, "another key has another lane");
    assert_eq!(next(lanes.leave(a, two, None, |_| true)), None, "it was not its turn");
    assert_eq!(next(lanes.leave(a, one, None, |key| key != two)), Some(three));
    assert_eq!(next(lanes.leave(a, one, None, |_| true)), None, "it has left already");
    assert_eq!(next(lanes.leave(a, three, None, |_| true)), None);
    assert_eq!(next(lanes.leave(b, four, None, |_| true)), None);
    assert!(lanes.places.is_empty() && lanes.lanes.is_empty(), "a lane that is empty is gone");
    assert_eq!(lanes.enter("a", two).1, Entered::First, "and begins anew");
}

#[test]
fn a_parked_lane_is_shut_until_nothing_of_it_is_stored() {
    let mut lanes = Lanes::default();
    let [one, two, three, four, back] = [1, 2, 3, 4, 5].map(delivery);
    let (a, _) = lanes.enter("a", one);
    lanes.enter("a", two);
    assert_eq!(lanes.follower(a, |_| true), None, "it is not parked");
    lanes.park(a, false);
    assert_eq!((lanes.parked(), lanes.follower(a, |_| true)), (1, Some(two)));
    lanes.follow(a);
    assert_eq!(lanes.enter("a", three), (a, Entered::BehindParked));
    assert_eq!(lanes.enter("a", four), (a, Entered::BehindParked));
    assert!(lanes.confirmed(a, one).is_none(), "the first waits for its time");
    // The first is back before the second is on the disk, ends, and fails before that.
    assert_eq!(lanes.arrive(None, "a", back), Some(a));
    lanes.park(a, true);
    assert!(lanes.confirmed(a, back).is_none());
    assert_eq!(lanes.arrive(None, "a", back), Some(a));
    assert!(matches!(lanes.leave(a, three, None, |_| true), Left::Nobody), "it is not its turn");
    assert!(matches!(lanes.leave(a, back, Some(7), |_| true), Left::Nobody), "the next is on its way");
    let want = lanes.confirmed(a, two).expect("now it is there");
    assert_eq!((want.behind, want.lane.as_str()), (7, "a"));
    assert_eq!(lanes.arrive(Some(a), "a", back), Some(a));
    assert_eq!(next(lanes.leave(a, back, Some(8), |key| key != three)), Some(four), "who stands in memory is last");
    assert_eq!(lanes.parked(), 0);
    assert_eq!(next(lanes.leave(a, four, None, |_| true)), None);
    assert!(lanes.places.is_empty() && lanes.lanes.is_empty());
}

#[test]
fn lanes_of_an_earlier_run_stand_as_they_stood() {
    let mut lanes = Lanes::default();
    let back = delivery(1);
    assert!(lanes.restore(Standing { lane: "a".into(), rows: 2, waits: true, paused: None }).is_none());
    assert_eq!(lanes.enter("a", delivery(2)).1, Entered::BehindParked);
    let a = lanes.arrive(None, "a", back).unwrap();
    assert_eq!(row(lanes.leave(a, back, Some(4), |_| true)), 4);
    let want = lanes.restore(Standing { lane: "b".into(), rows: 1, waits: false, paused: None });
    assert_eq!(want.map(|want| want.behind), Some(0), "its turn has come");
    assert_eq!(lanes.parked(), 2);
}

#[test]
fn a_paused_lane_is_shut_until_somebody_says_so() {
    let mut lanes = Lanes::default();
    let [one, two, back, three] = [1, 2, 3, 4].map(delivery);
    let (a, _) = lanes.enter("a", one);
    lanes.enter("a", two);
    lanes.pause(a, false, Stamp(7));
    assert_eq!(lanes.follower(a, |_| true), Some(two));
    lanes.follow(a);
    assert_eq!((lanes.paused(), lanes.paused_places(None)), ((0, None), vec![]), "it is not on the disk yet");
    assert!(lanes.resume(a, false).is_none());
    assert!(lanes.confirmed(a, one).is_none() && lanes.confirmed(a, two).is_none());
    assert_eq!(lanes.paused(), (1, Some(Stamp(7))));
    assert_eq!((lanes.paused_places(Some("a")), lanes.paused_places(Some("b"))), (vec![a], vec![]));
    assert_eq!(lanes.enter("a", three), (a, Entered::BehindParked));
    let want = lanes.resume(a, true).unwrap().expect("the head is on the disk");
    assert_eq!((want.behind, lanes.paused(), lanes.resume(a, true).is_none()), (0, (0, None), true));
    assert!(lanes.skips(Some(a), "a") && !lanes.skips(None, "a"), "asked once");
    assert_eq!(lanes.arrive(Some(a), "a", back), Some(a));
    assert_eq!(row(lanes.leave(a, back, Some(4), |_| true)), 4);
    assert!(!lanes.skips(Some(a), "a"), "only the head is skipped");
}

#[test]
fn pauses_outlive_a_run_and_the_oldest_is_known() {
    let mut lanes = Lanes::default();
    for (lane, since) in [("a", 9), ("b", 5), ("c", 5)] {
        let standing = Standing { lane: lane.into(), rows: 2, waits: false, paused: Some(Stamp(since)) };
        assert!(lanes.restore(standing).is_none(), "nothing of it is brought");
    }
    assert_eq!(lanes.paused(), (3, Some(Stamp(5))));
    for key in ["b", "c"] {
        let place = lanes.paused_places(Some(key))[0];
        assert_eq!(lanes.resume(place, false).unwrap().map(|want| want.behind), Some(0));
    }
    assert_eq!((lanes.paused(), lanes.paused_places(None).len()), ((1, Some(Stamp(9))), 1));
}
