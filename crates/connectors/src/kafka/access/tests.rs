//! What is said of brokers, certificates and logins, and what a client is configured with.

use super::token::At;
use super::*;

fn checked(yaml: &str) -> (Access, Vec<String>) {
    #[derive(Deserialize)]
    struct Typed {
        brokers: Spanned<Vec<Spanned<Secret>>>,
        tls: Option<Spanned<Tls>>,
        sasl: Option<Spanned<Sasl>>,
    }
    let typed: Typed = serde_json::from_str(yaml).unwrap();
    let mut check = Check::default();
    let access = Access::check(&typed.brokers, typed.tls.as_ref(), typed.sasl.as_ref(), &mut check);
    (access, check.finish().into_iter().map(|problem| problem.message).collect())
}

fn problems(yaml: &str) -> String {
    checked(yaml).1.join("; ")
}

fn opened(yaml: &str) -> Opened {
    let (access, _) = checked(yaml);
    access.open(Arc::new(At(0))).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

#[test]
fn brokers_are_hosts_with_ports() {
    assert_eq!(problems(r#"{"brokers":["localhost:9092","[::1]:9092","${env:KAFKA}"]}"#), "");
    for (broker, part) in [
        ("localhost", "has no port"),
        ("localhost:x", "has no port"),
        ("a:0", "has no port"),
        (":9092", "has no host"),
        ("a@b:1", "has no host"),
        ("kafka://a:1", "this is a URL"),
    ] {
        let said = problems(&format!(r#"{{"brokers":["{broker}"]}}"#));
        assert!(said.contains(part), "{broker}: {said}");
    }
    assert!(problems(r#"{"brokers":[]}"#).contains("no brokers"));
}

#[test]
fn each_mechanism_has_what_it_logs_in_with() {
    let said = |sasl: &str| problems(&format!(r#"{{"brokers":["a:1"],"tls":{{}},"sasl":{sasl}}}"#));
    assert_eq!(said(r#"{"mechanism":"SCRAM-SHA-512","user":"u","password":"p"}"#), "");
    assert_eq!(said(r#"{"mechanism":"OAUTHBEARER","token":"t"}"#), "");
    assert!(said(r#"{"mechanism":"PLAIN","user":"u"}"#).contains("PLAIN needs a user and a password"));
    assert!(said(r#"{"mechanism":"PLAIN","user":"u","password":"p","token":"t"}"#).contains("PLAIN has no token"));
    assert!(said(r#"{"mechanism":"OAUTHBEARER","user":"u","password":"p"}"#).contains("has a token, and no user"));
    assert!(said(r#"{"mechanism":"OAUTHBEARER"}"#).contains("OAUTHBEARER has no token"));
    let open = problems(r#"{"brokers":["a:1"],"sasl":{"mechanism":"PLAIN","user":"u","password":"p"}}"#);
    assert!(open.contains("for everybody to read"), "{open}");
}

#[test]
fn the_protocol_follows_from_what_is_there() {
    let sasl = r#","sasl":{"mechanism":"SCRAM-SHA-256","user":"u","password":"p"}"#;
    for (more, protocol) in [
        (String::new(), "plaintext"),
        (r#","tls":{}"#.to_owned(), "ssl"),
        (sasl.to_owned(), "sasl_plaintext"),
        (format!(r#","tls":{{}}{sasl}"#), "sasl_ssl"),
    ] {
        let opened = opened(&format!(r#"{{"brokers":["a:1","b:2"]{more}}}"#));
        assert_eq!(opened.config.get("security.protocol"), Some(protocol));
        assert_eq!(opened.address, "a:1,b:2");
        assert_eq!(opened.config.get("sasl.password"), protocol.starts_with("sasl").then_some("p"));
        opened.config.create_native_config().expect("librdkafka knows every property");
    }
}

#[test]
fn files_that_are_not_there_and_names_that_cannot_be_checked_are_refused() {
    let (access, said) = checked(r#"{"brokers":["a:1"],"tls":{"ca":"/nonexistent/ca.pem"}}"#);
    assert!(said.is_empty());
    let Err(error) = access.open(Arc::new(At(0))) else { panic!("opened") };
    assert!(error.message.starts_with("cannot read tls.ca '/nonexistent/ca.pem'"), "{}", error.message);
    assert!(
        problems(r#"{"brokers":["a:1"],"tls":{"serverName":"b"}}"#).contains("checks the name that it connects to")
    );
}
