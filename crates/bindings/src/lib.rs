//! Output bindings: where results go, one folder per kind.

#[cfg(feature = "amqp")]
pub mod amqp;
#[cfg(any(feature = "http", feature = "nats"))]
mod courier;
pub mod file;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod log;
pub mod message;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
pub mod prometheus;

#[cfg(feature = "prometheus-push")]
#[path = "prometheus/push.rs"]
mod push;
#[cfg(not(feature = "prometheus-push"))]
#[path = "prometheus/push_absent.rs"]
mod push;
#[cfg(test)]
mod tests;
