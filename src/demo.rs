//! The demo: a broker, a fleet and the engine in one process, so that a newcomer sees the whole way of an event without
//! installing anything.
//!
//! Decision: nothing is short-cut. The fleet publishes over MQTT to a broker on a real socket, the engine runs the very file
//! of the example, and the report's totals are read off the engine's metrics and held against what was sent.

pub mod broker;
mod chart;
mod driver;
mod figures;
mod history;
mod options;
mod publisher;
mod report;
mod run;
mod scratch;
mod screen;
mod session;
pub mod simulator;
#[cfg(test)]
mod totals;
mod view;
mod work;

use crate::cli::Extra;

/// The command `demo`.
#[must_use]
pub fn command() -> Extra {
    Extra { definition: options::definition(), run: run::run }
}
