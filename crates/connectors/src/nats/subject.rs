//! Subjects of NATS: how they are written.

use crate::capture::{Filter, Flaw, Syntax};

/// How NATS writes subjects.
pub(super) static SUBJECTS: Syntax = Syntax {
    whole: "subject",
    filter: "subject",
    part: "token",
    separator: '.',
    one: '*',
    rest: '>',
    rest_of_none: false,
    empty_parts: false,
    spaces: false,
    reserved: None,
    // A server reads control lines of 4 KiB.
    longest: 3000,
    example: "v1.{fleet}.{vehicle}.telemetry",
};

/// Reads a subject with its wildcards and captures.
///
/// # Errors
/// The first [`Flaw`].
pub(super) fn parse(text: &str) -> Result<Filter, Flaw> {
    Filter::parse(&SUBJECTS, text)
}
