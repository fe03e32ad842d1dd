//! The queue of a source: what it has to be like, and how it is made where it is not there.

use super::table::Argument;

/// A queue to consume.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    /// How it is made, if it may be; otherwise it has to be there.
    pub(super) declare: Option<Declare>,
}

/// How a queue is declared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Declare {
    pub(super) durable: bool,
    pub(super) arguments: Vec<(String, Argument)>,
}
