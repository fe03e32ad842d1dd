//! Dead letters over the API: pages, counts, one of them, and their removal.

use super::*;

/// An engine that has dead letters and makes no more of them: events that nobody can drink, and mud.
fn mill() -> Mill {
    let refuse = stateless(async |_: Event, _| Err::<(), _>(native::Error::reject("not thirsty")));
    let mill = Mill::with(refuse, 2, None);
    mill.connect();
    let stored = |status: &Value| figure(status, &["deadLetters", "stored"]);
    while stored(&mill.get("/v1/status").unwrap()) < 20 {}
    ask(&mill.admin, "POST", "/v1/sources/spring/leave").unwrap();
    // What waits on the disk for its turn still comes.
    let open = |status: &Value| {
        let rules = status["rules"].as_object().unwrap().values();
        rules.map(|rule| figure(rule, &["parked"]) + figure(rule, &["inFlight"])).sum::<u64>()
    };
    while open(&mill.get("/v1/status").unwrap()) > 0 {}
    mill
}

fn ids(page: &Value) -> Vec<String> {
    let letters = page["deadLetters"].as_array().unwrap();
    letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_list_comes_in_pages_and_can_be_filtered_and_counted() {
    let mill = mill();
    let stored = figure(&mill.get("/v1/status").unwrap(), &["deadLetters", "stored"]);
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = mill.get(&format!("/v1/dead-letters?limit=7{next}")).unwrap();
        assert!(ids(&page).len() <= 7);
        all.extend(ids(&page));
        let Some(after) = page["next"].as_str() else { break };
        next = format!("&after={after}");
    }
    assert_eq!(all.len() as u64, stored);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "the oldest first");
    let rejected = mill.get("/v1/dead-letters?reason=rejected&rule=water/drunk&where=type%3Ddrop").unwrap();
    let letter = &rejected["deadLetters"][0];
    assert_eq!((&letter["message"], &letter["function"]), (&"not thirsty".into(), &"drink".into()));
    assert_eq!((&letter["event"]["dlqreason"], &letter["attempts"]), (&"rejected".into(), &1.into()));
    let groups = mill.get("/v1/dead-letters?group=reason").unwrap();
    let counts = groups["groups"].as_array().unwrap().iter().map(|group| figure(group, &["count"]));
    assert_eq!(counts.sum::<u64>(), stored);
    let one = mill.get(&format!("/v1/dead-letters/{}", all[0])).unwrap();
    assert_eq!(one["id"], all[0].as_str());
    let status = mill.get("/v1/status").unwrap();
    assert_eq!(
        figure(&status, &["rules", "water/drunk", "deadLettered"]),
        figure(&status, &["rules", "water/drunk", "matched"])
    );
    mill.end();
}

#[test]
fn a_purge_removes_what_is_meant_and_nothing_by_leaving_something_out() {
    let mill = mill();
    let purge = |query: &str| ask(&mill.admin, "POST", &format!("/v1/dead-letters/purge{query}"));
    for (query, part) in [
        ("", "all=true"),
        ("?dryRun=true", "all=true"),
        ("?all=true&reason=rejected", "no filter"),
        ("?all=perhaps", "true or false"),
        ("?colour=red", "no filter; there is"),
    ] {
        let sentence = purge(query).unwrap_err().to_string();
        assert!(sentence.contains(part), "{query}: {sentence}");
    }
    let stored = || figure(&mill.get("/v1/status").unwrap(), &["deadLetters", "stored"]);
    let before = stored();
    let would = purge("?reason=undecodable&dryRun=true").unwrap()["wouldPurge"].as_u64().unwrap();
    assert!(would > 0 && stored() == before);
    assert_eq!(purge("?reason=undecodable").unwrap()["purged"], would);
    assert_eq!(stored(), before - would);
    assert_eq!(purge("?all=true").unwrap()["purged"], before - would);
    let status = mill.get("/v1/status").unwrap();
    assert_eq!((stored(), figure(&status, &["deadLetters", "purged"])), (0, before));
    mill.end();
}

#[test]
fn a_replay_runs_what_is_meant_again_and_nothing_by_leaving_something_out() {
    let mill = mill();
    let replay = |query: &str| ask(&mill.admin, "POST", &format!("/v1/dead-letters/replay{query}"));
    for (query, part) in [("", "all=true"), ("?all=true&upto=7", "no id of a dead letter")] {
        let sentence = replay(query).unwrap_err().to_string();
        assert!(sentence.contains(part), "{query}: {sentence}");
    }
    let undecodable = replay("?reason=undecodable").unwrap();
    assert!(undecodable["replayed"] == 0 && figure(&undecodable, &["skipped", "undecodable"]) > 0, "{undecodable}");
    let dry = replay("?reason=rejected&dryRun=true").unwrap();
    let again = replay("?reason=rejected").unwrap();
    assert_eq!((&dry["replayed"], &dry["upto"]), (&again["replayed"], &again["upto"]));
    let count = figure(&again, &["replayed"]);
    // The answer may overtake the books.
    let books = || {
        let status = mill.get("/v1/status").unwrap();
        let [replayed, in_flight] = ["replayed", "inFlight"].map(|key| figure(&status, &["rules", "water/drunk", key]));
        (replayed, in_flight)
    };
    while books() != (count, 0) {}
    let letters = mill.get("/v1/dead-letters?where=dlqredrives%3D1").unwrap();
    assert!(!letters["deadLetters"].as_array().unwrap().is_empty(), "the function is not thirsty yet");
    mill.end();
}

#[test]
fn what_cannot_be_meant_is_told_what_to_write() {
    let mill = Mill::start(2, None);
    for (path, part) in [
        ("/v1/dead-letters?group=colour", "reason, rule or function"),
        ("/v1/dead-letters?limit=many", "'limit' is a number"),
        ("/v1/dead-letters?after=7", "no id of a dead letter"),
        ("/v1/dead-letters?since=yesterday", "2026-11-21T06:58:00Z"),
        ("/v1/dead-letters/7", "no id of a dead letter"),
        ("/v1/dead-letters/01m7zsytm000", "there is no dead letter '01m7zsytm000'"),
    ] {
        let sentence = mill.get(path).unwrap_err().to_string();
        assert!(sentence.contains(part), "{path}: {sentence}");
    }
    assert!(ask(&mill.observe, "GET", "/v1/dead-letters").unwrap_err().to_string().contains("no such path"));
    mill.end();
}
