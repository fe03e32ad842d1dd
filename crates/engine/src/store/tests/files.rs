//! Files: who may open them, of which version they are, and what looking at them says.

use super::*;
use crate::store::schema::Migration;

fn specs() -> Vec<Spec> {
    vec![spec("spool/fleet", Quota::default()), spec("other", Quota::default())]
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    (folder, path)
}

async fn filled(path: &Path, rows: u64) {
    let store = Store::open(path, Schema::SPOOL, specs(), Settings::default()).unwrap();
    let table = store.table("spool/fleet").unwrap();
    let mut batch = Batch::default();
    (0..rows).for_each(|number| put(&mut batch, table, number));
    written(&store, &mut batch).await;
    batch.delete(table, &(rows - 1).to_be_bytes());
    store.free(&mut batch).unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_number_is_remembered_longer_than_its_record() {
    let (_folder, path) = place();
    filled(&path, 5).await;
    let store = Store::open(&path, Schema::SPOOL, specs(), Settings::default()).unwrap();
    let table = store.table("spool/fleet").unwrap();
    assert_eq!(numbers(&store, table).unwrap(), [0, 1, 2, 3]);
    assert_eq!(store.highest(table), 4_u64.to_be_bytes());
    assert!(store.highest(store.table("other").unwrap()).is_empty());
    assert_eq!(store.table("nobody"), None);
}

#[tokio::test]
async fn whoever_opens_a_file_sees_how_far_it_is_and_what_nobody_asked_for() {
    let (_folder, path) = place();
    filled(&path, 300).await;
    let settings = Settings::default();
    let read = Arc::clone(&settings.read);
    let store = Store::open(&path, Schema::SPOOL, vec![spec("other", Quota::default())], settings).unwrap();
    let there: u64 = (0..299).map(|number| value(number).len() as u64).sum();
    assert!(read.load(std::sync::atomic::Ordering::Relaxed) > there, "all of it is verified");
    assert_eq!(store.strangers(), [("spool/fleet".to_owned(), 299)]);
    store.close().await.unwrap();
    let table = store.table("other").unwrap();
    assert!(matches!(store.get(table, b"x"), Err(Error::Away { .. })), "a file that is closed is not a damaged one");
}

#[tokio::test]
async fn one_file_has_one_store() {
    let (_folder, path) = place();
    let store = Store::open(&path, Schema::SPOOL, specs(), Settings::default()).unwrap();
    let second = Store::open(&path, Schema::SPOOL, specs(), Settings::default()).unwrap_err();
    assert!(second.to_string().contains("another process has it open"), "{second}");
    assert!(matches!(survey::check(&path), Err(survey::Error::Held(_))));
    store.close().await.unwrap();
    assert!(survey::check(&path).unwrap().sound());
    let mut batch = Batch::default();
    batch.delete(store.table("other").unwrap(), b"x");
    assert!(matches!(store.free(&mut batch), Err(Error::Ended { .. })));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_names_the_way_out() {
    let (folder, path) = place();
    std::fs::write(&path, vec![7; 10_000]).unwrap();
    let refused = Store::open(&path, Schema::SPOOL, specs(), Settings::default()).unwrap_err().to_string();
    assert!(refused.contains(&format!("'tidemill state salvage {}'", path.display())), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), vec![7; 10_000]);
    let missing = Store::open(&folder.path().join("no/spool"), Schema::SPOOL, specs(), Settings::default());
    assert!(matches!(missing, Err(OpenError::Io { .. })));
    assert!(matches!(survey::check(&path), Err(survey::Error::Hopeless { .. })));
    assert!(matches!(survey::check(&folder.path().join("no")), Err(survey::Error::Io { .. })));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(survey::check(&path), Err(survey::Error::Hopeless { .. })));
}

const DOUBLED: Migration =
    Migration { from: 1, tables: "spool/", convert: |value| Ok(value.iter().chain(value).copied().collect()) };
const REFUSING: Migration = Migration { from: 2, tables: "spool/", convert: |_| Err("no way".to_owned()) };
const OTHERS: Migration = Migration { from: 2, tables: "nothing/", convert: |_| Err("not asked for".to_owned()) };

fn opened(path: &Path, schema: Schema) -> Result<Disk, String> {
    Disk::open(disk::file(path), schema, specs().into()).map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn an_older_file_is_migrated_and_a_newer_one_refused() {
    let (_folder, path) = place();
    filled(&path, 3).await;
    let schema = |version, migrations| Schema { kind: "spool", version, migrations };
    let gap = opened(&path, schema(3, &[DOUBLED])).unwrap_err();
    assert!(gap.contains("from which there is no way to 3"), "{gap}");
    let refused = opened(&path, schema(3, &[DOUBLED, REFUSING])).unwrap_err();
    assert_eq!(refused, "no way");
    // Neither has changed anything.
    let disk = opened(&path, schema(3, &[DOUBLED, OTHERS])).unwrap();
    let counts = disk.counts();
    let doubled: Vec<u8> = value(1).repeat(2);
    let seed = record::seed("spool/fleet");
    let (mut rows, mut bytes) = (0, 0);
    let mut each = |key: &[u8], raw: &[u8]| {
        let record = record::read(seed, key, raw).unwrap();
        assert_eq!(record.stamp.0.to_be_bytes(), key);
        assert!(record.stamp.0 != 1 || record.value == doubled);
        (rows, bytes) = (rows + 1, bytes + (key.len() + raw.len()) as u64);
        ControlFlow::Continue(())
    };
    medium::Medium::scan(&disk, 0, &[], None, &mut each).unwrap();
    assert_eq!((counts[0].rows, counts[0].bytes), (rows, bytes));
    assert_eq!(rows, 2);
    drop(disk);
    let newer = opened(&path, Schema::SPOOL).unwrap_err();
    assert!(newer.contains("newer version of tidemill (format 3, this one knows 1)"), "{newer}");
    let other = opened(&path, Schema::DELIVERIES).unwrap_err();
    assert!(other.contains("kind 'spool' and not 'deliveries'"), "{other}");
    assert_eq!(survey::check(&path).unwrap().version, Some(3));
}

#[tokio::test]
async fn what_is_there_is_reported_and_copied() {
    let (_folder, path) = place();
    filled(&path, 4).await;
    let report = survey::check(&path).unwrap();
    assert!(report.sound());
    assert_eq!((report.kind.as_deref(), report.version), (Some("spool"), Some(1)));
    let fleet = report.tables.iter().find(|table| table.name == "spool/fleet").unwrap();
    assert_eq!((fleet.rows, fleet.expected, fleet.damaged), (3, Some(3), 0));
    assert_eq!((fleet.oldest, fleet.newest), (Some(Stamp(0)), Some(Stamp(2))));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["tables"][1]["newest"], "1970-01-01T00:00:00.002Z");

    assert_eq!(survey::salvage(&path).unwrap(), report);
    assert!(matches!(survey::salvage(&path), Err(survey::Error::Taken(_))));
    let copy = survey::salvaged(&path);
    let store = Store::open(&copy, Schema::SPOOL, specs(), Settings::default()).unwrap();
    let table = store.table("spool/fleet").unwrap();
    assert_eq!(numbers(&store, table).unwrap(), [0, 1, 2]);
    assert_eq!(store.highest(table), 3_u64.to_be_bytes(), "a number that was used once stays used");
}

#[tokio::test]
async fn one_damaged_record_costs_one_record() {
    let (_folder, path) = place();
    filled(&path, 4).await;
    let disk = opened(&path, Schema::SPOOL).unwrap();
    let mut group = medium::Group::default();
    group.puts.put(Table { number: 0, seed: 1 }, &1_u64.to_be_bytes(), Stamp(1), |into| into.push(1));
    medium::Medium::commit(&disk, &group, true).unwrap();
    medium::Medium::close(&disk).unwrap();
    let report = survey::check(&path).unwrap();
    assert!(!report.sound());
    let fleet = report.tables.iter().find(|table| table.name == "spool/fleet").unwrap();
    assert_eq!((fleet.rows, fleet.damaged, fleet.lost()), (2, 1, 1));
    survey::salvage(&path).unwrap();
    let store = Store::open(&survey::salvaged(&path), Schema::SPOOL, specs(), Settings::default()).unwrap();
    assert_eq!(numbers(&store, store.table("spool/fleet").unwrap()).unwrap(), [0, 2]);
}
