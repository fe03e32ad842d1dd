//! What became of what a test sent, as the built program tells it: its file of events, its books, and its words.
//!
//! Every broker's tests judge by the same three, so that a promise means the same for each of them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use testkit::http::{Inbox, Post};
use testkit::patience::{until, within};
use testkit::tidemill::Tidemill;

/// The output that [`events`] reads.
pub(crate) const FILE: &str = "{ file: { path: events.jsonl, fsync: always } }";

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tidemill");

/// Every event in the engine's file; a line that is torn counts for nothing.
pub(crate) fn events(engine: &Tidemill) -> Vec<Value> {
    let content = std::fs::read_to_string(engine.folder().join("events.jsonl")).unwrap_or_default();
    content.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How often each id is in the engine's file.
pub(crate) fn ids(engine: &Tidemill) -> HashMap<String, usize> {
    ids_of(&[engine])
}

/// The ids of what outputs have posted to a server of the test, in the order of posting.
pub(crate) fn posted_ids(posts: &[Post]) -> Vec<String> {
    let id = |headers: &[(String, String)]| headers.iter().find(|(name, _)| name == "ce-id").map(|(_, id)| id.clone());
    posts.iter().map(|(headers, _)| id(headers).expect("every event has an id")).collect()
}

/// Waits until each of these was posted; answers everything that was.
pub(crate) async fn posted<I: ToString>(sink: &Inbox, wanted: impl IntoIterator<Item = I>) -> Vec<String> {
    let wanted: HashSet<String> = wanted.into_iter().map(|id| id.to_string()).collect();
    within("every event at the sink", async {
        let mut count = wanted.len();
        loop {
            let there = posted_ids(&sink.posted(count).await);
            let different: HashSet<&String> = there.iter().collect();
            let missing = wanted.iter().filter(|id| !different.contains(id)).count();
            if missing == 0 {
                return there;
            }
            // What is missing comes beside whatever else comes.
            count = there.len() + 1;
        }
    })
    .await
}

/// How often each id is in the files of the engines.
pub(crate) fn ids_of(engines: &[&Tidemill]) -> HashMap<String, usize> {
    let mut ids = HashMap::new();
    for event in engines.iter().flat_map(|engine| events(engine)) {
        *ids.entry(event["id"].as_str().expect("every event has an id").to_owned()).or_default() += 1;
    }
    ids
}

/// Waits until each of `wanted` is in the engine's file, and answers how often each id is.
pub(crate) async fn file_has<W>(engine: &Tidemill, wanted: W) -> HashMap<String, usize>
where
    W: IntoIterator<Item: ToString>,
{
    files_have(&[engine], wanted).await
}

/// Waits until each of `wanted` is in one of the engines' files, and answers how often each id is.
pub(crate) async fn files_have<W>(engines: &[&Tidemill], wanted: W) -> HashMap<String, usize>
where
    W: IntoIterator<Item: ToString>,
{
    let wanted: Vec<String> = wanted.into_iter().map(|id| id.to_string()).collect();
    until("every event in the file", async || {
        let ids = ids_of(engines);
        wanted.iter().all(|id| ids.contains_key(id)).then_some(ids)
    })
    .await
}

/// How many events are there more than once, each counted as often as it is too much.
pub(crate) fn repeated(ids: &HashMap<String, usize>) -> usize {
    ids.values().map(|count| count - 1).sum()
}

/// What an engine says when it knows that something comes again although it has finished: it could not tell its broker, or
/// was taken for dead, because one of them stood still for longer than the other bears.
const AGAIN: [&str; 5] =
    [" come again", " comes again", "is delivered again", "were not committed", "did not end as asked"];

/// Whether an engine has said since its last start that something comes again.
pub(crate) fn said_again(engine: &mut Tidemill) -> bool {
    engine.process().lines().all().iter().any(|line| AGAIN.iter().any(|part| line.contains(part)))
}

/// Stops an engine, and tells whether its broker has heard all of it, so that nothing may come again.
pub(crate) async fn stopped(engine: &mut Tidemill) -> bool {
    assert!(engine.terminate().await.success());
    !said_again(engine)
}

/// What the running engine has given up, the oldest first: a JSON object on each line.
pub(crate) async fn dead_letters(engine: &Tidemill) -> String {
    let (mut lines, mut path) = (String::new(), "/v1/dead-letters".to_owned());
    loop {
        let page = engine.get(&path).await.json();
        for letter in page["deadLetters"].as_array().expect("a page of dead letters") {
            lines += &format!("{letter}\n");
        }
        let Some(next) = page["next"].as_str() else { return lines };
        path = format!("/v1/dead-letters?after={next}");
    }
}

/// Waits until the last error of the source or output at `path`, such as `/sources/fleet`, holds `part`.
pub(crate) async fn error(engine: &Tidemill, path: &str, part: &str) -> String {
    let last = |status: &Value| {
        let link = status.pointer(path);
        link.and_then(|link| link["lastError"].as_str()).unwrap_or_default().to_owned()
    };
    last(&engine.status_where(part, |status| last(status).contains(part)).await)
}

/// Waits until nothing is in flight at any source, nothing waits in any spool, and nothing is parked; answers the status.
pub(crate) async fn idle(engine: &Tidemill) -> Value {
    let still = |status: &Value| {
        books(status, "sources").all(|(_, source)| source["inFlight"] == 0)
            && spools(status).all(|(_, spool)| spool["inFlight"] == 0 && spool["stored"] == 0)
            && books(status, "rules").all(|(_, rule)| rule["parked"] == 0 && rule["inFlight"] == 0)
    };
    engine.status_where("nothing in flight", still).await
}

/// Fails unless the identities of the conservation law hold for every source, spool and rule in one answer of `/v1/status`.
pub(crate) fn assert_balanced(status: &Value) {
    let sum = |books: &Value, names: &[&str]| names.iter().map(|name| books[*name].as_u64().unwrap_or(0)).sum::<u64>();
    for (name, source) in books(status, "sources") {
        let known = sum(source, &["settled", "rejected", "handedBack", "inFlight"]);
        assert_eq!(source["received"].as_u64(), Some(known), "source {name} of {status}");
    }
    let dropped = |books: &Value| {
        let dropped = books["dropped"].as_object().into_iter().flat_map(|reasons| reasons.values());
        dropped.filter_map(Value::as_u64).sum::<u64>()
    };
    for (name, spool) in spools(status) {
        let known = sum(spool, &["settled", "handedBack", "inFlight", "stored"]) + dropped(spool);
        assert_eq!(sum(spool, &["appended", "recovered"]), known, "spool {name} of {status}");
    }
    for (name, rule) in books(status, "rules") {
        let dropped = dropped(rule);
        let known = sum(rule, &["done", "deadLettered", "handedBack", "parked", "inFlight"]) + dropped;
        assert_eq!(sum(rule, &["matched", "recovered", "replayed", "looped"]), known, "rule {name} of {status}");
    }
}

/// The books of the spools that there are.
pub(crate) fn spools(status: &Value) -> impl Iterator<Item = (&String, &Value)> {
    status["spools"].as_object().into_iter().flatten()
}

/// The books of all sources or of all rules; a status without any would prove nothing.
fn books<'s>(status: &'s Value, of: &str) -> impl Iterator<Item = (&'s String, &'s Value)> {
    let books = status[of].as_object().unwrap_or_else(|| panic!("no {of} in {status}"));
    assert!(!books.is_empty(), "no {of} in {status}");
    books.iter()
}
