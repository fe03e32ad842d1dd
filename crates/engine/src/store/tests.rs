//! The store on a disk that loses its power, runs full and lets bits flip.

mod bounds;
mod crash;
mod files;
mod flips;

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::Disk;
use super::testing::Platter;
use super::*;

/// What the tests write under a key: of any length, and nothing that another key has.
fn value(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number);
    let length = 20 + random.usize(..600);
    number.to_be_bytes().into_iter().chain(std::iter::repeat_with(|| random.u8(..)).take(length)).collect()
}

fn spec(name: &str, quota: Quota) -> Spec {
    Spec { name: name.into(), quota }
}

/// A store on a disk in memory.
fn on(platter: &Platter, specs: Vec<Spec>, settings: Settings) -> Result<Store, String> {
    platter.store(Schema::SPOOL, specs, settings)
}

fn put(batch: &mut Batch, table: Table, number: u64) {
    batch.put(table, &number.to_be_bytes(), Stamp(number), |into| into.extend_from_slice(&value(number)));
}

/// The numbers in a table; every value has to be what was written.
fn numbers(store: &Store, table: Table) -> Result<Vec<u64>, Error> {
    let mut found = Vec::new();
    store.scan(table, &[], None, |key, record| {
        let number = u64::from_be_bytes(key.try_into().unwrap());
        assert_eq!(record, Record { stamp: Stamp(number), value: &value(number) }, "wrong bytes");
        found.push(number);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

async fn written(store: &Store, batch: &mut Batch) {
    let ticket = store.write(batch).await.unwrap();
    store.confirmations().reach(ticket).await.unwrap();
}
