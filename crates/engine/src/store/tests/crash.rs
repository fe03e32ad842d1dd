//! The power goes at any operation of the disk: what was confirmed is there, what was not is whole or absent.

use super::*;

/// What the program was told before the power went.
#[derive(Debug, Default)]
struct Told {
    written: u64,
    confirmed: u64,
    /// Removed, and whether that was confirmed.
    freed: std::collections::BTreeMap<u64, bool>,
}

const TABLES: [&str; 2] = ["first", "second"];

fn tables(store: &Store) -> [Table; 2] {
    TABLES.map(|name| store.table(name).unwrap())
}

fn specs() -> Vec<Spec> {
    TABLES.map(|name| spec(name, Quota::default())).to_vec()
}

/// Writes pairs, of which both are in one batch, and removes some, until the power goes.
async fn work(platter: &Platter, dice: &mut fastrand::Rng, settings: Settings) -> Told {
    let mut told = Told::default();
    let Ok(store) = on(platter, specs(), settings) else { return told };
    let tables = tables(&store);
    let mut confirmations = store.confirmations();
    let mut batch = Batch::default();
    let mut open = Vec::new();
    loop {
        let from = told.written;
        for number in from..from + dice.u64(1..6) {
            for table in tables {
                put(&mut batch, table, number);
            }
            told.written = number + 1;
        }
        let ticket = tokio::select! {
            biased;
            () = platter.lost() => return told,
            ticket = store.write(&mut batch) => match ticket {
                Ok(ticket) => ticket,
                Err(error) => return gone(platter, told, &error),
            }
        };
        open.push((ticket, told.written, Vec::new()));
        if told.confirmed > 0 && dice.bool() {
            let freed: Vec<u64> = (0..dice.usize(1..4)).map(|_| dice.u64(..told.confirmed)).collect();
            for number in &freed {
                for table in tables {
                    batch.delete(table, &number.to_be_bytes());
                }
                told.freed.entry(*number).or_insert(false);
            }
            match store.free(&mut batch) {
                Ok(ticket) => open.push((ticket, 0, freed)),
                Err(error) => return gone(platter, told, &error),
            }
        }
        if dice.u8(..3) == 0 {
            tokio::select! {
                biased;
                () = platter.lost() => {}
                reached = confirmations.reach(ticket) => if let Err(error) = reached {
                    return gone(platter, told, &error);
                }
            }
        }
        open.retain(|(ticket, written, freed)| {
            let confirmed = confirmations.has(*ticket);
            if confirmed {
                told.confirmed = told.confirmed.max(*written);
                told.freed.extend(freed.iter().map(|number| (*number, true)));
            }
            !confirmed
        });
    }
}

/// A store ends when the power goes, and for no other reason.
fn gone(platter: &Platter, told: Told, error: &Error) -> Told {
    assert!(platter.is_lost(), "{error}");
    told
}

/// What is wrong with a store after the power came back; nothing if every promise was kept.
fn judge(store: &Store, told: &Told, confirmed: u64) -> Result<(), String> {
    let [first, second] = tables(store).map(|table| numbers(store, table));
    let (first, second) = (first.map_err(|e| e.to_string())?, second.map_err(|e| e.to_string())?);
    if first != second {
        return Err(format!("half of a batch: {first:?} and {second:?}"));
    }
    let newest = first.last().copied();
    for number in 0..told.written {
        let (there, freed) = (first.binary_search(&number).is_ok(), told.freed.get(&number).copied());
        if !there && freed.is_none() && (number < confirmed || newest.is_some_and(|newest| number < newest)) {
            return Err(format!("{number} of {confirmed} confirmed ones is missing"));
        }
        if there && freed == Some(true) && confirmed == told.confirmed {
            return Err(format!("{number} is back although its removal was confirmed"));
        }
    }
    let beyond = newest.filter(|newest| *newest >= told.written);
    beyond.map_or(Ok(()), |number| Err(format!("{number} was never written")))
}

/// One life of a disk, and what was wrong after it; `None` if the power went before anything was there.
async fn life(seed: u64, ignore_syncs: bool) -> Result<(), String> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let platter = Platter::new(Vec::new());
    if ignore_syncs {
        platter.ignore_syncs();
    }
    platter.light(dice.u64(20..600));
    let told = work(&platter, &mut dice, Settings::default()).await;
    // Twice, for a crash may come while an earlier one is being repaired.
    let image = platter.found((!seed.is_multiple_of(3)).then_some(&mut dice));
    let again = Platter::new(image);
    again.light(dice.u64(1..60));
    drop(on(&again, specs(), Settings::default()));
    again.cut();
    let found = Platter::new(again.found(Some(&mut dice)));
    let store = on(&found, specs(), Settings::default()).map_err(|failure| format!("refused: {failure}"))?;
    judge(&store, &told, told.confirmed)?;
    for table in tables(&store) {
        let usage = store.usage(table);
        let rows = numbers(&store, table).map_err(|error| error.to_string())?.len() as u64;
        if usage.rows != rows {
            return Err(format!("it says {} and has {rows}", usage.rows));
        }
    }
    store.close().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_was_confirmed_survives_the_loss_of_power() {
    let base = fastrand::u64(..1 << 32);
    for seed in base..base + 80 {
        if let Err(why) = life(seed, false).await {
            panic!("seed {seed}: {why}");
        }
    }
}

/// The proof that the test above can fail: the same with syncs that do nothing.
#[tokio::test]
async fn without_syncs_it_would_not() {
    let mut lost = 0;
    for seed in 0..30 {
        lost += usize::from(life(seed, true).await.is_err());
    }
    assert!(lost >= 20, "only {lost} of 30 lives without a sync lost something");
}

#[tokio::test]
async fn an_interval_loses_the_newest_and_leaves_no_hole() {
    let base = fastrand::u64(..1 << 32);
    for seed in base..base + 40 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let platter = Platter::new(Vec::new());
        platter.light(dice.u64(60..600));
        let settings = Settings { sync: Sync::Interval(Duration::from_millis(2)), ..Settings::default() };
        let told = work(&platter, &mut dice, settings).await;
        let found = Platter::new(platter.found(Some(&mut dice)));
        let store = on(&found, specs(), Settings::default()).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        judge(&store, &told, 0).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

#[tokio::test]
async fn closing_makes_an_interval_safe() {
    let platter = Platter::new(Vec::new());
    let settings = Settings { sync: Sync::Interval(Duration::from_secs(3600)), ..Settings::default() };
    let store = on(&platter, specs(), settings).unwrap();
    let mut batch = Batch::default();
    put(&mut batch, tables(&store)[0], 1);
    written(&store, &mut batch).await;
    let before = on(&Platter::new(platter.found(None)), specs(), Settings::default()).unwrap();
    assert_eq!(numbers(&before, tables(&before)[0]).unwrap(), Vec::<u64>::new(), "a confirmation is no sync here");
    store.close().await.unwrap();
    let after = on(&Platter::new(platter.found(None)), specs(), Settings::default()).unwrap();
    assert_eq!(numbers(&after, tables(&after)[0]).unwrap(), [1]);
}

#[tokio::test]
async fn a_disk_that_refused_to_sync_is_not_trusted_again() {
    let platter = Platter::new(Vec::new());
    let link = Link::default();
    let store = on(&platter, specs(), Settings { link: link.clone(), ..Settings::default() }).unwrap();
    platter.refuse_syncs();
    let mut batch = Batch::default();
    put(&mut batch, tables(&store)[0], 1);
    let ticket = store.write(&mut batch).await.unwrap();
    let error = store.confirmations().reach(ticket).await.unwrap_err().to_string();
    assert!(error.contains("refused to keep what was written"), "{error}");
    put(&mut batch, tables(&store)[0], 2);
    assert!(matches!(store.write(&mut batch).await, Err(Error::Ended { .. })));
    assert!(link.read().last_error.is_some());
    store.close().await.unwrap_err();
}
