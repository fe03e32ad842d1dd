//! A bit flips anywhere in a file: that is noticed, or it does not matter. Nobody ever reads wrong bytes.

use super::*;

const ROWS: u64 = 400;

fn specs() -> Vec<Spec> {
    vec![spec("rows", Quota::default())]
}

/// A file with `ROWS` records, written in several transactions and read again in part.
async fn image(closed: bool) -> Vec<u8> {
    let platter = Platter::new(Vec::new());
    let store = on(&platter, specs(), Settings::default()).unwrap();
    let table = store.table("rows").unwrap();
    let mut batch = Batch::default();
    for number in 0..ROWS {
        put(&mut batch, table, number);
        if number % 40 == 39 {
            written(&store, &mut batch).await;
        }
    }
    if closed {
        store.close().await.unwrap();
    }
    platter.found(None)
}

/// Where bits matter: half of the flips hit the first pages, which say where everything is.
fn flip(image: &mut [u8], dice: &mut fastrand::Rng) -> usize {
    let last = image.iter().rposition(|byte| *byte != 0).unwrap();
    let at = if dice.u8(..4) == 0 { dice.usize(..4096) } else { dice.usize(..=last) };
    image[at] ^= 1 << dice.u8(..8);
    at
}

fn opened(image: Vec<u8>) -> Result<Vec<u64>, String> {
    let store = on(&Platter::new(image), specs(), Settings::default())?;
    numbers(&store, store.table("rows").unwrap()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_flip_in_a_closed_file_is_refused_or_changes_nothing() {
    let original = image(true).await;
    let all: Vec<u64> = (0..ROWS).collect();
    let (base, mut refused) = (fastrand::u64(..1 << 32), 0);
    for seed in base..base + 200 {
        let mut image = original.clone();
        let at = flip(&mut image, &mut fastrand::Rng::with_seed(seed));
        match opened(image) {
            Ok(found) => assert_eq!(found, all, "seed {seed}: a flip at {at} went unseen"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20, "only {refused} of 200 flips mattered: they hit nothing");
}

#[tokio::test]
async fn a_flip_after_a_crash_costs_at_most_the_last_transaction() {
    let original = image(false).await;
    let base = fastrand::u64(..1 << 32);
    for seed in base..base + 150 {
        let mut image = original.clone();
        let at = flip(&mut image, &mut fastrand::Rng::with_seed(seed));
        if let Ok(found) = opened(image) {
            // What hits the last transaction looks like one that the crash has torn.
            let length = found.len() as u64;
            assert!(length == ROWS || length == ROWS - 40, "seed {seed}: a flip at {at} left {length} records");
            assert!(found.into_iter().eq(0..length), "seed {seed}: a flip at {at} left holes");
        }
    }
}

#[tokio::test]
async fn what_is_salvaged_is_never_wrong() {
    let original = image(true).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let (base, mut partly) = (fastrand::u64(..1 << 32), 0);
    for seed in base..base + 60 {
        let mut image = original.clone();
        let mut dice = fastrand::Rng::with_seed(seed);
        for _ in 0..dice.usize(1..4) {
            flip(&mut image, &mut dice);
        }
        std::fs::write(&path, &image).unwrap();
        let copy = survey::salvaged(&path);
        let _ = std::fs::remove_file(&copy);
        let Ok(report) = survey::salvage(&path) else { continue };
        assert_eq!(std::fs::read(&path).unwrap(), image, "seed {seed}: looking changed the file");
        let store = Store::open(&copy, Schema::SPOOL, specs(), Settings::default()).unwrap();
        let found = numbers(&store, store.table("rows").unwrap()).unwrap();
        store.close().await.unwrap();
        assert_eq!(report.sound(), found.len() as u64 == ROWS && report.damage.is_empty(), "seed {seed}: {report:?}");
        partly += usize::from(!found.is_empty() && !report.sound());
    }
    assert!(partly > 5, "only {partly} of 60 files were salvaged in part");
}

#[tokio::test]
async fn a_record_that_changes_under_a_running_store_is_reported() {
    let platter = Platter::new(image(true).await);
    let specs: Arc<[Spec]> = specs().into();
    let disk = Disk::open(platter.opener(), Schema::SPOOL, Arc::clone(&specs)).unwrap();
    // What a flip would leave: a value that does not belong to its checksum, written as if redb had read it so.
    let mut group = medium::Group::default();
    group.puts.put(Table { number: 0, seed: 1 }, &7_u64.to_be_bytes(), Stamp(7), |into| into.push(1));
    medium::Medium::commit(&disk, &group, true).unwrap();
    let store = Store::on("platter".into(), specs, disk, Settings::default()).unwrap();
    let table = store.table("rows").unwrap();
    let error = numbers(&store, table).unwrap_err();
    assert!(matches!(&error, Error::Damaged { table, key, .. } if table == "rows" && *key == 7_u64.to_be_bytes()));
    assert!(error.to_string().contains("tidemill state salvage"), "{error}");
    assert!(store.get(table, &7_u64.to_be_bytes()).is_err());
    assert_eq!(store.get(table, &8_u64.to_be_bytes()).unwrap(), Some((Stamp(8), value(8))));
    assert_eq!(store.get(table, b"other").unwrap(), None);
}
