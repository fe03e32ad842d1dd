//! What `deny.toml` bans is not in `Cargo.lock`. cargo-deny says the same and more, but it is a
//! program that not every machine has; the bans are few enough to hold everywhere.

use super::tree::File;
use super::violation::Violation;

/// Every package of the lock file that the `[bans]` table of `deny.toml` names, unless nothing needs it but the packages
/// that the ban lets through.
pub(super) fn check(lock: &File, deny: &File) -> Vec<Violation> {
    let banned = bans(deny);
    let named = |line: &str| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.to_owned());
    let mut found = Vec::new();
    let mut inside = String::new();
    for (at, line) in lock.text.lines().enumerate() {
        let name = named(line);
        inside = name.clone().unwrap_or(inside);
        // A package is named at its own place, and in the list of each package that needs it.
        let needed = line.strip_prefix(" \"").and_then(|rest| rest.split(['"', ' ']).next()).map(str::to_owned);
        let is_need = needed.is_some();
        let Some(name) = name.or(needed) else { continue };
        let Some(ban) = banned.iter().find(|ban| ban.name == name) else { continue };
        let refused = match ban.wrappers.as_slice() {
            [] => !is_need,
            wrappers => is_need && !wrappers.contains(&inside),
        };
        if refused {
            found.push(Violation::new(&lock.path, at + 1, format!("`{name}` is banned: {}", ban.reason)));
        }
    }
    found
}

/// One ban.
pub(super) struct Ban {
    name: String,
    reason: String,
    /// The packages that may need it all the same.
    wrappers: Vec<String>,
}

/// The bans. One without a reason is a mistake in the file itself.
pub(super) fn bans(deny: &File) -> Vec<Ban> {
    let document: toml::Table = deny.text.parse().unwrap_or_else(|error| panic!("{}: {error}", deny.path));
    let entries = document["bans"]["deny"].as_array().expect("`bans.deny` is a list");
    let text = |entry: &toml::Value, key: &str| {
        let value = entry.get(key).and_then(toml::Value::as_str);
        value.unwrap_or_else(|| panic!("a ban of {} has no `{key}`", deny.path)).to_owned()
    };
    let wrappers = |entry: &toml::Value| {
        let list = entry.get("wrappers").and_then(toml::Value::as_array).into_iter().flatten();
        list.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let ban = |entry| Ban { name: text(entry, "crate"), reason: text(entry, "reason"), wrappers: wrappers(entry) };
    entries.iter().map(ban).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[bans]\ndeny = [{ crate = \"aws-lc-rs\", reason = \"one provider\" }]\n";

    #[test]
    fn a_banned_package_is_refused() {
        let lock = "[[package]]\nname = \"bytes\"\n\n[[package]]\nname = \"aws-lc-rs\"\n";
        let found = check(&File::sample("Cargo.lock", lock), &File::sample("deny.toml", DENY));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].what.contains("one provider")), (5, true));
    }

    #[test]
    fn a_banned_package_that_one_may_need_is_refused_to_others() {
        let deny = "[bans]\ndeny = [{ crate = \"openssl-sys\", wrappers = [\"kafka-sys\"], reason = \"rustls\" }]\n";
        let needs = |name: &str| {
            format!("name = \"openssl-sys\"\n\nname = \"{name}\"\ndependencies = [\n \"openssl-sys\",\n]\n")
        };
        let found = |name: &str| check(&File::sample("Cargo.lock", &needs(name)), &File::sample("deny.toml", deny));
        assert_eq!(found("kafka-sys"), []);
        assert_eq!(found("other").iter().map(|violation| violation.line).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_package_that_only_starts_alike_passes() {
        let lock = File::sample("Cargo.lock", "name = \"aws-lc-rs-like\"\n \"aws-lc-rs\",\n");
        assert_eq!(check(&lock, &File::sample("deny.toml", DENY)), []);
    }
}
