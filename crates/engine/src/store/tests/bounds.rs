//! Room: what waits, what goes, and what a full disk does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::*;
use crate::metric::Connection;

/// A clock that stands where it was put.
struct Fixed(u64);

impl Clock for Fixed {
    fn now(&self) -> SystemTime {
        Stamp(self.0).time()
    }
}

fn one(platter: &Platter, quota: Quota, now: u64) -> (Store, Table) {
    let settings = Settings { clock: ClockHandle(Arc::new(Fixed(now))), ..Settings::default() };
    let store = on(platter, vec![spec("rows", quota), spec("free", Quota::default())], settings).unwrap();
    let table = store.table("rows").unwrap();
    (store, table)
}

fn size(number: u64) -> u64 {
    8 + 12 + value(number).len() as u64
}

#[tokio::test]
async fn a_write_beyond_its_quota_waits_for_room() {
    let quota = Quota { max_bytes: Some(size(1) + size(2)), ..Quota::default() };
    let (store, table) = one(&Platter::new(Vec::new()), quota, 0);
    let mut batch = Batch::default();
    put(&mut batch, table, 1);
    put(&mut batch, table, 2);
    written(&store, &mut batch).await;
    assert_eq!(store.usage(table), Usage { rows: 2, bytes: size(1) + size(2), dropped: 0 });

    put(&mut batch, table, 3);
    assert_eq!(store.try_write(&mut batch).unwrap(), None);
    assert_eq!(batch.len(), 1, "it is as it was");
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.write(&mut batch).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    // Others are not held up, and neither are removals and what must not wait.
    let mut other = Batch::default();
    put(&mut other, store.table("free").unwrap(), 4);
    written(&store, &mut other).await;
    put(&mut other, table, 5);
    let beyond = store.try_write_beyond_quotas(&mut other).unwrap().unwrap();
    store.confirmations().reach(beyond).await.unwrap();
    assert!(!waiting.is_finished());
    for number in [1_u64, 2, 5] {
        other.delete(table, &number.to_be_bytes());
    }
    let freed = store.free(&mut other).unwrap();
    store.confirmations().reach(freed).await.unwrap();
    let ticket = waiting.await.unwrap().unwrap();
    store.confirmations().reach(ticket).await.unwrap();
    assert_eq!(numbers(&store, table).unwrap(), [3]);
    assert_eq!(store.usage(table).bytes, size(3));
}

#[tokio::test]
async fn what_is_larger_than_its_quota_fits_alone() {
    let (store, table) = one(&Platter::new(Vec::new()), Quota { max_bytes: Some(1), ..Quota::default() }, 0);
    let mut batch = Batch::default();
    put(&mut batch, table, 1);
    written(&store, &mut batch).await;
    put(&mut batch, table, 2);
    assert_eq!(store.try_write(&mut batch).unwrap(), None);
}

#[tokio::test]
async fn the_oldest_goes_and_is_counted() {
    let room = (3..6).map(size).sum();
    let quota = Quota { max_bytes: Some(room), on_full: OnFull::DropOldest, ..Quota::default() };
    let platter = Platter::new(Vec::new());
    let (store, table) = one(&platter, quota, 0);
    let mut batch = Batch::default();
    for number in 0..6 {
        put(&mut batch, table, number);
        written(&store, &mut batch).await;
    }
    let left = numbers(&store, table).unwrap();
    assert!(left.ends_with(&[5]) && left.windows(2).all(|pair| pair[1] == pair[0] + 1), "{left:?}");
    let usage = store.usage(table);
    assert_eq!(usage.rows + usage.dropped, 6);
    assert!(usage.bytes <= room && usage.rows >= 1, "{usage:?}");
    // The counts are the file's own.
    store.close().await.unwrap();
    let (store, table) = one(&platter, quota, 0);
    assert_eq!(store.usage(table), Usage { dropped: 0, ..usage });
}

#[tokio::test]
async fn the_aged_go_with_the_next_write() {
    let quota = Quota { max_age: Some(Duration::from_millis(100)), ..Quota::default() };
    let (store, table) = one(&Platter::new(Vec::new()), quota, 150);
    let mut batch = Batch::default();
    for number in [10, 49, 50, 60] {
        put(&mut batch, table, number);
    }
    written(&store, &mut batch).await;
    assert_eq!(numbers(&store, table).unwrap(), [50, 60]);
    assert_eq!(store.usage(table).dropped, 2);
}

#[tokio::test]
async fn a_queue_that_is_full_is_no_queue_without_end() {
    let platter = Platter::new(Vec::new());
    let settings = Settings { queue_bytes: 1_000, ..Settings::default() };
    let store = on(&platter, vec![spec("rows", Quota::default())], settings).unwrap();
    let table = store.table("rows").unwrap();
    platter.fits(platter.length() / 2);
    let mut batch = Batch::default();
    let mut accepted = 0;
    loop {
        put(&mut batch, table, accepted);
        if store.try_write(&mut batch).unwrap().is_none() && store.read().full {
            break;
        }
        batch.clear();
        accepted += 1;
        tokio::task::yield_now().await;
    }
    platter.fits(u64::MAX);
    let ticket = store.write(&mut batch).await.unwrap();
    store.confirmations().reach(ticket).await.unwrap();
    assert!(numbers(&store, table).unwrap().contains(&accepted));
}

#[tokio::test]
async fn a_full_disk_holds_everybody_and_recovers_by_itself() {
    let platter = Platter::new(Vec::new());
    let link = Link::default();
    let settings = Settings { link: link.clone(), ..Settings::default() };
    let store = on(&platter, vec![spec("rows", Quota::default())], settings).unwrap();
    let table = store.table("rows").unwrap();
    let mut batch = Batch::default();
    (0..50).for_each(|number| put(&mut batch, table, number));
    written(&store, &mut batch).await;

    platter.fits(platter.length());
    (50..20_000).for_each(|number| put(&mut batch, table, number));
    let large = store.write(&mut batch).await.unwrap();
    while !store.read().full {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(link.read().connection, Connection::Disconnected);
    assert!(link.read().last_error.unwrap().contains("no space is left"));
    assert!(!store.confirmations().has(large), "nothing is confirmed that is not there");
    for number in 0..25_u64 {
        batch.delete(table, &number.to_be_bytes());
    }
    let freed = store.free(&mut batch).unwrap();
    // What was there before can be read all the while, but for the moments in which the file is opened anew.
    while numbers(&store, table).map_or(true, |found| found.len() != 50) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    platter.fits(u64::MAX);
    store.confirmations().reach(large).await.unwrap();
    store.confirmations().reach(freed).await.unwrap();
    assert_eq!(link.read().connection, Connection::Connected);
    assert!(!store.read().full && store.read().failures > 0);
    assert_eq!(numbers(&store, table).unwrap(), (25..20_000).collect::<Vec<_>>());
    store.close().await.unwrap();
}

#[tokio::test]
async fn many_writers_share_transactions() {
    const MANY: u64 = 64;
    let platter = Platter::new(Vec::new());
    let (store, table) = one(&platter, Quota::default(), 0);
    // However the threads take turns, nothing is written until everybody has asked: the disk is full.
    platter.fits(platter.length());
    let mut large = Batch::default();
    (MANY..20_000).for_each(|number| put(&mut large, table, number));
    store.write(&mut large).await.unwrap();
    while !store.read().full {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let asked = Arc::new(AtomicU64::new(0));
    let writers = (0..MANY).map(|number| {
        let (store, asked) = (store.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            let mut batch = Batch::default();
            put(&mut batch, table, number);
            let ticket = store.write(&mut batch).await.unwrap();
            asked.fetch_add(1, Ordering::Relaxed);
            store.confirmations().reach(ticket).await.unwrap();
        })
    });
    let writers: Vec<_> = writers.collect();
    while asked.load(Ordering::Relaxed) < MANY {
        tokio::task::yield_now().await;
    }
    platter.fits(u64::MAX);
    for writer in writers {
        writer.await.unwrap();
    }
    let reading = store.read();
    assert_eq!(reading.writes, 20_000);
    assert!(reading.groups < MANY, "{reading:?}");
}

#[tokio::test]
async fn what_an_interval_confirmed_survives_a_full_disk() {
    let platter = Platter::new(Vec::new());
    let settings = Settings { sync: Sync::Interval(Duration::from_millis(500)), ..Settings::default() };
    let quota = Quota { max_bytes: Some(1 << 30), ..Quota::default() };
    let store = on(&platter, vec![spec("rows", quota)], settings).unwrap();
    let table = store.table("rows").unwrap();
    platter.fits(platter.length());
    let mut batch = Batch::default();
    (0..10).for_each(|number| put(&mut batch, table, number));
    written(&store, &mut batch).await;
    batch.delete(table, &3_u64.to_be_bytes());
    let freed = store.free(&mut batch).unwrap();
    store.confirmations().reach(freed).await.unwrap();
    // Confirmed, and more than fits: the end of the interval finds the disk full, and the file is opened anew.
    (10..20_000).for_each(|number| put(&mut batch, table, number));
    store.write(&mut batch).await.unwrap();
    while !store.read().full {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    platter.fits(u64::MAX);
    while store.read().full {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(store.read().failures > 0);
    store.close().await.unwrap();
    let found = on(&Platter::new(platter.found(None)), vec![spec("rows", quota)], Settings::default()).unwrap();
    assert_eq!(numbers(&found, table).unwrap().len(), 20_000 - 1);
    assert_eq!(found.usage(table).rows, 20_000 - 1);
}

#[tokio::test]
async fn what_an_interval_keeps_in_memory_is_bounded() {
    let platter = Platter::new(Vec::new());
    let settings =
        Settings { sync: Sync::Interval(Duration::from_secs(60)), queue_bytes: 10_000, ..Settings::default() };
    let store = on(&platter, vec![spec("rows", Quota::default())], settings).unwrap();
    let table = store.table("rows").unwrap();
    let mut batch = Batch::default();
    for number in 0..100 {
        put(&mut batch, table, number);
        written(&store, &mut batch).await;
    }
    let found =
        on(&Platter::new(platter.found(None)), vec![spec("rows", Quota::default())], Settings::default()).unwrap();
    let safe = numbers(&found, found.table("rows").unwrap()).unwrap().len() as u64;
    let kept: u64 = (safe..100).map(size).sum();
    assert!(kept <= 10_000, "{kept} bytes are in memory only");
}
