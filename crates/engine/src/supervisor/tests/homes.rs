//! Which thread everything runs on, and that none is left behind.

use super::*;

/// Notes on which thread it publishes.
struct Where(Arc<Mutex<Vec<String>>>);

fn thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

impl OutputPlan for Where {
    fn durable(&self) -> bool {
        false
    }

    fn open(&self, _: Setup) -> Result<Box<dyn Output>, OpenError> {
        Ok(Box::new(Where(Arc::clone(&self.0))))
    }
}

impl Output for Where {
    fn publish(&self, _: &Event, _: Offer<'_>) -> Confirm {
        self.0.lock().push(thread());
        Confirm::Now(Ok(()))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        self.0.lock().push(format!("close on {}", thread()));
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_lives_on_its_own_threads_and_user_code_on_the_others() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (called, published) = (Arc::clone(&seen), Arc::new(Mutex::new(Vec::new())));
    let mut parts = Parts::new(judge(move |event, _| {
        called.lock().push(thread());
        crate::fake::one(crate::port::Verdict::Done(vec![event.clone()]))
    }));
    let pipe = parts.source();
    parts.outputs = vec![Some(Closing::Well)];
    parts.housing = Housing::Threads(4);
    let mut plan = parts.plan();
    plan.outputs[0].plan = Box::new(Where(Arc::clone(&published)));
    let engine = Engine::start(plan, parts.host()).await.unwrap();
    pipe.send(&["a", "b"]).await;
    while pipe.told.lock().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.drain(60 * SECOND).await, Drained::default());
    check(&engine.status());
    assert_eq!(*published.lock(), ["home-0", "home-0", "close on home-0"]);
    assert!(seen.lock().len() == 2 && seen.lock().iter().all(|name| !name.starts_with("home-")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_dropped_leaves_no_home_behind() {
    let mut parts = Parts::new(judge(|_, _| done()));
    let pipe = parts.source();
    parts.housing = Housing::Threads(1);
    let engine = parts.start().await.unwrap();
    pipe.send(&["a"]).await;
    drop(engine);
    // The source goes with its thread.
    pipe.messages.closed().await;
}
