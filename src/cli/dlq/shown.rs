//! Dead letters on a terminal.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::Failure;
use super::super::table::{Table, plain};

/// Characters of a message in a list.
const MESSAGE: usize = 72;

/// What a list shows of a letter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    reason: String,
    attempts: u64,
    rule: Option<String>,
    source: Option<String>,
    message: String,
    last_time: String,
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    subject: Option<String>,
}

/// Letters one below the other.
#[derive(Default)]
pub(super) struct Letters {
    rows: Vec<Row>,
    more: bool,
}

impl Letters {
    /// Takes one more, of at most `limit`.
    pub(super) fn add(&mut self, line: &str, limit: u64) -> Result<(), Failure> {
        self.more = self.rows.len() as u64 >= limit;
        if !self.more {
            self.rows.push(serde_json::from_str(line).map_err(Failure::failed)?);
        }
        Ok(())
    }

    /// Whether there were more than are shown.
    pub(super) fn more(&self) -> bool {
        self.more
    }

    pub(super) fn render(&self) -> String {
        if self.rows.is_empty() {
            return "no dead letters".to_owned();
        }
        let mut table = Table::new(["ID", "GIVEN UP", "REASON", "RULE", "ATTEMPTS", "TYPE", "SUBJECT", "MESSAGE"]);
        for row in &self.rows {
            let whose = match (&row.rule, &row.source) {
                (Some(rule), _) => rule.clone(),
                (None, source) => format!("source {}", source.as_deref().unwrap_or("unknown")),
            };
            let mut message: String = row.message.chars().take(MESSAGE).collect();
            if message.len() < row.message.len() {
                message += "...";
            }
            let attempts = row.attempts.to_string();
            let subject = row.event.subject.as_deref().unwrap_or_default();
            let cells: [&str; 8] =
                [&row.id, &row.last_time, &row.reason, &whose, &attempts, &row.event.r#type, subject, &message];
            table.row(cells.map(plain));
        }
        table.render()
    }
}

/// Counts, one group below the other.
pub(super) fn groups(by: &str, groups: &[Value]) -> String {
    if groups.is_empty() {
        return "no dead letters".to_owned();
    }
    let heading = match by {
        "reason" => "REASON",
        "rule" => "RULE",
        _ => "FUNCTION",
    };
    let mut table = Table::new([heading, "COUNT", "OLDEST", "NEWEST"]);
    for group in groups {
        let text = |key: &str| group[key].as_str().map(plain).unwrap_or_else(|| "-".to_owned());
        table.row([text("name"), group["count"].to_string(), text("oldest"), text("newest")]);
    }
    table.render()
}

/// What a replay came to, in words.
pub(super) fn replayed(found: &Value, dry_run: bool) -> String {
    let verb = if dry_run { "would be replayed" } else { "were replayed" };
    let mut text = format!("{} dead letters {verb}", found["replayed"]);
    for (reason, words) in [
        ("undecodable", "are no events"),
        ("redrives", "were replayed too often already"),
        ("rule", "have no rule any more"),
        ("unmatched", "no rule matches"),
    ] {
        if let Some(count) = found["skipped"][reason].as_u64() {
            text += &format!("; {count} stay, which {words}");
        }
    }
    if let Some(count) = found["handedBack"].as_u64().filter(|count| *count > 0) {
        text += &format!("; {count} stay unfinished, because the engine ends");
    }
    text
}

/// One letter whole: what is known of its death, then its event as it is.
pub(super) fn letter(line: &str) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Whole {
        event: Box<RawValue>,
    }
    let tree: Value = serde_json::from_str(line).map_err(Failure::failed)?;
    let Whole { event } = serde_json::from_str(line).map_err(Failure::failed)?;
    let mut lines = Vec::new();
    for (key, label) in [
        ("id", "id"),
        ("reason", "reason"),
        ("code", "code"),
        ("message", "message"),
        ("attempts", "attempts"),
        ("redrives", "redrives"),
        ("edits", "edits"),
        ("rule", "rule"),
        ("function", "function"),
        ("source", "source"),
        ("position", "position"),
        ("firstTime", "first time"),
        ("lastTime", "last time"),
    ] {
        match &tree[key] {
            Value::Null => {}
            Value::String(text) => lines.push(format!("{label:<11} {}", plain(text))),
            other => lines.push(format!("{label:<11} {other}")),
        }
    }
    if let Some(output) = tree["forward"]["output"].as_str() {
        let (progress, error) = (tree["forward"]["progress"].as_str(), tree["forward"]["error"].as_str());
        let error = error.map(|error| format!(": {}", plain(error))).unwrap_or_default();
        lines.push(format!("{:<11} {} to {}{error}", "forward", progress.unwrap_or_default(), plain(output)));
    }
    for (name, value) in tree["facts"].as_object().into_iter().flatten() {
        lines.push(format!("{:<11} {}: {}", "fact", plain(name), plain(value.as_str().unwrap_or_default())));
    }
    lines.push(format!("{:<11} {}", "event", plain(event.get())));
    Ok(lines.join("\n"))
}
