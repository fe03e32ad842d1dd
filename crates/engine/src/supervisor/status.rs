//! What a running engine says of itself: the same figures behind `/v1/status` and `/metrics`.
//!
//! Every part is one consistent reading that its owner has published, so the identities of the conservation law hold in
//! each answer, and no part of the engine has to answer for it to be read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use tokio::task::AbortHandle;

use super::files::File;
use super::{Engine, LedgerStatus, exposition, spools};
use crate::dead_letter::Reason;
use crate::dispatch::DropReason;
use crate::event::Text;
use crate::metric::{Connection, LinkReading};
use crate::pool;
use crate::router::returns;
use crate::spool::{Dropped, Reading};
use crate::store::Stamp;

/// One reading of the whole engine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The plan's name.
    pub name: Text,
    /// This engine's instance id.
    pub instance: Text,
    /// Whether the engine is ending.
    pub draining: bool,
    /// Since the start.
    pub uptime_seconds: f64,
    /// Which configuration it runs.
    pub configuration: super::ConfigurationStatus,
    /// By name.
    pub sources: BTreeMap<Text, SourceStatus>,
    /// By name.
    pub triggers: BTreeMap<Text, TriggerStatus>,
    /// By `trigger/rule`.
    pub rules: BTreeMap<Text, RuleStatus>,
    /// By function.
    pub pools: BTreeMap<Text, pool::Reading>,
    /// By the name of their source.
    pub spools: BTreeMap<Text, SpoolStatus>,
    /// The files of the state folder that are open, by name.
    pub stores: BTreeMap<Text, StoreStatus>,
    /// By name.
    pub outputs: BTreeMap<Text, OutputStatus>,
    /// The circuits of functions and outputs.
    pub circuits: super::CircuitsStatus,
    /// What was given up and is kept.
    pub dead_letters: DeadLetterStatus,
    /// What waits on the disk for another attempt or for its turn.
    pub parked: ParkedStatus,
    /// The account of finished deliveries.
    pub ledger: LedgerStatus,
    /// What is not accounted for, by `source`, `rule` or `spool` and its name; empty unless the engine has a bug.
    pub drift: BTreeMap<String, f64>,
}

/// The parked deliveries of all rules.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedStatus {
    /// How many rows there are, those of deliveries that run again included.
    pub stored: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that there may be.
    pub max_bytes: u64,
    /// Messages that are known when they are delivered again, because something of them was parked.
    pub remembered: u64,
}

/// The dead letters that are kept.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterStatus {
    /// How many there are.
    pub stored: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that there may be.
    pub max_bytes: Option<u64>,
    /// Whether there are more than there may be and none is dropped for it, so that whoever adds some begins nothing new.
    pub full: bool,
    /// Removed since the start, by reason: `quota`, because there were too many or they were too old.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Removed by somebody since the start.
    pub purged: u64,
    /// The outputs that they go to besides, by name.
    pub outputs: BTreeMap<Text, ForwardStatus>,
    /// Letters that waited at the start for outputs which no rule and no source names any more, by the outputs' names.
    pub left: BTreeMap<Text, u64>,
    /// The outputs that are told of them ('onFailure'), by name.
    pub told: BTreeMap<Text, ForwardStatus>,
}

/// Dead letters, or what is told of them, on their way to one output.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardStatus {
    /// How many wait for it.
    pub waiting: u64,
    /// How many it has confirmed since the start.
    pub forwarded: u64,
    /// How many it has refused for good since the start.
    pub refused: u64,
    /// How often it failed for now since the start.
    pub failures: u64,
    /// How long ago the oldest that waits was given up; nothing when none does.
    pub oldest_age_seconds: Option<f64>,
    /// What it says as long as it fails.
    pub last_error: Option<String>,
}

/// One source, in messages.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the words are defined once, in delivery::{Books, Ledger} and metric::LinkReading")]
pub struct SourceStatus {
    pub received: u64,
    pub settled: u64,
    pub rejected: u64,
    pub handed_back: u64,
    pub in_flight: u64,
    pub seats: usize,
    pub paused: bool,
    pub connection: Connection,
    pub connects: u64,
    pub last_error: Option<String>,
    pub dropped: BTreeMap<Text, u64>,
    pub lag: Option<u64>,
}

/// One spool, in events.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the words are defined once, in spool::{Books, Reading}")]
pub struct SpoolStatus {
    pub appended: u64,
    pub recovered: u64,
    pub settled: u64,
    pub dropped: BTreeMap<&'static str, u64>,
    pub handed_back: u64,
    pub in_flight: u64,
    pub stored: u64,
    pub seats: usize,
    pub bytes: u64,
    pub max_bytes: u64,
    /// How old the oldest event is that is not settled; nothing when there is none, or nobody knows without reading the disk.
    pub oldest_age_seconds: Option<f64>,
    /// Why nothing more comes out of it, or is taken in for now.
    pub last_error: Option<String>,
}

/// One file of the state folder.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Whether writing works.
    pub writable: bool,
    /// Whether the disk was found full, while it is.
    pub full: bool,
    /// Transactions that were confirmed.
    pub transactions: u64,
    /// Writes in them.
    pub writes: u64,
    /// Transactions that failed, and were tried again.
    pub failures: u64,
    /// What failed last; kept after recovery.
    pub last_error: Option<String>,
    /// Events of sources, or parked deliveries of rules, that are not in the configuration, by their names.
    pub left: BTreeMap<Text, u64>,
}

/// One trigger, in events.
#[derive(Clone, Debug, Serialize)]
pub struct TriggerStatus {
    /// Passed the trigger's filter.
    pub offered: u64,
    /// Of those, matched by no rule.
    pub unmatched: u64,
}

/// One rule, in deliveries.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the words are defined once, in dispatch::Books")]
pub struct RuleStatus {
    pub matched: u64,
    pub recovered: u64,
    pub replayed: u64,
    pub looped: u64,
    pub done: u64,
    pub dead_lettered: u64,
    /// The same by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    pub dropped: BTreeMap<&'static str, u64>,
    pub handed_back: u64,
    pub parked: u64,
    /// How long ago the oldest that is parked failed first; nothing when there is none, or nobody knows without the disk.
    pub parked_oldest_age_seconds: Option<f64>,
    /// Whether the whole rule is paused, so that nothing of it begins.
    pub paused: bool,
    /// How many of its keys are paused.
    pub paused_keys: usize,
    /// How long ago the first of all that is paused was; nothing when nothing is.
    pub paused_oldest_age_seconds: Option<f64>,
    /// Why what comes for the rule waits although it is not paused, in a few words, if it does.
    pub held: Option<Text>,
    pub in_flight: u64,
    /// Everything that is here and has not ended: in flight, parked, and whatever waits in the spools of its sources.
    pub lag: u64,
    /// How long the oldest of it is here, to the second; nothing when there is none, or nobody knows without the disk.
    pub oldest_age_seconds: Option<f64>,
    pub filtered: u64,
    pub failed_attempts: u64,
    pub last_error: Option<String>,
}

/// One output's connection.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the words are defined once, in metric::LinkReading")]
pub struct OutputStatus {
    pub connection: Connection,
    pub last_error: Option<String>,
    pub dropped: BTreeMap<Text, u64>,
}

impl Engine {
    /// One reading of everything; never waits for any part of the engine.
    #[must_use]
    pub fn status(&self) -> Status {
        let live = self.live();
        let tallies: Vec<_> = live.triggers.iter().map(|trigger| (&trigger.name, trigger.tally.read())).collect();
        let now = Stamp::from(self.host.clock.now());
        let spools: BTreeMap<Text, SpoolStatus> =
            self.spools.iter().map(|spool| (spool.name.clone(), spool.status(now))).collect();
        let rule = |rule: &super::RunningRule| {
            let books = rule.reading.books();
            let known = live.triggers.iter().position(|trigger| Arc::ptr_eq(&trigger.tally, &rule.tally));
            let filtered = known.map_or_else(|| rule.tally.read().filtered, |place| tallies[place].1.filtered.clone());
            let paused = rule.reading.paused();
            let sources = known.map_or(&[][..], |place| &live.triggers[place].sources);
            let spools: Vec<&SpoolStatus> = sources.iter().filter_map(|source| spools.get(source)).collect();
            let here = [rule.reading.oldest(), rule.reading.oldest_in_flight()].into_iter().flatten().min();
            // What a spool has in flight is counted where it is.
            let waiting = spools.iter().filter(|spool| spool.stored > 0);
            let ages = waiting.filter_map(|spool| spool.oldest_age_seconds).chain(here.map(|oldest| age(oldest, now)));
            RuleStatus {
                lag: books.in_flight + books.parked + spools.iter().map(|spool| spool.stored).sum::<u64>(),
                oldest_age_seconds: ages.reduce(f64::max),
                matched: books.matched,
                recovered: books.recovered,
                replayed: books.replayed,
                looped: books.looped,
                done: books.done,
                dead_lettered: books.dead_lettered.iter().sum(),
                dead_letters: Reason::OF_RULES.iter().map(|reason| reason.name()).zip(books.dead_lettered).collect(),
                dropped: DropReason::ALL.iter().map(|reason| reason.name()).zip(books.dropped).collect(),
                handed_back: books.handed_back,
                parked: books.parked,
                parked_oldest_age_seconds: rule.reading.oldest().map(|oldest| age(oldest, now)),
                paused: paused.rule.is_some(),
                paused_keys: paused.keys,
                paused_oldest_age_seconds: paused.oldest.map(|oldest| age(oldest, now)),
                held: rule.reading.held().words(),
                in_flight: books.in_flight,
                filtered: filtered[rule.slot],
                failed_attempts: books.failed_attempts,
                last_error: rule.reading.last_error(),
            }
        };
        let trigger =
            |counts: &crate::router::Counts| TriggerStatus { offered: counts.offered, unmatched: counts.unmatched };
        let mut status = Status {
            name: self.name.clone(),
            instance: self.host.instance.clone(),
            draining: self.is_draining(),
            uptime_seconds: self.began.elapsed().as_secs_f64(),
            configuration: self.configuration(),
            sources: live
                .every_source()
                .filter(|source| !returns::is(&source.name))
                .map(|source| (source.name.clone(), source.status()))
                .collect(),
            triggers: tallies.iter().map(|(name, counts)| ((*name).clone(), trigger(counts))).collect(),
            rules: live.every_rule().map(|running| (running.name.clone(), rule(running))).collect(),
            pools: live.pools.iter().map(|(name, pool)| (name.clone(), pool.read())).collect(),
            spools,
            stores: self.stores().collect(),
            outputs: live.outputs.iter().map(|output| (output.name.clone(), output.link.read().into())).collect(),
            circuits: live.circuits.status(),
            dead_letters: self.dead_letter_status(),
            parked: self.parked_status(),
            ledger: self.ledger_status(),
            drift: BTreeMap::new(),
        };
        status.drift = status.drifts();
        status
    }

    fn parked_status(&self) -> ParkedStatus {
        let usage = self.yard.usage();
        let remembered = self.yard.tracks().remembered();
        ParkedStatus { stored: usage.rows, bytes: usage.bytes, max_bytes: self.yard.max_bytes(), remembered }
    }

    fn stores(&self) -> impl Iterator<Item = (Text, StoreStatus)> {
        let spools = self.state.iter().map(|state| state.file.status(state.left.iter().cloned().collect()));
        spools.chain([self.deliveries.status(self.left.iter().cloned().collect())])
    }

    /// Whether every source is connected, nothing is wrong with the state and the engine is not ending.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.is_draining() && self.away().is_empty() && self.state_error().is_none()
    }

    /// What keeps events from being taken into the state folder, or from coming out of it.
    #[must_use]
    pub fn state_error(&self) -> Option<String> {
        let stuck = self.spools.iter().find(|spool| spool.run.has_ended() && !spool.run.ended_well());
        let stuck = stuck.map(|spool| {
            let error = spool.link.read().last_error.unwrap_or_default();
            format!("nothing more comes out of the spool of source '{}': {error}", spool.name)
        });
        let idle = |spool: &&spools::Running| spool.clerk.as_ref().is_some_and(AbortHandle::is_finished);
        let shut = self.spools.iter().filter(|_| !self.is_draining()).find(idle);
        let shut = shut.map(|spool| format!("nothing more is taken into the spool of source '{}'", spool.name));
        let file = || self.state.iter().map(|state| &state.file).chain([&self.deliveries]).find_map(File::error);
        stuck.or_else(file).or(shut)
    }

    /// Whether the engine is ending.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The sources that are not connected; one that has left its broker as it was told to is none of them.
    #[must_use]
    pub fn away(&self) -> Vec<Text> {
        let away = |source: &Arc<super::RunningSource>| source.link.read().connection != Connection::Connected;
        self.staying().into_iter().filter(away).map(|source| source.name.clone()).collect()
    }

    fn staying(&self) -> Vec<Arc<super::RunningSource>> {
        self.live().sources.iter().filter(|source| !source.run.ended_well()).cloned().collect()
    }

    /// Waits until [`Engine::ready`]; for ever if a source never connects or the engine is ending. Cancel safe.
    pub async fn becomes_ready(&self) {
        while !self.ready() {
            if self.is_draining() {
                return std::future::pending().await;
            }
            for source in self.staying() {
                source.link.connects().await;
            }
            for file in self.state.iter().map(|state| &state.file).chain([&self.deliveries]) {
                file.link.connects().await;
            }
            if self.state_error().is_some_and(|_| self.spools.iter().any(|spool| spool.run.has_ended())) {
                // Only a restart helps a spool that cannot be read.
                return std::future::pending().await;
            }
            // A source may have been lost again while the next one was waited for.
            tokio::task::yield_now().await;
        }
    }

    /// The page behind `/metrics`: the engine's own families and its adapters' unless `engine` is false, then those that
    /// users' functions made.
    #[must_use]
    pub fn metrics(&self, engine: bool) -> String {
        let own = if engine { exposition::render(&self.status()) + &self.page.render_own() } else { String::new() };
        own + &self.page.render()
    }
}

/// Seconds since then.
fn age(since: Stamp, now: Stamp) -> f64 {
    now.0.saturating_sub(since.0) as f64 / 1000.0
}

impl super::RunningSource {
    fn status(&self) -> SourceStatus {
        let books = self.ledger.read();
        let link = self.link.read();
        SourceStatus {
            received: books.received,
            settled: books.settled,
            rejected: books.rejected,
            handed_back: books.handed_back,
            in_flight: books.in_flight,
            seats: self.seats,
            paused: self.ledger.is_paused(),
            connection: link.connection,
            connects: link.connects,
            last_error: link.last_error,
            dropped: link.dropped,
            lag: link.lag,
        }
    }
}

impl spools::Running {
    fn status(&self, now: Stamp) -> SpoolStatus {
        let Reading { books, bytes, max_bytes, oldest, alone } = self.gauge.read();
        let alone = alone.map(|size| {
            format!("an event of {size} bytes is larger than 'maxBytes' and waits until nothing else is in the spool")
        });
        let Dropped { oldest: older, newest, expired, oversized } = books.dropped;
        let dropped = [("oldest", older), ("newest", newest), ("expired", expired), ("oversized", oversized)];
        SpoolStatus {
            appended: books.appended,
            recovered: books.recovered,
            settled: books.settled,
            dropped: BTreeMap::from(dropped),
            handed_back: books.handed_back,
            in_flight: books.in_flight,
            stored: books.stored,
            seats: self.seats,
            bytes,
            max_bytes,
            oldest_age_seconds: oldest.map(|oldest| age(oldest, now)),
            last_error: self.link.read().last_error.or(alone),
        }
    }
}

impl File {
    fn status(&self, left: BTreeMap<Text, u64>) -> (Text, StoreStatus) {
        let (link, store) = (self.link.read(), self.store.read());
        let status = StoreStatus {
            // Until something has failed: its thread may not have begun yet.
            writable: matches!(link.connection, Connection::Connecting | Connection::Connected),
            full: store.full,
            transactions: store.groups,
            writes: store.writes,
            failures: store.failures,
            last_error: link.last_error,
            left,
        };
        (Text::new_static(self.name), status)
    }
}

impl From<LinkReading> for OutputStatus {
    fn from(link: LinkReading) -> OutputStatus {
        OutputStatus { connection: link.connection, last_error: link.last_error, dropped: link.dropped }
    }
}
