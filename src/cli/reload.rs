//! `tidemill reload`: the running engine reads its configuration again.

use std::time::Duration;

use serde_json::Value;

use super::remote::Remote;
use super::{Exit, Failure, data, note};
use crate::admin::client::Request;

/// Have the running engine read its configuration again
///
/// The files are those that it was started with. What means the same goes on as if nothing had happened; what is new is opened
/// before anything is exchanged. If the files are wrong or something cannot be opened, the old configuration goes on. Ends with
/// 2 if the files are wrong, with 1 if they could not be taken over.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill reload
  tidemill reload --json --admin unix:/run/tidemill.sock")]
pub(super) struct Arguments {
    #[command(flatten)]
    remote: Remote,
    /// Print the answer as JSON, that of a refusal too
    #[arg(long)]
    json: bool,
}

/// Opening what is new may have to wait for a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn reload(arguments: &Arguments) -> Result<Exit, Failure> {
    let request = Request { method: "POST", path: "/v1/reload", body: b"" };
    let (status, answer) = arguments.remote.exchange(request, PATIENCE)?;
    let exit = match status {
        200..=299 => Exit::Well,
        422 => Exit::Refused,
        _ => Exit::Failed,
    };
    if arguments.json {
        data(&answer.to_string())?;
        return Ok(exit);
    }
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    match exit {
        Exit::Well => data(&lines(&answer).join("\n"))?,
        Exit::Refused => {
            note(text("text").trim_end());
            return Err(Failure::refused(text("error")));
        }
        Exit::Failed => return Err(Failure::failed(text("error"))),
    }
    Ok(exit)
}

/// What is different, one line for each sort of things.
fn lines(answer: &Value) -> Vec<String> {
    let generation = &answer["generation"];
    let first = match answer["result"].as_str() {
        Some("unchanged") => format!("nothing is different; configuration {generation} goes on"),
        _ => format!("configuration {generation} runs"),
    };
    let sorts = ["sources", "functions", "outputs", "rules"].into_iter().map(|sort| {
        let of = |what: &'static str| {
            let names: Vec<&str> =
                answer[sort][what].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            (what, names)
        };
        let changes = ["added", "changed", "removed"].map(of).into_iter().filter(|(_, names)| !names.is_empty());
        let same = of("unchanged").1.len();
        let parts = changes.map(|(what, names)| format!("{what} {}", names.join(", ")));
        let parts: Vec<String> = parts.chain([format!("{same} unchanged")]).collect();
        format!("{sort}: {}", parts.join("; "))
    });
    [first].into_iter().chain(sorts).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_different_is_told_by_sort() {
        let none = json!({ "added": [], "changed": [], "removed": [], "unchanged": [] });
        let answer = json!({
            "generation": 3,
            "result": "reloaded",
            "sources": { "added": [], "changed": [], "removed": [], "unchanged": ["fleet"] },
            "functions": none,
            "outputs": { "added": ["b", "c"], "changed": [], "removed": ["a"], "unchanged": [] },
            "rules": { "added": [], "changed": ["t/r"], "removed": [], "unchanged": ["t/s", "t/u"] },
        });
        assert_eq!(
            lines(&answer),
            [
                "configuration 3 runs",
                "sources: 1 unchanged",
                "functions: 0 unchanged",
                "outputs: added b, c; removed a; 0 unchanged",
                "rules: changed t/r; 2 unchanged",
            ]
        );
    }
}
