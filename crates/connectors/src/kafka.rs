//! Kafka: a member of a consumer group, whose messages become events and whose offsets are committed once their events
//! have settled.
//!
//! | part | what it decides |
//! |---|---|
//! | [`access`] | where the brokers are and how to be let in; outputs use it too |
//! | `topics` | which topics to ask for, and what the parts of their names are called |
//! | `client` | what librdkafka says: rebalances, errors, statistics, requests for tokens |
//! | `watermark` | up to where a partition may be committed |
//! | `assignment` | the partitions that this member has, each with a generation |
//! | `before` | which partitions are new to the group |
//! | `source` | the one task that polls, delivers, stores offsets and gives partitions back |
//! | [`lag`](Group::lag) | what waits for a group that has no member |
//!
//! The client is librdkafka. Every callback of it runs inside a poll, so in the source's own task: a rebalance is noted and
//! answered later, when what is in flight of the revoked partitions has settled, and nothing ever blocks a thread for it.

pub mod access;
mod assignment;
mod before;
mod client;
mod lag;
mod options;
mod source;
mod statistics;
#[cfg(test)]
mod tests;
mod topics;
mod watermark;

pub use access::{Access, Reports, Sasl};
pub use lag::{Group, ProbeError};
pub use options::{Kafka, Options};
