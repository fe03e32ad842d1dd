//! MQTT: 5 and 3.1.1, quality of service 0 and 1, over TCP, TLS and WebSocket. The source, and the connection that an
//! output publishes with.
//!
//! Two tasks per source. The *connection's* task ([`connection`], kept alive by [`client`]) always reads, pings and
//! acknowledges; the *source's* task ([`source`]) turns messages into events, and outcomes into acknowledgements. Between
//! them stands the [`desk`] with its bounded ring. Everything that can be decided without a broker is decided in values:
//! [`topic`] filters, acknowledgement [`order`], the [`staging`] ring, frames ([`wire`]) and the
//! differences between the two versions of the protocol ([`dialect`]). An output publishes through [`Posting`], over
//! connections of its own; how to be let in ([`Access`]), the [`greeting`] and the [`pipe`] are the same for both.
//!
//! What the engine promises is kept here by three decisions. A message is acknowledged only when its outcome is known,
//! and only on the connection on which it came. The session outlives the engine: only leaving ends it. And the maximum
//! packet size is kept by this side alone: MQTT 5 could announce it, but then the broker drops what exceeds it without a
//! word, while here it is refused with its first bytes, counted and acknowledged.

mod access;
mod address;
mod client;
mod connection;
mod desk;
mod dialect;
mod fault;
mod greeting;
mod options;
mod order;
mod pipe;
mod posting;
mod property;
mod record;
mod source;
mod staging;
mod text;
mod topic;
mod transport;
mod version;
mod websocket;
mod wire;

#[cfg(test)]
mod tests;

pub use access::{Access, Terms, Typed, quality};
pub use fault::{Fault, Refusal};
pub use options::{Mqtt, Options};
pub use posting::{Answer, Manner, Message, Posting, Refused};
pub use property::properties;
pub use text::{flaw as text_flaw, topic_flaw};
pub use version::Version;
