//! The task that polls one client. It reconnects for as long as it lives, because brokers in tests
//! are killed on purpose, and says what state the connection is in, so that a test can await it.

use mqtt5::{Event, EventLoop, Incoming};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::patience::{RETRY, within};

/// What a connection is doing.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Counts CONNACKs that accepted us; zero before the first.
    pub(super) connects: u64,
    pub(super) connected: bool,
    /// Whether the broker still had our session at the last connect.
    pub(super) session_present: bool,
    /// Why the last attempt or connection ended.
    pub(super) last_error: Option<String>,
}

/// A polled connection; dropping it cuts the connection without a DISCONNECT.
pub(super) struct Connection {
    state: watch::Receiver<State>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Polls `events` and shows every incoming packet to `see`, in order.
    pub(super) fn drive(mut events: EventLoop, mut see: impl FnMut(&Incoming) + Send + 'static) -> Self {
        let (told, state) = watch::channel(State::default());
        let driver = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(packet)) => {
                        if let Incoming::ConnAck(ack) = &packet {
                            told.send_modify(|state| {
                                state.connects += 1;
                                state.connected = true;
                                state.session_present = ack.session_present;
                            });
                        }
                        see(&packet);
                    }
                    Ok(_) => {}
                    Err(mqtt5::ConnectionError::RequestsDone) => break,
                    Err(error) => {
                        told.send_modify(|state| {
                            state.connected = false;
                            state.last_error = Some(error.to_string());
                        });
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
            told.send_modify(|state| state.connected = false);
        });
        Self { state, driver }
    }

    /// Waits until the state is as wanted and returns it.
    pub(super) async fn reaches(&self, what: &str, wanted: impl Fn(&State) -> bool) -> State {
        let mut state = self.state.clone();
        let waiting = async { state.wait_for(|state| wanted(state)).await.map(|s| s.clone()) };
        within(what, waiting).await.expect("the driver lives as long as its connection")
    }

    /// The state as it is now.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits for the driver to end by itself after a disconnect was asked for.
    pub(super) async fn ended(mut self) {
        within("a client to disconnect", &mut self.driver).await.expect("the driver does not panic");
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
