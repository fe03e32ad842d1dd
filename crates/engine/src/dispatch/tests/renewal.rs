//! Another configuration for a line with deliveries under way, and the end of a line whose rule is gone.

use std::convert::Infallible;

use tokio::sync::{mpsc, watch};

use super::parking::{ROOM, hourly, parks_in};
use super::*;
use crate::account::{End, Name as Who, Wanted};
use crate::event::Name;
use crate::port::{PublishError, Verdict};
use crate::retry::Room;

type Outputs = Vec<(Text, Arc<dyn Output>)>;

/// Another configuration, and who is told once the one before it is not used any more.
fn renewal(function: Option<Pool>, outputs: Outputs) -> (Renewal, mpsc::Receiver<Infallible>) {
    let (hold, held) = mpsc::channel(1);
    let renewal = Renewal {
        function: function.map(|pool| ("g".into(), pool)),
        outputs: Outlets::new(outputs, Vec::new()),
        ordered: true,
        way: Way::default(),
        max_in_flight: usize::MAX,
        max_seats: usize::MAX,
        rate: None,
        weight: Weight::MIN,
        retry: policy(),
        timeout: 2 * SECOND,
        pen: crate::account::Account::in_memory(1, crate::store::Settings::default().clock).pen(Default::default()),
        hold,
    };
    (renewal, held)
}

fn away() -> Say {
    Say::Now(Err(PublishError::Retry { after: None, error: "away".to_owned() }))
}

fn named(name: &str, output: Arc<dyn Output>) -> (Text, Arc<dyn Output>) {
    (name.into(), output)
}

/// A function whose calls end with a result of that name once the gate opens.
fn gated(result: &'static str) -> (Arc<dyn Function>, watch::Sender<bool>) {
    let (open, opened) = watch::channel(false);
    let function = Calls(move |_: Event, _: Call| -> BoxFuture<'static, Verdicts> {
        let mut opened = opened.clone();
        Box::pin(async move {
            let _ = opened.wait_for(|open| *open).await;
            one(Verdict::Done(vec![event(result)]))
        })
    });
    (Arc::new(function), open)
}

fn is_released(held: &mut mpsc::Receiver<Infallible>) -> bool {
    held.try_recv() == Err(mpsc::error::TryRecvError::Disconnected)
}

#[tokio::test(start_paused = true)]
async fn a_result_that_waits_goes_to_the_output_of_its_name() {
    let (fails, failed) = recorder(|_| away());
    let mut bench = bench(pool(judge(|_, _| one(Verdict::Done(vec![event("r")])))), vec![fails]);
    bench.send(&["1"]).await;
    settle_down().await;
    assert_eq!(failed.ids(), ["r"]);
    let ((first, other), (second, same)) = (recorder(|_| Say::Now(Ok(()))), recorder(|_| Say::Now(Ok(()))));
    let (renewal, mut held) = renewal(None, vec![named("new", first), named("o0", second)]);
    bench.feed.renew(renewal);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!((failed.ids().len(), other.ids().len(), same.ids()), (1, 0, vec!["r".into()]));
    assert!(is_released(&mut held));
    assert_eq!(bench.books(), Books { matched: 1, done: 1, failed_attempts: 1, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_result_whose_output_is_gone_is_given_up() {
    let (fails, _) = recorder(|_| away());
    let (answer, answered) = tokio::sync::oneshot::channel::<()>();
    let answered = Mutex::new(Some(answered));
    // The first answers at once, the second when it is told to.
    let (later, _) = recorder(move |_| match answered.lock().take() {
        Some(answered) => Say::Later(Box::pin(async move {
            let _ = answered.await;
            Err(PublishError::Retry { after: None, error: "gone".to_owned() })
        })),
        None => Say::Now(Ok(())),
    });
    let mut bench = bench(None, vec![fails, later]);
    bench.send(&["1"]).await;
    settle_down().await;
    let (takes, taken) = recorder(|_| Say::Now(Ok(())));
    let (renewal, mut held) = renewal(None, vec![named("o1", takes)]);
    bench.feed.renew(renewal);
    settle_down().await;
    assert!(!is_released(&mut held), "a confirmation is under way");
    answer.send(()).unwrap();
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let message = "output 'o0', which has not confirmed a result, is none of the rule any more";
    assert_eq!((bench.bin.records()[0]["message"].as_str(), taken.ids().len()), (Some(message), 0));
    assert!(is_released(&mut held));
    assert_eq!(bench.books().dead_lettered, [0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_called_publishes_where_it_began_and_what_is_queued_begins_anew() {
    let (function, open) = gated("r");
    let (old, seen) = recorder(|_| Say::Now(Ok(())));
    let mut bench = bench(pool(function), vec![old]);
    bench.send(&["1", "2"]).await;
    settle_down().await;
    // From here on the events themselves are the results.
    let (new, found) = recorder(|_| Say::Now(Ok(())));
    let (mut first, mut held) = renewal(None, vec![named("n", new)]);
    let name = |output: &str| Who { name: "t/r".into(), outputs: vec![output.into()], ..Who::default() };
    first.pen = bench.bin.account.pen(name("n"));
    bench.feed.renew(first);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!((seen.ids().len(), found.ids()), (0, vec!["2".into()]));
    assert!(!is_released(&mut held));
    // And once more, while the first one still runs.
    let (third, last) = recorder(|_| Say::Now(Ok(())));
    let (mut second, mut later) =
        renewal(pool(judge(|_, _| one(Verdict::Done(vec![event("s")])))), vec![named("m", third)]);
    second.pen = bench.bin.account.pen(name("m"));
    bench.feed.renew(second);
    settle_down().await;
    assert!(is_released(&mut later) && !is_released(&mut held));
    bench.send(&["3"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    open.send_replace(true);
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!((seen.ids(), last.ids()), (vec!["r".into()], vec!["s".into()]));
    assert!(is_released(&mut held));
    settle_down().await;
    for (id, outputs) in [("1", &[][..]), ("2", &["n"]), ("3", &["m"])] {
        let found = bench.bin.account.find(&Wanted { id: id.into(), source: None }).unwrap();
        let written: Vec<_> = found.records.iter().map(|(record, name)| (record.end(), &name.outputs[..])).collect();
        let outputs: Vec<Text> = outputs.iter().map(|output| Text::from(*output)).collect();
        assert_eq!(written, [(Some(End::Done), &outputs[..])], "{id}: it ends under what it began with");
    }
    assert_eq!(bench.books(), Books { matched: 3, done: 3, ..Books::default() });
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_can_still_be_asked_back_and_keeps_its_time() {
    let (function, _open) = gated("r");
    let mut bench = bench(pool(function), Vec::new());
    bench.send(&["1"]).await;
    settle_down().await;
    let (mut longer, _held) = renewal(None, Vec::new());
    longer.timeout = 60 * SECOND;
    bench.feed.renew(longer);
    settle_down().await;
    let recall = bench.desk.recall([0]);
    bench.feed.recall(recall);
    assert!(matches!(bench.desk.settled(1).await[..], [Outcome::Retry { .. }]));
    assert_eq!(bench.books().handed_back, 1);

    let (function, _open) = gated("r");
    let mut bench = super::bench(pool(function), Vec::new());
    bench.send(&["1"]).await;
    settle_down().await;
    let (mut longer, _held) = renewal(None, Vec::new());
    longer.timeout = 60 * SECOND;
    bench.feed.renew(longer);
    // The call ends at its own deadline; the next attempt has nobody to call.
    let began = Instant::now();
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    assert_eq!(began.elapsed(), 3 * SECOND);
    assert!(bench.reading.last_error().unwrap().starts_with("function 'f'"));
}

#[tokio::test(start_paused = true)]
async fn the_order_of_keys_holds_over_a_renewal() {
    let (function, open) = gated("r");
    let mut bench = bench(pool(function), Vec::new());
    let key = Name::new("partitionkey").unwrap();
    let of = |id: &str| event(id).with_extension(key.clone(), Text::from("k"));
    let batch = bench.desk.arrivals([of("1"), of("2")]).await;
    bench.feed.send(batch);
    settle_down().await;
    let (new, found) = recorder(|_| Say::Now(Ok(())));
    let (renewal, _held) = renewal(None, vec![named("n", new)]);
    bench.feed.renew(renewal);
    let batch = bench.desk.arrivals([of("3"), event("free")]).await;
    bench.feed.send(batch);
    bench.desk.settled(1).await;
    assert_eq!(found.ids(), ["free"], "the first of the key has not ended");
    open.send_replace(true);
    bench.desk.settled(3).await;
    assert_eq!(found.ids(), ["free", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_is_gone_ends_what_has_begun_and_tries_nothing_again() {
    let (function, open) = gated("r");
    let (fails, _) = recorder(|event| if event.id() == "r" { Say::Now(Ok(())) } else { away() });
    let mut bench = bench(pool(function), vec![fails]);
    bench.send(&["1", "2"]).await;
    settle_down().await;
    bench.feed.retire();
    settle_down().await;
    assert_eq!(bench.books().in_flight, 2);
    open.send_replace(true);
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    bench.feed.is_empty().await;
    assert_eq!(bench.books(), Books { matched: 2, done: 2, ..Books::default() });

    let mut bench = super::bench(pool(judge(|_, _| again())), Vec::new());
    bench.send(&["1"]).await;
    settle_down().await;
    bench.feed.retire();
    // What waits for another attempt, and what fails from now on.
    bench.send(&["2"]).await;
    assert_eq!(bench.desk.settled(2).await, [Outcome::Ack; 2]);
    assert_eq!(
        bench.books(),
        Books { matched: 2, dead_lettered: [0, 0, 0, 2], failed_attempts: 2, ..Books::default() }
    );
    let said: Vec<_> = bench.bin.records().iter().map(|letter| letter["message"].to_string()).collect();
    assert!(said.iter().all(|message| message.contains("rule 't/r' is not in the configuration any more")), "{said:?}");
    assert!(said.iter().any(|message| message.contains("what was said last: not now")), "{said:?}");
    bench.feed.is_empty().await;
}

#[tokio::test]
async fn how_many_may_be_parked_is_what_is_written_now() {
    let retry = |rule| Policy { room: Room { rule, ..Room::ENDLESS }, ..hourly() };
    let function = pool(judge(|_, _| one(Verdict::Retry { after: None, error: "away".to_owned() })));
    let mut bench = parks_in(Bin::open(), ROOM, retry(1), function.clone(), Vec::new());
    bench.send(&["1"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    bench.send(&["2"]).await;
    bench.until(|books| books.failed_attempts == 2).await;
    assert_eq!(bench.desk.settled_now(), [], "there is room for one");
    let (renewal, _held) = renewal(function, Vec::new());
    bench.feed.renew(Renewal { retry: retry(2), ..renewal });
    bench.send(&["3"]).await;
    assert_eq!(bench.desk.settled(1).await, [Outcome::Ack]);
    let books = bench.until(|books| books.failed_attempts == 3).await;
    assert_eq!((books.parked, books.in_flight), (2, 1));
}
