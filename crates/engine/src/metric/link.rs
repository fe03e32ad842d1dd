//! The state of one adapter's connection, written by the adapter and read by the admin API without waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::event::Text;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Connection {
    /// Not connected yet.
    #[default]
    Connecting,
    /// Ready.
    Connected,
    /// Lost or refused; the adapter tries again.
    Disconnected,
    /// Ended on purpose, or given up until somebody changes something.
    Stopped,
}

/// One adapter's report.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    reading: Mutex<LinkReading>,
    connected: Notify,
}

/// One reading of a [`Link`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkReading {
    /// Where the connection stands.
    pub connection: Connection,
    /// Connections made so far.
    pub connects: u64,
    /// The last error, without credentials; kept after recovery.
    pub last_error: Option<String>,
    /// Messages dropped, by reason: by a source before they were received, by an output after they were written.
    pub dropped: BTreeMap<Text, u64>,
    /// Messages that wait at the broker and that this source may read; `None` while nobody knows.
    pub lag: Option<u64>,
}

impl Link {
    /// The connection is ready.
    pub fn connected(&self) {
        let mut reading = self.0.reading.lock();
        reading.connection = Connection::Connected;
        reading.connects += 1;
        drop(reading);
        self.0.connected.notify_waiters();
    }

    /// Waits until the connection is ready; it may be lost again by then. Cancel safe.
    pub async fn connects(&self) {
        loop {
            let connected = self.0.connected.notified();
            // Asked for before looking, so that a connection made in between is not missed.
            if self.read().connection == Connection::Connected {
                return;
            }
            connected.await;
        }
    }

    /// The connection is lost or refused and will be tried again.
    pub fn disconnected(&self, error: impl Into<String>) {
        let mut reading = self.0.reading.lock();
        reading.connection = Connection::Disconnected;
        reading.last_error = Some(error.into());
    }

    /// Something failed without changing the connection.
    pub fn error(&self, error: impl Into<String>) {
        self.0.reading.lock().last_error = Some(error.into());
    }

    /// The connection was ended.
    pub fn stopped(&self) {
        self.0.reading.lock().connection = Connection::Stopped;
    }

    /// `count` messages were dropped.
    pub fn dropped(&self, reason: &'static str, count: u64) {
        *self.0.reading.lock().dropped.entry(Text::new_static(reason)).or_default() += count;
    }

    /// Messages that wait at the broker, or `None` when that is not known.
    pub fn lag(&self, messages: Option<u64>) {
        self.0.reading.lock().lag = messages;
    }

    /// One reading.
    #[must_use]
    pub fn read(&self) -> LinkReading {
        self.0.reading.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_learns_of_the_connection() {
        let link = Link::default();
        let waiting = tokio::spawn({
            let link = link.clone();
            async move { link.connects().await }
        });
        tokio::task::yield_now().await;
        link.disconnected("refused");
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        link.connected();
        waiting.await.unwrap();
        link.connects().await;
    }
}
