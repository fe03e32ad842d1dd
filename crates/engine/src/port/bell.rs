//! How somebody outside asks a source for one more event now: a bell that a source may hang out.
//!
//! The engine knows nothing of schedules. A source whose events do not come from a broker, such as a clock, answers
//! [`Source::bell`](super::Source::bell) with the pulling end and listens at the other; whoever pulls learns the id of the
//! event that was handed over.

use tokio::sync::{mpsc, oneshot};

use crate::event::Text;

/// Pulls that wait to be heard; a further one waits before it is made.
const WAITING: usize = 16;

/// The pulling end.
#[derive(Clone, Debug)]
pub struct Bell(mpsc::Sender<Ring>);

/// The listening end.
#[derive(Debug)]
pub struct Rings(mpsc::Receiver<Ring>);

/// One pull, to be answered with the id of the event that it made.
#[derive(Debug)]
pub struct Ring(oneshot::Sender<Text>);

impl Bell {
    /// A connected pair.
    #[must_use]
    pub fn hang() -> (Bell, Rings) {
        let (pull, listen) = mpsc::channel(WAITING);
        (Bell(pull), Rings(listen))
    }

    /// Asks for one event now, and answers its id once it is handed over; nothing when the source has ended. Dropping this
    /// takes the wish back, unless it was heard already.
    pub async fn pull(&self) -> Option<Text> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Ring(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Rings {
    /// Waits for somebody to pull; for ever when nobody can any more. Cancel safe.
    pub async fn next(&mut self) -> Ring {
        loop {
            match self.0.recv().await {
                // Nobody waits for a wish that was taken back.
                Some(ring) if !ring.is_waited_for() => {}
                Some(ring) => return ring,
                None => std::future::pending().await,
            }
        }
    }
}

impl Ring {
    /// Whether whoever pulled still waits for the event.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        !self.0.is_closed()
    }

    /// The event with this `id` was handed over.
    pub fn answer(self, id: Text) {
        // Who does not wait for the answer does not need it.
        drop(self.0.send(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_pulls_learns_the_id() {
        let (bell, mut rings) = Bell::hang();
        let (id, ()) = tokio::join!(bell.pull(), async { rings.next().await.answer("e-1".into()) });
        assert_eq!(id, Some("e-1".into()));
        drop(rings);
        assert_eq!(bell.pull().await, None);
    }

    #[tokio::test]
    async fn a_wish_that_is_taken_back_is_not_heard() {
        let (bell, mut rings) = Bell::hang();
        tokio::select! {
            biased;
            _ = bell.pull() => panic!("nobody answers"),
            () = tokio::task::yield_now() => {}
        }
        let other = bell.clone();
        let (mut hasty, heard) = (Box::pin(bell.pull()), rings.next());
        tokio::select! {
            biased;
            _ = &mut hasty => panic!("nobody answers"),
            ring = heard => {
                assert!(ring.is_waited_for());
                drop(hasty);
                assert!(!ring.is_waited_for(), "taken back after it was heard");
            }
        }
        let second = tokio::spawn(async move { other.pull().await });
        rings.next().await.answer("second".into());
        assert_eq!(second.await.unwrap(), Some("second".into()));
    }
}
