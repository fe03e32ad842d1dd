//! Publishing a delivery's results, behind the workers' backs.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Key;
use super::delivery::Unconfirmed;
use crate::port::{BoxFuture, PublishError};

/// The confirmations that a line waits for.
#[derive(Default)]
pub(super) struct Confirmations(FuturesUnordered<Waiting>);

/// What an output said of one result.
pub(super) struct Confirmed {
    pub(super) key: Key,
    pub(super) result: Unconfirmed,
    pub(super) outcome: Result<(), PublishError>,
}

struct Waiting {
    key: Key,
    result: Option<Unconfirmed>,
    confirm: BoxFuture<'static, Result<(), PublishError>>,
}

impl Confirmations {
    pub(super) fn add(&mut self, key: Key, result: Unconfirmed, confirm: BoxFuture<'static, Result<(), PublishError>>) {
        self.0.push(Waiting { key, result: Some(result), confirm });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for one, then takes every one that is ready.
    pub(super) async fn next(&mut self, into: &mut Vec<Confirmed>) {
        into.extend(self.0.next().await);
        while let Some(Some(confirmed)) = futures_util::FutureExt::now_or_never(self.0.next()) {
            into.push(confirmed);
        }
    }
}

impl Future for Waiting {
    type Output = Confirmed;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Confirmed> {
        let this = self.get_mut();
        match (this.confirm.as_mut().poll(context), this.result.take()) {
            (Poll::Ready(outcome), Some(result)) => Poll::Ready(Confirmed { key: this.key, result, outcome }),
            (_, result) => {
                this.result = result;
                Poll::Pending
            }
        }
    }
}
