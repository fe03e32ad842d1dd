//! What a native function returns, and the verdict it means.
//!
//! The common case, results or an error, is spelled as Rust spells it. `?` on any error retries: that is the choice that
//! loses nothing, and the rule bounds the attempts. What can never work has to be said, with [`Error::reject`].

use std::fmt::Display;
use std::time::Duration;

use engine::event::Event;
use engine::port::Verdict;

/// Why a function has no results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It failed now and may work later.
    Retry {
        /// When to try again, bounded by the rule's policy; `None` leaves it to the policy.
        after: Option<Duration>,
        /// What happened, lower case.
        error: String,
    },
    /// It will never work: the event is put aside with this reason.
    Reject {
        /// Why, lower case.
        reason: String,
    },
    /// Nobody wants the event: it is counted, not kept.
    Drop,
}

impl Error {
    /// Try the event again, when the rule's policy says.
    #[must_use]
    pub fn retry(error: impl Display) -> Error {
        Error::Retry { after: None, error: error.to_string() }
    }

    /// Try the event again after `delay`, which the rule's policy bounds.
    #[must_use]
    pub fn retry_after(delay: Duration, error: impl Display) -> Error {
        Error::Retry { after: Some(delay), error: error.to_string() }
    }

    /// Put the event aside: no attempt can work.
    #[must_use]
    pub fn reject(reason: impl Display) -> Error {
        Error::Reject { reason: reason.to_string() }
    }
}

/// Retries, with the error and its causes as the reason. [`Error`] is no `std::error::Error` itself, which would make this
/// conversion ambiguous.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            // Some errors already print their cause.
            let inner_text = inner.to_string();
            if !text.ends_with(&inner_text) {
                text.push_str(": ");
                text.push_str(&inner_text);
            }
            cause = inner.source();
        }
        Error::Retry { after: None, error: text }
    }
}

impl From<Error> for Verdict {
    fn from(error: Error) -> Verdict {
        match error {
            Error::Retry { after, error } => Verdict::Retry { after, error },
            Error::Reject { reason } => Verdict::Reject { reason },
            Error::Drop => Verdict::Drop,
        }
    }
}

/// What a stateless function may return. Nothing but the results themselves is allocated.
pub trait Answer: Send {
    /// The verdict on the event.
    fn verdict(self) -> Verdict;
}

impl Answer for Verdict {
    fn verdict(self) -> Verdict {
        self
    }
}

/// Done, without results.
impl Answer for () {
    fn verdict(self) -> Verdict {
        Verdict::Done(Vec::new())
    }
}

/// Done, with one result.
impl Answer for Event {
    fn verdict(self) -> Verdict {
        Verdict::Done(vec![self])
    }
}

/// Done, with a result or none.
impl Answer for Option<Event> {
    fn verdict(self) -> Verdict {
        Verdict::Done(self.into_iter().collect())
    }
}

/// Done, with these results.
impl Answer for Vec<Event> {
    fn verdict(self) -> Verdict {
        Verdict::Done(self)
    }
}

/// Done, or what the error says.
impl<T: Answer, E: Into<Error> + Send> Answer for Result<T, E> {
    fn verdict(self) -> Verdict {
        match self {
            Ok(answer) => answer.verdict(),
            Err(error) => error.into().into(),
        }
    }
}
