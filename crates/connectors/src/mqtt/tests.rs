//! The whole source against a broker that does what a test tells it to, over real sockets.

mod broken;
mod harness;
mod leaving;
mod pressure;
mod session;
