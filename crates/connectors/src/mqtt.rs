//! The MQTT source: MQTT 5 and 3.1.1, quality of service 0 and 1, over TCP, TLS and WebSocket.
//!
//! Two tasks per source. The *connection's* task ([`connection`], kept alive by [`client`]) always reads, pings and
//! acknowledges; the *source's* task ([`source`]) turns messages into events, and outcomes into acknowledgements. Between
//! them stands the [`desk`] with its bounded ring. Everything that can be decided without a broker is decided in values:
//! [`topic`] filters, acknowledgement [`order`], the [`staging`] ring, frames ([`wire`]) and the
//! differences between the two versions of the protocol ([`dialect`]).
//!
//! What the engine promises is kept here by three decisions. A message is acknowledged only when its outcome is known,
//! and only on the connection on which it came. The session outlives the engine: only leaving ends it. And the maximum
//! packet size is kept by this side alone: MQTT 5 could announce it, but then the broker drops what exceeds it without a
//! word, while here it is refused with its first bytes, counted and acknowledged.

mod address;
mod client;
mod connection;
mod desk;
mod dialect;
mod fault;
mod options;
mod order;
mod property;
mod record;
mod source;
mod staging;
mod topic;
mod transport;
mod websocket;
mod wire;

#[cfg(test)]
mod tests;

pub use options::{Mqtt, Options};
