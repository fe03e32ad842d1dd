//! What the engine can tell about itself and its adapters, and where adapters put what `/metrics` shows.

mod link;
mod page;
pub mod sample;

pub use link::{Connection, Link, LinkReading};
pub use page::{Exposition, Page};
