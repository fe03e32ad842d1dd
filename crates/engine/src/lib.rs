//! Tidemill's engine: what happens to an event between the source that received it and the outputs that confirm it.
//!
//! The engine knows no broker, no runtime and no wire: adapters implement its [`port`]s and are put together by the
//! composition root. Start reading at [`port`] (what an adapter implements), then [`delivery`] (who owes what to whom).

pub mod account;
pub mod circuit;
pub mod config;
pub mod dead_letter;
pub mod delivery;
pub mod dispatch;
pub mod event;
#[cfg(test)]
mod fake;
pub mod filter;
pub mod invoke;
pub mod journal;
pub mod json;
pub mod metric;
pub mod notice;
pub mod parked;
pub mod pool;
pub mod port;
pub mod registry;
pub mod retry;
pub mod router;
pub mod spool;
pub mod store;
pub mod supervisor;
mod sync;
