//! What the tests of every kind need: an opened output, and events to publish.

use std::sync::Arc;

use bytes::Bytes;
use engine::config::Check;
use engine::event::{Event, Name, Trace};
use engine::metric::{Link, Page};
use engine::port::{Output, PublishError, SystemClock};
use engine::registry::{OpenError, OutputKind, Setup};

/// A setup for an output called `name` on a page.
pub(crate) fn setup(name: &str, page: &Page) -> Setup {
    Setup {
        name: name.into(),
        instance: "one".into(),
        seats: 0,
        state: None,
        clock: Arc::new(SystemClock),
        link: Link::default(),
        page: page.clone(),
    }
}

/// The options as a file would give them.
pub(crate) fn options<K: OutputKind>(_: &K, yaml_as_json: &str) -> K::Options {
    serde_json::from_str(yaml_as_json).unwrap()
}

/// What the check says of some options, one message per line.
pub(crate) fn complaints<K: OutputKind>(kind: &K, given: &str) -> Vec<String> {
    let mut check = Check::default();
    let plan = kind.check(options(kind, given), &mut check);
    assert_eq!(plan.is_none(), check.failed(), "{given}");
    check.finish().into_iter().map(|found| found.message).collect()
}

/// An output as the engine would open it.
pub(crate) fn open<K: OutputKind>(kind: &K, given: &str, setup: &Setup) -> Result<Box<dyn Output>, OpenError> {
    let mut check = Check::default();
    let plan = kind.check(options(kind, given), &mut check);
    plan.unwrap_or_else(|| panic!("{:?}", check.finish())).open(setup.clone())
}

/// An event with data.
pub(crate) fn event(r#type: &str, data: impl Into<Bytes>) -> Event {
    Event::new("7".into(), "/test".into(), r#type.into()).unwrap().with_data(data.into(), None)
}

/// Where the way of a [`traced`] event began.
pub(crate) const ORIGIN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// The hop that brought it, which goes on in headers.
pub(crate) const HOP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The event with a trace of its own, brought by a hop with another.
pub(crate) fn traced(event: Event) -> Event {
    let mut event = event.with_extension(Name::new(Trace::PARENT).unwrap(), ORIGIN);
    event.carried_by(Trace::read(HOP, Some("rojo=1,\tcongo=a b")).unwrap());
    event
}

/// Publishes and waits for the confirmation.
pub(crate) async fn publish(output: &dyn Output, event: &Event) -> Result<(), PublishError> {
    engine::port::confirmed(output, event).await
}
