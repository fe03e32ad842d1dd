//! The composition root of Tidemill as a library, so that the tests link exactly what the binary links.

#[cfg(feature = "demo")]
pub mod demo;
pub mod vehicle;
