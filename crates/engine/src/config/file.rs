//! What is typed: one struct for every kind of entry in a file, without the keys that choose a kind.
//!
//! Nothing here has a meaning yet; [`plan`](super::plan) gives it one. The same structs make the JSON Schema.

use schemars::JsonSchema;
use serde::Deserialize;

use super::dead_letter::DeadLetterEntry;
use super::many::Many;
use super::when::WhenEntry;
use super::{AckPoint, ByteSize, EventTemplate, Period, Spanned};
use crate::retry::{Backoff, Exhausted, Hold};

/// Where messages come from. Beside these keys stands exactly one kind, such as `mqtt`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SourceEntry {
    /// When a message is acknowledged: `received`, `spooled` or `processed`. The default is the kind's own.
    pub(super) ack: Option<Spanned<AckPoint>>,
    /// How a message that is not yet a CloudEvent becomes one.
    #[serde(default)]
    pub(super) event: EventTemplate,
    /// How many messages may be in flight, from 1 to 1000000; 1000 by default. When all seats are taken the source
    /// stops reading.
    pub(super) seats: Option<Spanned<u32>>,
    /// How much waits in the source's spool, where that is not what `state: { quotas: { spool } }` says.
    pub(super) spool: Option<Spanned<SpoolEntry>>,
    /// The output that gets messages that are no events, besides their being kept.
    pub(super) dead_letter: Option<Spanned<DeadLetterEntry>>,
}

/// User code. Beside these keys stands exactly one kind, such as `native`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FunctionEntry {
    /// How long one call may take; 30s by default. A rule may say otherwise.
    pub(super) timeout: Option<Spanned<Period>>,
    /// How many copies of the function run.
    pub(super) workers: Option<Spanned<WorkersEntry>>,
    /// When it is left alone for a while because it fails; never by default.
    pub(super) circuit: Option<Spanned<CircuitEntry>>,
}

/// When a function or an output is left alone for a while because it fails, and how it is tried again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CircuitEntry {
    /// Failures in a row after which nothing begins; 5 by default.
    pub(super) consecutive_failures: Option<Spanned<u32>>,
    /// How long nothing begins then; 30s by default.
    pub(super) open_for: Option<Spanned<Period>>,
    /// Deliveries that may try at once after that whether it works again; 1 by default.
    pub(super) probes: Option<Spanned<u32>>,
}

/// How many workers a function has.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WorkersEntry {
    /// Workers that run even when no event waits; 0 by default.
    pub(super) min: Option<Spanned<u32>>,
    /// The largest number of workers; 8 by default.
    pub(super) max: Option<Spanned<u32>>,
    /// Calls that one worker takes at once; 1 by default.
    pub(super) concurrency: Option<Spanned<u32>>,
}

/// Where results go. Exactly one kind, such as `prometheus`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OutputEntry {
    /// When it is left alone for a while because it fails; never by default.
    pub(super) circuit: Option<Spanned<CircuitEntry>>,
}

/// A stream of events from one or more sources.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TriggerEntry {
    /// A source, or a list of them.
    pub(super) source: Many<Spanned<String>>,
    /// Which of their events belong to the trigger; all by default.
    pub(super) when: Option<Spanned<WhenEntry>>,
    /// What becomes of an event that none of its rules takes; `drop` by default, which counts it.
    pub(super) unmatched: Option<Spanned<UnmatchedEntry>>,
    /// The output that gets what its rules give up, and what none of them takes where that is kept, besides its being kept.
    pub(super) dead_letter: Option<Spanned<DeadLetterEntry>>,
}

/// What becomes of an event that no rule takes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum UnmatchedEntry {
    /// It is counted.
    Drop,
    /// It becomes a dead letter.
    DeadLetter,
}

/// What happens to a trigger's events. All matching rules fire.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RuleEntry {
    /// The function that is called; without one the events themselves go to the output.
    pub(super) function: Option<Spanned<String>>,
    /// An output, or a list of them, for the results.
    #[serde(default)]
    pub(super) output: Many<Spanned<String>>,
    /// Which of the trigger's events the rule takes; all by default.
    pub(super) when: Option<Spanned<WhenEntry>>,
    /// In which order deliveries run; `key` by default, where a source can yield keys.
    pub(super) order: Option<Spanned<OrderEntry>>,
    /// How many deliveries are called or published at once; as many as there are by default.
    pub(super) max_in_flight: Option<Spanned<u32>>,
    /// How much of its function, where others call that too, is the rule's beside theirs: 1 to 1000, 1 by default.
    pub(super) weight: Option<Spanned<u32>>,
    /// How many seats of its sources the rule may have where they feed other rules, too; half of them by default. What comes
    /// beyond that waits on the disk.
    pub(super) max_seats: Option<Spanned<u32>>,
    /// How often a delivery is called or published; as often as it can be by default.
    pub(super) rate_limit: Option<Spanned<RateEntry>>,
    /// How long one call may take, instead of what the function says.
    pub(super) timeout: Option<Spanned<Period>>,
    /// What happens after a failure.
    pub(super) retry: Option<Spanned<RetryEntry>>,
    /// How old a delivery may become, since its event was received here: one that is older is given up when it would be
    /// tried; no bound by default.
    pub(super) max_age: Option<Spanned<Period>>,
    /// What becomes of a delivery whose last attempt has failed; `deadLetter` by default.
    pub(super) on_exhausted: Option<Spanned<Exhausted>>,
    /// How many deliveries of the rule wait on the disk at most; as many as there is room for by default.
    pub(super) park_max: Option<Spanned<u32>>,
    /// How many of them have the same key at most.
    pub(super) park_max_per_key: Option<Spanned<u32>>,
    /// The output that gets what the rule gives up, besides its being kept.
    pub(super) dead_letter: Option<Spanned<DeadLetterEntry>>,
    /// An output, or a list of them, that is told of each delivery which ends well, before it counts as done.
    #[serde(default)]
    #[schemars(schema_with = "super::told::names")]
    pub(super) on_success: Option<Many<Spanned<String>>>,
    /// An output, or a list of them, that is told of each delivery which becomes a dead letter.
    #[serde(default)]
    #[schemars(schema_with = "super::told::names")]
    pub(super) on_failure: Option<Many<Spanned<String>>>,
    /// What the rule was called before, as `trigger/rule`: what is parked under that name goes on here.
    pub(super) renamed_from: Option<Spanned<String>>,
    /// What the file insists on: a chain that cannot give it is refused.
    pub(super) require: Option<Spanned<RequireEntry>>,
}

/// How often something happens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RateEntry {
    /// How many in a second, on average.
    pub(super) per_second: Spanned<f64>,
    /// How many at once after a rest; 20 ms of the rate by default, and at least 1.
    pub(super) burst: Option<Spanned<u32>>,
}

/// In which order deliveries run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum OrderEntry {
    /// Those of one key one after the other.
    Key,
    /// Those of one partition one after the other.
    Partition,
    /// All at once.
    None,
}

/// How a failed delivery is tried again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RetryEntry {
    /// How often a delivery is tried in total, the first time included; 5 by default.
    pub(super) max_attempts: Option<Spanned<u32>>,
    /// How waiting grows from one attempt to the next; `exponential` by default.
    pub(super) backoff_policy: Option<Spanned<Backoff>>,
    /// The first wait; 100ms by default.
    pub(super) backoff_delay: Option<Spanned<Period>>,
    /// The longest wait; 5s by default.
    pub(super) max_delay: Option<Spanned<Period>>,
    /// The share of a wait that is left to chance, from 0 to 1; 0.2 by default.
    pub(super) jitter: Option<Spanned<f64>>,
    /// Where a delivery waits for its next attempt; `state` by default.
    pub(super) hold: Option<Spanned<Hold>>,
}

/// What a rule insists on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RequireEntry {
    /// How often an event may have its effect.
    pub(super) delivery: Option<Spanned<DeliveryEntry>>,
    /// In which order deliveries run.
    pub(super) order: Option<Spanned<OrderEntry>>,
}

/// How often an event may have its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum DeliveryEntry {
    /// Once or more.
    AtLeastOnce,
    /// Once or not at all.
    AtMostOnce,
}

/// What rules and sources have that do not say it themselves.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DefaultsEntry {
    /// What happens after a failure.
    pub(super) retry: Option<Spanned<RetryEntry>>,
    /// How old a delivery may become, since its event was received here.
    pub(super) max_age: Option<Spanned<Period>>,
    /// What becomes of a delivery whose last attempt has failed.
    pub(super) on_exhausted: Option<Spanned<Exhausted>>,
    /// How long one call may take, where neither the rule nor its function says it.
    pub(super) timeout: Option<Spanned<Period>>,
    /// The output that gets what is given up, of sources too, besides its being kept.
    pub(super) dead_letter: Option<Spanned<DeadLetterEntry>>,
    /// An output, or a list of them, that is told of each delivery which ends well.
    #[serde(default)]
    #[schemars(schema_with = "super::told::names")]
    pub(super) on_success: Option<Many<Spanned<String>>>,
    /// An output, or a list of them, that is told of each delivery which becomes a dead letter.
    #[serde(default)]
    #[schemars(schema_with = "super::told::names")]
    pub(super) on_failure: Option<Many<Spanned<String>>>,
}

/// Where the engine keeps what must survive a restart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateEntry {
    /// The folder; `$STATE_DIRECTORY` by default, else `./tidemill-state/NAME`, where NAME is that of the file.
    pub(super) dir: Option<Spanned<String>>,
    /// When what is written is forced to the disk, and with that what an acknowledgement means.
    #[serde(default)]
    pub(super) fsync: FsyncEntry,
    /// How often `fsync: interval` forces what is written to the disk; 1s by default.
    pub(super) interval: Option<Spanned<Period>>,
    /// How much is kept of each kind.
    #[serde(default)]
    pub(super) quotas: QuotasEntry,
    /// How far back `tidemill explain` reaches.
    pub(super) ledger: Option<Spanned<LedgerEntry>>,
}

/// How far back `tidemill explain` reaches.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LedgerEntry {
    /// Finished deliveries that are remembered, 32 bytes each in memory and up to 64 on the disk; 1000000 by default.
    pub(super) records: Option<Spanned<u64>>,
}

/// When what is written is forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum FsyncEntry {
    /// Before it is acknowledged; what waits together shares one fsync.
    #[default]
    Always,
    /// Every `interval`; a crash loses at most what was acknowledged within one.
    Interval,
}

/// How much is kept of each kind.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct QuotasEntry {
    /// How much waits in the spool of each source that has one.
    pub(super) spool: Option<Spanned<SpoolEntry>>,
    /// How much is kept of what was given up.
    pub(super) dead_letters: Option<Spanned<DeadLettersEntry>>,
    /// How much is kept of what waits for another attempt or for its turn.
    pub(super) parked: Option<Spanned<ParkedEntry>>,
}

/// How much is kept of what waits for another attempt or for its turn.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ParkedEntry {
    /// Bytes of parked deliveries; 1GiB by default.
    pub(super) max_bytes: Option<Spanned<ByteSize>>,
    /// What happens when there are more: `block`, so that a delivery keeps its seat.
    pub(super) on_full: Option<Spanned<FullOfLettersEntry>>,
}

/// How much is kept of what was given up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeadLettersEntry {
    /// Bytes of dead letters; 1GiB by default.
    pub(super) max_bytes: Option<Spanned<ByteSize>>,
    /// Dead letters that are older are removed and counted; none by default.
    pub(super) max_age: Option<Spanned<Period>>,
    /// What happens when there are more; `block` by default.
    pub(super) on_full: Option<Spanned<FullOfLettersEntry>>,
}

/// What happens when there are more dead letters than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum FullOfLettersEntry {
    /// Whoever adds some begins nothing new until there is room.
    Block,
    /// The oldest are removed, and are counted.
    DropOldest,
}

/// How much waits in a spool.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SpoolEntry {
    /// Bytes of events that are not settled; 1GiB by default.
    pub(super) max_bytes: Option<Spanned<ByteSize>>,
    /// Events that have waited longer are dropped and counted; none by default.
    pub(super) max_age: Option<Spanned<Period>>,
    /// What happens to an event for which there is no room; `block` by default.
    pub(super) on_full: Option<Spanned<OnFullEntry>>,
}

/// What happens to an event for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum OnFullEntry {
    /// It waits, and its source with it.
    Block,
    /// The oldest go, and are counted.
    DropOldest,
    /// It goes itself, and is counted.
    DropNewest,
}
