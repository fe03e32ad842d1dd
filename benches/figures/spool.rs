//! The spool beside bare redb: the same records, in transactions of the same size, on the same disk, in turn.
//!
//! Bare is one thread that has the records ready and commits group after group with plain inserts. The spool is what an
//! engine pays: every event is encoded, checksummed and appended by one task that waits for confirmations, with a bounded
//! number unconfirmed. Both have the same cache and force every transaction to the disk. Groups of the bare loop are as
//! large as those that the spool was seen to make, so that neither gains by syncing less often.

use std::path::Path;

use bytes::Bytes;
use engine::event::{Event, Name};
use engine::spool::{Append, Policy, Spool};
use engine::store::{Schema, Settings, Spec, Store};
use tokio::time::Instant;

/// Events of one run, and how many of them may be unconfirmed.
const EVENTS: u64 = 100_000;
const WINDOW: u64 = 1_000;
/// Events of one append.
const BATCH: u64 = 64;
/// What the engine gives redb.
const CACHE: usize = 32 << 20;

/// Medians of five pairs: records per second of the spool and of bare redb, and the ratio of each pair.
pub(crate) struct Figure {
    pub(crate) spool: f64,
    pub(crate) bare: f64,
    pub(crate) ratio: f64,
    pub(crate) group: f64,
}

pub(crate) async fn take() -> Figure {
    let (mut spools, mut bares, mut ratios, mut groups) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pair in 0..5 {
        let folder = tempfile::tempdir_in(folder()).expect("a folder on the disk that is measured");
        let (rate, group) = spool(folder.path()).await;
        let records = records(folder.path());
        let bare = bare(&folder.path().join("bare"), &records, group.round().max(1.0) as usize);
        eprintln!("pair {pair}: spool {rate:.0}/s in groups of {group:.0}, bare {bare:.0}/s, {:.3}", rate / bare);
        spools.push(rate);
        bares.push(bare);
        ratios.push(rate / bare);
        groups.push(group);
    }
    Figure { spool: median(spools), bare: median(bares), ratio: median(ratios), group: median(groups) }
}

/// A real disk: the folder for temporary files may be in memory.
fn folder() -> std::path::PathBuf {
    std::env::current_exe().expect("this program has a path").parent().expect("in a folder").to_owned()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// 198 bytes of telemetry with what a source makes of them.
fn event(number: u64) -> Event {
    let mut data = format!(r#"{{"v":1,"vehicle":"veh-000007","boot":"b1","seq":{number},"note":""#);
    while data.len() < 196 {
        data.push('x');
    }
    data.push_str("\"}");
    Event::new(
        format!("01J-{number:020}").into(),
        "/fleet/demo/veh-000007".into(),
        "org.covesa.vss.telemetry.v1".into(),
    )
    .expect("an event")
    .with_subject("veh-000007".into())
    .with_extension(Name::new("partitionkey").expect("a name"), "veh-000007")
    .with_data(Bytes::from(data), Some("application/json".into()))
}

fn open(path: &Path) -> Store {
    let specs = vec![Spec { name: "spool/fleet".into(), quota: engine::store::Quota::default() }];
    Store::open(&path.join("spool"), Schema::SPOOL, specs, Settings::default()).expect("a store")
}

/// Appends everything; answers records per second and per transaction.
async fn spool(path: &Path) -> (f64, f64) {
    let store = open(path);
    let table = store.table("spool/fleet").expect("asked for");
    let clock = Settings::default().clock;
    let (mut inlet, outlet) = Spool::open(&store, table, Policy::default(), clock).expect("a spool").split();
    let events: Vec<Event> = (0..EVENTS).map(event).collect();
    let (before, began) = (store.read().groups, Instant::now());
    let (mut appended, mut confirmed) = (0, 0);
    for event in events {
        assert!(matches!(inlet.append(event, "v1/demo/veh-000007/telemetry"), Append::Accepted(_)), "there is room");
        appended += 1;
        if appended % BATCH == 0 || appended == EVENTS {
            inlet.flush().await.expect("open");
        }
        while appended - confirmed >= WINDOW || (appended == EVENTS && confirmed < EVENTS) {
            confirmed = inlet.confirmed().await.expect("open");
        }
    }
    let took = began.elapsed().as_secs_f64();
    let groups = store.read().groups - before;
    assert_eq!(outlet.books().stored, EVENTS, "everything is there");
    drop((inlet, outlet));
    store.close().await.expect("closed");
    (EVENTS as f64 / took, EVENTS as f64 / groups as f64)
}

/// The records that the spool has written, byte for byte.
fn records(path: &Path) -> Vec<([u8; 8], Vec<u8>)> {
    use redb::{ReadableDatabase, ReadableTable};
    let database = redb::Database::create(path.join("spool")).expect("the spool's file");
    let definition = redb::TableDefinition::<&[u8], &[u8]>::new("spool/fleet");
    let table = database.begin_read().expect("a transaction").open_table(definition).expect("the spool's table");
    let rows = table.iter().expect("rows").map(|row| {
        let (key, value) = row.expect("a row");
        (key.value().try_into().expect("a sequence"), value.value().to_vec())
    });
    rows.collect()
}

/// Writes them in groups; answers records per second.
fn bare(path: &Path, records: &[([u8; 8], Vec<u8>)], group: usize) -> f64 {
    let database = redb::Builder::new().set_cache_size(CACHE).create(path).expect("a file");
    let definition = redb::TableDefinition::<&[u8], &[u8]>::new("spool");
    let began = Instant::now();
    for group in records.chunks(group) {
        let transaction = database.begin_write().expect("a transaction");
        {
            let mut table = transaction.open_table(definition).expect("a table");
            for (key, value) in group {
                table.insert(key.as_slice(), value.as_slice()).expect("inserted");
            }
        }
        transaction.commit().expect("committed");
    }
    records.len() as f64 / began.elapsed().as_secs_f64()
}
