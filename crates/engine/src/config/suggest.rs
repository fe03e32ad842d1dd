//! What somebody probably meant.
//!
//! Names are compared without their case and separators, so that `share_group` finds `shareGroup`, and then by the
//! number of slips of the finger between them.

/// How many names are compared; whoever has more of them can search.
const COMPARED_MAX: usize = 2000;

/// The candidate nearest to `word`, if one is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    // One letter is one slip away from any other.
    let bound = if word.len() < 2 { 0 } else { (word.len() / 3).max(1) };
    candidates
        .into_iter()
        .take(COMPARED_MAX)
        // Each letter more or less is a slip.
        .filter(|candidate| plain(candidate).len().abs_diff(word.len()) <= bound)
        .map(|candidate| (slips(&word, &plain(candidate)), candidate))
        .filter(|(slips, _)| *slips <= bound)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// A sentence of help for a name that is unknown: the nearest of the known names, or a list of them.
pub(crate) fn instead<'a>(word: &str, what: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, known.clone()) {
        return format!("did you mean '{near}'?");
    }
    let known: Vec<&str> = known.into_iter().collect();
    match known.as_slice() {
        [] => format!("there are no {what}"),
        [only] => format!("the only one here is '{only}'"),
        // A list that nobody reads helps nobody.
        many if many.len() > 24 => format!("known {what}: {}, and {} more", many[..24].join(", "), many.len() - 24),
        many => format!("known {what}: {}", many.join(", ")),
    }
}

/// A name from a file as messages quote it: short, and without characters that could drive a terminal.
pub(crate) fn quoted(name: &str) -> String {
    let short: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    if name.chars().nth(64).is_some() { format!("'{short}...'") } else { format!("'{short}'") }
}

fn plain(name: &str) -> Vec<char> {
    name.chars().take(64).filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// How many letters have to be inserted, deleted, replaced or swapped with their neighbour.
fn slips(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (above[j - 1] + changed).min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["topics", "url", "shareGroup", "qos", "version"];
        for (word, near) in [
            ("topcs", Some("topics")),
            ("tpoics", Some("topics")),
            ("Topics", Some("topics")),
            ("share_group", Some("shareGroup")),
            ("vresion", Some("version")),
            ("ur", Some("url")),
            ("uri", Some("url")),
            ("password", None),
            ("v", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
    }

    #[test]
    fn without_a_near_name_the_known_ones_are_listed() {
        assert_eq!(instead("xyz", "kinds", ["mqtt", "kafka"]), "known kinds: mqtt, kafka");
        assert_eq!(instead("mqqt", "kinds", ["mqtt", "kafka"]), "did you mean 'mqtt'?");
        assert_eq!(instead("xyz", "functions", []), "there are no functions");
    }

    #[test]
    fn quoted_names_cannot_drive_a_terminal() {
        assert_eq!(quoted("a\u{1b}[2J"), "'a\\u{1b}[2J'");
        assert!(quoted(&"x".repeat(1000)).len() < 80);
    }
}
