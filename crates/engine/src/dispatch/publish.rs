//! Publishing a delivery's results, behind the workers' backs.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Key;
use super::delivery::Unconfirmed;
use crate::event::Event;
use crate::invoke::panic_text;
use crate::port::{BoxFuture, Confirm, Output, PublishError};

/// Begins to publish. A binding that panics has failed this event and takes no other delivery down with it.
pub(super) fn publish(binding: &dyn Output, event: &Event) -> Confirm {
    let confirm = catch_unwind(AssertUnwindSafe(|| binding.publish(event)));
    confirm.unwrap_or_else(|payload| Confirm::Now(Err(panicked(payload.as_ref()))))
}

fn panicked(payload: &(dyn Any + Send)) -> PublishError {
    PublishError::Retry { after: None, error: format!("it panicked: {}", panic_text(payload)) }
}

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
        let polled = catch_unwind(AssertUnwindSafe(|| this.confirm.as_mut().poll(context)));
        let polled = polled.unwrap_or_else(|payload| Poll::Ready(Err(panicked(payload.as_ref()))));
        match (polled, this.result.take()) {
            (Poll::Ready(outcome), Some(result)) => Poll::Ready(Confirmed { key: this.key, result, outcome }),
            (_, result) => {
                this.result = result;
                Poll::Pending
            }
        }
    }
}
