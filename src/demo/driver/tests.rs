//! The driver against a post office that loses, delays and refuses.

use std::collections::HashMap;

use super::super::simulator::{Options, Profile};
use super::*;

/// Confirms what `fate` says for the nth attempt of a message, and remembers everything.
struct Office<F> {
    fate: F,
    posted: Arc<Mutex<Vec<Message>>>,
    attempts: HashMap<Vec<u8>, u32>,
}

impl<F: FnMut(u32) -> Confirm + Send> Post for Office<F> {
    async fn post(&mut self, message: &Message) -> Confirm {
        self.posted.lock().push(message.clone());
        let attempts = self.attempts.entry(message.payload.clone()).or_default();
        *attempts += 1;
        (self.fate)(*attempts)
    }

    async fn close(&mut self) {}
}

fn confirmed() -> Confirm {
    Box::pin(std::future::ready(Ok(())))
}

fn refused() -> Confirm {
    Box::pin(std::future::ready(Err(Unconfirmed("no".to_owned()))))
}

fn never() -> Confirm {
    Box::pin(std::future::pending())
}

struct Drive {
    posted: Arc<Mutex<Vec<Message>>>,
    progress: Arc<Mutex<Progress>>,
    received: watch::Sender<u64>,
    signals: watch::Sender<usize>,
    task: tokio::task::JoinHandle<()>,
}

fn drive(options: &Options, fate: impl FnMut(u32) -> Confirm + Send + 'static) -> Drive {
    let (posted, progress) = (Arc::default(), Arc::default());
    let office = Office { fate, posted: Arc::clone(&posted), attempts: HashMap::new() };
    let driver = Driver::new(Simulator::new(options).unwrap(), office, Arc::clone(&progress));
    let received = watch::Sender::new(0);
    let (count, signals) = Signals::counted();
    let task = tokio::spawn(driver.run(received.subscribe(), signals));
    Drive { posted, progress, received, signals: count, task }
}

fn udds() -> Options {
    Options { speed_up: 200.0, ..Options::default() }
}

#[tokio::test(start_paused = true)]
async fn everything_is_published_in_order_when_it_is_due() {
    let (began, options) = (Instant::now(), Options { faults: Profile::Harsh, ..udds() });
    let drive = drive(&options, |_| confirmed());
    drive.task.await.unwrap();
    let expected: Vec<Message> = Simulator::new(&options).unwrap().collect();
    // Paused time moves in whole milliseconds.
    assert_eq!(began.elapsed().as_millis(), expected[expected.len() - 1].due.as_millis() + 1);
    assert_eq!(*drive.posted.lock(), expected);
    let progress = drive.progress.lock();
    assert!(progress.finished && progress.confirmed == progress.ledger.messages && progress.resent == 0);
    assert_eq!(progress.ledger.samples, 1_370);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_confirmed_is_sent_again_until_it_is() {
    let drive = drive(&udds(), |attempt| if attempt < 4 { refused() } else { confirmed() });
    drive.task.await.unwrap();
    let progress = drive.progress.lock();
    assert_eq!((progress.confirmed, progress.resent), (1_370, 3 * 1_370));
    assert_eq!(progress.last_error.as_deref(), Some("no"));
    assert_eq!(drive.posted.lock().len(), 4 * 1_370);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_window_is_under_way() {
    let drive = drive(&udds(), |_| never());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(drive.posted.lock().len(), WINDOW);
    assert!(!drive.task.is_finished());
    drive.task.abort();
}

#[tokio::test(start_paused = true)]
async fn the_broker_is_not_filled_past_what_the_engine_keeps_up_with() {
    let options = Options { vehicles: 100, duration: Some(Duration::from_secs(10)), ..udds() };
    let drive = drive(&options, |_| confirmed());
    sleep(Duration::from_secs(60)).await;
    let posted = drive.posted.lock().len() as u64;
    assert!((AHEAD..AHEAD + WINDOW as u64).contains(&posted), "{posted}");
    assert!(drive.progress.lock().behind < Duration::from_millis(10));
    drive.received.send_replace(AHEAD / 2);
    sleep(Duration::from_secs(60)).await;
    assert!(drive.posted.lock().len() as u64 >= posted + AHEAD / 2);
    assert!(drive.progress.lock().behind > Duration::from_secs(50));
    drive.received.send_replace(u64::MAX);
    drive.task.await.unwrap();
    assert_eq!(drive.progress.lock().confirmed, Simulator::new(&options).unwrap().count() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_it_with_everything_that_was_handed_out() {
    let drive = drive(&udds(), |_| confirmed());
    sleep(Duration::from_secs(1)).await;
    drive.signals.send_replace(1);
    drive.task.await.unwrap();
    let progress = drive.progress.lock();
    assert!(progress.finished && (150..250).contains(&progress.ledger.messages), "{progress:?}");
    assert_eq!(progress.confirmed, progress.ledger.messages);
    assert_eq!(drive.posted.lock().len() as u64, progress.ledger.messages);
}
