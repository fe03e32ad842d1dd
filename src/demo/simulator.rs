//! The vehicle simulator: which message which vehicle sends when, as a plain iterator.
//!
//! Decision: the simulator does no I/O, reads no clock and draws no randomness of its own. [`Simulator::next`] hands out
//! messages in order of due time; whoever drives it sleeps until [`Message::due`] and publishes. The same [`Options`]
//! therefore give the same messages, byte for byte, in the same order, on every machine.
//!
//! Decision: every signal of a sample is a function of the trip and the sample's number. A message that is to come later
//! is kept as a few words and written when it is due, so thousands of vehicles with thousands of delayed messages each
//! stay small, and a duplicate has the very bytes of its original.
//!
//! # What a fleet does
//!
//! * **One vehicle on UDDS or HWFET** drives the cycle exactly once, from rest to rest at the table's own speeds, and the
//!   run ends by itself. `duration` can only cut that short.
//! * **Several vehicles** begin somewhere within the cycle, drive it at 90 to 110 % of its speed, stand for 30 to 180
//!   simulated seconds, start their next trip (with the next boot number), and so on until `duration` is over, or for ever
//!   without one. So a fleet does not move in lockstep.
//! * **The tide** moves any number of vehicles, also one, by the load of a weekday (see [`tide`]), over UDDS, from six in
//!   the morning; it ends by `duration` alone.
//!
//! `duration` is time of the run, as `due` is: at `speed_up` 200, ten seconds are two thousand simulated ones. When it
//! ends, everything that faults have held back has been sent: delays shrink towards the end.

mod cycle;
mod drive;
mod fault;
mod ledger;
mod options;
mod parcel;
mod payload;
mod random;
mod schedule;
pub mod tide;

pub use cycle::{Cycle, Malformed};
pub use fault::{Profile, Rates};
pub use ledger::Ledger;
pub use options::{Choice, Error, Options, UnknownName};
pub use schedule::{Message, Simulator};

#[cfg(test)]
mod tests;
