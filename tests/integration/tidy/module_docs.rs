//! Every file opens with `//!`: what the module is for and which decision it embodies. The file
//! name says where a thing is, only prose says why it is there.

use syn::{AttrStyle, Expr, ExprLit, Lit, Meta};

use super::syntax;
use super::tree::File;
use super::violation::Violation;

/// Fewer words than this name the module again instead of explaining it.
const WORDS_MIN: usize = 4;

/// The inner doc comment of the file, counted in words. A file of unit tests is named by what it
/// tests, so it may be brief.
pub(super) fn check(file: &File) -> Vec<Violation> {
    let words: usize =
        syntax::parse(file).attrs.iter().filter_map(inner_doc).map(|text| text.split_whitespace().count()).sum();
    let what = match words {
        0 => "the module has no `//!`; say what it is for and which decision it embodies",
        few if few < WORDS_MIN && !file.path.ends_with("/tests.rs") => {
            "the module's `//!` explains nothing; say what it is for and which decision it embodies"
        }
        _ => return Vec::new(),
    };
    vec![Violation::new(&file.path, 1, what)]
}

fn inner_doc(attribute: &syn::Attribute) -> Option<String> {
    if !matches!(attribute.style, AttrStyle::Inner(_)) || !attribute.path().is_ident("doc") {
        return None;
    }
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        // `#![doc = include_str!(...)]` is prose kept in a file of its own.
        Expr::Macro(_) => Some("prose kept in its own file".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(text: &str) -> usize {
        check(&File::sample("a.rs", text)).len()
    }

    #[test]
    fn a_module_that_says_nothing_is_refused() {
        assert_eq!(found_in("fn a() {}\n"), 1);
        assert_eq!(found_in("// A plain comment is not a module doc.\nfn a() {}\n"), 1);
        assert_eq!(found_in("/// The doc of an item is not the module's.\nfn a() {}\n"), 1);
        assert_eq!(found_in("//! Retry.\nfn a() {}\n"), 1);
        assert_eq!(found_in("mod inner {\n    //! The doc of an inner module is not the file's.\n}\n"), 1);
    }

    #[test]
    fn a_module_that_explains_itself_passes() {
        assert_eq!(found_in("//! Retry policies: how long to wait, and when to give up.\n\nfn a() {}\n"), 0);
        assert_eq!(found_in("#![doc = include_str!(\"a.md\")]\n"), 0);
        assert_eq!(check(&File::sample("pool/tests.rs", "//! Tests.\n")), []);
        assert_eq!(check(&File::sample("pool/tests.rs", "fn a() {}\n")).len(), 1);
    }
}
