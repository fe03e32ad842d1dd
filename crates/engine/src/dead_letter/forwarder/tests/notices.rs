//! What is told of letters: to every output that wants to know, whatever becomes of the letter meanwhile.

use super::*;
use crate::notice::FAILED;

/// Failures of `t/r` are told to two outputs, of which one gets the letters, too.
fn telling(quota: Quota) -> Bin {
    let told = HashMap::from([("t/r".into(), Arc::from(["dead".into(), "desk".into()]))]);
    Bin::on(Platter::new(Vec::new()), quota, Targets { told, ..targets() }).unwrap()
}

fn causes(seen: &Seen) -> Vec<String> {
    let cause = |event: &Event| event.extension("causationid").map(|id| id.text().into_owned()).unwrap_or_default();
    assert!(seen.events().iter().all(|event| event.r#type() == FAILED));
    seen.events().iter().map(cause).collect()
}

#[tokio::test]
async fn every_output_is_told_in_the_order_of_dying_and_letters_go_their_own_way() {
    let (bin, mut client) = (telling(Quota::default()), Client::new(SECOND));
    killed(&bin, &mut client, 0..70).await;
    let ((first, first_seen), (second, second_seen), (letters, letters_seen)) = (taking(), taking(), taking());
    let work = [
        Work::of(&bin, (Post::Notices, "dead"), first),
        Work::of(&bin, (Post::Notices, "desk"), second),
        Work::start(&bin, letters),
    ];
    killed(&bin, &mut client, 70..100).await;
    until(|| work.iter().all(|work| work.reading.counts().forwarded == 100)).await;
    assert_eq!(causes(&first_seen), numbers(0..100));
    assert_eq!(causes(&second_seen), numbers(0..100));
    assert_eq!(letters_seen.ids().len(), 100);
    assert_eq!(
        (bin.archive.waiting(Post::Notices, "dead"), bin.archive.untold()),
        (0, 0),
        "what is told takes no room"
    );
    assert_eq!(progress(&bin), BTreeMap::from([("forwarded", 100)]));
    for work in work {
        work.end().await;
    }
    let page = bin.archive.page(&Selection::default(), None, 1).unwrap();
    let data: serde_json::Value = serde_json::from_slice(first_seen.events()[0].data().unwrap()).unwrap();
    assert_eq!(data["deadLetter"], page.letters[0].0.to_string(), "it says which letter it is about");
}

#[tokio::test]
async fn a_notice_is_owed_even_when_its_letter_is_gone() {
    let (bin, mut client) = (telling(Quota::default()), Client::new(SECOND));
    killed(&bin, &mut client, 0..3).await;
    assert_eq!(bin.archive.purge(&Selection::default()).await.unwrap(), 3);
    bin.task.abort();
    bin.store.close().await.unwrap();
    let told = HashMap::from([("t/r".into(), Arc::from(["desk".into()]))]);
    let platter = Platter::new(bin.platter.found(None));
    let bin = Bin::on(platter, Quota::default(), Targets { told, ..Targets::default() }).unwrap();
    assert_eq!(bin.archive.stranded(Post::Notices), [("dead".into(), 3)], "whose output is not there any more");
    let (output, seen) = taking();
    let work = Work::of(&bin, (Post::Notices, "desk"), output);
    until(|| work.reading.counts().forwarded == 3).await;
    work.end().await;
    assert_eq!(causes(&seen), numbers(0..3));
}

#[tokio::test]
async fn a_notice_that_is_refused_for_good_holds_nobody_up_and_is_counted() {
    let (bin, mut client) = (telling(Quota::default()), Client::new(SECOND));
    killed(&bin, &mut client, 0..3).await;
    let refuses = |event: &Event| event.extension("causationid").is_some_and(|id| id.text() == "1");
    let (output, seen) = recorder(move |event| {
        let answer = if refuses(event) { Err(PublishError::Reject { reason: "too large".to_owned() }) } else { Ok(()) };
        Say::Now(answer)
    });
    let work = Work::of(&bin, (Post::Notices, "desk"), output);
    until(|| bin.archive.waiting(Post::Notices, "desk") == 0).await;
    until(|| work.reading.counts().refused == 1).await;
    assert_eq!((work.reading.counts().forwarded, seen.ids().len()), (2, 3));
    work.end().await;
    assert_eq!(progress(&bin), BTreeMap::from([("waiting", 3)]), "that says nothing of the letters");
}

#[tokio::test]
async fn what_is_not_told_takes_the_room_of_letters() {
    let quota = |max_bytes| Quota { max_bytes: Some(max_bytes), on_full: OnFull::Block, ..Quota::default() };
    let (bin, mut client) = (telling(quota(1 << 30)), Client::new(SECOND));
    killed(&bin, &mut client, 0..10).await;
    let letters = bin.archive.usage().bytes;
    assert!(bin.archive.untold() > 0);
    let (bin, mut client) = (telling(quota(letters + 1)), Client::new(SECOND));
    (0..10).for_each(|id| kill(&bin, &mut client, event(&id.to_string())));
    until(|| bin.archive.usage().rows == 10).await;
    assert!(bin.archive.usage().bytes < letters + 1 && bin.archive.is_full());
    let works = ["dead", "desk"].map(|output| Work::of(&bin, (Post::Notices, output), taking().0));
    // Whoever waits for room hears of it when everybody is told.
    bin.archive.room().await;
    for work in works {
        work.end().await;
    }
}
