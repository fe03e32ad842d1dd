//! An output on its port, and what the engine does with it: what was not confirmed is published again.

use std::ops::Range;

use engine::config::Check;
use engine::event::Event;
use engine::metric::Link;
use engine::port::{BoxFuture, Output, PublishError, confirmed};
use engine::registry::OutputKind;
use serde_json::Value;
use testkit::patience::{RETRY, within};

use super::rig::{message, setup, until};

/// An opened output.
pub(super) struct Outlet {
    output: Box<dyn Output>,
    pub(super) link: Link,
}

/// A confirmation to come.
pub(super) type Confirmation = BoxFuture<'static, Result<(), PublishError>>;

/// Makes an output of a kind from what a user would type.
pub(super) fn open<K: OutputKind>(kind: &K, object: &str, typed: Value) -> Outlet {
    let link = Link::default();
    let mut check = Check::default();
    let options = serde_json::from_value(typed).expect("the options of the suite can be read");
    let plan = kind.check(options, &mut check);
    let output = plan.unwrap_or_else(|| panic!("{:?}", check.finish())).open(setup(object, 0, &link));
    Outlet { output: output.expect("an output"), link }
}

/// An event of the suite.
fn event(number: usize, size: usize) -> Event {
    let event = Event::new(number.to_string().into(), "/suite".into(), "numbered".into()).expect("a sound event");
    event.with_data(message(number, size).into(), Some("application/json".into()))
}

impl Outlet {
    /// Publishes once, without waiting.
    pub(super) fn publish(&self, number: usize, size: usize) -> Confirmation {
        Box::pin(confirmed(&*self.output, &event(number, size)))
    }

    /// Publishes, and again as often as the output says that it may work later.
    async fn insist(&self, number: usize) {
        loop {
            match self.publish(number, 0).await {
                Ok(()) => return,
                Err(PublishError::Retry { .. }) => tokio::time::sleep(RETRY).await,
                Err(error) => panic!("event {number} was refused: {error}"),
            }
        }
    }

    /// Publishes all of them at once and returns when each is confirmed.
    pub(super) async fn confirmed(&self, numbers: Range<usize>) {
        within("every confirmation", self.publishing(numbers)).await;
    }

    /// The same, however long it takes.
    pub(super) async fn publishing(&self, numbers: Range<usize>) {
        let mut open: Vec<_> = numbers.map(|number| Box::pin(self.insist(number))).collect();
        let all = std::future::poll_fn(|context| {
            open.retain_mut(|one| one.as_mut().poll(context).is_pending());
            if open.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        all.await;
    }

    /// Waits until the last error holds `part`; answers it.
    pub(super) async fn error(&self, part: &str) -> String {
        until(&format!("an error about {part}"), || self.link.read().last_error.filter(|error| error.contains(part)))
            .await
    }

    /// Waits for what is open and lets go of the broker.
    pub(super) async fn close(self) {
        within("the output to close", self.output.close()).await.expect("the output closes well");
    }

    /// Lets go, whatever is open.
    pub(super) async fn leave(self) {
        let _ = within("the output to close", self.output.close()).await;
    }
}
