//! `tidemill pause` and `tidemill resume`: bring a source of the running engine, or a rule, to a stop, and let it go on.
//!
//! Decision: **a name with a slash is a rule's**, for no name of a source has one; so one pair of commands says what is meant
//! by either.

use std::time::Duration;

use serde_json::Value;

use super::remote::Remote;
use super::table::{Table, plain};
use super::{Exit, Failure, data, note};
use crate::admin::client;

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keep a source of the running engine from reading, or a rule from beginning anything
///
/// What is in flight goes on. A source's session is held, and messages wait at the broker as far as it keeps them; its pause ends
/// with `tidemill resume` or when the engine is started again. What comes for a paused rule is put aside on the disk, and its pause
/// outlives the engine.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill pause fleet
  tidemill pause telemetry/battery")]
pub(super) struct Pause {
    #[command(flatten)]
    whom: Whom,
}

/// Let a paused source of the running engine read again, or a rule and its paused keys go on
///
/// What a rule or a key was paused for is tried again, as often as if it had just arrived.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill resume fleet
  tidemill resume telemetry/battery --dry-run
  tidemill resume telemetry/battery --key VIN-17
  tidemill resume telemetry/battery --skip-head")]
pub(super) struct Resume {
    #[command(flatten)]
    whom: Whom,
    /// Only this key of the rule
    #[arg(long, value_name = "K")]
    key: Option<String>,
    /// Make what it was paused for a dead letter, instead of trying it again
    #[arg(long)]
    skip_head: bool,
    /// Only show what of the rule is paused, since when and why
    #[arg(long, conflicts_with_all = ["key", "skip_head"])]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct Whom {
    /// A source's name, or TRIGGER/RULE
    #[arg(value_name = "SOURCE|RULE")]
    name: String,
    #[command(flatten)]
    remote: Remote,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Pause {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let answer = self.whom.tell("pause")?;
        self.whom.show(&answer, format!("paused {}", self.whom.name))
    }
}

impl Resume {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let whom = &self.whom;
        if !whom.is_rule() && (self.key.is_some() || self.skip_head || self.dry_run) {
            let name = &whom.name;
            return Err(Failure::refused(format!(
                "'{name}' is a source, which has neither keys nor a head; name a rule, such as TRIGGER/RULE"
            )));
        }
        if self.dry_run {
            return self.list();
        }
        let mut verb = format!("resume?skipHead={}", self.skip_head);
        if let Some(key) = &self.key {
            verb += &format!("&key={}", client::segment(key));
        }
        let answer = whom.tell(if whom.is_rule() { &verb } else { "resume" })?;
        whom.show(&answer, resumed(&whom.name, &answer))
    }

    fn list(&self) -> Result<Exit, Failure> {
        let path = format!("/v1/rules/{}/paused", client::segment(&self.whom.name));
        let answer = self.whom.remote.ask("GET", &path, PATIENCE)?;
        let table = table(&answer);
        if answer.get("more") == Some(&Value::Bool(true)) {
            note("only the first are shown");
        }
        let nothing = format!("nothing of {} is paused", self.whom.name);
        self.whom.show(&answer, table.unwrap_or(nothing))
    }
}

impl Whom {
    fn is_rule(&self) -> bool {
        self.name.contains('/')
    }

    fn tell(&self, verb: &str) -> Result<Value, Failure> {
        let kind = if self.is_rule() { "rules" } else { "sources" };
        self.remote.ask("POST", &format!("/v1/{kind}/{}/{verb}", client::segment(&self.name)), PATIENCE)
    }

    fn show(&self, answer: &Value, sentence: String) -> Result<Exit, Failure> {
        data(&if self.json { format!("{answer:#}") } else { sentence })?;
        Ok(Exit::Well)
    }
}

/// What goes on, as a sentence.
fn resumed(name: &str, answer: &Value) -> String {
    let keys = answer.get("keys").and_then(Value::as_u64).unwrap_or_default();
    match keys {
        0 => format!("resumed {name}"),
        1 => format!("resumed {name}: 1 key"),
        _ => format!("resumed {name}: {keys} keys"),
    }
}

/// What is paused; nothing if nothing is.
fn table(answer: &Value) -> Option<String> {
    let paused = answer.get("paused").and_then(Value::as_array).filter(|paused| !paused.is_empty())?;
    let mut table = Table::new(["KEY", "SINCE", "ATTEMPTS", "WHY"]);
    for pause in paused {
        let text = |key: &str| pause.get(key).and_then(Value::as_str).map(plain);
        let attempts = pause.get("attempts").map(Value::to_string).unwrap_or_default();
        let key = text("key").unwrap_or_else(|| "(the rule)".to_owned());
        table.row([key, text("since").unwrap_or_default(), attempts, text("message").unwrap_or_default()]);
    }
    Some(table.render())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_paused_stands_in_a_table_and_nothing_moves_the_cursor() {
        let answer = json!({ "rule": "t/r", "more": false, "paused": [
            { "key": null, "since": "2026-11-22T01:02:03.004Z", "attempts": 0, "code": null, "message": "somebody has paused it" },
            { "key": "VIN\u{1b}[2J", "since": "2026-11-22T01:02:03.004Z", "attempts": 5, "code": "timeout", "message": "no\nanswer" },
        ] });
        assert_eq!(
            table(&answer).unwrap(),
            "\
KEY         SINCE                     ATTEMPTS  WHY
(the rule)  2026-11-22T01:02:03.004Z         0  somebody has paused it
VIN [2J     2026-11-22T01:02:03.004Z         5  no answer"
        );
        assert_eq!(table(&json!({ "paused": [] })), None);
    }

    #[test]
    fn what_goes_on_is_counted() {
        assert_eq!(resumed("fleet", &json!({ "resumed": "fleet" })), "resumed fleet");
        assert_eq!(resumed("t/r", &json!({ "rule": true, "keys": 0 })), "resumed t/r");
        assert_eq!(resumed("t/r", &json!({ "rule": false, "keys": 1 })), "resumed t/r: 1 key");
        assert_eq!(resumed("t/r", &json!({ "rule": false, "keys": 7 })), "resumed t/r: 7 keys");
    }

    #[test]
    fn a_source_has_no_keys() {
        let whom = || Whom { name: "fleet".to_owned(), remote: Remote::default(), json: false };
        let resume = Resume { whom: whom(), key: Some("a".to_owned()), skip_head: false, dry_run: false };
        assert!(resume.run().unwrap_err().sentence().contains("'fleet' is a source"));
    }
}
