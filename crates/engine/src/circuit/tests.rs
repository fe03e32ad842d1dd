//! One circuit: what opens it, what closes it, and what neither does.

use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn circuit(consecutive_failures: u32, probes: u32) -> Circuit {
    Circuit::new("output 'o'".into(), Settings { consecutive_failures, open_for: 10 * SECOND, probes })
}

/// An open circuit whose time has come.
async fn due(probes: u32) -> Circuit {
    let circuit = circuit(1, probes);
    circuit.failed(None, "away");
    advance(10 * SECOND).await;
    circuit
}

fn probe(circuit: &Circuit) -> Permit {
    circuit.admit().unwrap().expect("it is half open")
}

fn state(circuit: &Circuit) -> State {
    circuit.read().state
}

#[tokio::test(start_paused = true)]
async fn only_failures_in_a_row_open_it() {
    let circuit = circuit(3, 1);
    for _ in 0..2 {
        circuit.failed(None, "away");
        circuit.failed(None, "away");
        assert_eq!(circuit.read().consecutive_failures, 2);
        circuit.succeeded(None);
    }
    assert_eq!((state(&circuit), circuit.read().consecutive_failures), (State::Closed, 0));
    assert!(circuit.has_room() && circuit.bound().is_none() && circuit.admit().unwrap().is_none());
    for _ in 0..3 {
        circuit.failed(None, "away");
    }
    let read = circuit.read();
    assert_eq!((read.state, read.opened, read.last_error.as_deref()), (State::Open, 1, Some("away")));
    assert_eq!(read.reopens_in_seconds, Some(10.0));
    assert!(!circuit.has_room() && circuit.bound() == Some(0));
    assert_eq!(circuit.admit().unwrap_err(), Shut);
    assert_eq!(circuit.reopens(), Some(Instant::now() + 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_began_before_it_opened_decides_nothing() {
    let circuit = circuit(1, 1);
    circuit.failed(None, "away");
    advance(SECOND).await;
    circuit.failed(None, "away, too");
    circuit.succeeded(None);
    assert_eq!((circuit.read().opened, circuit.read().reopens_in_seconds), (1, Some(9.0)));
    advance(9 * SECOND).await;
    let permit = probe(&circuit);
    circuit.failed(None, "late");
    circuit.succeeded(None);
    assert_eq!(state(&circuit), State::HalfOpen);
    circuit.succeeded(Some(permit));
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn so_many_probes_are_out_at_once_and_one_that_says_nothing_makes_room() {
    let circuit = due(2).await;
    assert!(circuit.has_room() && circuit.bound() == Some(2) && circuit.reopens().is_none());
    let (first, second) = (probe(&circuit), probe(&circuit));
    assert!(!circuit.has_room() && circuit.admit().is_err());
    drop(first);
    let third = probe(&circuit);
    assert!(circuit.admit().is_err());
    circuit.failed(Some(&second), "still away");
    assert_eq!((state(&circuit), circuit.read().opened), (State::Open, 2));
    // It was of the time before.
    circuit.succeeded(Some(third));
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_earlier_time_counts_neither_way() {
    let circuit = due(2).await;
    let (first, second) = (probe(&circuit), probe(&circuit));
    circuit.failed(Some(&first), "still away");
    advance(10 * SECOND).await;
    let third = probe(&circuit);
    drop(second);
    let fourth = probe(&circuit);
    assert!(circuit.admit().is_err(), "the one before has given nothing back");
    circuit.succeeded(Some(third));
    circuit.failed(Some(&fourth), "away");
    assert_eq!((state(&circuit), circuit.read().opened), (State::Open, 3), "it is closed, and one failure opens it");
}

#[tokio::test(start_paused = true)]
async fn whoever_listens_is_told_for_as_long_as_it_is_there() {
    let circuit = due(1).await;
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    let listener: Arc<Listener> = Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    circuit.tell(&listener);
    drop(probe(&circuit));
    assert_eq!(told.load(Ordering::Relaxed), 1, "another one may try");
    circuit.succeeded(Some(probe(&circuit)));
    assert_eq!(told.load(Ordering::Relaxed), 2);
    circuit.failed(None, "away");
    assert_eq!(told.load(Ordering::Relaxed), 3);
    drop(listener);
    advance(10 * SECOND).await;
    circuit.succeeded(Some(probe(&circuit)));
    assert_eq!(told.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn other_settings_hold_from_the_next_failure_on() {
    let circuit = circuit(3, 1);
    circuit.failed(None, "away");
    circuit.renew(Settings { consecutive_failures: 2, open_for: SECOND, probes: 3 });
    circuit.failed(None, "away");
    assert_eq!(circuit.read().reopens_in_seconds, Some(1.0));
    advance(SECOND).await;
    assert_eq!(circuit.bound(), Some(3));
}
