//! `tidemill status`: the figures of a running engine as small tables.

use std::time::Duration;

use serde_json::Value;

use super::remote::Remote;
use super::table::{Table, plain};
use super::{Exit, Failure, data};

/// Show what the running engine does: sources, triggers, rules, pools and outputs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill status
  tidemill status --json --admin unix:/run/tidemill.sock")]
pub(super) struct Arguments {
    #[command(flatten)]
    remote: Remote,
    /// Print the answer of GET /v1/status
    #[arg(long)]
    json: bool,
}

pub(super) fn status(arguments: &Arguments) -> Result<Exit, Failure> {
    let status = arguments.remote.ask("GET", "/v1/status", Duration::from_secs(10))?;
    data(&if arguments.json { format!("{status:#}") } else { tables(&status) })?;
    Ok(Exit::Well)
}

/// A table's title, where its rows are, and its columns with the keys that fill them.
type Layout = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const LAYOUTS: [Layout; 7] = [
    (
        "SOURCE",
        "sources",
        &[
            ("STATE", "connection"),
            ("PAUSED", "paused"),
            ("RECEIVED", "received"),
            ("SETTLED", "settled"),
            ("REJECTED", "rejected"),
            ("HANDED BACK", "handedBack"),
            ("IN FLIGHT", "inFlight"),
            ("LAST ERROR", "lastError"),
        ],
    ),
    (
        "SPOOL",
        "spools",
        &[
            ("STORED", "stored"),
            ("IN FLIGHT", "inFlight"),
            ("APPENDED", "appended"),
            ("RECOVERED", "recovered"),
            ("SETTLED", "settled"),
            ("DROPPED", "dropped"),
            ("HANDED BACK", "handedBack"),
            ("BYTES", "bytes"),
            ("OLDEST S", "oldestAgeSeconds"),
            ("LAST ERROR", "lastError"),
        ],
    ),
    (
        "STORE",
        "stores",
        &[
            ("WRITABLE", "writable"),
            ("TRANSACTIONS", "transactions"),
            ("WRITES", "writes"),
            ("FAILURES", "failures"),
            ("NOT CONFIGURED", "left"),
            ("LAST ERROR", "lastError"),
        ],
    ),
    ("TRIGGER", "triggers", &[("OFFERED", "offered"), ("UNMATCHED", "unmatched")]),
    (
        "RULE",
        "rules",
        &[
            ("MATCHED", "matched"),
            ("DONE", "done"),
            ("DEAD LETTERS", "deadLetters"),
            ("DROPPED", "dropped"),
            ("HANDED BACK", "handedBack"),
            ("PARKED", "parked"),
            ("PAUSED", "paused"),
            ("PAUSED KEYS", "pausedKeys"),
            ("HELD", "held"),
            ("IN FLIGHT", "inFlight"),
            ("LAG", "lag"),
            ("OLDEST S", "oldestAgeSeconds"),
            ("FILTERED", "filtered"),
            ("LAST ERROR", "lastError"),
        ],
    ),
    ("POOL", "pools", &[("WORKERS", "workers"), ("BUSY", "busy"), ("QUEUED", "queued"), ("LAST ERROR", "startError")]),
    ("OUTPUT", "outputs", &[("STATE", "connection"), ("DROPPED", "dropped"), ("LAST ERROR", "lastError")]),
];

fn tables(status: &Value) -> String {
    let word = |key: &str| status.get(key).map(cell).unwrap_or_default();
    let uptime = status.get("uptimeSeconds").and_then(Value::as_f64).unwrap_or_default();
    let draining = if status.get("draining").and_then(Value::as_bool) == Some(true) { ", draining" } else { "" };
    let mut parts = vec![format!("{}, instance {}, up {uptime:.0} s{draining}", word("name"), word("instance"))];
    if let Some(sentence) = status.get("deadLetters").and_then(dead_letters) {
        parts.push(sentence);
    }
    for (name, drift) in status.get("drift").and_then(Value::as_object).into_iter().flatten() {
        parts.push(format!("the books of {} do not balance by {drift}: please report this", plain(name)));
    }
    if let Some(error) = status.pointer("/ledger/lastError").and_then(Value::as_str) {
        parts.push(plain(error));
    }
    parts.extend(status.get("circuits").and_then(circuits));
    for (title, key, columns) in LAYOUTS {
        let Some(rows) = status.get(key).and_then(Value::as_object).filter(|rows| !rows.is_empty()) else { continue };
        let mut table = Table::new([title].into_iter().chain(columns.iter().map(|(heading, _)| *heading)));
        for (name, row) in rows {
            let cells = columns.iter().map(|(_, key)| row.get(*key).map(cell).unwrap_or_default());
            table.row([name.clone()].into_iter().chain(cells));
        }
        parts.push(table.render());
    }
    parts.join("\n\n")
}

/// The circuits that do not let everything through.
fn circuits(circuits: &Value) -> Option<String> {
    let of = |(key, sort): (&str, &str)| {
        let circuits = circuits.get(key).and_then(Value::as_object).into_iter().flatten();
        let sentences = circuits.filter_map(|(name, circuit)| {
            let error = circuit.get("lastError").and_then(Value::as_str).map(plain).unwrap_or_default();
            let left = circuit.get("reopensInSeconds").and_then(Value::as_f64).unwrap_or_default();
            match circuit.get("state")?.as_str()? {
                "open" => Some(format!("the circuit of {sort} '{name}' is open for another {left:.0} s: {error}")),
                "halfOpen" => Some(format!("the circuit of {sort} '{name}' is half open: {error}")),
                _ => None,
            }
        });
        sentences.collect::<Vec<_>>()
    };
    let sentences: Vec<String> = [("functions", "function"), ("outputs", "output")].into_iter().flat_map(of).collect();
    (!sentences.is_empty()).then(|| sentences.join("\n"))
}

/// What there is to say of what was given up, if there is anything.
fn dead_letters(letters: &Value) -> Option<String> {
    let number = |key: &str| letters.get(key).and_then(Value::as_u64).unwrap_or_default();
    let dropped = letters.pointer("/dropped/quota").and_then(Value::as_u64).unwrap_or_default();
    if number("stored") + dropped == 0 {
        return None;
    }
    let mut sentence =
        format!("{} dead letters, {} bytes; 'tidemill dlq list' shows them", number("stored"), number("bytes"));
    if dropped > 0 {
        sentence += &format!("; {dropped} more were dropped for their quota's sake");
    }
    for (name, output) in letters.get("outputs").and_then(Value::as_object).into_iter().flatten() {
        let waiting = output.get("waiting").and_then(Value::as_u64).unwrap_or_default();
        if let Some(error) = output.get("lastError").and_then(Value::as_str).filter(|_| waiting > 0) {
            sentence += &format!("; {waiting} wait for output '{name}': {}", plain(error));
        }
    }
    if letters.get("full") == Some(&Value::Bool(true)) {
        sentence += "; no more are wanted, so rules that add some begin nothing new: 'tidemill dlq purge' makes room";
    }
    Some(sentence)
}

/// A value in a cell: numbers by name are summed up in words, and nothing in it moves the terminal's cursor.
fn cell(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::String(text) => plain(text),
        Value::Object(counts) => {
            let named = counts.iter().filter(|(_, count)| count.as_u64() != Some(0));
            let words: Vec<String> = named.map(|(name, count)| format!("{count} {name}")).collect();
            if words.is_empty() { "0".to_owned() } else { words.join(", ") }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_spool_and_its_file_have_tables_of_their_own() {
        let status = json!({
            "spools": { "fleet": { "appended": 9, "recovered": 1, "settled": 4, "dropped": { "oldest": 2, "newest": 0 },
                "handedBack": 0, "inFlight": 1, "stored": 3, "bytes": 1234, "oldestAgeSeconds": 1.5, "lastError": null } },
            "stores": { "spool": { "writable": true, "full": false, "transactions": 7, "writes": 14, "failures": 0,
                "lastError": null, "left": { "gone": 5 } } },
        });
        let shown = tables(&status);
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(lines.contains(&vec!["fleet", "3", "1", "9", "1", "4", "2", "oldest", "0", "1234", "1.5"]), "{shown}");
        assert!(lines.contains(&vec!["spool", "yes", "7", "14", "0", "5", "gone"]), "{shown}");
    }

    #[test]
    fn figures_stand_in_columns_and_nothing_moves_the_cursor() {
        let status = json!({
            "name": "fleet", "instance": "edge-1", "draining": true, "uptimeSeconds": 12.3,
            "deadLetters": { "stored": 3, "bytes": 999, "maxBytes": 900, "full": true, "dropped": { "quota": 2 }, "purged": 0,
                "outputs": { "dead": { "waiting": 2, "lastError": "away" }, "well": { "waiting": 1, "lastError": null } } },
            "sources": { "a": { "connection": "connected", "paused": true, "received": 12345, "settled": 12300, "rejected": 5,
                "handedBack": 0, "inFlight": 40, "lastError": "refused\n\u{1b}[2J" } },
            "rules": { "t/r": { "matched": 7, "done": 4, "deadLetters": { "exhausted": 2, "rejected": 0 },
                "dropped": { "function": 1 },
                "handedBack": 0, "parked": 5, "paused": true, "pausedKeys": 2, "held": "maxSeats", "inFlight": 1, "lag": 6, "oldestAgeSeconds": 61.5,
                "filtered": 3, "lastError": null } },
            "drift": { "rule t/r": 2.0 }, "ledger": { "lastError": "the ledger cannot be written" },
            "triggers": {}, "pools": {}, "outputs": {},
            "circuits": {
                "functions": { "f": { "state": "closed", "lastError": "no answer" }, "g": { "state": "halfOpen", "lastError": "late" } },
                "outputs": { "o": { "state": "open", "reopensInSeconds": 12.4, "lastError": "away\u{1b}[2J" } } },
        });
        assert_eq!(
            tables(&status),
            "\
fleet, instance edge-1, up 12 s, draining

3 dead letters, 999 bytes; 'tidemill dlq list' shows them; 2 more were dropped for their quota's sake; 2 wait for \
output 'dead': away; no more are wanted, so rules that add some begin nothing new: 'tidemill dlq purge' makes room

the books of rule t/r do not balance by 2.0: please report this

the ledger cannot be written

the circuit of function 'g' is half open: late
the circuit of output 'o' is open for another 12 s: away [2J

SOURCE  STATE      PAUSED  RECEIVED  SETTLED  REJECTED  HANDED BACK  IN FLIGHT  LAST ERROR
a       connected  yes        12345    12300         5            0         40  refused  [2J

RULE  MATCHED  DONE  DEAD LETTERS  DROPPED     HANDED BACK  PARKED  PAUSED  PAUSED KEYS  HELD      IN FLIGHT  LAG  OLDEST S  FILTERED  LAST ERROR
t/r         7     4  2 exhausted   1 function            0       5  yes               2  maxSeats          1    6  61.5             3"
        );
    }
}
