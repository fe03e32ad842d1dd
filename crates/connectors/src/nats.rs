//! The NATS source: core subjects with queue groups, and durable pull consumers of JetStream.
//!
//! One task per source ([`source`]) reads, acknowledges and asks for more; nothing in it waits for the engine, because
//! what is asked for is never more than there are free seats, and what is pushed is staged up to a bound. Everything that
//! can be decided without a server is decided in values: frames ([`wire`]), headers ([`header`]), where a message stands
//! ([`position`]), what has been asked for ([`pull`]), and whether the settings of a stream and its consumer are safe
//! ([`settings`]).
//!
//! Decision: the source brings its own connection; async-nats publishes, in the output, and does not receive. It closes
//! the connection over a message whose headers it cannot parse, which any publisher can send: on a core subject everything
//! on its way is lost with it, and JetStream delivers the same message again, for ever. Here such a message is refused
//! with its bytes, and the acknowledgements of a whole batch leave in one write.

mod address;
mod api;
mod auth;
mod connection;
mod fault;
mod header;
mod lease;
mod options;
mod position;
mod pull;
mod settings;
mod source;
mod subject;
mod wire;

pub use address::Address;
pub use auth::{Identity, Proof, Typed};
pub use options::{Nats, Options, keep_alive};
