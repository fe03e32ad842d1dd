//! The cron source: an event at every nominal time of a schedule, and one more whenever somebody asks for it.
//!
//! What is due when is decided in values: a [`schedule`] knows its nominal times, an [`agenda`] which of them are due or
//! were missed at some moment. The [`source`]'s task only waits, and hands over what is due. A nominal time is an instant
//! with whole seconds; the event's `time` is the nominal one, not the one at which it was made, and its id is a hash of the
//! source and the nominal time, so that the same run is the same event wherever and however often it comes.
//!
//! Decided here: `@every` counts from the beginning of 1970 and not from the start, so that it neither drifts nor depends on
//! restarts. What was missed is run once, however often it was missed, and only if the file says so; then a [`record`] in
//! the state folder says what was begun and what was finished.

mod agenda;
mod options;
mod record;
mod schedule;
mod source;
#[cfg(test)]
mod tests;

pub use options::{Cron, Options};
