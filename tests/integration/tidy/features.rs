//! Cargo features are chosen in two kinds of place: the root of a crate, which leaves whole
//! modules out, and `src/builtin.rs`, which lists the kinds. Anywhere else they grow into a
//! forest of half-compiled functions.

use super::syntax;
use super::tree::File;
use super::violation::Violation;

/// `feature = "..."` inside any attribute and inside `cfg!(...)`.
pub(super) fn check(file: &File) -> Vec<Violation> {
    if file.path == "src/builtin.rs" || file.path == "lib.rs" || file.path.ends_with("/lib.rs") {
        return Vec::new();
    }
    let mut lines = Vec::new();
    syntax::each_attribute(syntax::tokens(file), &mut |content, line| {
        if names_a_feature(content) {
            lines.push(line);
        }
    });
    syntax::each_run(syntax::tokens(file), &mut |run| {
        for window in run.windows(3) {
            let [name, bang, proc_macro2::TokenTree::Group(group)] = window else {
                continue;
            };
            if syntax::is_ident(name, "cfg") && syntax::is_punct(bang, '!') && names_a_feature(group.stream()) {
                lines.push(name.span().start().line);
            }
        }
    });
    let what = "`cfg(feature)` belongs in a crate's `lib.rs` or in `src/builtin.rs`; leave out a whole module there";
    lines.into_iter().map(|line| Violation::new(&file.path, line, what)).collect()
}

fn names_a_feature(tokens: proc_macro2::TokenStream) -> bool {
    let mut named = false;
    syntax::each_run(tokens, &mut |run| {
        named |= run.windows(2).any(|pair| syntax::is_ident(&pair[0], "feature") && syntax::is_punct(&pair[1], '='));
    });
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: [&str; 5] = [
        "#[cfg(feature = \"mqtt\")]\nfn a() {}\n",
        "#[cfg(all(unix, not(feature = \"mqtt\")))]\nfn a() {}\n",
        "#![cfg_attr(feature = \"mqtt\", allow(dead_code))]\n",
        "fn a() -> bool { cfg!(feature = \"mqtt\") }\n",
        "fn a() { m! { #[cfg(feature = \"mqtt\")] x } }\n",
    ];

    #[test]
    fn a_feature_in_the_middle_of_the_code_is_refused() {
        for text in BAD {
            assert_eq!(check(&File::sample("crates/bindings/src/prometheus.rs", text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_feature_at_the_root_of_a_crate_or_in_the_list_of_kinds_passes() {
        for text in BAD {
            assert_eq!(check(&File::sample("crates/bindings/src/lib.rs", text)), []);
            assert_eq!(check(&File::sample("src/builtin.rs", text)), []);
        }
    }

    #[test]
    fn other_conditions_pass() {
        assert_eq!(check(&File::sample("a.rs", "#[cfg(test)]\nmod tests {}\n#[cfg(loom)]\nmod l {}\n")), []);
    }
}
