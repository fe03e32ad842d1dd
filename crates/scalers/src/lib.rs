//! The door for what decides how many workers run: scaling policies and lag probes go here, one folder each.
//!
//! It is empty on purpose. Until they are built a pool starts workers on arrival and stops idle ones (`engine::pool`),
//! and a file that says `scale:` is refused.
