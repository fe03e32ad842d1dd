//! The whole source against a broker that does what a test tells it to, over real sockets.

mod ending;
mod harness;
mod settling;
