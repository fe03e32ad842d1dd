//! Functions in Rust, linked into the binary and called by name: `functions: { shout: { native: shout } }`.
//!
//! There is no dynamic loading and no registration by magic. A binary hands its functions to the composition root, so
//! that what a configuration can name is what `main` says. There are three ways to write one:
//!
//! * [`stateless()`]: a closure or an `async fn` that takes an event. A worker runs as many at once as the pool's
//!   `concurrency` allows.
//! * [`stateful()`]: a type that implements [`Worker`], made anew for every worker, with `&mut self`. Its calls run one
//!   after the other, so the state needs no lock, and `concurrency` above 1 gains nothing; more workers do.
//! * a closure over [`Setup`](engine::registry::Setup) that makes a whole [`Function`](engine::port::Function): for state that the workers of one function share, for the
//!   clock, for metrics of one's own, for a start that must wait, or for whole batches. It may return what [`stateful()`] or
//!   [`stateless()`] make, or an implementation of the port.
//!
//! ```
//! use std::sync::Arc;
//!
//! use engine::event::Event;
//! use engine::port::Call;
//! use functions::native::{Error, Registry, Worker, stateful, stateless};
//!
//! async fn shout(event: Event, _call: Call) -> Result<Event, Error> {
//!     let data = event.data().ok_or_else(|| Error::reject("the event has no data"))?;
//!     let text = std::str::from_utf8(data).map_err(Error::reject)?.to_uppercase();
//!     let loud = Event::new(event.id().clone(), "/shout".into(), "com.example.shouted".into())?;
//!     Ok(loud.with_data(text.into(), Some("text/plain".into())))
//! }
//!
//! /// Passes on every tenth event.
//! #[derive(Default)]
//! struct Tenth(u64);
//!
//! impl Worker for Tenth {
//!     async fn call(&mut self, event: Event, _call: &Call) -> Result<Vec<Event>, Error> {
//!         self.0 += 1;
//!         Ok(if self.0.is_multiple_of(10) { vec![event] } else { vec![] })
//!     }
//! }
//!
//! let registry = Registry::default().with("shout", stateless(shout)).with("tenth", stateful(Tenth::default));
//! assert_eq!(registry.names().collect::<Vec<_>>(), ["shout", "tenth"]);
//! ```
//!
//! What a function can count on: a call that passes its deadline is dropped where it awaits, a panic is contained, and both
//! count as failed attempts of the events in hand. State that a call was changing then stays as far as it came. A call that
//! blocks its thread is not stopped by anything; use `tokio::task::spawn_blocking` for work that blocks.

mod answer;
mod registry;
mod stateful;
mod stateless;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Error};
pub use registry::{Entry, Registry};
pub use stateful::{Stateful, Worker, stateful};
pub use stateless::{Stateless, stateless};
