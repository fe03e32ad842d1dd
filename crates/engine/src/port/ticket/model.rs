//! Every interleaving of answers while the collector takes them or goes away, as loom explores them.

use loom::thread;

use super::*;

fn ticket(confirmations: &mut Confirmations<u8>, what: u8) -> Ticket {
    let (ticket, Confirm::Later(promise)) = confirmations.offer().accept() else { unreachable!() };
    confirmations.expect(&promise, what);
    ticket
}

#[test]
fn every_answer_wakes_whoever_waits_for_it() {
    loom::model(|| {
        let mut confirmations = Confirmations::default();
        let (first, second) = (ticket(&mut confirmations, 1), ticket(&mut confirmations, 2));
        let other = thread::spawn(move || {
            first.answer(Ok(()));
            drop(second);
        });
        let mut answers = Vec::new();
        while answers.len() < 2 {
            loom::future::block_on(confirmations.next(&mut answers));
        }
        assert!(matches!(answers.as_slice(), [(1, Ok(())), (2, Err(PublishError::Retry { .. }))]));
        assert!(confirmations.is_empty());
        other.join().unwrap();
    });
}

#[test]
fn two_threads_answer_while_a_third_takes() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let mut confirmations = Confirmations::default();
        let tickets = [1, 2].map(|what| ticket(&mut confirmations, what));
        let threads = tickets.map(|ticket| thread::spawn(move || Ticket::answer_all(&mut vec![(ticket, Ok(()))])));
        let mut answers = Vec::new();
        while !confirmations.is_empty() {
            loom::future::block_on(confirmations.next(&mut answers));
        }
        answers.sort_by_key(|(what, _)| *what);
        assert_eq!(answers, [(1, Ok(())), (2, Ok(()))]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn answers_to_somebody_who_goes_away_end_nowhere() {
    loom::model(|| {
        let mut confirmations = Confirmations::default();
        let ticket = ticket(&mut confirmations, 1);
        let queue = Arc::clone(&confirmations.queue);
        let other = thread::spawn(move || ticket.answer(Ok(())));
        drop(confirmations);
        other.join().unwrap();
        assert!(queue.answers.lock().list.is_empty());
    });
}
