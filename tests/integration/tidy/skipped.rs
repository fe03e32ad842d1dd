//! No test is skipped. A test that cannot run here fails and says what to install; one that is
//! broken is mended or deleted, because an ignored test is a promise that nobody keeps.

use super::syntax;
use super::tree::File;
use super::violation::Violation;

/// `#[ignore]`, with or without a reason, also inside `cfg_attr`.
pub(super) fn check(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    syntax::each_attribute(syntax::tokens(file), &mut |content, line| {
        let mut ignores = false;
        let is_doc = content.clone().into_iter().next().is_some_and(|first| syntax::is_ident(&first, "doc"));
        syntax::each_run(content, &mut |run| {
            ignores |= run.iter().any(|token| syntax::is_ident(token, "ignore"));
        });
        if ignores && !is_doc {
            found.push(Violation::new(&file.path, line, "`#[ignore]` skips a test; mend it or delete it"));
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_is_refused() {
        for attribute in ["#[ignore]", "#[ignore = \"flaky\"]", "#[cfg_attr(windows, ignore)]"] {
            let text = format!("#[test]\n{attribute}\nfn a() {{}}\n");
            assert_eq!(check(&File::sample("a.rs", &text)).len(), 1, "{attribute}");
        }
    }

    #[test]
    fn the_word_alone_passes() {
        assert_eq!(check(&File::sample("a.rs", "//! Say ignore.\n/// ignore\nfn ignore() { let ignore = 1; }\n")), []);
    }
}
