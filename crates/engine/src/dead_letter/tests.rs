//! Letters on their way into the archive: in order and in batches, nothing settles before it is kept, and what a quota does.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{sleep, timeout};

use super::testing::{exhausted, undecodable as raw};
use super::*;
use crate::dispatch::Arrival;
use crate::dispatch::testing::Client;
use crate::fake::{Bin, Desk, Wall, event, settle_down, undecodable};
use crate::store::testing::Platter;
use crate::store::{OnFull, Quota, Schema, Settings};

const SECOND: Duration = Duration::from_secs(1);

fn dying(event: Event) -> Dying {
    Dying {
        reason: Reason::Rejected,
        rule: "t/r".into(),
        function: None,
        attempts: 1,
        redrives: 0,
        code: None,
        message: "no".to_owned(),
        first: None,
        event,
        position: None,
        removal: None,
    }
}

pub(super) fn kill(bin: &Bin, client: &mut Client, event: Event) {
    let (caller, key) = client.owner();
    bin.postbox.delivery(dying(event), caller, key);
}

/// The ids of the events that are kept, in their order.
fn kept(bin: &Bin) -> Vec<String> {
    bin.records().iter().map(|record| record["event"]["id"].as_str().unwrap().to_owned()).collect()
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(180 * SECOND, waiting).await.expect("it never is so");
}

#[tokio::test]
async fn a_full_disk_holds_its_messages_and_recovers_by_itself() {
    let (bin, mut desk, mut client) = (Bin::open(), Desk::new(4), Client::new(SECOND));
    let unsettled = bin.postbox.unsettled();
    bin.platter.fits(0);
    kill(&bin, &mut client, event("1"));
    let receipt = desk.receipts(1).await.remove(0);
    bin.postbox.undecodable(&"s".into(), undecodable("oh"), receipt);
    until(|| bin.archive.store().read().failures > 1).await;
    assert!(client.is_silent() && desk.settled_now().is_empty());
    assert_eq!((unsettled.count(), bin.archive.usage().rows), (1, 0));
    bin.platter.fits(u64::MAX);
    assert_eq!(client.kept().await, [1]);
    assert_eq!(desk.settled(1).await, [Outcome::Reject]);
    assert_eq!((unsettled.count(), bin.archive.usage().rows), (0, 2));
}

#[tokio::test]
async fn letters_are_kept_in_the_order_of_dying_and_told_of_together() {
    let (bin, mut client, mut other) = (Bin::open(), Client::new(SECOND), Client::new(SECOND));
    for id in ["1", "2"] {
        kill(&bin, &mut client, event(id));
    }
    kill(&bin, &mut other, event("3"));
    kill(&bin, &mut client, event("4"));
    assert_eq!((client.kept().await, other.kept().await, client.kept().await), (vec![1, 2], vec![1], vec![3]));
    assert_eq!(kept(&bin), ["1", "2", "3", "4"]);
    assert_eq!(bin.records()[0]["firstTime"], bin.records()[0]["lastTime"], "it failed once");
    assert_eq!(bin.archive.store().read().groups, 1, "one transaction is enough");
}

#[tokio::test]
async fn the_writing_task_ends_after_its_last_letter() {
    let bin = Bin::open();
    let mut desk = Desk::new(1);
    let receipt = desk.receipts(1).await.remove(0);
    bin.postbox.undecodable(&"s".into(), undecodable("oh"), receipt);
    let Bin { postbox, task, .. } = bin;
    drop(postbox);
    task.await.unwrap();
    assert_eq!(desk.settled_now(), [Outcome::Reject]);
}

#[tokio::test]
async fn what_cannot_be_written_any_more_goes_back_to_its_source() {
    let (bin, mut desk) = (Bin::open(), Desk::new(2));
    let mut receipts = desk.receipts(2).await;
    bin.platter.refuse_syncs();
    bin.postbox.undecodable(&"s".into(), undecodable("oh"), receipts.remove(0));
    let mut confirmations = bin.archive.store().confirmations();
    assert!(confirmations.reach(Ticket(u64::MAX)).await.is_err(), "the store ends");
    settle_down().await;
    assert!(desk.settled_now().is_empty(), "nothing is dropped that would be delivered again at once");
    bin.task.abort();
    assert!(bin.task.await.unwrap_err().is_cancelled());
    bin.postbox.undecodable(&"s".into(), undecodable("oh"), receipts.remove(0));
    let retry = Outcome::Retry { after: Duration::ZERO };
    assert_eq!(desk.settled(2).now_or_never(), Some(vec![retry; 2]));
}

#[tokio::test]
async fn a_message_that_no_rule_has_keeps_where_it_stood() {
    let (bin, mut desk) = (Bin::open(), Desk::new(2));
    let arrivals = desk.arrivals_at("S", vec![(1, event("1")), (2, event("2"))]).await;
    let [raw, strange] = <[Arrival; 2]>::try_from(arrivals).unwrap();
    bin.postbox.undecodable(&"s".into(), undecodable("oh"), raw.receipt);
    bin.postbox.unmatched(&"s".into(), &"t".into(), strange.event, strange.receipt);
    desk.settled(2).await;
    let positions: Vec<_> = bin.records().iter().map(|record| record["position"].clone()).collect();
    assert_eq!(positions, ["S/1", "S/2"]);
}

#[tokio::test]
async fn a_full_quota_keeps_deliveries_and_holds_messages_that_no_rule_has() {
    let bin = Bin::with(Quota { max_bytes: Some(200), ..Quota::default() });
    let (mut desk, mut client) = (Desk::new(8), Client::new(SECOND));
    kill(&bin, &mut client, event("1"));
    assert_eq!(client.kept().await, [1]);
    for id in ["2", "3"] {
        kill(&bin, &mut client, event(id));
    }
    assert_eq!(client.kept_and(true).await, [2, 3], "dying waits for no quota, and is told of it");
    let mut receipts = desk.receipts(2).await.into_iter();
    bin.postbox.undecodable(&"s".into(), undecodable("oh"), receipts.next().unwrap());
    bin.postbox.unmatched(&"s".into(), &"t".into(), event("5"), receipts.next().unwrap());
    kill(&bin, &mut client, event("4"));
    assert_eq!(client.kept_and(true).await, [4]);
    assert_eq!((desk.settled_now(), bin.postbox.unsettled().count()), (vec![], 2));
    assert!(bin.archive.is_full() && bin.archive.room().now_or_never().is_none());
    assert_eq!(bin.archive.purge(&Selection::default()).await.unwrap(), 4);
    assert_eq!(desk.settled(2).await, [Outcome::Reject, Outcome::Ack]);
    assert_eq!(kept(&bin).len(), 2);
}

#[tokio::test]
async fn the_oldest_go_where_that_is_the_policy() {
    let bin = Bin::with(Quota { max_bytes: Some(400), max_age: None, on_full: OnFull::DropOldest });
    let mut client = Client::new(SECOND);
    for number in 1..=20_u64 {
        kill(&bin, &mut client, event(&number.to_string()));
        assert_eq!(client.kept().await, [number], "nobody is held back");
    }
    let (kept, usage) = (kept(&bin), bin.archive.usage());
    assert!(usage.bytes <= 400 && usage.dropped > 0 && !bin.archive.is_full());
    assert_eq!((kept.len() as u64 + usage.dropped, kept.last().unwrap().as_str()), (20, "20"));
}

/// An archive with these letters.
async fn filled(letters: &[Letter]) -> Archive {
    let specs = Archive::specs(Quota::default(), &Addressees::default());
    let store = Platter::new(Vec::new()).store(Schema::DELIVERIES, specs, Settings::default()).unwrap();
    let archive = Archive::of(&store, Quota::default(), &Addressees::default()).unwrap();
    let (mut batch, mut newest) = (Batch::default(), None);
    for letter in letters {
        let id = Id::next(newest, letter.last);
        newest = Some(id);
        archive.add(&mut batch, id, letter);
    }
    let ticket = store.write(&mut batch).await.unwrap();
    store.confirmations().reach(ticket).await.unwrap();
    archive
}

fn letters() -> Vec<Letter> {
    let of = |number: u64| {
        let letter = exhausted(event(&number.to_string()));
        let reason = if number.is_multiple_of(2) { Reason::Exhausted } else { Reason::Rejected };
        Letter {
            reason,
            rule: Some(format!("t/{}", number % 3).into()),
            last: Stamp(1_700_000_000_000 + number),
            ..letter
        }
    };
    let mut letters: Vec<Letter> = (0..9).map(of).collect();
    letters.push(Letter { last: Stamp(1_700_000_000_009), ..raw(b"oh") });
    letters
}

fn selected(pairs: &[(&str, &str)]) -> Selection {
    Selection::read(pairs.iter().copied()).unwrap()
}

#[tokio::test]
async fn a_list_comes_in_pages_and_shows_what_is_meant() {
    let archive = filled(&letters()).await;
    let all = Selection::default();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = archive.page(&all, after, 3).unwrap();
        assert!(page.letters.len() <= 3);
        found.extend(page.letters);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(found.into_iter().map(|(_, letter)| letter).collect::<Vec<_>>(), letters());
    let rejected = archive.page(&selected(&[("reason", "rejected"), ("rule", "t/1")]), None, 100).unwrap();
    let ids = |page: Page| page.letters.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let rejected = ids(rejected);
    assert_eq!(rejected.len(), 2, "1 and 7");
    let texts = [rejected[1].to_string(), rejected[0].to_string()];
    let named = selected(&[("id", &texts[0]), ("id", &texts[1]), ("id", "01hf7yat3v00")]);
    assert_eq!(ids(archive.page(&named, None, 100).unwrap()), rejected);
    assert_eq!(ids(archive.page(&named, Some(rejected[0]), 100).unwrap()), rejected[1..]);
    assert_eq!(archive.count(&selected(&[("where", "id=3")])).unwrap(), 1);
}

#[tokio::test]
async fn groups_say_how_many_and_since_when() {
    let archive = filled(&letters()).await;
    let named = |by, pairs: &[(&str, &str)]| {
        let groups = archive.groups(&selected(pairs), by).unwrap();
        groups.into_iter().map(|group| (group.name.unwrap_or_default().to_string(), group.count)).collect::<Vec<_>>()
    };
    let expected =
        |pairs: &[(&str, u64)]| pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>();
    assert_eq!(named(By::Reason, &[]), expected(&[("exhausted", 5), ("rejected", 4), ("undecodable", 1)]));
    assert_eq!(named(By::Rule, &[]), expected(&[("t/0", 3), ("t/1", 3), ("t/2", 3), ("source fleet", 1)]));
    assert_eq!(named(By::Function, &[]), expected(&[("f", 9), ("", 1)]));
    assert_eq!(named(By::Rule, &[("reason", "rejected")]), expected(&[("t/1", 2), ("t/0", 1), ("t/2", 1)]));
    let all = archive.groups(&Selection::default(), By::Reason).unwrap();
    assert_eq!(
        (all[0].oldest.as_str(), all[0].newest.as_str()),
        ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.008Z")
    );
    assert!(By::read("colour").unwrap_err().contains("reason, rule or function"));
}

#[tokio::test]
async fn a_purge_removes_what_is_meant_and_its_names_are_never_used_again() {
    let archive = filled(&letters()).await;
    let newest = archive.newest();
    assert_eq!(archive.purge(&selected(&[("rule", "t/0"), ("rule", "t/1")])).await.unwrap(), 6);
    assert_eq!((archive.count(&Selection::default()).unwrap(), archive.usage().rows), (4, 4));
    assert_eq!(archive.purge(&Selection::default()).await.unwrap(), 4);
    assert_eq!(archive.purge(&Selection::default()).await.unwrap(), 0);
    assert_eq!(archive.newest(), newest);
    archive.close().await.unwrap();
    assert!(archive.page(&Selection::default(), None, 1).is_err(), "a closed file is no empty one");
}

#[tokio::test]
async fn bytes_that_are_no_letter_are_damage() {
    let archive = filled(&letters()).await;
    let mut batch = Batch::default();
    batch.put(archive.store().table("deadLetters").unwrap(), &[255; 8], Stamp(0), |into| into.push(9));
    let ticket = archive.store().write(&mut batch).await.unwrap();
    archive.store().confirmations().reach(ticket).await.unwrap();
    assert!(matches!(archive.count(&Selection::default()), Err(Error::Damaged { .. })));
}

/// Every letter of the test's rule goes to an output besides, which is told of it, too.
fn to_dead() -> (Targets, Addressees) {
    let rules = HashMap::from([("t/r".into(), "dead".into())]);
    let told = HashMap::from([("t/r".into(), Arc::from(["dead".into()]))]);
    let targets = Targets { rules, told, ..Targets::default() };
    let outputs = targets.addressees();
    (targets, outputs)
}

/// Deliveries die until the power goes; answers how many are said to be kept.
async fn life(platter: &Platter, first: u64, dice: &mut fastrand::Rng) -> HashSet<String> {
    let mut told = HashSet::new();
    let (targets, outputs) = to_dead();
    let specs = Archive::specs(Quota::default(), &outputs);
    let Ok(store) = platter.store(Schema::DELIVERIES, specs, Settings::default()) else { return told };
    let archive = Archive::of(&store, Quota::default(), &outputs).unwrap();
    let (postbox, task) = Postbox::start(archive, ClockHandle(Arc::new(Wall)), targets);
    let mut client = Client::new(SECOND);
    let mut sent = 0;
    while !platter.is_lost() && sent < 2_000 {
        for _ in 0..dice.u64(1..20) {
            let (caller, key) = client.owner();
            postbox.delivery(dying(event(&(first + sent).to_string())), caller, key);
            sent += 1;
        }
        sleep(Duration::from_micros(dice.u64(1..500))).await;
        while let Some(keys) = client.kept().now_or_never() {
            // Numbers are counted from 1.
            told.extend(keys.into_iter().map(|number| (first + number - 1).to_string()));
        }
    }
    platter.cut();
    task.abort();
    told
}

#[tokio::test]
async fn what_is_told_to_be_kept_survives_a_power_failure_at_any_moment() {
    let base = fastrand::u64(..1 << 32);
    let mut told = 0;
    for seed in base..base + 30 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (mut platter, mut owed) = (Platter::new(Vec::new()), HashSet::new());
        for round in 0..2 {
            platter.light(dice.u64(20..400));
            owed.extend(life(&platter, round * 10_000, &mut dice).await);
            platter = Platter::new(platter.found(Some(&mut dice)));
        }
        let outputs = to_dead().1;
        let specs = Archive::specs(Quota::default(), &outputs);
        let store = platter.store(Schema::DELIVERIES, specs, Settings::default()).unwrap();
        let archive = Archive::of(&store, Quota::default(), &outputs).unwrap();
        let page = archive.page(&Selection::default(), None, usize::MAX).unwrap();
        let kept: Vec<Id> = page.letters.iter().map(|(id, _)| *id).collect();
        for post in [Post::Letters, Post::Notices] {
            let waiting = archive.next(archive.outbox(post, "dead").unwrap(), usize::MAX).unwrap();
            assert!(waiting.iter().all(|found| matches!(found.event, Some(Ok(_)))), "seed {seed}: {post:?}");
            let waiting: Vec<Id> = waiting.into_iter().map(|found| found.id).collect();
            assert_eq!(
                waiting, kept,
                "seed {seed}: {post:?} wait for their output from the moment that a letter is there"
            );
        }
        let there: HashSet<String> =
            page.letters.iter().map(|(id, letter)| letter.event(*id).unwrap().id().to_string()).collect();
        let missing: Vec<_> = owed.difference(&there).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?} were told to be kept");
        told += owed.len();
    }
    assert!(told > 0, "seeds from {base}: nothing was ever kept");
}
