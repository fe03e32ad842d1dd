//! Function runtimes: what runs user code behind the engine's [`Function`](engine::port::Function) port.
//!
//! [`native`] runs Rust that is linked into the binary. Every runtime gives the same verdicts, so a rule does not care
//! which one stands behind its function.

pub mod native;
