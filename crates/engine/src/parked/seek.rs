//! Where an event is among what is parked, for whoever asks. There is no index of ids: every row is looked at.

use std::ops::ControlFlow;

use super::pause::Record;
use super::{Pause, Row, Yard, keys};
use crate::account::Wanted;
use crate::event::{Event, Text};
use crate::store::{Error, Stamp};

/// One delivery that is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// `trigger/rule`.
    pub rule: Text,
    /// The event, whole.
    pub event: Event,
    /// When it is tried again; nothing for what stands behind another one of its key.
    pub due: Option<Stamp>,
    /// When an attempt failed first.
    pub failed: Option<Stamp>,
    /// Attempts of its present stage that have failed.
    pub attempts: u32,
    /// Whether its results are to be published; else its function is to judge it.
    pub publishing: bool,
    /// How often it was given up before and sent on its way again.
    pub redrives: u32,
    /// What kind of failure the last one was, where it has a name.
    pub code: Option<Text>,
    /// What was said last.
    pub message: Text,
    /// Whether its key orders it.
    pub laned: bool,
    /// Why nothing of its rule, or of its key, is tried.
    pub pause: Option<Pause>,
}

/// Deliveries of one event that are shown at most.
const MOST: usize = 1000;

impl Yard {
    /// Every row of this event; of a great many, the first. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub fn seek(&self, wanted: &Wanted) -> Result<Vec<Sighting>, Error> {
        let (mut found, mut damaged) = (Vec::new(), None);
        self.0.store.scan(self.0.rows, &[], None, |key, record| {
            // Most rows are of others, which a look at their bytes tells.
            if !holds(record.value, wanted.id.as_bytes()) {
                return ControlFlow::Continue(());
            }
            match Row::unpack(record.value) {
                Ok(row) if wanted.takes(&row.event) => found.push(Sighting::from(row)),
                Ok(_) => {}
                Err(_) => damaged = Some(key.to_vec()),
            }
            if damaged.is_none() && found.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if let Some(key) = damaged {
            return Err(self.0.store.damaged(self.0.rows, key));
        }
        for sighting in &mut found {
            let key = sighting.event.key().filter(|_| sighting.laned);
            sighting.pause = match (self.pause(&sighting.rule, None)?, key) {
                (None, Some(key)) => self.pause(&sighting.rule, Some(&key))?,
                (pause, _) => pause,
            };
        }
        Ok(found)
    }

    /// The pause of a rule, or of a key of it.
    fn pause(&self, rule: &str, key: Option<&str>) -> Result<Option<Pause>, Error> {
        let place = keys::lane(&keys::prefix(rule), key.unwrap_or_default());
        let Some((since, value)) = self.0.store.get(self.0.pauses, &place)? else { return Ok(None) };
        match Record::unpack(&value) {
            Ok(Record::Paused(cause)) => Ok(Some(Pause { key: key.map(Text::from), since, cause })),
            Ok(Record::Skips(_)) => Ok(None),
            Err(_) => Err(self.0.store.damaged(self.0.pauses, place)),
        }
    }
}

/// Whether these bytes hold those, which are not empty.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    let mut rest = bytes;
    while let Some(place) = rest.iter().position(|byte| byte == first) {
        rest = &rest[place..];
        if rest.starts_with(part) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

impl From<Row> for Sighting {
    fn from(row: Row) -> Sighting {
        Sighting {
            rule: row.rule,
            event: row.event,
            due: row.due,
            failed: row.failed,
            attempts: row.attempts,
            publishing: !row.results.is_empty(),
            redrives: row.redrives,
            code: row.code,
            message: row.message,
            laned: row.laned,
            pause: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn a_part_is_found_wherever_it_stands() {
        for (bytes, part, expected) in [
            ("abab-abc-", "abc", true),
            ("abc", "abc", true),
            ("ab", "abc", false),
            ("aab", "ab", true),
            ("", "a", false),
            ("x", "", true),
        ] {
            assert_eq!(holds(bytes.as_bytes(), part.as_bytes()), expected, "{bytes} {part}");
        }
    }
}
