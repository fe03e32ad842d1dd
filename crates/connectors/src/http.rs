//! The HTTP source: CloudEvents that are posted, singly or in batches, and webhooks that know nothing of CloudEvents.
//!
//! A request is answered when the engine knows what became of its events, so a `202` means what an acknowledgement of any
//! broker means here. Three parts share the work. The [`server`] accepts connections and bounds what each may cost. A
//! request is judged where it is read, on its connection's task ([`request`]): path, [`access`], size, media type, and the
//! events in it. What is left of it, events and the place to answer to, goes to the [`source`]'s task, which hands events
//! over while there are seats and keeps the [`desk`] of requests that wait for their outcomes.
//!
//! Decided here: a request never waits without a bound. One that finds no seat for `maxWait` is answered `429`, and what
//! all requests together may hold in memory before that is bounded in bytes. Only HTTP/1.1 is spoken: a sender with one
//! event has one request, and more than one belongs into a batch or on more connections.

mod access;
mod answer;
mod desk;
mod options;
mod request;
mod server;
pub mod signature;
mod source;
mod tally;
#[cfg(test)]
mod tests;
mod webhook;

pub use options::{Http, Options};
