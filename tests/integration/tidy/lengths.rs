//! A function fits a screen and a file stops before it becomes a drawer: 70 and 500 lines, tests
//! included. What grows past that becomes a new noun in a file of its own.

use proc_macro2::{Delimiter, TokenTree};

use super::syntax;
use super::tree::File;
use super::violation::Violation;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// The whole file, blank lines and tests included.
pub(super) fn of_file(file: &File) -> Vec<Violation> {
    let lines = file.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let what =
        format!("{lines} lines, {FILE_LINES_MAX} at most; move its tests or one of its nouns to a file of its own");
    vec![Violation::new(&file.path, FILE_LINES_MAX + 1, what)]
}

/// Every function with a body, from `fn` to its closing brace; doc comments and attributes are
/// free. Read from tokens, so that functions written inside a macro call such as `proptest!`
/// count too.
pub(super) fn of_functions(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    syntax::each_run(syntax::tokens(file), &mut |run| {
        for (at, pair) in run.windows(2).enumerate() {
            let [keyword, TokenTree::Ident(name)] = pair else {
                continue;
            };
            if !syntax::is_ident(keyword, "fn") {
                continue;
            }
            let first = keyword.span().start().line;
            let Some(last) = last_line_of_body(&run[at + 2..]) else {
                continue;
            };
            let lines = last - first + 1;
            if lines > FUNCTION_LINES_MAX {
                let what =
                    format!("`{name}` has {lines} lines, {FUNCTION_LINES_MAX} at most; give a part of it a name");
                found.push(Violation::new(&file.path, first, what));
            }
        }
    });
    found
}

/// The line of the closing brace that follows a signature, or `None` for a function without a body.
fn last_line_of_body(after_name: &[TokenTree]) -> Option<usize> {
    after_name.iter().find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group.span_close().end().line)),
        token if syntax::is_punct(token, ';') => Some(None),
        _ => None,
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(lines: usize) -> String {
        format!("/// Docs are free.\nfn long() {{\n{}}}\n", "    work();\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_of_501_lines_is_refused_and_one_of_500_is_not() {
        assert_eq!(of_file(&File::sample("a.rs", &"\n".repeat(500))), []);
        assert_eq!(of_file(&File::sample("a.rs", &"\n".repeat(501))).len(), 1);
    }

    #[test]
    fn a_function_of_71_lines_is_refused_and_one_of_70_is_not() {
        assert_eq!(of_functions(&File::sample("a.rs", &function_of(70))), []);
        let found = of_functions(&File::sample("a.rs", &function_of(71)));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert!(found[0].what.contains("`long` has 71 lines"), "{}", found[0].what);
    }

    #[test]
    fn functions_in_impls_traits_and_macros_count() {
        for outer in ["impl A", "trait A", "mod a", "proptest!"] {
            let text = format!("{outer} {{\n{}\n}}\n", function_of(80));
            assert_eq!(of_functions(&File::sample("a.rs", &text)).len(), 1, "{outer}");
        }
    }

    #[test]
    fn a_signature_without_a_body_is_no_function() {
        let text = format!("trait A {{ fn a(&self); }}\nstruct B {{\n{}}}\n", "    // field\n".repeat(90));
        assert_eq!(of_functions(&File::sample("a.rs", &text)), []);
    }
}
