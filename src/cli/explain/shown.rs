//! A story on a terminal: one line for each rule, and below it what happened, in order.

use serde_json::Value;

use super::super::table::plain;

/// Characters of an error that are shown; --json has all of it.
const ERROR: usize = 100;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn list(value: &Value, key: &str) -> String {
    let names = value[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(plain);
    names.collect::<Vec<_>>().join(", ")
}

fn each<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// How far back the ledger reaches.
pub(super) fn ledger(told: &Value) -> String {
    text(&told["ledger"], "sentence").to_owned()
}

/// Every event of the id.
pub(super) fn events(told: &Value) -> String {
    let mut parts: Vec<String> = each(told, "events").map(|story| event(text(told, "id"), story)).collect();
    let mut last = ledger(told);
    if let Some(omitted) = told["ledger"]["omitted"].as_u64().filter(|omitted| *omitted > 0) {
        last += &format!("; {omitted} older deliveries and failures of this id are not shown");
    }
    parts.push(last);
    parts.join("\n\n")
}

fn event(id: &str, story: &Value) -> String {
    let mut head = format!("event {}", plain(id));
    match story["source"].as_str() {
        Some(source) => head += &format!(" of {}", plain(source)),
        None => head += ", its source is not kept",
    }
    for (key, word) in [("type", "type"), ("subject", "subject")] {
        if let Some(value) = story[key].as_str() {
            head += &format!(", {word} {}", plain(value));
        }
    }
    if let Some(received) = story["received"].as_str() {
        head += &format!(", here since {received} at the latest");
    }
    let mut lines = vec![head];
    if story["spool"].is_object() {
        let spool = &story["spool"];
        lines.push(format!(
            "waits in the spool of source '{}' since {}",
            plain(text(spool, "source")),
            text(spool, "since")
        ));
    }
    if story["unmatched"].is_object() {
        let unmatched = &story["unmatched"];
        let (source, time) = (plain(text(unmatched, "source")), text(unmatched, "time"));
        lines.push(format!("no rule of source '{source}' wanted it, {time}; it was acknowledged"));
    }
    let width = each(story, "rules").map(|rule| text(rule, "rule").chars().count()).max().unwrap_or_default();
    for rule in each(story, "rules") {
        lines.push(format!("{:<width$}  {}", plain(text(rule, "rule")), verdict(rule)).trim_end().to_owned());
        if let Some(omitted) = rule["omitted"].as_u64().filter(|omitted| *omitted > 0) {
            lines.push(format!("  ({omitted} older steps are not shown)"));
        }
        lines.extend(each(rule, "steps").map(|happened| format!("  {}", step(happened))));
    }
    lines.join("\n")
}

fn verdict(rule: &Value) -> String {
    let because = rule["because"].as_str().map(plain);
    match (text(rule, "verdict"), because, rule["state"].is_object()) {
        ("filtered", Some(because), _) => format!("filtered {}", condition(&because)),
        ("filtered", None, _) => "filtered: no delivery of it was made".to_owned(),
        ("matched", _, true) => state(&rule["state"]),
        ("matched", Some(because), false) => format!("matches; {because}"),
        ("matched", None, false) => "matches; not begun".to_owned(),
        (_, because, _) => format!("not known: {}", because.unwrap_or_default()),
    }
}

/// A condition as it continues `filtered`.
fn condition(because: &str) -> String {
    match because.strip_prefix("by its trigger: ") {
        Some(why) => format!("by its trigger: {why}"),
        None => format!("by: {because}"),
    }
}

/// Where the delivery is.
fn state(state: &Value) -> String {
    let until = state["until"].as_str();
    let mut said = match (text(state, "is"), text(state, "does")) {
        ("done", _) => format!("done {}", text(state, "time")),
        ("dropped", _) => format!("dropped ({}) {}", text(state, "reason"), text(state, "time")),
        ("handedBack", _) => format!("left with its source {}, which brings it again", text(state, "time")),
        ("deadLettered", _) => dead(state),
        ("parked", _) => match until {
            Some(until) => format!("parked until {until}, then {}", attempt(state)),
            None => format!("parked behind another one of its key, then {}", attempt(state)),
        },
        ("paused", does) => paused(state, does),
        ("inFlight", does) => in_flight(state, does),
        (_, _) => format!(
            "not known since {}: the engine was killed before it was written down; its source brings it again if it was not done",
            text(state, "time")
        ),
    };
    if let Some(name) = state["circuit"].as_str() {
        said += &format!("; not while the circuit of {} is open", plain(name));
    }
    if let Some(error) = state["error"].as_str().filter(|_| matches!(text(state, "is"), "parked" | "paused")) {
        said += &format!("; last error{}: {}", code(state), short(error));
    }
    if let Some(copies) = state["copies"].as_u64().filter(|copies| *copies > 1) {
        said += &format!(" (and {} more deliveries of it)", copies - 1);
    }
    said
}

fn dead(state: &Value) -> String {
    let mut said = format!("dead letter ({}) {}", text(state, "reason"), text(state, "time"));
    match state["deadLetter"].as_str() {
        Some(id) => said += &format!(", 'tidemill dlq show {id}'"),
        None => said += ", which is there no more: it was replayed, purged, or dropped for its quota",
    }
    if let Some(forward) = state["forward"].as_str() {
        said += &format!(", {}", plain(forward));
    }
    said
}

fn paused(state: &Value, does: &str) -> String {
    let what = if does == "key" { "its key" } else { "its rule" };
    let owed = if text(state, "stage") == "publish" { "its results are published" } else { "it is called" };
    format!("paused: {what} is, since {}; {owed} once 'tidemill resume' lets it go on", text(state, "since"))
}

fn in_flight(state: &Value, does: &str) -> String {
    let since = text(state, "since");
    let doing = match does {
        "called" => format!("its function has it, or it waits for a worker, since {since}"),
        "publishing" => format!("its results are on their way to {}, since {since}", list(state, "outputs")),
        "behind" => format!("behind another one of its key, since {since}"),
        "turn" => format!("waits for its turn under the rule's limits, since {since}"),
        "held" => format!("held, because there are more dead letters than there may be, since {since}"),
        "waiting" => format!("waits in its seat until {}", text(state, "until")),
        "parking" => "its row is on its way to the disk".to_owned(),
        _ => "its dead letter is on its way to the disk".to_owned(),
    };
    format!("in flight: {doing}, {}", attempt(state))
}

fn attempt(state: &Value) -> String {
    let number = state["attempt"].as_u64().unwrap_or_default();
    let of = state["maxAttempts"].as_u64().map(|of| format!(" of {of}")).unwrap_or_default();
    let what = if text(state, "stage") == "publish" { "attempt to publish" } else { "attempt" };
    format!("{what} {number}{of}")
}

fn code(value: &Value) -> String {
    value["code"].as_str().map(|code| format!(" ({})", plain(code))).unwrap_or_default()
}

fn short(error: &str) -> String {
    let error = plain(error);
    let mut shown: String = error.chars().take(ERROR).collect();
    if shown.len() < error.len() {
        shown += "...";
    }
    shown
}

fn step(step: &Value) -> String {
    let mut said = format!("{}  ", text(step, "time"));
    let failure = || {
        let took = step["attemptMs"].as_u64().map(|took| format!(" after {took} ms")).unwrap_or_default();
        let error = step["error"].as_str().map(|error| format!(": {}", short(error))).unwrap_or_default();
        format!("{took}{}{error}", code(step))
    };
    match text(step, "what") {
        "failed" => {
            said += &format!("{} failed{}", attempt(step), failure());
            if let Some(next) = step["next"].as_str() {
                said += &format!("; again {next}");
            }
        }
        "done" => {
            let took = step["tookMs"].as_u64().map(|took| format!(" after {took} ms")).unwrap_or_default();
            said += &format!("done{took}, {}", attempt(step));
            if let Some(results) = step["results"].as_u64() {
                let many = if results == 255 { "255 or more".to_owned() } else { results.to_string() };
                let word = if results == 1 { "result" } else { "results" };
                said += &format!(", {many} {word} confirmed by {}", list(step, "outputs"));
            }
        }
        "deadLettered" => {
            said += &format!("given up ({}) at {}{}", text(step, "reason"), attempt(step), failure());
        }
        "dropped" => said += &format!("dropped ({}) at {}{}", text(step, "reason"), attempt(step), failure()),
        _ => said += &format!("left with its source, {}", attempt(step)),
    }
    if let Some(redrives) = step["redrives"].as_u64() {
        said += &format!(" (replayed {redrives} times)");
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Compares with the file of this name beside this one; `TIDEMILL_BLESS=1` accepts what is there.
    fn golden(name: &str, shown: &str) {
        let path = format!("{}/src/cli/explain/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("TIDEMILL_BLESS").is_some() {
            std::fs::write(&path, shown).unwrap();
        }
        assert_eq!(shown, std::fs::read_to_string(&path).unwrap(), "TIDEMILL_BLESS=1 accepts this");
    }

    const LEDGER: &str = "the ledger reaches back to 2026-11-22T01:00:00.000Z (1,000,000 deliveries)";

    #[test]
    fn every_state_has_its_line_and_every_step_below_it() {
        let failed = json!({
            "time": "2026-11-22T01:02:03.100Z", "what": "failed", "stage": "call", "attempt": 1, "maxAttempts": 5,
            "attemptMs": 201, "code": "timeout", "error": "no answer\n\u{1b}[2J", "next": "2026-11-22T01:02:03.300Z",
        });
        let done = json!({
            "time": "2026-11-22T01:02:04.000Z", "what": "done", "stage": "publish", "attempt": 1, "attemptMs": 2,
            "tookMs": 997, "calls": 2, "results": 2, "outputs": ["alerts", "metrics"],
        });
        let rule = |name: &str, state: Value, steps: Vec<Value>| {
            json!({
                "rule": name, "verdict": "matched", "because": null, "state": state, "steps": steps, "omitted": 0,
            })
        };
        let told = json!({
            "id": "4711", "source": null,
            "events": [{
                "source": "/fleet/veh-7", "type": "t", "subject": "veh-7", "received": "2026-11-22T01:02:03.003Z",
                "spool": null, "unmatched": null,
                "rules": [
                    rule("t/done", json!({ "is": "done", "time": "2026-11-22T01:02:04.000Z" }), vec![failed.clone(), done]),
                    rule("t/parked", json!({ "is": "parked", "does": "waiting", "stage": "publish", "attempt": 3,
                        "until": "2026-11-22T01:05:00.000Z", "code": null, "error": "output 'a': away" }), vec![failed]),
                    rule("t/behind", json!({ "is": "parked", "does": "behind", "stage": "call", "attempt": 1 }), vec![]),
                    rule(
                        "t/open",
                        json!({ "is": "parked", "does": "waiting", "stage": "publish", "attempt": 2,
                            "until": "2026-11-22T01:05:00.000Z", "circuit": "output 'a'", "error": "output 'a': away" }),
                        vec![],
                    ),
                    rule("t/key", json!({ "is": "paused", "does": "key", "stage": "call", "attempt": 6,
                        "since": "2026-11-22T01:02:06.000Z", "code": "timeout", "error": "no answer" }), vec![]),
                    rule("t/rule", json!({ "is": "paused", "does": "rule", "stage": "publish", "attempt": 1,
                        "since": "2026-11-22T01:02:06.000Z", "error": "somebody has paused it" }), vec![]),
                    rule("t/dead", json!({ "is": "deadLettered", "reason": "exhausted", "deadLetter": "01m7zsytm000",
                        "time": "2026-11-22T01:02:05.000Z", "forward": "waiting to dead" }),
                        vec![json!({ "time": "2026-11-22T01:02:05.000Z", "what": "deadLettered", "stage": "publish",
                            "attempt": 5, "maxAttempts": 5, "attemptMs": 0, "reason": "exhausted", "error": "gone", "redrives": 1 })]),
                    rule("t/gone", json!({ "is": "deadLettered", "reason": "rejected", "time": "2026-11-22T01:02:05.000Z" }), vec![]),
                    rule("t/dropped", json!({ "is": "dropped", "reason": "function", "time": "2026-11-22T01:02:05.000Z" }),
                        vec![json!({ "time": "2026-11-22T01:02:05.000Z", "what": "dropped", "stage": "call", "attempt": 1,
                            "maxAttempts": 5, "attemptMs": 3, "reason": "function" })]),
                    rule("t/back", json!({ "is": "handedBack", "time": "2026-11-22T01:02:05.000Z" }),
                        vec![json!({ "time": "2026-11-22T01:02:05.000Z", "what": "handedBack", "stage": "call", "attempt": 1 })]),
                    rule("t/called", json!({ "is": "inFlight", "does": "called", "stage": "call", "attempt": 2, "maxAttempts": 5,
                        "since": "2026-11-22T01:02:06.000Z", "copies": 2 }), vec![]),
                    rule("t/sent", json!({ "is": "inFlight", "does": "publishing", "stage": "publish", "attempt": 1, "maxAttempts": 5,
                        "since": "2026-11-22T01:02:06.000Z", "outputs": ["alerts"] }), vec![]),
                    rule("t/killed", json!({ "is": "unknown", "time": "2026-11-22T01:02:06.000Z" }), vec![]),
                    { "rule": "t/not", "verdict": "filtered", "because": "exact type 'a', but its type is 't'", "state": null, "steps": [], "omitted": 0 },
                    { "rule": "u/not", "verdict": "filtered", "because": "by its trigger: exact type 'a', but its type is 't'", "state": null, "steps": [], "omitted": 0 },
                    { "rule": "v/new", "verdict": "matched", "because": null, "state": null, "steps": [], "omitted": 7 },
                ],
            }],
            "ledger": { "sentence": LEDGER, "omitted": 0 },
        });
        golden("states", &events(&told));
    }

    #[test]
    fn what_is_known_of_an_event_that_is_gone_is_said_and_no_more() {
        let bare = |verdict: &str, because: Value| {
            json!({
                "rule": "t/r", "verdict": verdict, "because": because, "state": null, "steps": [], "omitted": 0,
            })
        };
        let told = json!({
            "id": "1", "source": null,
            "events": [
                { "source": null, "type": null, "subject": null, "received": "2026-11-22T01:02:03.003Z", "spool": null,
                    "unmatched": { "source": "fleet", "time": "2026-11-22T01:02:03.003Z" }, "rules": [bare("filtered", Value::Null)] },
                { "source": "/b", "type": "t", "subject": null, "received": null, "unmatched": null,
                    "spool": { "source": "fleet", "since": "2026-11-22T01:02:03.003Z" }, "rules": [bare("matched", Value::Null)] },
                { "source": null, "type": null, "subject": null, "received": null, "spool": null, "unmatched": null,
                    "rules": [bare("unknown", json!("the ledger does not reach back to when the event arrived"))] },
            ],
            "ledger": { "sentence": LEDGER, "omitted": 12 },
        });
        golden("gone", &events(&told));
        assert_eq!(ledger(&told), LEDGER);
    }
}
