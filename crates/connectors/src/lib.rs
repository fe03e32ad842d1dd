//! Source connectors: one folder per broker, and the normalising of messages into CloudEvents.
//!
//! A connector is three things: its *options* (what was typed, checked without any I/O), its *client* (what talks to the
//! broker), and its *source* (what the engine runs). [`normalise`] stands between all of them and the engine.

#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod normalise;
