//! Whatever is written, it is answered: no panic, and places that exist.

use engine::config::{Colour, Environment, Files, load_files};
use proptest::prelude::*;

use crate::kinds::registry;

const EVERYTHING: &str = include_str!("everything.yml");

fn answer(text: &str) {
    let mut files = Files::default();
    files.add("a.yaml", text);
    let loaded = load_files(files, "a", &registry(), &Environment::default());
    assert_eq!(loaded.plan.is_some(), loaded.is_sound());
    for diagnostic in &loaded.diagnostics {
        if let Some(span) = diagnostic.span {
            assert!(loaded.files.position(span).is_some(), "{diagnostic:?} is in no line");
        }
    }
    assert_eq!(loaded.render(Colour::Never).is_empty(), loaded.diagnostics.is_empty());
    assert_eq!(loaded.json().as_array().map(Vec::len), Some(loaded.diagnostics.len()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_configuration_is_answered(
        damages in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..12, "[a-z0-9{}:,\"'&*!|>#é\\-\\[\\] \n\t]{0,6}"),
            1..6,
        )
    ) {
        let mut text: Vec<char> = EVERYTHING.chars().collect();
        for (at, cut, paste) in damages {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, paste.chars());
        }
        answer(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        answer(&text);
    }
}
