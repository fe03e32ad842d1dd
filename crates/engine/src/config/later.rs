//! Keys of the configuration language that this version does not have yet.
//!
//! They are neither ignored nor called unknown: whoever writes one is told what works instead. The table goes by the
//! struct that the key would belong to.

use super::suggest::quoted;

/// Struct, key, and what to write instead.
const LATER: &[(&str, &str, &str)] = &[
    ("SourceEntry", "maxUncommitted", "leave it out; 'seats' bounds what is in flight"),
    ("FunctionEntry", "scale", "leave it out; an arrival starts workers up to workers.max, idle ones stop after 60s"),
    ("TriggerEntry", "overload", "leave it out; a full queue holds its sources back"),
    ("RuleEntry", "batch", "leave it out; a function is called with one event at a time"),
    ("RuleEntry", "dedupe", "leave it out; a function must bear an event that comes twice"),
    (
        "StateEntry",
        "onCorrupt",
        "leave it out; a damaged file stops the start, and 'tidemill state salvage' copies what can be read",
    ),
    ("ParkedEntry", "maxAge", "leave it out; a delivery is parked for as long as its rule's 'retry' says"),
    ("QuotasEntry", "dedupe", "leave it out; a function must bear an event that comes twice"),
    ("WhenEntry", "cel", "use exact, prefix, suffix, all, any or not on the event's attributes"),
    ("WhenEntry", "cesql", "use exact, prefix, suffix, all, any or not on the event's attributes"),
    ("WhenEntry", "sql", "use exact, prefix, suffix, all, any or not on the event's attributes"),
    ("File", "store", "leave it out; 'state: { dir: ... }' names the folder of everything that is kept"),
];

/// Struct, key that others call so, and ours.
const OTHERS: &[(&str, &str, &str)] = &[
    ("TriggerEntry", "filter", "when: { exact: { type: ... } }"),
    ("TriggerEntry", "filters", "when: { all: [...] }"),
    ("RuleEntry", "filter", "when: { exact: { type: ... } }"),
    ("RuleEntry", "filters", "when: { all: [...] }"),
    ("SourceEntry", "maxInFlight", "seats: 1000"),
    ("RuleEntry", "pauseKey", "onExhausted: pauseKey"),
    ("RuleEntry", "circuit", "circuit: { openFor: 30s } on the rule's function or output"),
    ("CircuitEntry", "failures", "consecutiveFailures: 5"),
    ("CircuitEntry", "timeout", "openFor: 30s"),
    ("CircuitEntry", "maxRequests", "probes: 1"),
    ("RetryEntry", "onExhausted", "onExhausted: pauseKey beside 'retry', on the rule or in 'defaults'"),
    ("RetryEntry", "maxAge", "maxAge: 6h beside 'retry', on the rule or in 'defaults'"),
    ("File", "spool", "state: { quotas: { spool: { maxBytes: 1GiB } } }"),
    ("File", "<<", "defaults: { retry: ..., timeout: ... }, for YAML 1.2 has no merge keys"),
];

/// What is wrong with such a key, and what to do; `None` for a key that is only unknown.
pub(super) fn sentence(holder: &str, key: &str) -> Option<(String, String)> {
    let of = |table: &'static [(&str, &str, &'static str)]| {
        table.iter().find(|(entry, name, _)| *entry == holder && *name == key).map(|(_, _, instead)| *instead)
    };
    if let Some(instead) = of(LATER) {
        return Some((format!("{} is not available yet", quoted(key)), instead.to_owned()));
    }
    of(OTHERS).map(|ours| (format!("unknown key {}", quoted(key)), format!("write {ours}")))
}
