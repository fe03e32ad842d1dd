//! The runs of one source: started, watched, and started again after a capped, jittered back-off.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use crate::delivery::{Inbox, Ledger, Route};
use crate::event::Text;
use crate::metric::Link;
use crate::port::{Shutdown, Source, SourceError};

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
    pub(super) stop: Shutdown,
    /// Makes the router of one run.
    pub(super) route: Box<dyn Fn() -> Box<dyn Route> + Send>,
}

impl Runs {
    /// Runs the source until it is asked to stop or says that starting again cannot help.
    pub(super) async fn serve(mut self) {
        let mut failures = 0u32;
        loop {
            let began = Instant::now();
            let inbox = Inbox::new(self.seats, self.ledger.clone(), (self.route)());
            let run = AssertUnwindSafe(self.source.run(inbox, self.stop.clone())).catch_unwind().await;
            if self.stop.now().is_some() {
                break;
            }
            let sentence = match run {
                Ok(Ok(())) => "it ended without being asked to".to_owned(),
                Ok(Err(SourceError::Restart(sentence, _))) => sentence,
                Ok(Err(SourceError::Fatal(sentence, _))) => {
                    error!(source = %self.name, "given up: {sentence}");
                    self.link.disconnected(sentence);
                    break;
                }
                Err(payload) => format!("it panicked: {}", panic_text(payload.as_ref())),
            };
            failures = if began.elapsed() >= STEADY { 1 } else { failures.saturating_add(1) };
            let pause = pause(failures);
            warn!(source = %self.name, ?pause, "starts again: {sentence}");
            self.link.disconnected(sentence);
            tokio::select! {
                _ = self.stop.requested() => break,
                () = sleep(pause) => {}
            }
        }
        self.link.stopped();
    }
}

/// Doubles from 200 ms, with up to half of jitter, capped.
fn pause(failures: u32) -> Duration {
    let longest = Duration::from_millis(200).saturating_mul(1 << failures.saturating_sub(1).min(10));
    longest.min(PAUSE_MAX).mul_f64(0.5 + 0.5 * fastrand::f64())
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
