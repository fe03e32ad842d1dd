//! Stands where the Pushgateway's client would, in a binary that was built without it: `push:` is refused by the check.

use engine::port::{BoxFuture, PublishError};
use engine::registry::{OpenError, Setup};

use crate::prometheus::Target;

/// Whether this binary can push.
pub(crate) const AVAILABLE: bool = false;

/// Cannot exist here.
#[derive(Debug)]
pub(crate) enum Pusher {}

impl Pusher {
    /// Refuses, in case nobody asked the check.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn start(target: &Target, _: &Setup, _: Box<dyn Fn() -> String + Send>) -> Result<Pusher, OpenError> {
        let Target { url, interval, job } = target;
        let message = format!(
            "this binary cannot push job '{job}' to {url:?} every {interval:?}; build it with --features prometheus-push"
        );
        Err(OpenError { message, cause: None })
    }

    pub(crate) fn group(&self) -> &str {
        match *self {}
    }

    pub(crate) fn close(&self) -> BoxFuture<'_, Result<(), PublishError>> {
        match *self {}
    }
}
