//! A spool on a file that cannot be written to, or be read for now: nothing of it is missed.

use super::*;
use crate::store::Sync;

#[tokio::test]
async fn what_an_interval_has_confirmed_is_neither_missed_nor_skipped_while_the_disk_is_full() {
    let platter = Platter::new(Vec::new());
    let settings = Settings { sync: Sync::Interval(Duration::from_millis(200)), ..Settings::default() };
    let store = store_with(&platter, settings);
    // All but the first lie on the disk only.
    let (mut inlet, mut outlet) = open(&store, Policy { memory: 1, ..Policy::default() }, &Hand::default());
    platter.fits(0);
    platter.hold();
    appended(&mut inlet, 0..300).await;
    // The end of the interval has found the disk full, and what was confirmed is not in the file that is opened anew.
    until(|| platter.is_waited_for()).await;
    (300..310).for_each(|number| assert_eq!(inlet.append(event(number), "origin"), Append::Accepted(number)));
    inlet.flush().await.unwrap();
    assert_eq!(taken(&mut outlet, 1).await, [0]);
    let drawing = tokio::spawn(async move { taken(&mut outlet, 309).await });
    tokio::task::yield_now().await;
    platter.let_go();
    until(|| drawing.is_finished() || store.read().failures >= 4).await;
    assert!(!drawing.is_finished(), "it waits for what is not there");
    platter.fits(u64::MAX);
    assert_eq!(drawing.await.unwrap(), (1..310).collect::<Vec<_>>());
}
