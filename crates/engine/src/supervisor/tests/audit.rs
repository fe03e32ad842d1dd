//! The conservation law, looked at from outside.

use super::super::audit::{Account, Auditor};
use super::*;

#[tokio::test(start_paused = true)]
async fn books_that_do_not_balance_are_found_and_said_once() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let pipe = parts.source();
    let engine = Engine::start(parts.plan(), parts.host()).await.unwrap();
    pipe.send(&["a"]).await;
    settle_down().await;
    let (mut auditor, mut status) = (Auditor::default(), engine.status());
    assert_eq!((status.accounts().count(), auditor.look(&status)), (2, vec![]));

    let name = status.rules.keys().next().unwrap().clone();
    status.rules.get_mut(&name).unwrap().done += 2;
    let [found] = &auditor.look(&status)[..] else { panic!("one rule has drifted") };
    assert_eq!((found.kind, &found.name, found.drift()), ("rule", &name, -2));
    assert_eq!(auditor.look(&status), [], "it was said");
    status.rules.get_mut(&name).unwrap().matched += 5;
    assert_eq!(auditor.look(&status).iter().map(Account::drift).collect::<Vec<_>>(), [3]);
    let page = exposition::render(&status);
    assert!(page.contains(&format!("\ntidemill_conservation_drift{{kind=\"rule\",name=\"{name}\"}} 3\n")), "{page}");
    assert!(page.contains("\ntidemill_conservation_drift{kind=\"source\","), "{page}");
}

#[tokio::test(start_paused = true)]
async fn looking_ends_with_the_engine_and_keeps_nobody_from_dropping_it() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let _pipe = parts.source();
    let engine = Arc::new(Engine::start(parts.plan(), parts.host()).await.unwrap());
    let audit = tokio::spawn(Engine::audit(Arc::downgrade(&engine)));
    settle_down().await;
    assert!(!audit.is_finished() && Arc::strong_count(&engine) == 1);
    drop(engine);
    audit.await.unwrap();
}
