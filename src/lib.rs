//! Tidemill.
