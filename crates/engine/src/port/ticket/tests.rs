//! What a ticket promises: exactly one answer, to its own publish and to nobody else's.

use futures_util::FutureExt;

use super::*;

fn gave_up() -> Outcome {
    Err(PublishError::Retry { after: None, error: "it gave up without an answer".to_owned() })
}

fn too_large() -> Outcome {
    Err(PublishError::Reject { reason: "too large".to_owned() })
}

/// A publish of `what` whose ticket is in our hands.
fn ticket(confirmations: &mut Confirmations<char>, what: char) -> Ticket {
    let (ticket, Confirm::Later(promise)) = confirmations.offer().accept() else { panic!("no promise") };
    confirmations.expect(&promise, what);
    ticket
}

/// What has been answered by now.
fn answered(confirmations: &mut Confirmations<char>) -> Vec<(char, Outcome)> {
    let mut answers = Vec::new();
    while confirmations.next(&mut answers).now_or_never().is_some() {}
    answers
}

#[test]
fn answers_come_back_with_what_they_answer_in_the_order_of_answering() {
    let mut confirmations = Confirmations::default();
    let [a, b, c] = ['a', 'b', 'c'].map(|what| ticket(&mut confirmations, what));
    assert_eq!(answered(&mut confirmations), []);
    c.answer(Ok(()));
    a.answer(too_large());
    assert_eq!(answered(&mut confirmations), [('c', Ok(())), ('a', too_large())]);
    assert_eq!((confirmations.len(), confirmations.is_empty()), (1, false));
    b.answer(Ok(()));
    assert_eq!(answered(&mut confirmations), [('b', Ok(()))]);
    assert!(confirmations.is_empty());
}

#[test]
fn a_dropped_ticket_is_an_answer() {
    let mut confirmations = Confirmations::default();
    drop(ticket(&mut confirmations, 'a'));
    assert_eq!(answered(&mut confirmations), [('a', gave_up())]);
}

#[test]
fn many_answers_find_their_collectors() {
    let (mut one, mut two) = (Confirmations::default(), Confirmations::default());
    let mut answers = vec![(ticket(&mut one, 'a'), Ok(())), (ticket(&mut one, 'b'), too_large())];
    answers.push((ticket(&mut two, 'c'), Ok(())));
    answers.push((ticket(&mut one, 'd'), Ok(())));
    Ticket::answer_all(&mut answers);
    assert!(answers.is_empty());
    assert_eq!(answered(&mut one), [('a', Ok(())), ('b', too_large()), ('d', Ok(()))]);
    assert_eq!(answered(&mut two), [('c', Ok(()))]);
}

#[test]
fn a_ticket_that_nobody_expects_answers_nobody_else() {
    let mut confirmations = Confirmations::default();
    // An output that takes the ticket and then knows at once.
    let (late, _) = confirmations.offer().accept();
    let next = ticket(&mut confirmations, 'a');
    late.answer(too_large());
    assert_eq!(answered(&mut confirmations), []);
    next.answer(Ok(()));
    assert_eq!(answered(&mut confirmations), [('a', Ok(()))]);
}

#[test]
fn the_promise_of_another_publish_is_a_failure_and_not_a_wait_for_ever() {
    let mut confirmations = Confirmations::default();
    let (first, Confirm::Later(promise)) = confirmations.offer().accept() else { panic!("no promise") };
    let (second, _) = confirmations.offer().accept();
    confirmations.expect(&promise, 'b');
    let [('b', Err(PublishError::Retry { error, .. }))] = &answered(&mut confirmations)[..] else {
        panic!("no failure")
    };
    assert_eq!(error, "it returned the promise of another publish");
    first.answer(Ok(()));
    second.answer(Ok(()));
    assert_eq!(answered(&mut confirmations), []);
}

#[test]
fn whoever_gives_up_waiting_is_not_waited_for() {
    let mut confirmations = Confirmations::default();
    let (open, known) = (ticket(&mut confirmations, 'a'), ticket(&mut confirmations, 'b'));
    known.answer(Ok(()));
    assert!(!open.is_abandoned());
    drop(confirmations);
    assert!(open.is_abandoned());
    open.answer(Ok(()));
}
