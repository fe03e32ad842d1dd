//! Functions that keep nothing between calls.

use std::future::{Future, ready};
use std::sync::Arc;

use engine::event::Event;
use engine::port::{self, BoxFuture, Call, Function, StartError, Verdicts};
use engine::registry::{OpenError, Setup};

use super::{Answer, Entry};

/// A function made of one closure, see [`stateless()`].
#[derive(Debug)]
pub struct Stateless<F>(Arc<F>);

/// A function that is one `async fn` or closure. Its workers share it, and each runs as many calls at once as the pool's
/// `concurrency` says; the events of a batch run one after the other.
pub fn stateless<F, R>(function: F) -> Stateless<F>
where
    F: Fn(Event, Call) -> R + Send + Sync + 'static,
    R: Future<Output: Answer> + Send + 'static,
{
    Stateless(Arc::new(function))
}

impl<F, R> Entry for Stateless<F>
where
    F: Fn(Event, Call) -> R + Send + Sync + 'static,
    R: Future<Output: Answer> + Send + 'static,
{
    fn open(&self, _: Setup) -> Result<Box<dyn Function>, OpenError> {
        Ok(Box::new(Stateless(Arc::clone(&self.0))))
    }
}

impl<F, R> Function for Stateless<F>
where
    F: Fn(Event, Call) -> R + Send + Sync + 'static,
    R: Future<Output: Answer> + Send + 'static,
{
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn port::Worker>, StartError>> {
        let worker: Box<dyn port::Worker> = Box::new(Stateless(Arc::clone(&self.0)));
        Box::pin(ready(Ok(worker)))
    }
}

impl<F, R> port::Worker for Stateless<F>
where
    F: Fn(Event, Call) -> R + Send + Sync + 'static,
    R: Future<Output: Answer> + Send + 'static,
{
    fn call<'a>(&'a self, events: &'a [Event], call: &'a Call) -> BoxFuture<'a, Verdicts> {
        Box::pin(async move {
            let mut verdicts = Verdicts::new();
            for event in events {
                verdicts.push((self.0)(event.clone(), call.clone()).await.verdict());
            }
            verdicts
        })
    }
}
