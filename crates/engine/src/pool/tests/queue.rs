//! How many jobs a slot takes, and who is told that there are some.

use std::collections::VecDeque;

use futures_util::FutureExt;

use super::super::queue::{Queue, Size};
use super::super::worker::Member;
use super::*;

/// How many jobs each of several takes gets, one after the other.
fn takes(queue: &Queue, slots: usize) -> Vec<usize> {
    // As many workers as may be: nobody has to be told that more are needed.
    let (member, size) = (Member::new(), Size { workers: 4, slots });
    let mut counts = Vec::new();
    let mut hands = VecDeque::new();
    while queue.take(&mut hands, &member, size, false).now_or_never().is_some() {
        counts.push(hands.len());
        hands.clear();
    }
    counts
}

fn queue() -> Queue {
    Queue::new(Limits { min: 0, max: 4 })
}

#[tokio::test(start_paused = true)]
async fn a_slot_takes_what_fits_its_time_and_leaves_the_others_their_share() {
    let (queue, mut client) = (queue(), Client::new(SECOND));
    queue.submit(&mut client.jobs(["x"; 3]), 4);
    assert_eq!(takes(&queue, 1), [1, 1, 1], "one at a time while nothing is known");
    queue.served(1_000.0, false);
    queue.submit(&mut client.jobs(["x"; 200]), 4);
    assert_eq!(takes(&queue, 1), [64, 64, 64, 8], "quick functions in batches");
    queue.submit(&mut client.jobs(["x"; 8]), 4);
    assert_eq!(takes(&queue, 4), [8], "one for what it does within its time");
    queue.submit(&mut client.jobs(["x"; 80]), 4);
    assert_eq!(takes(&queue, 4), [40, 40], "a share for each that is needed");
    queue.served(1_000_000_000.0, false);
    queue.submit(&mut client.jobs(["x"; 2]), 4);
    assert_eq!(takes(&queue, 1), [1, 1], "slow functions one by one");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_is_not_quick() {
    let (queue, mut client) = (queue(), Client::new(SECOND));
    queue.served(1.0, true);
    queue.submit(&mut client.jobs(["x"; 4]), 4);
    assert_eq!(takes(&queue, 1), [1; 4]);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_next_again_in_its_order() {
    let (queue, mut client) = (queue(), Client::new(SECOND));
    queue.submit(&mut client.jobs(["c", "d"]), 4);
    let mut hands: VecDeque<_> = client.jobs(["a", "b"]).into();
    queue.give_back(&mut hands, 4);
    assert!(hands.is_empty());
    let (member, size) = (Member::new(), Size { workers: 1, slots: 1 });
    for _ in 0..4 {
        assert!(queue.take(&mut hands, &member, size, false).await);
    }
    assert_eq!(hands.iter().map(|job| job.event.id().as_str()).collect::<String>(), "abcd");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_has_woken_somebody_steps_aside_before_it_takes() {
    let (queue, mut client, mut hands) = (queue(), Client::new(SECOND), VecDeque::new());
    queue.submit(&mut client.jobs(["x"]), 4);
    let (member, size) = (Member::new(), Size { workers: 4, slots: 4 });
    let mut take = Box::pin(queue.take(&mut hands, &member, size, true));
    assert!(take.as_mut().now_or_never().is_none(), "others run first");
    assert!(take.await);
    assert_eq!(hands.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_keeper_hears_of_work_that_is_left_beside_busy_slots() {
    let (queue, mut client, mut hands) = (queue(), Client::new(SECOND), VecDeque::new());
    queue.change().await;
    let (member, size) = (Member::new(), Size { workers: 1, slots: 1 });
    let mut idle = Box::pin(queue.take(&mut hands, &member, size, false));
    assert!(idle.as_mut().now_or_never().is_none());
    queue.submit(&mut client.jobs(["x"]), 1);
    assert!(queue.change().now_or_never().is_none(), "the idle slot is enough");
    queue.submit(&mut client.jobs(["x"]), 1);
    assert!(queue.change().now_or_never().is_some(), "one more than idle slots");
    assert!(idle.await);
    assert!(queue.change().now_or_never().is_some(), "one is left, and nobody is idle");
    assert!(member.idle_since().is_none());
    let full = Size { workers: 4, slots: 4 };
    assert!(queue.take(&mut hands, &member, full, false).await);
    assert!(queue.change().now_or_never().is_none(), "nothing is left");
}
