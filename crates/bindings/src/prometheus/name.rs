//! What Prometheus lets families and labels be called, and the bounds that keep a series small.

use engine::metric::sample::Kind;

use super::bundle::Sample;

/// Families of the engine itself begin so, which tells them from users'.
const RESERVED: &str = "tidemill_";
const NAME_MAX: usize = 200;
const TEXT_MAX: usize = 1024;
const LABELS_MAX: usize = 32;

/// Names that the Pushgateway gives itself, refused where there is one.
const GATEWAY_FAMILIES: [&str; 2] = ["push_time_seconds", "push_failure_time_seconds"];
const GATEWAY_LABELS: [&str; 2] = ["job", "instance"];

/// Whether a family may be called so.
pub(super) fn is_family(name: &str) -> bool {
    starts(name, |first| first.is_ascii_alphabetic() || matches!(first, b'_' | b':'))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
}

fn is_label(name: &str) -> bool {
    starts(name, |first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn starts(name: &str, rule: impl Fn(u8) -> bool) -> bool {
    name.bytes().next().is_some_and(rule) && name.len() <= NAME_MAX
}

/// Checks everything about a sample of a new series that its text alone decides; `pushed` for the names that a
/// Pushgateway keeps for itself.
///
/// # Errors
/// A sentence for whoever wrote the function.
pub(super) fn check(sample: &Sample<'_>, pushed: bool) -> Result<(), String> {
    let name = &*sample.name;
    if !is_family(name) {
        return Err(format!("'{}' is no metric name; use letters, digits and underscores", excerpt(name)));
    }
    if name.starts_with(RESERVED) {
        return Err(format!(
            "'{name}' begins with '{RESERVED}', as the engine's own metrics do; give it another prefix"
        ));
    }
    if pushed && GATEWAY_FAMILIES.contains(&name) {
        return Err(format!("'{name}' is a metric of the pushgateway itself; give it another name"));
    }
    if sample.labels.0.len() > LABELS_MAX {
        return Err(format!("a sample of '{name}' has more than {LABELS_MAX} labels"));
    }
    for (label, value) in &sample.labels.0 {
        let label = &**label;
        if !is_label(label) {
            let label = excerpt(label);
            return Err(format!("'{label}' of '{name}' is no label name; use letters, digits and underscores"));
        }
        if label.starts_with("__") || (label == "le" && sample.kind == Kind::Histogram) {
            return Err(format!("label '{label}' of '{name}' belongs to prometheus; give it another name"));
        }
        if pushed && GATEWAY_LABELS.contains(&label) {
            return Err(format!(
                "label '{label}' of '{name}' belongs to the pushgateway's group; give it another name"
            ));
        }
        if value.len() > TEXT_MAX {
            return Err(format!("the value of label '{label}' of '{name}' is longer than {TEXT_MAX} bytes"));
        }
    }
    if sample.help.as_deref().is_some_and(|help| help.len() > TEXT_MAX) {
        return Err(format!("the help text of '{name}' is longer than {TEXT_MAX} bytes"));
    }
    Ok(())
}

/// The beginning of something that may be of any length, for a message.
fn excerpt(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// The names that a family of this kind writes, so that no two families write the same.
pub(super) fn written(name: &str, kind: Kind) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    if kind == Kind::Histogram {
        names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::bundle::Bundle;
    use super::*;

    fn checked(kind: &str, name: &str, labels: &str, pushed: bool) -> Result<(), String> {
        let name = serde_json::to_string(name).unwrap();
        let data = format!(r#"{{"samples":[{{"name":{name},"kind":"{kind}","value":1,"labels":{{{labels}}}}}]}}"#);
        check(&Bundle::read(data.as_bytes()).unwrap().samples[0], pushed)
    }

    #[test]
    fn names_follow_prometheus() {
        for name in ["a", "_a", ":a", "a1", "fleet_distance_meters_total", &"a".repeat(200)] {
            assert_eq!(checked("counter", name, r#""kind":"x","_a":"x","le":"x""#, true), Ok(()), "{name}");
        }
        for name in ["", "1a", "a-b", "a b", "ä", "a\n", &"a".repeat(201), "tidemill_x", "push_time_seconds"] {
            assert!(checked("counter", name, "", true).is_err(), "{name}");
        }
        assert_eq!(checked("gauge", "push_time_seconds", r#""job":"x""#, false), Ok(()));
    }

    #[test]
    fn labels_follow_prometheus() {
        for label in ["1a", "a:b", "a-b", "", "__name__", "le", "job", "instance"] {
            let complaint = checked("histogram", "x", &format!(r#""{label}":"v""#), true).unwrap_err();
            assert!(complaint.contains(&format!("'{label}'")), "{complaint}");
        }
        let long = format!(r#""a":"{}""#, "x".repeat(1025));
        assert!(checked("gauge", "x", &long, false).unwrap_err().contains("longer than 1024 bytes"));
        let many: Vec<_> = (0..33).map(|n| format!(r#""l{n:02}":"v""#)).collect();
        assert!(checked("gauge", "x", &many.join(","), false).unwrap_err().contains("more than 32 labels"));
    }

    #[test]
    fn hostile_names_are_quoted_short_and_escaped() {
        let complaint = checked("gauge", &format!("\u{1b}[2J{}", "x".repeat(5000)), "", false).unwrap_err();
        assert!(complaint.len() < 200 && !complaint.contains('\u{1b}'), "{complaint}");
    }
}
