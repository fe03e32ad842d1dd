//! For outputs whose client has a future for every event: each runs in a task of its own and answers the event's ticket.
//!
//! Where the far side confirms by number, a window of tickets is cheaper; see [`engine::port`].

use engine::port::{Confirm, Offer, PublishError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What is under way of one output.
#[derive(Debug, Default)]
pub(crate) struct Courier {
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Courier {
    /// Sends one event on its way, on the runtime of whoever publishes.
    pub(crate) fn send<F>(&self, offer: Offer<'_>, delivery: F) -> Confirm
    where
        F: Future<Output = Result<(), PublishError>> + Send + 'static,
    {
        let (ticket, later) = offer.accept();
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            tokio::pin!(delivery);
            let outcome = tokio::select! {
                biased;
                outcome = &mut delivery => outcome,
                () = closing.cancelled() => {
                    // What was handed back goes its way again; nobody waits for this answer.
                    if ticket.is_abandoned() {
                        return;
                    }
                    delivery.await
                }
            };
            ticket.answer(outcome);
        });
        later
    }

    /// Waits for what somebody waits for, and drops the rest.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use engine::port::Confirmations;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn closing_waits_for_those_who_are_waited_for_and_drops_the_rest() {
        let courier = Courier::default();
        let (mut stays, mut leaves) = (Confirmations::default(), Confirmations::default());
        let (release, released) = oneshot::channel();
        let held = courier.send(stays.offer(), async move { released.await.map_err(|_| unreachable!()) });
        let Confirm::Later(promise) = held else { panic!("nobody knows yet") };
        stays.expect(&promise, ());
        let Confirm::Later(promise) = courier.send(leaves.offer(), std::future::pending()) else { panic!("nor here") };
        leaves.expect(&promise, ());
        drop(leaves);
        let closed = async {
            courier.close().await;
            assert_eq!(courier.tasks.len(), 0);
        };
        let told = async {
            tokio::task::yield_now().await;
            release.send(()).expect("it is waited for");
            let mut answers = Vec::new();
            stays.next(&mut answers).await;
            assert_eq!(answers, [((), Ok(()))]);
        };
        tokio::join!(closed, told);
    }
}
