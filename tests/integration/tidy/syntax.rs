//! Parsing for the rules. They look at syntax trees and tokens, not at text, so that a rule named
//! in a comment or in a string is not a violation and a violation inside a macro call is one.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::tree::File;

/// Parses a file, or fails with its place.
pub(super) fn parse(file: &File) -> syn::File {
    syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path))
}

/// All tokens of a file.
pub(super) fn tokens(file: &File) -> TokenStream {
    file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path))
}

/// Calls `see` with every run of sibling tokens, outermost first, so that a rule can look for a
/// short pattern at any depth.
pub(super) fn each_run(tokens: TokenStream, see: &mut impl FnMut(&[TokenTree])) {
    let run: Vec<_> = tokens.into_iter().collect();
    see(&run);
    for token in run {
        if let TokenTree::Group(group) = token {
            each_run(group.stream(), see);
        }
    }
}

/// Calls `see` with the content and the line of every attribute, `#[...]` and `#![...]`, also
/// inside macro calls.
pub(super) fn each_attribute(tokens: TokenStream, see: &mut impl FnMut(TokenStream, usize)) {
    each_run(tokens, &mut |run| {
        for (at, token) in run.iter().enumerate() {
            let TokenTree::Group(group) = token else {
                continue;
            };
            let after_hash = match run[..at] {
                [.., ref before] if is_punct(before, '#') => true,
                [.., ref hash, ref bang] => is_punct(hash, '#') && is_punct(bang, '!'),
                _ => false,
            };
            if group.delimiter() == Delimiter::Bracket && after_hash {
                see(group.stream(), group.span_open().start().line);
            }
        }
    });
}

/// Whether the token is this identifier.
pub(super) fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if *ident == name)
}

/// Whether the token is this punctuation mark.
pub(super) fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

#[test]
fn attributes_are_seen_at_any_depth_and_not_in_strings() {
    let file = File::sample("a.rs", "#![outer]\n/// doc\nfn f() {\n    m! { #[inner] x }\n    let _ = \"#[no]\";\n}\n");
    let mut seen = Vec::new();
    each_attribute(tokens(&file), &mut |content, line| {
        seen.push((content.to_string(), line));
    });
    seen.retain(|(content, _)| !content.starts_with("doc"));
    assert_eq!(seen, [("outer".to_owned(), 1), ("inner".to_owned(), 4)]);
}
