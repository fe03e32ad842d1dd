//! Source connectors: one folder per broker, and the normalising of messages into CloudEvents.
//!
//! A connector is three things: its *options* (what was typed, checked without any I/O), its *client* (what talks to the
//! broker), and its *source* (what the engine runs). [`normalise`] stands between all of them and the engine. What more
//! than one broker needs stands beside them, and outputs use it too: [`tls`], [`credentials`], [`endpoint`], [`backoff`], [`capture`],
//! [`braces`]; [`kept`] is what they keep of a message that is no event.

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod backoff;
pub mod braces;
pub mod capture;
pub mod credentials;
#[cfg(feature = "cron")]
pub mod cron;
pub mod endpoint;
#[cfg(test)]
mod given;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod kept;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
pub mod normalise;
pub mod tls;
#[cfg(feature = "rustls")]
pub mod trust;
