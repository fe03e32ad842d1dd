//! Tidemill.

#[cfg(feature = "demo")]
pub mod demo;
pub mod vehicle;
