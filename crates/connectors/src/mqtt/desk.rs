//! What the connection's task and the source's task share: the ring one way, acknowledgements and intent the other.
//!
//! Every acknowledgement belongs to one connection. The desk knows which one stands (its *epoch*), and takes none for an
//! older one: a packet identifier means another message on the next connection, and acknowledging that would lose it.
//! Both tasks take the lock once per batch and never hold it across a wait.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use engine::port::Stop;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::staging::{Arrival, Offer, Ring};
use super::wire::Ack;

/// How often a connection that is lost steps aside for the source, which takes what it has seats for in a few steps.
const HAND_OVER: usize = 64;

/// What the source wants of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Intent {
    /// Receive.
    #[default]
    Receive,
    /// Unsubscribe, and go on receiving what the session still holds.
    Unsubscribe,
    /// Take nothing more in, but go on acknowledging.
    Close,
    /// Send what is left to send, say goodbye and end.
    End(Stop),
}

/// What the connection finds when it looks at the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) intent: Intent,
    /// Messages of this connection that will not be acknowledged.
    pub(super) handed_back: usize,
    /// Whether a connection that stopped reading may go on.
    pub(super) half_empty: bool,
}

/// What became of a batch of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Staged {
    /// Messages that may be lost and found no room.
    pub(super) dropped: u64,
    /// Whether some of the batch is left because the ring is full.
    pub(super) full: bool,
}

/// The shared desk.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    connection: AtomicWaker,
    source: Notify,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    epoch: u32,
    connected: bool,
    acks: Vec<Ack>,
    handed_back: usize,
    /// Acknowledgements that came too late for the last connection, while there is none.
    late: usize,
    intent: Intent,
    /// The connection waits for the ring to be half empty.
    held: bool,
    /// The session has nothing more to deliver.
    drained: bool,
    /// The broker was told to end the session.
    ended: bool,
}

impl Desk {
    /// An empty desk before the first connection, which has epoch one more than `epoch`.
    pub(super) fn new(ring: Ring, epoch: u32) -> Desk {
        let state = State {
            ring,
            epoch,
            connected: false,
            acks: Vec::new(),
            handed_back: 0,
            late: 0,
            intent: Intent::Receive,
            held: false,
            drained: false,
            ended: false,
        };
        Desk { state: Mutex::new(state), connection: AtomicWaker::new(), source: Notify::new() }
    }

    // The source's side.

    /// Waits until something is staged, or the session is drained. Cancel safe.
    pub(super) async fn arrived(&self) -> usize {
        loop {
            let notified = self.source.notified();
            {
                let state = self.state.lock();
                if state.ring.len() > 0 || state.drained {
                    return state.ring.len();
                }
            }
            notified.await;
        }
    }

    /// Takes at most `count` messages; answers the present epoch.
    pub(super) fn take(&self, count: usize, into: &mut Vec<Arrival>) -> u32 {
        let mut state = self.state.lock();
        state.ring.take(count, into);
        let wake = state.held && state.ring.half_empty();
        let epoch = state.epoch;
        drop(state);
        if wake {
            self.connection.wake();
        }
        epoch
    }

    /// Lets `settle` append acknowledgements for the present epoch, and answer how many of its messages will get none.
    pub(super) fn acknowledge(&self, settle: impl FnOnce(u32, &mut Vec<Ack>) -> usize) {
        let mut state = self.state.lock();
        let State { epoch, acks, .. } = &mut *state;
        let handed_back = settle(*epoch, acks);
        state.handed_back += handed_back;
        let wake = !state.acks.is_empty() || handed_back > 0;
        drop(state);
        if wake {
            self.connection.wake();
        }
    }

    /// Notes that `count` messages are done which no connection stands to acknowledge.
    pub(super) fn too_late(&self, count: usize) {
        let mut state = self.state.lock();
        if !state.connected {
            state.late += count;
        }
    }

    /// Messages that are done and that the broker, which was last seen before, has not heard of.
    pub(super) fn late(&self) -> usize {
        self.state.lock().late
    }

    /// Whether a connection stands.
    pub(super) fn connected(&self) -> bool {
        self.state.lock().connected
    }

    /// Whether the session has nothing more to deliver.
    pub(super) fn drained(&self) -> bool {
        let state = self.state.lock();
        state.drained && state.ring.len() == 0
    }

    /// Whether the broker was told to end the session.
    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Says what is wanted from now on.
    pub(super) fn intend(&self, intent: Intent) {
        self.state.lock().intent = intent;
        self.connection.wake();
    }

    /// Takes nothing more in, and forgets what is staged; answers how many messages are lost by it.
    pub(super) fn close(&self) -> u64 {
        let lost = {
            let mut state = self.state.lock();
            state.intent = Intent::Close;
            state.ring.clear() as u64
        };
        self.connection.wake();
        lost
    }

    // The connection's side.

    /// The connection will look at the desk again when the source has changed something.
    pub(super) fn watch(&self, waker: &Waker) {
        self.connection.register(waker);
    }

    /// A connection stands: its epoch.
    pub(super) fn begin(&self) -> u32 {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.connected = true;
        state.acks.clear();
        state.handed_back = 0;
        // The broker sends again what it has not heard of.
        state.late = 0;
        state.held = false;
        state.epoch
    }

    /// Lets the source take what is staged, as far as it has seats: a broker that was killed may not send it again.
    pub(super) async fn handed_over(&self) {
        for _ in 0..HAND_OVER {
            if self.state.lock().ring.len() == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The connection is gone: what the broker will send again is forgotten.
    pub(super) fn lost(&self) {
        let mut state = self.state.lock();
        state.connected = false;
        state.late += state.acks.len();
        state.acks.clear();
        state.held = false;
        state.ring.connection_lost();
        // Nothing may be acknowledged for it any more, even before the next one stands.
        state.epoch += 1;
    }

    /// Takes every acknowledgement into the empty `acks`, and answers what is wanted.
    pub(super) fn orders(&self, acks: &mut Vec<Ack>) -> Orders {
        let mut state = self.state.lock();
        std::mem::swap(&mut state.acks, acks);
        Orders { intent: state.intent, handed_back: state.handed_back, half_empty: state.ring.half_empty() }
    }

    /// Stages from the front of `batch`, and leaves there what finds no room.
    pub(super) fn stage(&self, batch: &mut VecDeque<Arrival>) -> Staged {
        let mut staged = Staged::default();
        let mut state = self.state.lock();
        let closed = !matches!(state.intent, Intent::Receive | Intent::Unsubscribe);
        while let Some(arrival) = batch.pop_front() {
            if closed {
                staged.dropped += u64::from(arrival.publish.ack.is_none());
                continue;
            }
            match state.ring.offer(arrival) {
                Offer::Staged => {}
                Offer::Dropped => staged.dropped += 1,
                Offer::Full(arrival) => {
                    batch.push_front(arrival);
                    staged.full = true;
                    break;
                }
            }
        }
        state.held = staged.full;
        let wake = state.ring.len() > 0;
        drop(state);
        if wake {
            self.source.notify_one();
        }
        staged
    }

    /// The session has nothing more to deliver.
    pub(super) fn session_drained(&self) {
        self.state.lock().drained = true;
        self.source.notify_one();
    }

    /// The broker was told to end the session.
    pub(super) fn session_ended(&self) {
        self.state.lock().ended = true;
    }

    /// What is wanted now.
    pub(super) fn intent(&self) -> Intent {
        self.state.lock().intent
    }

    /// Waits until the end is wanted. Cancel safe, but only one task may wait.
    pub(super) async fn ended(&self) -> Stop {
        poll_fn(|context| {
            self.connection.register(context.waker());
            match self.intent() {
                Intent::End(stop) => Poll::Ready(stop),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;
    use crate::mqtt::wire::Publish;

    fn arrival(epoch: u32, packet: u16) -> Arrival {
        let ack = (packet > 0).then_some(Ack::Once(packet));
        let empty = Bytes::new;
        Arrival { epoch, publish: Publish { ack, topic: empty(), properties: empty(), payload: empty(), flaw: None } }
    }

    fn acknowledge(desk: &Desk, epoch: u32, packet: u16) {
        desk.acknowledge(|present, acks| {
            acks.extend((present == epoch).then_some(Ack::Once(packet)));
            0
        });
    }

    #[test]
    fn acknowledgements_of_an_older_connection_are_dropped() {
        let desk = Desk::new(Ring::new(4, 1 << 20), 0);
        let first = desk.begin();
        acknowledge(&desk, first, 1);
        desk.lost();
        acknowledge(&desk, first, 2);
        let second = desk.begin();
        acknowledge(&desk, first, 3);
        acknowledge(&desk, second, 4);
        let mut acks = Vec::new();
        desk.orders(&mut acks);
        assert_eq!(acks, [Ack::Once(4)]);
    }

    #[test]
    fn a_full_ring_keeps_the_rest_of_the_batch() {
        let desk = Desk::new(Ring::new(1, 1 << 20), 0);
        let epoch = desk.begin();
        let mut batch: VecDeque<_> = [1, 2, 0, 3].map(|packet| arrival(epoch, packet)).into();
        assert_eq!(desk.stage(&mut batch), Staged { dropped: 1, full: true });
        assert_eq!(batch.len(), 1);
        let mut out = Vec::new();
        desk.take(1, &mut out);
        assert!(desk.orders(&mut Vec::new()).half_empty);
        assert_eq!(desk.stage(&mut batch), Staged { dropped: 0, full: false });
    }

    #[tokio::test]
    async fn a_lost_connection_lets_the_source_take_what_came_whole() {
        let desk = Desk::new(Ring::new(4, 1 << 20), 0);
        let epoch = desk.begin();
        desk.stage(&mut [arrival(epoch, 1), arrival(epoch, 2)].into());
        let mut taken = Vec::new();
        tokio::join!(desk.handed_over(), async {
            while desk.take(1, &mut taken) == epoch && taken.len() < 2 {
                tokio::task::yield_now().await;
            }
        });
        desk.lost();
        assert_eq!(taken.len(), 2);
        // A source without seats takes nothing, and nobody waits for it.
        let epoch = desk.begin();
        desk.stage(&mut [arrival(epoch, 3)].into());
        desk.handed_over().await;
        desk.lost();
        assert_eq!(desk.arrived().now_or_never(), None);
    }

    #[test]
    fn a_closed_desk_takes_nothing_in_and_counts_what_is_lost() {
        let desk = Desk::new(Ring::new(4, 1 << 20), 0);
        let epoch = desk.begin();
        desk.stage(&mut [arrival(epoch, 0), arrival(epoch, 1)].into());
        assert_eq!(desk.close(), 1);
        let mut batch: VecDeque<_> = [arrival(epoch, 0), arrival(epoch, 2)].into();
        assert_eq!(desk.stage(&mut batch), Staged { dropped: 1, full: false });
        assert_eq!(desk.orders(&mut Vec::new()).intent, Intent::Close);
    }

    #[tokio::test]
    async fn the_source_is_woken_by_arrivals_and_by_the_end() {
        let desk = Desk::new(Ring::new(4, 1 << 20), 0);
        let epoch = desk.begin();
        let (count, ()) = tokio::join!(desk.arrived(), async {
            tokio::task::yield_now().await;
            desk.stage(&mut [arrival(epoch, 1)].into());
        });
        assert_eq!((count, desk.drained()), (1, false));
        desk.take(1, &mut Vec::new());
        let (count, ()) = tokio::join!(desk.arrived(), async {
            tokio::task::yield_now().await;
            desk.session_drained();
        });
        assert_eq!((count, desk.drained()), (0, true));
    }
}
