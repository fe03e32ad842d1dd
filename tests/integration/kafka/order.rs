//! Order by key across the members of a group: a key that fails waits, the others go on, and whoever is given a partition goes
//! on where the last one stood.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use engine::supervisor::Engine;
use functions::native::{Error, stateless};
use parking_lot::Mutex;
use testkit::kafka;
use testkit::patience::LIMIT;

use super::*;
use crate::inside;

/// Keys of [`send`], and the one whose events fail twice each before they succeed.
const KEYS: usize = 50;
const POISON: usize = 7;

/// What the functions of all engines have done.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Done>>);

#[derive(Default)]
struct Done {
    /// How many of each key's events, from the first on, have ended well somewhere.
    level: HashMap<usize, usize>,
    /// What broke the order.
    faults: Vec<String>,
    failed: usize,
}

impl Log {
    /// Message `number` has ended: all before it of its key must have.
    fn end(&self, number: usize) {
        let mut done = self.0.lock();
        let (key, place) = (number % KEYS, number / KEYS);
        let level = done.level.entry(key).or_default();
        if place == *level {
            *level += 1;
        } else if place > *level {
            let fault = format!("key {key}: its event {place} has ended before its event {level}");
            done.faults.push(fault);
        }
    }

    /// How many different messages have ended.
    fn count(&self) -> usize {
        self.0.lock().level.values().sum()
    }

    async fn reaches(&self, count: usize) {
        within("the events", async {
            while self.count() < count && self.0.lock().faults.is_empty() {
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
        assert_eq!((self.count(), &self.0.lock().faults), (count, &Vec::new()));
    }
}

/// An engine whose function takes a moment for each event, four at a time.
async fn start(instance: &str, broker: SocketAddr, topic: &str, log: &Log, state: &std::path::Path) -> Engine {
    let (log, running) = (log.clone(), Arc::new(Mutex::new(HashSet::new())));
    let function = stateless(move |event: engine::event::Event, call: engine::port::Call| {
        let (log, running) = (log.clone(), Arc::clone(&running));
        async move {
            let number: usize = event.id().parse().map_err(Error::reject)?;
            let key = number % KEYS;
            if !running.lock().insert(key) {
                log.0.lock().faults.push(format!("key {key}: two of its events at once"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            running.lock().remove(&key);
            if key == POISON && call.attempt < 3 {
                log.0.lock().failed += 1;
                return Err(Error::retry("not yet"));
            }
            log.end(number);
            Ok(())
        }
    });
    let registry = tidemill::Tidemill::builtin().native("note", function).into_registry();
    let yaml = format!(
        "sources:
  orders:
    kafka: {{ brokers: [\"{broker}\"], topics: [\"{topic}\"], group: ordered, sessionTimeout: 6s }}
    event: {{ type: order, source: /orders, id: id }}
    seats: 200
functions: {{ note: {{ native: note, workers: {{ max: 4, concurrency: 8 }} }} }}
triggers:
  orders:
    source: orders
    rules: {{ note: {{ function: note, require: {{ order: key }}, retry: {{ backoffDelay: 10ms, maxDelay: 20ms }} }} }}
"
    );
    inside::start_as(instance, &registry, &yaml, state).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_keeps_its_order_while_one_fails_and_members_come_and_go() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let (kcat, log) = (Kcat::new(broker.address()), Log::default());
    let states = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = start("one", broker.address(), &topic, &log, states[0].path()).await;
    send(&kcat, &topic, 0..1500).await;
    // The second joins while the first is busy.
    let ((), two) =
        tokio::join!(send(&kcat, &topic, 1500..3000), start("two", broker.address(), &topic, &log, states[1].path()));
    log.reaches(3000).await;
    send(&kcat, &topic, 3000..4500).await;
    within("a share", async {
        while two.status().sources["orders"].received == 0 {
            tokio::time::sleep(RETRY).await;
        }
    })
    .await;
    // It leaves in the middle of it, and its partitions move once its place has been kept in vain.
    two.drain(LIMIT).await;
    send(&kcat, &topic, 4500..5000).await;
    log.reaches(5000).await;
    assert!(log.0.lock().failed >= 200, "each of a hundred events has failed twice");
    assert_eq!(one.drain(LIMIT).await.handed_back, 0);
}
