//! Functions whose workers keep state between calls.

use std::fmt;
use std::future::{Future, ready};
use std::sync::Arc;

use engine::event::Event;
use engine::port::{self, BoxFuture, Call, Function, StartError, Verdict, Verdicts};
use engine::registry::{OpenError, Setup};
use tokio::sync::Mutex;

use super::{Entry, Error};

/// One worker with a state of its own. It lives as long as the pool keeps the worker: a worker that has been idle is
/// stopped and its state dropped, so what must outlive it belongs to the factory (see [`stateful()`]) or to a store.
pub trait Worker: Send + 'static {
    /// Handles one event. Calls of one worker never overlap. A call that passes its deadline is dropped where it awaits:
    /// change the state after the last `await` and it is never half changed.
    ///
    /// # Errors
    /// [`Error`] says whether to try the event again, to put it aside or to drop it; `?` on any error tries again.
    fn call(&mut self, event: Event, call: &Call) -> impl Future<Output = Result<Vec<Event>, Error>> + Send;
}

/// A function whose workers are made by a factory, see [`stateful()`].
pub struct Stateful<F>(Arc<F>);

/// A function that calls `factory` once for every worker it starts. What the closure captures is shared by all workers,
/// and by all functions of a configuration that are given this name; to share it among one function's workers only,
/// register a closure over [`Setup`] that makes it anew:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use engine::event::Event;
/// use engine::port::Call;
/// use engine::registry::Setup;
/// use functions::native::{Error, Registry, Worker, stateful};
///
/// struct Count(Arc<AtomicU64>);
///
/// impl Worker for Count {
///     async fn call(&mut self, _event: Event, _call: &Call) -> Result<Vec<Event>, Error> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         Ok(vec![])
///     }
/// }
///
/// let registry = Registry::default().with("count", |_setup: Setup| {
///     let total = Arc::new(AtomicU64::new(0));
///     Ok(stateful(move || Count(Arc::clone(&total))))
/// });
/// ```
pub fn stateful<F, W>(factory: F) -> Stateful<F>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Worker,
{
    Stateful(Arc::new(factory))
}

impl<F> fmt::Debug for Stateful<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stateful")
    }
}

impl<F, W> Entry for Stateful<F>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Worker,
{
    fn open(&self, _: Setup) -> Result<Box<dyn Function>, OpenError> {
        Ok(Box::new(Stateful(Arc::clone(&self.0))))
    }
}

impl<F, W> Function for Stateful<F>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Worker,
{
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn port::Worker>, StartError>> {
        let worker: Box<dyn port::Worker> = Box::new(Serial(Mutex::new((self.0)())));
        Box::pin(ready(Ok(worker)))
    }
}

/// Lets one call at a time at the state, in the order of arrival.
struct Serial<W>(Mutex<W>);

impl<W: Worker> port::Worker for Serial<W> {
    fn call<'a>(&'a self, events: &'a [Event], call: &'a Call) -> BoxFuture<'a, Verdicts> {
        Box::pin(async move {
            let mut worker = self.0.lock().await;
            let mut verdicts = Verdicts::new();
            for event in events {
                let answer = worker.call(event.clone(), call).await;
                verdicts.push(answer.map_or_else(Verdict::from, Verdict::Done));
            }
            verdicts
        })
    }
}
