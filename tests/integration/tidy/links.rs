//! Links between pages and files of the project resolve. A page that points at a file which has
//! moved teaches a newcomer that the pages are old.

use std::path::Path;

use super::tree::File;
use super::violation::Violation;

/// One link as written, with its line.
struct Link {
    target: String,
    line: usize,
}

/// Relative links of one Markdown page: the file must exist, and a fragment must name a heading.
/// Links to other sites are not followed, because a test must not need the network.
pub(super) fn check(page: &File, root: &Path) -> Vec<Violation> {
    let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
    links(&page.text)
        .into_iter()
        .filter(|link| !link.target.contains("://") && !link.target.starts_with("mailto:"))
        .filter_map(|link| {
            let what = problem(&link.target, &page.text, &root.join(folder))?;
            Some(Violation::new(&page.path, link.line, what))
        })
        .collect()
}

fn problem(target: &str, own_text: &str, folder: &Path) -> Option<String> {
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    if file.starts_with('/') {
        return Some(format!("`{target}` is absolute; link relative to this page"));
    }
    let path = folder.join(file);
    if !file.is_empty() && !path.exists() {
        return Some(format!("`{target}` leads nowhere"));
    }
    if fragment.is_empty() || !(file.is_empty() || file.ends_with(".md")) {
        return None;
    }
    let text =
        if file.is_empty() { own_text.to_owned() } else { std::fs::read_to_string(path).expect("a page is UTF-8") };
    let known = headings(&text).any(|heading| anchor(heading) == fragment);
    (!known).then(|| format!("`{target}` names no heading"))
}

/// Lines outside code fences, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    })
}

/// The fragment under which the common forges show a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// `[text](target)`, `![image](target)` and `[name]: target`, outside code.
fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(text) {
        let text = without_code(text);
        let mut rest = text.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            found.push(Link { target: rest[..end].to_owned(), line });
        }
        if text.starts_with('[')
            && let Some((_, target)) = text.split_once("]: ")
            && let Some(target) = target.split_whitespace().next()
        {
            found.push(Link { target: target.to_owned(), line });
        }
    }
    found
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page in a folder that has `other.md` (headings `One` and `A-b c`) and `code.rs` beside it.
    fn broken(text: &str) -> usize {
        let root = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(root.path().join("docs")).expect("a folder");
        let other = "# One\n```\n# Not a heading\n```\n## A-b `c`?\n";
        std::fs::write(root.path().join("docs/other.md"), other).expect("a page");
        std::fs::write(root.path().join("docs/code.rs"), "").expect("a file");
        check(&File::sample("docs/page.md", text), root.path()).len()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_refused() {
        assert_eq!(broken("see [x](gone.md)\n"), 1);
        assert_eq!(broken("![x](gone.png \"title\") and [y](../gone.rs)\n"), 2);
        assert_eq!(broken("[x]: gone.md\n"), 1);
        assert_eq!(broken("[x](/docs/other.md)\n"), 1);
        assert_eq!(broken("[x](other.md#two) [y](other.md#not-a-heading) [z](#none)\n"), 3);
    }

    #[test]
    fn a_link_that_leads_somewhere_passes() {
        assert_eq!(broken("# Here\n[a](other.md#one) [b](other.md#a-b-c) [c](#here) [d](code.rs#L3)\n"), 0);
        assert_eq!(broken("[a](https://example.org/x) `[b](gone.md)`\n```\n[c](gone.md)\n```\n"), 0);
        assert_eq!(broken("[a](../docs)\n[b]: other.md\n"), 0);
    }

    #[test]
    fn the_line_of_a_broken_link_is_named() {
        let found = check(&File::sample("a.md", "one\n[x](gone.md)\n"), Path::new("."));
        assert_eq!(found[0].line, 2);
    }
}
