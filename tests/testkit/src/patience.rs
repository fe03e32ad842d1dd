//! How long a test waits before it says what it was waiting for. The limit is far above anything
//! that is measured, so it never decides whether a slow machine passes.

use std::time::Duration;

/// The longest wait for any one event. On a machine that is busy with other things a Java program has taken a minute to start.
pub const LIMIT: Duration = Duration::from_secs(180);

/// How soon a peer that is not there yet is tried again.
pub const RETRY: Duration = Duration::from_millis(20);

/// Waits for `event`, or panics naming `what` was awaited.
pub async fn within<F: Future>(what: &str, event: F) -> F::Output {
    match tokio::time::timeout(LIMIT, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s in vain for {what}", LIMIT.as_secs()),
    }
}

/// Looks again and again, [`RETRY`] apart, until there is an answer; panics like [`within`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "in vain for a tide")]
    async fn a_wait_in_vain_says_what_it_was_for() {
        within("a tide", std::future::pending::<()>()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_yet_is_looked_for_again() {
        let mut looks = 0;
        let answer = until("the third look", async || {
            looks += 1;
            (looks == 3).then_some("seen")
        });
        assert_eq!(answer.await, "seen");
    }

    #[tokio::test]
    async fn an_event_that_comes_is_returned() {
        assert_eq!(within("a number", async { 7 }).await, 7);
    }
}
