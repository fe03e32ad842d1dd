//! Who owes what to whom: seats, receipts and outcomes.
//!
//! A source takes [`Seats`] before it reads, so free seats are its back-pressure. Every delivered event occupies one seat;
//! the router forks one [`Receipt`] per matching rule, and when the last fork has settled, the seat's pair of number and
//! [`Outcome`] comes back through [`Settlements`]. The seat is free again once that pair has been taken.
//!
//! Two decisions are embodied here. **Silence is failure**: a receipt that is dropped without a word settles as
//! [`Outcome::Retry`], never as an acknowledgement. **The price is paid per batch**: a seat is a few atomics in a fixed
//! array, so that an event costs no allocation, no future and no lock; locks are taken once per batch.
//!
//! A source whose broker numbers its messages says where each stands ([`Seats::deliver_at`]), which dead letters show.
//!
//! A source that cannot hold a message any longer asks for it with [`Settlements::recall`].
//!
//! ```
//! use engine::delivery::{Inbox, Ledger, Outcome, Receipt, Route, Undecodable};
//! use engine::event::Event;
//!
//! /// Acknowledges everything at once.
//! struct AckAll;
//! impl Route for AckAll {
//!     fn route(&mut self, _event: Event, receipt: Receipt) {
//!         receipt.settle(Outcome::Ack);
//!     }
//!     fn undecodable(&mut self, _message: Undecodable, receipt: Receipt) {
//!         receipt.settle(Outcome::Reject);
//!     }
//!     fn flush(&mut self) {}
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ledger = Ledger::default();
//! let (mut intake, mut settlements) = Inbox::new(8, ledger.clone(), Box::new(AckAll)).split();
//! let mut seats = intake.reserve(64).await.expect("open");
//! assert_eq!(seats.len(), 8, "at most the free seats");
//! let event = Event::new("1".into(), "/a".into(), "t".into()).expect("valid");
//! let seat = seats.deliver(event).expect("a seat was left");
//! drop(seats);
//!
//! let mut settled = Vec::new();
//! assert!(settlements.next(&mut settled).await);
//! assert_eq!(settled, [(seat, Outcome::Ack)]);
//! assert_eq!((ledger.read().received, ledger.read().settled), (1, 1));
//! # });
//! ```

mod inbox;
mod ledger;
#[cfg(all(test, tidemill_loom))]
mod model;
mod outcome;
mod position;
mod recall;
mod receipt;
mod seat;
mod taken;
#[cfg(not(tidemill_loom))]
#[cfg(test)]
mod tests;

pub use inbox::{Closed, Inbox, Intake, Route, Seats, Settlements, Undecodable};
pub use ledger::{Books, Ledger};
pub use outcome::Outcome;
pub(crate) use position::Spot;
pub use position::{Position, Stream, Tracks};
pub use recall::{Recall, Recaller};
pub use receipt::Receipt;
pub use seat::Seat;
pub(crate) use taken::{Print, Taken, print};
