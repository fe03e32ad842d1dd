//! Messages that have been here for nearly as long as the broker bears.
//!
//! RabbitMQ closes the channel of a consumer that leaves a message unacknowledged for too long, and takes all the others of
//! it away. Decision: in time for that, what has no seat is handed back, and the engine is asked for what has one; a call that
//! runs is dropped, and its message goes back when its seat settles. What is still here a little later, because its function
//! blocks its thread or its results wait for an output, is handed back all the same: better one event that runs twice than
//! a channel's worth of them.

use std::time::Duration;

use engine::delivery::Settlements;
use tokio::time::Instant;

use super::{Run, Session};
use crate::amqp::message::Incoming;
use crate::amqp::unacked::Tag;

/// Hundredths of consumerTimeout after which the engine is asked for an event, and after which it is handed back.
const ASK: u32 = 90;
const LAST: u32 = 95;

/// How old an event may become with this consumerTimeout before the engine is asked for it.
pub(in crate::amqp) fn asked(timeout: Duration) -> Duration {
    timeout * ASK / 100
}

impl Run<'_> {
    /// When something will be too old for the first or the last time.
    pub(super) fn late(&self, session: &Session) -> Option<Instant> {
        let ask = session.unacked.oldest_unasked().map(|since| since + self.part(ASK));
        let last = session.unacked.oldest().map(|since| since + self.part(LAST));
        ask.into_iter().chain(last).min()
    }

    fn part(&self, hundredths: u32) -> Duration {
        self.made_of.timeout * hundredths / 100
    }

    /// Asks for what has become too old, and hands back what was asked for in vain.
    pub(super) fn hasten(&mut self, now: Instant, session: &mut Session, settlements: &mut Settlements) {
        if let Some(then) = now.checked_sub(self.part(ASK)) {
            let old = session.unacked.ask(then);
            self.ask(&old, session, settlements);
        }
        if let Some(then) = now.checked_sub(self.part(LAST)) {
            let overdue = session.unacked.before(then);
            self.insist(overdue, session);
        }
    }

    /// Hands back what has no seat and asks for what has one. `old` is in ascending order.
    fn ask(&mut self, old: &[Tag], session: &mut Session, settlements: &mut Settlements) {
        if old.is_empty() {
            return;
        }
        let is_old = |tag: Tag| old.binary_search(&tag).is_ok();
        let staged = std::mem::take(&mut self.staged);
        let (waiting, staged): (Vec<Incoming>, Vec<_>) = staged.into_iter().partition(|one| is_old(one.delivery.tag));
        self.staged = staged.into();
        self.staged_bytes = self.staged.iter().map(|staged| staged.payload.len() + staged.properties.len()).sum();
        let mut seats = Vec::new();
        for place in self.places.iter_mut().flatten().filter(|place| place.epoch == session.epoch && is_old(place.tag))
        {
            place.asked = true;
            seats.push(place.seat);
        }
        let (name, waiting_count, running) = (&self.made_of.name, waiting.len(), seats.len());
        tracing::warn!(
            source = %name,
            handed_back = waiting_count,
            asked_for = running,
            "messages came near consumerTimeout; those that waited were handed back, and those in the engine are called off"
        );
        let text = format!(
            "messages came near consumerTimeout ({:?}) and are handed back: {}, of which {running} had been taken on; make \
             their functions quicker, or raise the broker's consumer_timeout and consumerTimeout",
            self.made_of.timeout,
            old.len()
        );
        self.made_of.link.error(text);
        self.made_of.link.dropped(LATE, waiting_count as u64);
        for incoming in waiting {
            self.hand_back(incoming.delivery.tag, session);
        }
        settlements.recall(&seats);
    }

    /// Hands back what the engine could not give back in time.
    fn insist(&mut self, overdue: Vec<Tag>, session: &mut Session) {
        if overdue.is_empty() {
            return;
        }
        let (name, count) = (&self.made_of.name, overdue.len());
        let text = format!(
            "messages handed back near consumerTimeout ({:?}) although the engine still works on them: {count}; their \
             functions block their thread, or their results wait for an output, and they may run twice",
            self.made_of.timeout
        );
        tracing::warn!(source = %name, "{text}");
        self.made_of.link.error(text);
        self.made_of.link.dropped(LATE, count as u64);
        for tag in overdue {
            self.hand_back(tag, session);
        }
    }
}

/// What messages that came near consumerTimeout are counted as.
pub(super) const LATE: &str = "consumerTimeout";

#[cfg(test)]
mod tests;
