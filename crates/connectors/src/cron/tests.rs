//! The source on paused time: a wall clock that goes with tokio's, and can be set.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use engine::config::{AckPoint, Check, EventTemplate, Spanned};
use engine::delivery::{Inbox, Ledger, Outcome, Receipt};
use engine::event::Event;
use engine::metric::{Link, Page};
use engine::port::{Bell, Clock, Shutdown, SourceError, Stop, Trigger};
use engine::registry::{Setup, SourceCommon, SourceKind as _};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Cron;
use crate::given::{Given, Keep};

/// Wall time that passes as tokio's does, and can be set.
struct Wall(Instant, Mutex<SystemTime>);

impl Wall {
    fn at(text: &str) -> Arc<Wall> {
        Arc::new(Wall(Instant::now(), Mutex::new(DateTime::parse_from_rfc3339(text).unwrap().into())))
    }

    /// Sets the clock forward.
    fn jump(&self, by: Duration) {
        *self.1.lock() += by;
    }
}

impl Clock for Wall {
    fn now(&self) -> SystemTime {
        *self.1.lock() + self.0.elapsed()
    }
}

struct Mill {
    given: mpsc::Receiver<Given>,
    stop: Trigger,
    bell: Bell,
    link: Link,
    task: JoinHandle<Result<(), SourceError>>,
}

fn check(
    options: &str,
    common: impl FnOnce(&mut SourceCommon),
) -> Result<Box<dyn engine::registry::SourcePlan>, Vec<String>> {
    let mut with = SourceCommon {
        name: Spanned::new("nightly".into(), Default::default()),
        ack: None,
        event: EventTemplate::default(),
        seats: 4,
    };
    common(&mut with);
    let mut check = Check::default();
    let mut options: serde_json::Value = serde_json::from_str(options).unwrap();
    // Only the configuration's own reader takes one value for a list.
    if let Some(one) = options["schedule"].as_str() {
        options["schedule"] = serde_json::json!([one]);
    }
    let plan = Cron.check(serde_json::from_value(options).unwrap(), &with, &mut check);
    plan.ok_or_else(|| check.finish().into_iter().map(|problem| problem.message).collect())
}

impl Mill {
    fn start(options: &str, seats: usize, wall: &Arc<Wall>, state: Option<&std::path::Path>) -> Mill {
        let (link, page) = (Link::default(), Page::default());
        let setup = Setup {
            name: "nightly".into(),
            instance: "one".into(),
            seats,
            state: state.map(Into::into),
            clock: Arc::clone(wall) as _,
            link: link.clone(),
            page,
        };
        let mut source = check(options, |_| {}).unwrap_or_else(|said| panic!("{said:?}")).open(setup).unwrap();
        let bell = source.bell().unwrap();
        let (keep, given, _) = Keep::new();
        let (stop, shutdown) = Shutdown::channel();
        let inbox = Inbox::new(seats, Ledger::default(), Box::new(keep));
        let task = tokio::spawn(async move { source.run(inbox, shutdown).await });
        Mill { given, stop, bell, link, task }
    }

    /// The next event's time and reason, and the event.
    async fn next(&mut self) -> (String, Event, Receipt) {
        let (event, receipt) = self.given.recv().await.expect("the source runs").event();
        let said = format!("{} {}", event.time().unwrap(), event.extension("cronrun").unwrap().text());
        (said, event, receipt)
    }

    /// The next event, which is done at once.
    async fn done(&mut self) -> String {
        let (said, _, receipt) = self.next().await;
        receipt.settle(Outcome::Ack);
        said
    }

    async fn end(self) {
        self.stop.stop(Stop::Keep);
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_comes_at_every_nominal_time() {
    let wall = Wall::at("2026-11-21T10:00:29.500Z");
    let mut mill = Mill::start(r#"{"schedule":"@every 30s","data":{"n":1}}"#, 4, &wall, None);
    let (said, event, receipt) = mill.next().await;
    assert_eq!(said, "2026-11-21T10:00:30Z scheduled");
    let nominal: SystemTime = DateTime::parse_from_rfc3339("2026-11-21T10:00:30Z").unwrap().into();
    assert!(wall.now() >= nominal);
    assert_eq!((event.r#type().as_str(), event.source().as_str()), ("org.tidemill.cron.tick", "/cron/nightly"));
    assert_eq!(
        (event.data().unwrap().as_ref(), event.datacontenttype().unwrap().as_str()),
        (&b"{\"n\":1}"[..], "application/json")
    );
    assert_eq!(*event.id(), super::options::ids("nightly").at(1_795_255_230));
    receipt.settle(Outcome::Ack);
    for seconds in ["10:01:00", "10:01:30", "10:02:00"] {
        assert_eq!(mill.done().await, format!("2026-11-21T{seconds}Z scheduled"));
    }
    mill.end().await;
}

#[tokio::test(start_paused = true)]
async fn daylight_saving_time_is_kept() {
    let options = r#"{"schedule":["30 2 * * *"],"timezone":"Europe/Berlin"}"#;
    let mut mill = Mill::start(options, 4, &Wall::at("2026-10-24T00:00:00Z"), None);
    for time in ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"] {
        assert_eq!(mill.done().await, format!("{time} scheduled"));
    }
    mill.end().await;
    let mut mill = Mill::start(options, 4, &Wall::at("2026-03-28T12:00:00Z"), None);
    for time in ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"] {
        assert_eq!(mill.done().await, format!("{time} scheduled"));
    }
    mill.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_jump_of_the_clock_leaves_out_is_skipped_and_counted_or_run_once() {
    for (missed, expected, skipped) in
        [("skip", "2026-11-21T18:00:00Z scheduled", 7), ("run", "2026-11-21T17:00:00Z missed", 6)]
    {
        let wall = Wall::at("2026-11-21T10:30:00Z");
        let options = format!(r#"{{"schedule":"@hourly","missed":"{missed}"}}"#);
        let mut mill = Mill::start(&options, 4, &wall, None);
        // It begins to sleep before the clock is set.
        tokio::time::sleep(Duration::from_secs(1)).await;
        wall.jump(Duration::from_secs(7 * 3600));
        assert_eq!(mill.done().await, expected);
        assert_eq!(mill.link.read().dropped.get("missed"), Some(&skipped));
        mill.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_while_it_was_away_is_run_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = r#"{"schedule":"0 * * * *","missed":"run"}"#;
    let wall = Wall::at("2026-11-21T10:59:00Z");
    let mut mill = Mill::start(options, 4, &wall, Some(folder.path()));
    assert_eq!(mill.done().await, "2026-11-21T11:00:00Z scheduled");
    mill.end().await;
    wall.jump(Duration::from_secs(5 * 3600 + 600));
    let mut mill = Mill::start(options, 4, &wall, Some(folder.path()));
    assert_eq!(mill.done().await, "2026-11-21T16:00:00Z missed");
    assert_eq!(mill.done().await, "2026-11-21T17:00:00Z scheduled");
    mill.end().await;
    // Nothing was missed this time.
    let mut mill = Mill::start(options, 4, &wall, Some(folder.path()));
    assert_eq!(mill.done().await, "2026-11-21T18:00:00Z scheduled");
    mill.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_had_begun_when_it_died_begins_again_as_the_same_event() {
    let folder = tempfile::tempdir().unwrap();
    let options = r#"{"schedule":"@every 1h","missed":"run"}"#;
    let wall = Wall::at("2026-11-21T10:59:59Z");
    let mut mill = Mill::start(options, 4, &wall, Some(folder.path()));
    let (first, event, _unsettled) = mill.next().await;
    let (_, _, second) = mill.next().await;
    second.settle(Outcome::Ack);
    assert_eq!(first, "2026-11-21T11:00:00Z scheduled");
    tokio::time::sleep(Duration::from_secs(1)).await;
    mill.task.abort();
    let _ = mill.task.await;
    let mut mill = Mill::start(options, 4, &wall, Some(folder.path()));
    let (said, again, receipt) = mill.next().await;
    assert_eq!((said.as_str(), again.id()), ("2026-11-21T11:00:00Z missed", event.id()));
    receipt.settle(Outcome::Ack);
    assert_eq!(mill.done().await, "2026-11-21T13:00:00Z scheduled");
    mill.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_seat_waits_and_what_is_late_by_then_was_missed() {
    let wall = Wall::at("2026-11-21T10:00:30Z");
    let mut mill = Mill::start(r#"{"schedule":"@every 1m"}"#, 1, &wall, None);
    let (said, _, receipt) = mill.next().await;
    assert_eq!(said, "2026-11-21T10:01:00Z scheduled");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(mill.given.try_recv().is_err());
    receipt.settle(Outcome::Ack);
    // The one that waited was due and comes; those behind it were missed.
    assert_eq!(mill.done().await, "2026-11-21T10:02:00Z scheduled");
    assert_eq!(mill.done().await, "2026-11-21T10:11:00Z scheduled");
    assert_eq!(mill.link.read().dropped.get("missed"), Some(&8));
    mill.end().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_rings_gets_an_event_now() {
    let wall = Wall::at("2026-11-21T10:00:30Z");
    let mut mill = Mill::start(r#"{"schedule":"@yearly"}"#, 1, &wall, None);
    let bell = mill.bell.clone();
    let rung = tokio::spawn(async move { (bell.pull().await, bell.pull().await) });
    let (said, event, receipt) = mill.next().await;
    assert_eq!(said, "2026-11-21T10:00:30Z manual");
    receipt.settle(Outcome::Ack);
    let (_, second, receipt) = mill.next().await;
    assert_ne!(event.id(), second.id());
    receipt.settle(Outcome::Ack);
    assert_eq!(rung.await.unwrap(), (Some(event.id().clone()), Some(second.id().clone())));
    let bell = mill.bell.clone();
    mill.end().await;
    assert_eq!(bell.pull().await, None);
}

#[tokio::test]
async fn a_record_that_is_none_stops_the_source_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cron-nightly.json"), "?").unwrap();
    let wall = Wall::at("2026-11-21T10:00:30Z");
    let mill = Mill::start(r#"{"schedule":"@daily","missed":"run"}"#, 1, &wall, Some(folder.path()));
    let error = mill.task.await.unwrap().unwrap_err();
    assert!(matches!(&error, SourceError::Fatal(sentence, _) if sentence.contains("cron-nightly.json")), "{error}");
}

#[test]
fn options_say_what_is_wrong_with_them() {
    let said = |options: &str| check(options, |_| {}).err().unwrap_or_default();
    assert_eq!(
        said(r#"{"schedule":["0 0 * * *","@every 10m"],"timezone":"Europe/Berlin","missed":"run","data":"x"}"#),
        [""; 0]
    );
    assert_eq!(said(r#"{"schedule":"0 0 99 * *"}"#), ["'99' cannot be the day of the month"]);
    assert_eq!(said(r#"{"schedule":[]}"#), ["there is no schedule"]);
    assert_eq!(said(r#"{"schedule":"@daily","timezone":"Berlin"}"#), ["there is no time zone 'Berlin'"]);
    let spooled = |common: &mut SourceCommon| common.ack = Some(Spanned::new(AckPoint::Spooled, Default::default()));
    let facts = check(r#"{"schedule":"@daily","missed":"run"}"#, spooled).ok().unwrap().facts();
    assert_eq!((facts.ack, facts.redelivers), (AckPoint::Spooled, true));
    let id = |common: &mut SourceCommon| common.event.id = Some(Spanned::new("id".into(), Default::default()));
    assert!(check(r#"{"schedule":"@daily"}"#, id).err().unwrap()[0].contains("not to be chosen"));
    let facts =
        |missed| check(&format!(r#"{{"schedule":"@daily","missed":"{missed}"}}"#), |_| {}).ok().unwrap().facts();
    assert_eq!((facts("skip").redelivers, facts("run").redelivers), (false, true));
    assert!(facts("skip").limits[0].contains("replicas fire each"));
}
