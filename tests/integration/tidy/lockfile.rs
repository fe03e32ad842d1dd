//! What `deny.toml` bans is not in `Cargo.lock`. cargo-deny says the same and more, but it is a
//! program that not every machine has; the bans are few enough to hold everywhere.

use super::tree::File;
use super::violation::Violation;

/// Every package of the lock file that the `[bans]` table of `deny.toml` names.
pub(super) fn check(lock: &File, deny: &File) -> Vec<Violation> {
    let banned = bans(deny);
    lock.text
        .lines()
        .enumerate()
        .filter_map(|(at, line)| {
            let name = line.strip_prefix("name = \"")?.strip_suffix('"')?;
            let (_, reason) = banned.iter().find(|(banned, _)| banned == name)?;
            Some(Violation::new(&lock.path, at + 1, format!("`{name}` is banned: {reason}")))
        })
        .collect()
}

/// Pairs of a crate's name and the reason of its ban. A ban without a reason is a mistake in the
/// file itself.
pub(super) fn bans(deny: &File) -> Vec<(String, String)> {
    let document: toml::Table = deny.text.parse().unwrap_or_else(|error| panic!("{}: {error}", deny.path));
    let entries = document["bans"]["deny"].as_array().expect("`bans.deny` is a list");
    let text = |entry: &toml::Value, key: &str| {
        let value = entry.get(key).and_then(toml::Value::as_str);
        value.unwrap_or_else(|| panic!("a ban of {} has no `{key}`", deny.path)).to_owned()
    };
    entries.iter().map(|entry| (text(entry, "crate"), text(entry, "reason"))).collect()
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
    fn a_package_that_only_starts_alike_passes() {
        let lock = File::sample("Cargo.lock", "name = \"aws-lc-rs-like\"\n \"aws-lc-rs\",\n");
        assert_eq!(check(&lock, &File::sample("deny.toml", DENY)), []);
    }
}
