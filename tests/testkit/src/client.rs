//! MQTT 5 clients with sessions of their own and a memory: a publisher that knows which of its
//! messages were confirmed, and a subscriber that knows which it has received. They are the two
//! ends of every ledger in a test, so neither forgets and neither guesses.

mod connection;
mod message;
mod publisher;
mod settings;
mod subscriber;

pub use message::{Message, id_of};
pub use publisher::{Fates, Publisher};
pub use settings::Settings;
pub use subscriber::{Acks, Subscriber};
