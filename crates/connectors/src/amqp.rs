//! The AMQP 0-9-1 source: a queue of RabbitMQ, classic or quorum, whose messages are acknowledged once their events have
//! settled.
//!
//! One task per source ([`source`]) reads and acknowledges; nothing in it waits for the engine, because the prefetch is
//! the number of seats. Everything that can be decided without a broker is decided in values: frames ([`wire`]), tables of
//! headers ([`table`]), what is unacknowledged and how to acknowledge it in few frames ([`unacked`]).
//!
//! An output publishes through [`Posting`], over a connection of its own.
//!
//! Decision: the protocol is spoken here and not by lapin, which the tests use as a peer. Receiving, lapin closes the
//! connection over a message whose routing key or header name is not UTF-8, which any publisher can send and the broker
//! then delivers again, for ever, and keeps a message of any size before anybody can refuse it. Publishing, it gives a
//! message that reached no queue to whichever confirmation comes next, so that with several on their way an event that
//! went nowhere can count as confirmed. Here the one is refused with its bytes, and the other is told by what it holds.

mod access;
mod address;
mod connection;
mod fault;
mod message;
mod options;
mod posting;
mod queue;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod unacked;
mod wire;

pub use access::{Access, Terms};
pub use address::Address;
pub use fault::{Blame, Fault};
pub use options::{Amqp, Options};
pub use posting::{Answer, Posting, Returned, Stamp};
pub use wire::FRAME;
