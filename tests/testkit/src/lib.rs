//! What the tests and benches of the project stand on: real brokers, a proxy that can cut and one that can see,
//! scripted peers that misbehave, clients with a memory, and the built program itself.
//!
//! Two decisions shape it. A part that is missing on the machine fails the test with the command
//! that installs it, because a test that passes without its broker says nothing. And nothing here
//! sleeps to let something happen: every wait is for an event, under [`patience::within`], which
//! only bounds how long a test that has already failed may hang.
//!
//! A kit for tests fails by panicking with a sentence: the test that called it is what fails.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a kit for tests fails by panicking, and the test that called it is what fails"
)]

pub mod bad_broker;
pub mod certificates;
pub mod client;
pub mod http;
pub mod kafka;
pub mod kcat;
pub mod mosquitto;
pub mod nats;
pub mod node;
pub mod packet;
pub mod patience;
pub mod port;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod python;
pub mod rabbitmq;
pub mod recorder;
pub mod server;
pub mod stub_broker;
pub mod tidemill;
