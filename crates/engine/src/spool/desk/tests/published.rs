//! What rules publish into a spool: confirmed when it is on the disk, and who waits where there is no room.

use super::*;
use crate::port::Confirmations;

/// Publishes these, one after the other; answers what each was told at once.
fn publish(
    desk: &Desk,
    patient: bool,
    ids: std::ops::Range<usize>,
    answers: &mut Confirmations<usize>,
) -> Vec<Option<Result<(), PublishError>>> {
    let one = |id: usize| match desk.publish(event(&id.to_string()), patient, answers.offer()) {
        Confirm::Now(answer) => Some(answer),
        Confirm::Later(promise) => {
            answers.expect(&promise, id);
            None
        }
    };
    ids.map(one).collect()
}

fn small() -> Policy {
    Policy { max_bytes: 200, ..Policy::default() }
}

#[tokio::test]
async fn whoever_publishes_hears_of_it_when_it_is_on_the_disk() {
    let mut mill = Mill::on(&Platter::new(Vec::new()), Policy::default(), &Hand::default());
    let mut answers = Confirmations::default();
    for patient in [true, false] {
        assert!(publish(&mill.desk, patient, 0..10, &mut answers).iter().all(Option::is_none));
    }
    let mut told = Vec::new();
    while told.len() < 20 {
        answers.next(&mut told).await;
    }
    assert!(told.iter().all(|(_, answer)| answer.is_ok()));
    assert_eq!(mill.gauge.read().books.stored, 20, "before they are confirmed");
    let _feeding = mill.feed(100);
    assert_eq!(mill.given(20).await.len(), 20);
}

#[tokio::test]
async fn without_room_the_patient_wait_in_their_order_and_the_others_are_told_at_once() {
    let mut mill = Mill::on(&Platter::new(Vec::new()), small(), &Hand::default());
    let (mut waiting, mut hasty) = (Confirmations::default(), Confirmations::default());
    assert!(publish(&mill.desk, true, 0..8, &mut waiting).iter().all(Option::is_none), "they wait");
    let refused = publish(&mill.desk, false, 8..10, &mut hasty);
    assert!(refused.iter().all(|answer| matches!(answer, Some(Err(PublishError::Retry { .. })))), "{refused:?}");
    let _feeding = mill.feed(100);
    let (mut told, mut done) = (Vec::new(), Vec::new());
    while told.len() < 8 {
        tokio::select! {
            () = waiting.next(&mut told) => {}
            _ = mill.given(1) => done.extend(mill.settle(ACK)),
        }
    }
    assert!(told.iter().all(|(_, answer)| answer.is_ok()));
    until(|| {
        done.extend(mill.settle(ACK));
        done.len() == 8
    })
    .await;
    assert_eq!(done, ids(0..8), "in their order");
    assert!(publish(&mill.desk, false, 8..9, &mut hasty)[0].is_none(), "there is room");
    let mut last = Vec::new();
    hasty.next(&mut last).await;
    assert_eq!(last, [(8, Ok(()))]);
}

#[tokio::test]
async fn what_waits_at_the_end_has_failed_for_now_and_is_nobody_elses() {
    let mill = Mill::on(&Platter::new(Vec::new()), small(), &Hand::default());
    let mut answers = Confirmations::default();
    publish(&mill.desk, true, 0..8, &mut answers);
    assert_eq!(mill.desk.hand_back(), 0, "a rule gives back its own deliveries");
    let mut told = Vec::new();
    while told.len() < 8 {
        answers.next(&mut told).await;
    }
    assert!(told.iter().any(|(_, answer)| matches!(answer, Err(PublishError::Retry { .. }))), "{told:?}");
    let late = publish(&mill.desk, true, 8..9, &mut answers);
    assert!(matches!(late[0], Some(Err(PublishError::Retry { .. }))), "{late:?}");
}
