//! What is typed and what is shown; the commands against engines and folders are an integration test.

use serde_json::json;

use super::*;

fn line(id: &str, rule: Option<&str>, message: &str) -> String {
    json!({
        "id": id, "reason": "exhausted", "attempts": 5, "rule": rule, "function": "f", "source": "fleet", "code": null,
        "message": message, "firstTime": "2026-11-21T06:58:00.000Z", "lastTime": "2026-11-21T06:58:09.000Z",
        "position": null, "redrives": 0, "facts": { "topic": "a\u{1b}b" },
        "event": { "specversion": "1.0", "id": "1", "source": "/s", "type": "alert", "subject": "veh-1" },
    })
    .to_string()
}

#[test]
fn a_list_is_a_table_of_bounded_width_and_says_if_there_are_more() {
    let mut letters = shown::Letters::default();
    assert_eq!(letters.render(), "no dead letters");
    letters.add(&line("01m7zsytm000", Some("t/r"), "it broke\n\u{1b}[2J"), 2).unwrap();
    letters.add(&line("01m7zsytm001", None, &"ä".repeat(100)), 2).unwrap();
    assert!(!letters.more());
    letters.add(&line("01m7zsytm002", None, "one too many"), 2).unwrap();
    assert!(letters.more());
    let shown = letters.render();
    let rows: Vec<&str> = shown.lines().collect();
    assert_eq!(rows.len(), 3, "{shown}");
    assert!(rows[0].starts_with("ID            GIVEN UP"), "{shown}");
    assert!(rows[1].contains("t/r") && rows[1].ends_with("veh-1    it broke  [2J"), "{shown}");
    assert!(rows[2].contains("source fleet") && rows[2].ends_with(&format!("{}...", "ä".repeat(72))), "{shown}");
}

#[test]
fn a_letter_is_shown_with_its_event_as_it_is() {
    let line = line("01m7zsytm000", Some("t/r"), "it broke").replace("\"alert\"}", "\"alert\",\"data\":{\"v\":1.10}}");
    let shown = shown::letter(&line).unwrap();
    assert!(shown.contains("reason      exhausted\n") && shown.contains("attempts    5\n"), "{shown}");
    assert!(shown.contains("fact        topic: a b\n") && shown.contains("\"data\":{\"v\":1.10}"), "{shown}");
    assert!(!shown.contains("position") && !shown.contains("code"), "{shown}");
}

#[test]
fn groups_are_counted_in_words_of_what_they_have_in_common() {
    let found =
        [json!({ "name": "f", "count": 12, "oldest": "a", "newest": "b" }), json!({ "name": null, "count": 3 })];
    let shown = shown::groups("function", &found);
    assert_eq!(shown, "FUNCTION  COUNT  OLDEST  NEWEST\nf            12  a       b\n-             3  -       -");
    assert_eq!(shown::groups("rule", &[]), "no dead letters");
}

#[test]
fn a_replay_says_what_stays_and_why() {
    let found = json!({ "replayed": 7, "handedBack": 2, "skipped": { "undecodable": 1, "rule": 3 } });
    let expected = "7 dead letters were replayed; 1 stay, which are no events; 3 stay, which have no rule any more; 2 stay \
                    unfinished, because the engine ends";
    assert_eq!(shown::replayed(&found, false), expected);
    let dry = json!({ "replayed": 7, "handedBack": 0, "skipped": {} });
    assert_eq!(shown::replayed(&dry, true), "7 dead letters would be replayed");
}

#[test]
fn a_moment_is_a_time_or_how_long_ago_it_was() {
    assert_eq!(moment("2026-11-21T06:58:00Z").as_deref(), Ok("2026-11-21T06:58:00Z"));
    let (earlier, later) = (moment("2h").unwrap(), moment("1m").unwrap());
    assert!(earlier < later, "{earlier} {later}");
    assert!(moment("yesterday").unwrap_err().contains("such as 2h"));
}

#[test]
fn a_purge_says_what_it_means() {
    let purge = |ids: &[&str], all| Chosen {
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        filters: Filters { reason: vec![], rule: vec![], since: None, until: None, r#where: vec![] },
        all,
        dry_run: true,
        place: Where { remote: Remote::default(), state: None },
        json: false,
    };
    for (purge, part) in [
        (purge(&[], false), "--all"),
        (purge(&["01m7zsytm000"], true), "leave one of them out"),
        (purge(&["7"], false), "no id of a dead letter"),
    ] {
        let replay = |chosen| Replay { chosen, through: "rule".to_owned(), rate: None };
        for failure in [purge.purge().unwrap_err(), replay(purge).run().unwrap_err()] {
            assert!(failure.exit == Exit::Refused && failure.sentence().contains(part), "{}", failure.sentence());
        }
    }
}

#[test]
fn a_folder_without_dead_letters_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let place = Where { remote: Remote::default(), state: Some(folder.path().join("no")) };
    let sentence = Place::find(&place).err().unwrap().sentence();
    assert!(sentence.contains("it has no file 'deliveries'"), "{sentence}");
    assert!(!folder.path().join("no").exists(), "nothing is made by looking");
}

#[test]
fn what_has_gone_to_an_output_is_not_listed_and_that_is_said() {
    let list = List {
        filters: Filters { reason: vec![], rule: vec![], since: None, until: None, r#where: vec![] },
        place: Where { remote: Remote::default(), state: None },
        group: None,
        limit: None,
        from: Some("dead".to_owned()),
        json: false,
    };
    let failure = list.run().unwrap_err();
    assert!(failure.exit == Exit::Refused && failure.sentence().contains("'--from dead' is not available yet"));
}
