//! The runs of one source: started, watched, and started again after a capped, jittered back-off.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::RouteMaker;
use crate::delivery::{Inbox, Ledger};
use crate::event::Text;
use crate::invoke::panic_text;
use crate::metric::Link;
use crate::port::{Shutdown, Source, SourceError, Stop, Trigger};

/// The longest pause between two runs.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A run that lasted this long ended for a new reason: the back-off begins anew.
const STEADY: Duration = Duration::from_secs(60);

/// One source and what each of its runs gets.
pub(super) struct Runs {
    pub(super) name: Text,
    pub(super) source: Box<dyn Source>,
    pub(super) seats: usize,
    pub(super) ledger: Ledger,
    pub(super) link: Link,
    pub(super) route: Arc<RouteMaker>,
    /// Whether its messages are on the disk here.
    pub(super) durable: bool,
}

/// The runs of a source as whoever ends them sees them.
pub(super) struct Running {
    pub(super) stop: Trigger,
    /// How the last run ended, once it has.
    ended: watch::Receiver<Option<Result<(), String>>>,
    pub(super) abort: AbortHandle,
}

impl Running {
    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }

    /// Whether it has left as it was asked to.
    pub(super) fn ended_well(&self) -> bool {
        matches!(*self.ended.borrow(), Some(Ok(())))
    }

    /// Waits until it has ended. Cancel safe.
    pub(super) async fn ended(&self) -> Result<(), String> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => (*result).clone().unwrap_or(Ok(())),
            Err(_) => Err("it was aborted".to_owned()),
        }
    }
}

impl Runs {
    /// Begins to run the source there, once the one before it has ended.
    pub(super) fn start(self, home: &Handle, before: Option<&Running>) -> Running {
        let (stop, shutdown) = Shutdown::channel();
        let (ending, ended) = watch::channel(None);
        let mut before = before.map(|before| before.ended.clone());
        let task = home.spawn(async move {
            if let Some(before) = &mut before {
                // However it ended, and if it was aborted it has ended, too.
                drop(before.wait_for(Option::is_some).await);
                if shutdown.now() == Some(Stop::Keep) {
                    // Asked to end before it has begun, which needs no connection.
                    ending.send_replace(Some(Ok(())));
                    return;
                }
            }
            let result = self.serve(shutdown).await;
            ending.send_replace(Some(result));
        });
        Running { stop, ended, abort: task.abort_handle() }
    }

    /// Runs the source until it is asked to stop or says that starting again cannot help. An error is the reason why it
    /// did not end as asked: what it has not acknowledged is delivered again, and its session may remain at the broker.
    async fn serve(mut self, mut stop: Shutdown) -> Result<(), String> {
        let mut failures = 0u32;
        let ended = loop {
            let began = Instant::now();
            let run = self.run(stop.clone()).await;
            let sentence = match run {
                Ok(Ok(())) if stop.now().is_some() => break Ok(()),
                Ok(Ok(())) => "it ended without being asked to".to_owned(),
                Ok(Err(SourceError::Restart(sentence, _))) => sentence,
                Ok(Err(SourceError::Fatal(sentence, _))) => {
                    error!(source = %self.name, "given up: {sentence}");
                    break Err(sentence);
                }
                Err(payload) => format!("it panicked: {}", panic_text(payload.as_ref())),
            };
            if stop.now().is_some() {
                warn!(source = %self.name, "did not end as asked: {sentence}");
                break Err(sentence);
            }
            failures = if began.elapsed() >= STEADY { 1 } else { failures.saturating_add(1) };
            let pause = pause(failures);
            warn!(source = %self.name, ?pause, "starts again: {sentence}");
            self.link.disconnected(sentence);
            tokio::select! {
                stop = stop.requested() => match stop {
                    // Nothing is in flight between two runs, and the session is to be kept.
                    Stop::Keep => break Ok(()),
                    // Only a run can end the session.
                    Stop::Leave => {}
                },
                () = sleep(pause) => {}
            }
        };
        if let Err(sentence) = &ended {
            self.link.disconnected(sentence.as_str());
        }
        self.link.stopped();
        ended
    }

    async fn run(&mut self, stop: Shutdown) -> Result<Result<(), SourceError>, Box<dyn Any + Send>> {
        let inbox = if self.durable { Inbox::durable } else { Inbox::new };
        let inbox = inbox(self.seats, self.ledger.clone(), (self.route)());
        let source = &mut self.source;
        // The part of a run before its first suspension may panic, too.
        AssertUnwindSafe(async { source.run(inbox, stop).await }).catch_unwind().await
    }
}

/// Doubles from 200 ms, with up to half of jitter, capped.
fn pause(failures: u32) -> Duration {
    let longest = Duration::from_millis(200).saturating_mul(1 << failures.saturating_sub(1).min(10));
    longest.min(PAUSE_MAX).mul_f64(0.5 + 0.5 * fastrand::f64())
}
