//! The demo: a fleet that anyone can start with one command, so that the engine has something real to work on.

pub mod simulator;

#[cfg(test)]
mod totals;
