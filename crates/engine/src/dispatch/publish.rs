//! Publishing a delivery's results, behind the workers' backs.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Key;
use super::delivery::Unconfirmed;
use crate::event::Event;
use crate::invoke::panic_text;
use crate::port::{self, Confirm, Offer, Output, PublishError};

/// What a line waits for from its outputs.
pub(super) type Confirmations = port::Confirmations<(Key, Unconfirmed)>;

/// What an output said of one result.
pub(super) type Confirmed = ((Key, Unconfirmed), Result<(), PublishError>);

/// Begins to publish. A binding that panics has failed this event and takes no other delivery down with it.
pub(crate) fn publish(binding: &dyn Output, event: &Event, offer: Offer<'_>) -> Confirm {
    let confirm = catch_unwind(AssertUnwindSafe(|| binding.publish(event, offer)));
    confirm.unwrap_or_else(|payload| Confirm::Now(Err(panicked(payload.as_ref()))))
}

fn panicked(payload: &(dyn Any + Send)) -> PublishError {
    PublishError::Retry { after: None, error: format!("it panicked: {}", panic_text(payload)) }
}
