//! Rules that are paused, over the API: what is paused, what goes on, and what is refused.

use super::*;

#[test]
fn a_rule_is_paused_shown_and_goes_on() {
    let mill = Mill::start(2, None);
    let rule = |what: &str| format!("/v1/rules/water%2Fspilt/{what}");
    let post = |what: &str| ask(&mill.admin, "POST", &rule(what));
    let refusal = |what: &str| post(what).unwrap_err().to_string();
    assert_eq!(mill.get(&rule("paused")).unwrap()["paused"], serde_json::json!([]));
    assert_eq!(refusal("resume"), "nothing of rule 'water/spilt' is paused");
    assert_eq!(post("pause").unwrap()["paused"], "water/spilt");
    let shown = mill.get(&rule("paused")).unwrap();
    let pause = &shown["paused"][0];
    assert_eq!((&pause["key"], &pause["message"]), (&Value::Null, &"somebody has paused it".into()), "{shown}");
    assert_eq!((&shown["rule"], &shown["more"]), (&"water/spilt".into(), &false.into()));
    mill.runtime.block_on(mill.engine.send("spring", ice())).unwrap();
    let parked = |status: &Value| figure(status, &["rules", "water/spilt", "parked"]);
    while parked(&mill.get("/v1/status").unwrap()) < 1 {}
    assert_eq!(mill.get("/v1/status").unwrap()["rules"]["water/spilt"]["paused"], true);
    let page = raw(&mill.admin, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(page.contains("tidemill_rule_paused{rule=\"water/spilt\"} 1\n"), "{page}");
    let sentence = refusal("resume?key=nobody");
    assert_eq!(sentence, "key 'nobody' of rule 'water/spilt' is not paused; paused is: the rule as a whole");
    assert!(refusal("resume?skipHead=true").contains("without --skip-head"));
    assert!(refusal("resume?skipHead=perhaps").contains("true or false") && refusal("resume?keys=a").contains("'key'"));
    let resumed = post("resume").unwrap();
    assert_eq!(
        (&resumed["resumed"], &resumed["rule"], &resumed["keys"]),
        (&"water/spilt".into(), &true.into(), &0.into())
    );
    while figure(&mill.get("/v1/status").unwrap(), &["rules", "water/spilt", "done"]) < 1 {}
    let unknown = ask(&mill.admin, "POST", "/v1/rules/water%2Fgone/pause").unwrap_err().to_string();
    assert_eq!(unknown, "there is no rule 'water/gone'; the rules are: water/drunk, water/spilt");
    mill.end();
}
