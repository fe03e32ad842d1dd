//! How a spool gets room, and what becomes of an event for which there is none.

use super::*;

/// Events of the same size, so that room can be counted in them.
fn alike(number: u64) -> Event {
    event(7).with_subject(format!("{number:06}").into())
}

/// The bytes of so many of them.
fn of(count: u64) -> u64 {
    let mut bytes = Vec::new();
    entry::write(&alike(0), "origin", &mut bytes);
    count * (8 + 12 + bytes.len() as u64)
}

async fn filled(inlet: &mut Inlet, numbers: std::ops::Range<u64>) {
    let last = numbers.end;
    for number in numbers {
        assert_eq!(inlet.append(alike(number), "origin"), Append::Accepted(number));
    }
    inlet.flush().await.unwrap();
    while inlet.confirmed().await.unwrap() < last {}
}

/// The sequences of everything that waits.
async fn left(outlet: &mut Outlet) -> Vec<u64> {
    let (mut entries, stored) = (Vec::new(), outlet.books().stored);
    while entries.len() < stored as usize {
        outlet.next(100, &mut entries).await.unwrap();
    }
    entries.into_iter().map(|entry| entry.sequence).collect()
}

/// A spool on which 3,000 events lie that would not have come there under this policy, an hour later.
async fn crowded(policy: Policy) -> (Store, Inlet, Outlet) {
    let platter = Platter::new(Vec::new());
    let store = store_on(&platter);
    filled(&mut open(&store, Policy::default(), &Hand::default()).0, 0..3_000).await;
    store.close().await.unwrap();
    let store = store_on(&platter);
    let clock = Hand::default();
    *clock.0.lock() = 3_600_000;
    let (inlet, outlet) = open(&store, policy, &clock);
    (store, inlet, outlet)
}

#[tokio::test]
async fn one_admission_removes_a_page_at_most_however_much_has_to_go() {
    let aged = Policy { max_bytes: of(10), max_age: Some(Duration::from_secs(60)), ..Policy::default() };
    for policy in [aged, Policy { max_bytes: of(10), on_full: OnFull::DropOldest, ..Policy::default() }] {
        let (_store, mut inlet, mut outlet) = crowded(policy).await;
        let mut before = 0;
        loop {
            let answer = inlet.append(alike(3_000), "origin");
            let dropped = outlet.books().dropped;
            let dropped = dropped.oldest + dropped.expired;
            assert!(dropped - before <= 512, "{} at once", dropped - before);
            before = dropped;
            match answer {
                Append::Accepted(_) => break,
                Append::Full(_) => inlet.room().await,
                Append::Dropped => panic!("the oldest go, and not the newest"),
            }
        }
        inlet.flush().await.unwrap();
        let books = outlet.books();
        assert!(books.balanced() && before == 2_991, "{books:?}");
        if policy.max_age.is_none() {
            assert_eq!(left(&mut outlet).await, (2_991..3_001).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn where_what_is_begun_holds_all_the_room_the_newest_goes_and_what_waits_stays() {
    let policy = Policy { max_bytes: of(3), on_full: OnFull::DropOldest, ..Policy::default() };
    let (mut inlet, mut outlet) = open(&store_on(&Platter::new(Vec::new())), policy, &Hand::default());
    filled(&mut inlet, 0..3).await;
    let mut begun = Vec::new();
    outlet.next(2, &mut begun).await.unwrap();
    // Twice as large: all that waits would have to go for nothing.
    let large = alike(3).with_data(Bytes::from(vec![0; of(2) as usize - 200]), None);
    assert_eq!(inlet.append(large, "origin"), Append::Dropped);
    assert_eq!(outlet.books().stored, 1);
    assert_eq!(inlet.append(alike(3), "origin"), Append::Accepted(3), "the one that waits makes room for it");
    inlet.flush().await.unwrap();
    outlet.next(1, &mut begun).await.unwrap();
    // Nothing waits any more.
    assert_eq!(inlet.append(alike(4), "origin"), Append::Dropped);
    let books = outlet.books();
    let expected = Dropped { oldest: 1, newest: 2, ..Dropped::default() };
    assert!(books.balanced() && books.dropped == expected, "{books:?}");
    // What is handed back stays in its room, and what is settled leaves it.
    outlet.hand_back(&[0]);
    assert_eq!(inlet.append(alike(4), "origin"), Append::Dropped);
    outlet.settle(&[1]).unwrap();
    assert_eq!(inlet.append(alike(4), "origin"), Append::Accepted(4));
}

#[tokio::test]
async fn what_never_fits_empties_no_spool_and_is_counted_for_what_it_is() {
    let large = || alike(9).with_data(Bytes::from(vec![0; of(2) as usize]), None);
    for on_full in [OnFull::DropOldest, OnFull::DropNewest] {
        let policy = Policy { max_bytes: of(2), on_full, ..Policy::default() };
        let (mut inlet, mut outlet) = open(&store_on(&Platter::new(Vec::new())), policy, &Hand::default());
        assert_eq!(inlet.append(large(), "origin"), Append::Dropped, "nor does it come in where nothing is");
        filled(&mut inlet, 0..2).await;
        assert_eq!(inlet.append(large(), "origin"), Append::Dropped);
        let books = outlet.books();
        assert!(books.balanced() && books.dropped == Dropped { oversized: 2, ..Dropped::default() }, "{books:?}");
        assert_eq!(left(&mut outlet).await, [0, 1]);
    }
    // What blocks loses nothing: it comes in when nothing else is there.
    let policy = Policy { max_bytes: of(2), ..Policy::default() };
    let (mut inlet, mut outlet) = open(&store_on(&Platter::new(Vec::new())), policy, &Hand::default());
    filled(&mut inlet, 0..1).await;
    assert_eq!(inlet.append(large(), "origin"), Append::Full(large()));
    left(&mut outlet).await;
    assert_eq!(inlet.append(large(), "origin"), Append::Full(large()));
    assert!(outlet.gauge().read().alone > Some(of(2)), "it is said why its source waits");
    outlet.settle(&[0]).unwrap();
    inlet.room().await;
    assert_eq!(inlet.append(large(), "origin"), Append::Accepted(1));
    assert_eq!(outlet.gauge().read().alone, None);
}
