//! The composition root of Tidemill as a library: the binary, the tests and the examples link exactly the same.
//!
//! [`Tidemill`] is a binary before it runs: the kinds, functions and commands that it knows. Its `main` is three verbs:
//! parse ([`cli`]), build and run to drain ([`run`]). [`admin`] answers for the running engine.
//!
//! A binary with native functions of its own:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use tidemill::Tidemill;
//! use tidemill::event::Event;
//! use tidemill::native::{Error, stateless};
//! use tidemill::port::Call;
//!
//! async fn pass(event: Event, _: Call) -> Result<Event, Error> {
//!     Ok(event)
//! }
//!
//! fn main() -> ExitCode {
//!     Tidemill::builtin().native("pass", stateless(pass)).main()
//! }
//! ```

pub mod admin;
mod assembly;
mod builtin;
pub mod cli;
#[cfg(feature = "demo")]
pub mod demo;
pub mod run;
pub mod vehicle;

pub use assembly::Tidemill;
// What a binary with functions, connectors or bindings of its own is written with.
pub use engine::{config, delivery, event, metric, port, registry};
pub use functions::native;
