//! What can be typed, and what the help says can be typed.

use super::*;

/// Every command with the words that lead to it.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    let root = definition(&[]);
    let named = root.get_subcommands().map(|command| (vec![command.get_name().to_owned()], command.clone()));
    named.chain([(Vec::new(), root.clone())]).collect()
}

fn parse(line: &str) -> Result<ArgMatches, clap::Error> {
    definition(&[]).try_get_matches_from(line.split_whitespace())
}

#[test]
fn the_definition_is_sound() {
    definition(&[]).debug_assert();
}

#[test]
fn every_help_has_an_example_and_every_example_parses() {
    for (words, mut command) in commands() {
        let help = command.render_long_help().to_string();
        let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("no example in the help of {words:?}"));
        let lines: Vec<&str> = examples.lines().map(str::trim).filter(|line| line.starts_with("tidemill ")).collect();
        assert!(!lines.is_empty(), "{words:?}: {help}");
        for line in lines {
            let typed = line.split_once(" > ").map_or(line, |(typed, _)| typed);
            let matches = parse(typed).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(words.is_empty() || matches.subcommand_name() == words.first().map(String::as_str), "{line}");
        }
    }
}

#[test]
fn data_can_be_had_as_json() {
    for line in [
        "check a.yaml --json",
        "status --json",
        "explain 4711 --json",
        "fire nightly --json",
        "send a --type t --json",
        "run a.yaml --log-format json",
        "state check a --json",
        "dlq list --json",
        "dlq show 01m7zsytm000 --json",
        "dlq purge --all --json",
    ] {
        parse(&format!("tidemill {line}")).unwrap();
    }
}

#[test]
fn what_cannot_be_meant_is_told_what_to_write() {
    for (line, part) in [
        ("run", "PATH"),
        ("run a.yaml --admin example.org", "IP:PORT"),
        ("run a.yaml --grace 5", "such as 500ms, 30s"),
        ("run a.yaml --log-format xml", "json"),
        ("fire", "SOURCE"),
        ("leave", "SOURCE"),
        ("pause", "SOURCE"),
        ("send fleet", "--type"),
        ("send fleet --event a.json --type t", "cannot be used with"),
        ("send fleet --type t --attribute tenant", "NAME=VALUE"),
        ("send fleet --type t --to a", "--config"),
        ("send fleet --type t --config a.yaml --admin 127.0.0.1:1", "cannot be used with"),
        ("resume", "SOURCE"),
        ("dlq", "Usage"),
        ("dlq list --since yesterday", "2026-11-21T06:58:00Z"),
        ("dlq list --group colour", "reason"),
        ("dlq list --limit 0", "limit"),
        ("dlq show", "ID"),
        ("rum a.yaml", "run"),
        ("", "Usage"),
    ] {
        let error = parse(&format!("tidemill {line}")).unwrap_err();
        let text = error.render().to_string();
        assert!(error.use_stderr() && text.contains(part), "{line}: {text}");
    }
}

#[test]
fn exit_codes_are_what_the_help_says() {
    let ends = |line: &str| {
        let words = line.split_whitespace().map(OsString::from);
        format!("{:?}", main(words, &Registry::default(), &[]))
    };
    let code = |exit: Exit| format!("{:?}", ExitCode::from(exit));
    assert_eq!(ends("tidemill --version"), code(Exit::Well));
    assert_eq!(ends("tidemill help run"), code(Exit::Well));
    assert_eq!(ends("tidemill fly"), code(Exit::Refused));
    assert_eq!(ends("tidemill check /no/such.yaml"), code(Exit::Refused));
    assert_eq!(ends("tidemill run /no/such.yaml --admin 0.0.0.0:0"), code(Exit::Refused));
    assert_eq!(ends("tidemill status --admin unix:/no/such.sock"), code(Exit::Failed));
    assert_ne!(code(Exit::Failed), code(Exit::Refused));
}

#[test]
fn a_command_can_be_added() {
    fn fly(arguments: &ArgMatches, registry: &Registry) -> Result<Exit, Failure> {
        assert_eq!((arguments.get_one::<String>("where").unwrap().as_str(), registry.sources().len()), ("away", 0));
        Err(Failure::refused("mills do not fly"))
    }
    let definition = clap::Command::new("fly").arg(clap::Arg::new("where"));
    let extras = [Extra { definition, run: fly }];
    let ended = main(["tidemill", "fly", "away"].map(OsString::from), &Registry::default(), &extras);
    assert_eq!(format!("{ended:?}"), format!("{:?}", ExitCode::from(2)));
}

#[test]
fn a_failure_says_its_causes_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the gate")]
    struct Gate(#[source] std::io::Error);
    let failure = Failure::failed(Gate(std::io::Error::other("it is rusty")));
    assert_eq!(failure.sentence(), "cannot open the gate: it is rusty");
    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the gate: {0}")]
    struct Twice(#[source] std::io::Error);
    let failure = Failure::failed(Twice(std::io::Error::other("it is rusty")));
    assert_eq!(failure.sentence(), "cannot open the gate: it is rusty");
}
