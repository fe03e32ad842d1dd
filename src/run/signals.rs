//! The operator's wish to stop, counted: the first asks for a drain, the second for its end, the third for the end of
//! everything.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the process has been asked to stop, by SIGTERM or SIGINT.
#[derive(Clone, Debug)]
pub struct Signals(watch::Receiver<usize>);

impl Signals {
    /// Catches both signals from now on, on the current runtime.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn catch() -> io::Result<Signals> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (count, signals) = Signals::counted();
        tokio::spawn(async move {
            loop {
                let caught = tokio::select! {
                    caught = terminate.recv() => caught,
                    caught = interrupt.recv() => caught,
                };
                if caught.is_none() {
                    return;
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(signals)
    }

    /// A count that somebody else keeps, such as a demo that ends by itself.
    #[must_use]
    pub fn counted() -> (watch::Sender<usize>, Signals) {
        let (count, signals) = watch::channel(0);
        (count, Signals(signals))
    }

    /// Waits for the signal number `nth`, counted from one. Cancel safe.
    pub async fn reached(&self, nth: usize) {
        let mut count = self.0.clone();
        if count.wait_for(|count| *count >= nth).await.is_err() {
            // Nobody counts any more, so it never comes.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signals_are_counted_and_none_is_missed() {
        let (count, signals) = Signals::counted();
        count.send_modify(|count| *count += 1);
        signals.reached(1).await;
        let second = tokio::spawn({
            let signals = signals.clone();
            async move { signals.reached(2).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        count.send_modify(|count| *count += 1);
        second.await.unwrap();
        signals.reached(1).await;
    }
}
