//! Which dead letters are meant: by name, reason, rule, time and attributes.
//!
//! Decision: **one reader for every way in**. What is typed, and what stands in a request, are the same pairs of a name and a
//! text, so that the command line and the admin API mean the same and refuse the same.

use std::time::{Duration, SystemTime};

use chrono::DateTime;

use super::{Id, Letter, Reason};
use crate::event::{Attribute, Text};
use crate::store::Stamp;

/// Which dead letters are meant: all that fit everything that is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Any of these.
    ids: Vec<Id>,
    /// Died for any of these.
    reasons: Vec<Reason>,
    /// Given up by any of these rules.
    rules: Vec<Text>,
    /// Given up then or later.
    since: Option<Stamp>,
    /// Given up before.
    until: Option<Stamp>,
    /// Has this attribute with this value, as it is shown.
    attributes: Vec<(Attribute, Text)>,
}

impl Selection {
    /// The names that [`Selection::read`] knows.
    pub const NAMES: [&str; 6] = ["id", "reason", "rule", "since", "until", "where"];

    /// Reads pairs of a name and a text. `id`, `reason` and `rule` may come more than once and then mean any of them,
    /// `where` is `NAME=VALUE` and may come more than once and then means all of them, `since` and `until` are RFC 3339.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn read<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Selection, String> {
        let mut selection = Selection::default();
        for (name, text) in pairs {
            match name {
                "id" => selection.ids.push(text.parse().map_err(|error: super::NoId| error.to_string())?),
                "reason" => selection.reasons.push(reason(text)?),
                "rule" => selection.rules.push(text.into()),
                "since" => selection.since = Some(time(text)?),
                "until" => selection.until = Some(time(text)?),
                "where" => selection.attributes.push(attribute(text)?),
                _ => return Err(format!("'{name}' is no filter; there is {}", Selection::NAMES.join(", "))),
            }
        }
        Ok(selection)
    }

    /// Whether nothing is said, so that every dead letter is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Selection::default()
    }

    /// The names that are said, where they are, in their order; else every one may be meant.
    pub(super) fn ids(&self) -> Option<Vec<Id>> {
        let mut ids = self.ids.clone();
        ids.sort_unstable();
        ids.dedup();
        (!ids.is_empty()).then_some(ids)
    }

    /// Whether this letter is meant.
    #[must_use]
    pub fn takes(&self, id: Id, letter: &Letter) -> bool {
        let listed = self.ids.is_empty() || self.ids.contains(&id);
        let reason = self.reasons.is_empty() || self.reasons.contains(&letter.reason);
        let rule = self.rules.is_empty() || letter.rule.as_ref().is_some_and(|rule| self.rules.contains(rule));
        let since = self.since.is_none_or(|since| letter.last >= since);
        let until = self.until.is_none_or(|until| letter.last < until);
        listed && reason && rule && since && until && (self.attributes.is_empty() || self.fits(id, letter))
    }

    fn fits(&self, id: Id, letter: &Letter) -> bool {
        let Ok(event) = letter.event(id) else { return false };
        self.attributes.iter().all(|(name, value)| event.attribute(name).is_some_and(|text| text == value.as_str()))
    }
}

fn reason(text: &str) -> Result<Reason, String> {
    let known = Reason::ALL.into_iter().find(|reason| reason.name() == text);
    known.ok_or_else(|| {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        format!("'{}' is no reason; there is {}", text.escape_debug(), names.join(", "))
    })
}

fn time(text: &str) -> Result<Stamp, String> {
    // Records keep whole milliseconds.
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| Stamp::from(SystemTime::from(time)))
        .map_err(|_| format!("'{}' is no time; write one such as 2026-11-21T06:58:00Z", text.escape_debug()))
}

/// The time this long before `now`, as [`Selection::read`] takes it.
#[must_use]
pub fn ago(now: SystemTime, length: Duration) -> String {
    super::shown::timestamp(Stamp::from(now).before(length))
}

fn attribute(text: &str) -> Result<(Attribute, Text), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as type=org.example.alert")?;
    Ok((Attribute::named(name).map_err(|error| error.to_string())?, value.into()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{exhausted, undecodable};
    use super::*;
    use crate::fake::event;

    fn takes(pairs: &[(&str, &str)], letter: &Letter) -> bool {
        Selection::read(pairs.iter().copied()).unwrap().takes("01hf7yat3v00".parse().unwrap(), letter)
    }

    #[test]
    fn everything_that_is_said_has_to_fit() {
        let letter = exhausted(event("1").with_subject("veh=1".into()));
        for fitting in [
            &[][..],
            &[("id", "01HF7YAT3V00"), ("id", "01hf7yat3v01")],
            &[("reason", "rejected"), ("reason", "exhausted")],
            &[("rule", "t/r")],
            &[("since", "2023-11-14T22:13:20.123Z"), ("until", "2023-11-14T23:13:20.124+01:00")],
            &[("where", "type=fake"), ("where", "subject=veh=1"), ("where", "dlqfunction=f")],
        ] {
            assert!(takes(fitting, &letter), "{fitting:?}");
        }
        for other in [
            &[("id", "01hf7yat3v01")][..],
            &[("reason", "rejected")],
            &[("rule", "t/other")],
            &[("since", "2023-11-14T22:13:20.124Z")],
            &[("until", "2023-11-14T22:13:20.123Z")],
            &[("where", "type=fake"), ("where", "subject=veh-2")],
            &[("where", "nothing=")],
            &[("rule", "t/r"), ("reason", "undecodable")],
        ] {
            assert!(!takes(other, &letter), "{other:?}");
        }
        assert!(takes(&[("where", "type=org.tidemill.undecodable")], &undecodable(b"oh")));
        assert!(!takes(&[("rule", "t/r")], &undecodable(b"oh")));
    }

    #[test]
    fn what_cannot_be_meant_is_told_what_to_write() {
        for (name, text, part) in [
            ("id", "7", "tidemill dlq list"),
            ("reason", "tired", "exhausted, rejected, expired, orphaned, undecodable"),
            ("since", "yesterday", "2026-11-21T06:58:00Z"),
            ("where", "type", "NAME=VALUE"),
            ("where", "Type=a", "lower-case"),
            ("colour", "red", "id, reason, rule, since, until, where"),
        ] {
            let sentence = Selection::read([(name, text)]).unwrap_err();
            assert!(sentence.contains(part), "{sentence}");
        }
        assert!(Selection::read([]).unwrap().is_everything());
        assert!(!Selection::read([("rule", "a/b")]).unwrap().is_everything());
    }

    #[test]
    fn a_length_of_time_is_one_before_now() {
        let now = Stamp(1_700_000_000_123).time();
        assert_eq!(ago(now, Duration::from_millis(20_123)), "2023-11-14T22:13:00.000Z");
        assert!(Selection::read([("since", ago(now, Duration::MAX).as_str())]).is_ok());
    }
}
