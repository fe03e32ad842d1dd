//! The demo: a broker, a fleet and the engine in one process, so that a newcomer sees the whole way of an event without
//! installing anything.

pub mod broker;
pub mod simulator;

#[cfg(test)]
mod totals;
