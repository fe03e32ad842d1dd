//! Names are nouns of the domain. A `Manager` or a `Util` is the sign of a noun that nobody has
//! found yet, and such a drawer collects everything that has no better place.

use proc_macro2::TokenTree;

use super::syntax;
use super::tree::File;
use super::violation::Violation;

const TYPE_ENDINGS: [&str; 5] = ["Manager", "Context", "Util", "Utils", "Helper"];
const MODULES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];

/// Definitions of types and modules, and the file's own name; using a foreign type of such a name
/// is free.
pub(super) fn check(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(stem) = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"))
        && MODULES.contains(&stem)
    {
        found.push(Violation::new(&file.path, 1, format!("`{stem}` names no noun of the domain; find the noun")));
    }
    syntax::each_run(syntax::tokens(file), &mut |run| {
        for pair in run.windows(2) {
            let [keyword, TokenTree::Ident(name)] = pair else {
                continue;
            };
            let defines_type = ["struct", "enum", "trait", "type"].iter().any(|word| syntax::is_ident(keyword, word));
            let defines_module = syntax::is_ident(keyword, "mod");
            let text = name.to_string();
            if defines_type && TYPE_ENDINGS.iter().any(|ending| text.ends_with(ending))
                || defines_module && MODULES.contains(&text.as_str())
            {
                let what = format!("`{text}` names no noun of the domain; find the noun");
                found.push(Violation::new(&file.path, name.span().start().line, what));
            }
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawer_is_refused() {
        for text in [
            "struct PoolManager;",
            "pub trait RetryHelper {}",
            "enum CallContext { A }",
            "type Utils = ();",
            "mod utils {}",
        ] {
            assert_eq!(check(&File::sample("a.rs", text)).len(), 1, "{text}");
        }
        assert_eq!(check(&File::sample("crates/engine/src/util.rs", "fn a() {}")).len(), 1);
    }

    #[test]
    fn a_noun_and_a_foreign_type_pass() {
        let text = "struct Pool;\nuse std::task::Context;\nfn poll(cx: &mut Context<'_>) {}\n";
        assert_eq!(check(&File::sample("crates/engine/src/pool.rs", text)), []);
    }
}
