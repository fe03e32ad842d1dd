//! A dead letter out of the line that [`Letter::write_json`] wrote, such as one of an export.
//!
//! Decision: what is read is what was kept, and nothing is guessed: the attributes that say how it died are taken from the
//! event again, and a line that lacks something is refused with what it lacks.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::letter::bounded;
use super::shown::is_ours;
use super::{Content, Id, Letter, Reason};
use crate::event::{Text, json};
use crate::store::Stamp;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: String,
    reason: String,
    attempts: u32,
    rule: Option<String>,
    function: Option<String>,
    source: Option<String>,
    code: Option<String>,
    message: String,
    first_time: String,
    last_time: String,
    position: Option<String>,
    redrives: u32,
    #[serde(default)]
    edits: u32,
    facts: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    event: &'a RawValue,
}

impl Letter {
    /// Reads one line. It goes to no output again, wherever it was to go before.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read_json(line: &str) -> Result<(Id, Letter), String> {
        let line: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let id = line.id.parse().map_err(|error: super::NoId| error.to_string())?;
        let known = Reason::ALL.into_iter().find(|reason| reason.name() == line.reason);
        let reason = known.ok_or_else(|| format!("'{}' is no reason", line.reason.escape_debug()))?;
        let bytes = Bytes::copy_from_slice(line.event.get().as_bytes());
        let mut event = json::decode(&bytes).map_err(|error| format!("its event is none: {error}"))?;
        event.edit().remove_extensions(is_ours);
        let content = match (reason, line.facts) {
            (Reason::Undecodable, Some(facts)) => Content::Raw {
                raw: event.data().cloned().unwrap_or_default(),
                facts: facts.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            },
            (Reason::Undecodable, None) => return Err("it lacks 'facts'".to_owned()),
            (Reason::Exhausted | Reason::Rejected | Reason::Expired | Reason::Orphaned | Reason::Unmatched, _) => {
                Content::Event(event)
            }
        };
        let text = |option: Option<String>| option.map(Text::from);
        let letter = Letter {
            reason,
            attempts: line.attempts,
            redrives: line.redrives,
            edits: line.edits,
            rule: text(line.rule),
            function: text(line.function),
            source: text(line.source),
            code: text(line.code),
            message: bounded(&line.message),
            first: time("firstTime", &line.first_time)?,
            last: time("lastTime", &line.last_time)?,
            position: text(line.position),
            forward: None,
            content,
        };
        Ok((id, letter))
    }
}

fn time(member: &str, text: &str) -> Result<Stamp, String> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| format!("'{member}' is no time"))?;
    Ok(Stamp::from(SystemTime::from(time)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{exhausted, undecodable};
    use super::*;
    use crate::event::Name;
    use crate::fake::event;

    #[test]
    fn what_was_written_is_read_byte_for_byte() {
        let json =
            event("1").with_data(r#"{"v":1.10,"big":12345678901234567890123}"#.into(), Some("application/json".into()));
        let keyed = json.with_extension(Name::new("partitionkey").unwrap(), "v1");
        let raw = undecodable(b"\xff\x00{");
        let Content::Raw { raw: bytes, mut facts } = raw.content.clone() else { panic!("it is raw") };
        facts.sort();
        for letter in [
            Letter { edits: 3, redrives: 2, ..exhausted(keyed) },
            Letter { function: None, code: None, position: Some("a/1".into()), ..exhausted(event("2")) },
            Letter { content: Content::Raw { raw: bytes, facts }, ..raw },
        ] {
            let id: Id = "01hf7yat3v00".parse().unwrap();
            let mut line = Vec::new();
            letter.write_json(id, &mut line);
            assert_eq!(Letter::read_json(std::str::from_utf8(&line).unwrap()), Ok((id, letter)));
        }
    }

    #[test]
    fn what_is_no_letter_says_why() {
        let mut line = Vec::new();
        exhausted(event("1")).write_json("01hf7yat3v00".parse().unwrap(), &mut line);
        let line = String::from_utf8(line).unwrap();
        for (wrong, part) in [
            ("{".to_owned(), "EOF"),
            (line.replace("\"message\"", "\"said\""), "missing field `message`"),
            (line.replace("01hf7yat3v00", "7"), "no id of a dead letter"),
            (line.replace("\"reason\":\"exhausted\"", "\"reason\":\"tired\""), "'tired' is no reason"),
            (line.replace("\"specversion\":\"1.0\",", ""), "its event is none"),
            (line.replace("\"reason\":\"exhausted\"", "\"reason\":\"undecodable\""), "it lacks 'facts'"),
            (line.replace("2023-11-14T22:13:20.123Z", "now"), "'lastTime' is no time"),
        ] {
            let sentence = Letter::read_json(&wrong).unwrap_err();
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
