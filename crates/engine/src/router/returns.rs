//! Results that go back into the router: for the rules that publish them an output, for those that take them a source, and
//! between both a spool.
//!
//! Decisions: **what comes back is as durable as its parent's end**: the output confirms when the result is on the disk, so a
//! parent settles after that and a crash repeats results and loses none; **who is fed from here never waits for room here**, as
//! two rounds that wait for each other would wait for ever: what finds no room fails for now, and is parked; and **every round
//! is counted** in an attribute, so that a circle that nobody saw ends as dead letters.

#[cfg(test)]
mod tests;

use crate::config::AckPoint;
use crate::delivery::Inbox;
use crate::event::{Event, Name, Text, Value};
use crate::metric::Link;
use crate::notice::CAUSE;
use crate::port::{BoxFuture, Confirm, Offer, Output, PublishError, Shutdown, Source, SourceError};
use crate::registry::{OpenError, OutputPlan, Setup, SourceFacts, SourcePlan};
use crate::spool::Desk;

/// What the output and the source are called, which nothing else may be.
pub(crate) const NAME: &str = "router";
/// How often an event may come back.
pub(crate) const ROUNDS_MAX: u32 = 16;
/// The attribute that says how often something has come back.
const ROUNDS: &str = "tidemillhops";

/// How often an event has come back.
fn rounds(event: &Event) -> u32 {
    let text = event.extension(ROUNDS).map(Value::text);
    text.map_or(0, |text| text.parse().unwrap_or(u32::MAX))
}

/// A result as it goes back: one round more than the event that it was made of, which it names.
pub(crate) fn returned(mut result: Event, of: &Event) -> Event {
    let rounds = rounds(of).saturating_add(1);
    let same = result.id() == of.id() && result.source() == of.source();
    let mut edit = result.edit();
    if let Ok(name) = Name::new(ROUNDS) {
        edit.extension(name, Value::Integer(rounds.into()));
    }
    // An event that goes on as it is has no other cause.
    if let (false, Ok(name)) = (same, Name::new(CAUSE)) {
        edit.extension(name, Value::String(of.id().clone()));
    }
    result
}

/// The way back, as an output.
pub(crate) struct Way {
    desk: Desk,
    /// Whether what finds no room waits for some.
    patient: bool,
}

impl Way {
    /// The way for rules that nothing comes back to.
    pub(crate) fn patient(desk: Desk) -> Way {
        Way { desk, patient: true }
    }

    /// The way for rules that make room by getting on.
    pub(crate) fn hasty(desk: Desk) -> Way {
        Way { desk, patient: false }
    }
}

impl Output for Way {
    fn publish(&self, event: &Event, offer: Offer<'_>) -> Confirm {
        if rounds(event) > ROUNDS_MAX {
            let reason = format!(
                "the event has come back {ROUNDS_MAX} times ('{ROUNDS}'), so its rules go round in a circle; tell what goes \
                 back from what is taken, by its type"
            );
            return Confirm::Now(Err(PublishError::Reject { reason }));
        }
        self.desk.publish(event.clone(), self.patient, offer)
    }
}

/// The router in a plan, as an output and as a source.
pub(crate) struct Plan;

impl OutputPlan for Plan {
    fn durable(&self) -> bool {
        true
    }

    fn open(&self, _: Setup) -> Result<Box<dyn Output>, OpenError> {
        // The supervisor makes it of the spool, which no adapter is given.
        Err(OpenError { message: "the way back into the router has no spool".to_owned(), cause: None })
    }
}

impl SourcePlan for Plan {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            ack: AckPoint::Spooled,
            redelivers: true,
            keyed: true,
            in_order: true,
            captures: Vec::new(),
            limits: vec![format!("an event that would come back more than {ROUNDS_MAX} times becomes a dead letter")],
        }
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Nobody(setup.link)))
    }
}

/// The front of the router's spool, where nothing is received: whatever is in it was published.
struct Nobody(Link);

impl Nobody {
    async fn wait(&self, inbox: Inbox, mut stop: Shutdown) {
        self.0.connected();
        let (intake, mut settlements) = inbox.split();
        stop.requested().await;
        drop(intake);
        let mut nothing = Vec::new();
        while settlements.next(&mut nothing).await {
            nothing.clear();
        }
    }
}

impl Source for Nobody {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            self.wait(inbox, stop).await;
            Ok(())
        })
    }
}

/// Whether this is the router's own source or output.
pub(crate) fn is(name: &Text) -> bool {
    name == NAME
}
