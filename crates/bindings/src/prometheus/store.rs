//! The series of one output: found by hash, changed under one short lock per event, bounded in number and in age.
//!
//! Why not the `metrics` facade and its exporter: there a series cannot expire by kind of use, nothing bounds how many
//! there are, the samples of one event can be seen half applied, and a sample of the wrong kind is accepted in silence.
//! Here an event is applied whole or not at all, and a known series is found without allocating.
//!
//! **The cap is not a mistake of the event.** A sample that would begin a series beyond `maxSeries` is refused and
//! counted, and the others of its event are applied: the cap guards memory against labels that explode, and one exploding
//! label must not take down the totals that travel with it, nor fill a dead letter with events whose replay would count
//! those totals twice. Nothing waits for it either.
//!
//! Age is counted in ticks of a tenth of the `ttl`, so that using a series needs no clock.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use engine::event::Text;
use engine::metric::sample::{Kind, Merge};
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;
use slab::Slab;
use smallvec::SmallVec;

use super::board::Board;
use super::bucket::Buckets;
use super::bundle::{Bundle, Sample};
use super::name;
use super::text::{self, Value};

/// A series is removed after more than this many ticks without a sample.
pub(super) const TICKS: u32 = 10;

/// What bounds an output.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// How many series there may be at once; one label set of a histogram is one.
    pub(super) max_series: usize,
    /// The bounds of histograms.
    pub(super) buckets: Buckets,
    /// The series also go to a Pushgateway, which keeps some names for itself.
    pub(super) pushed: bool,
}

/// What an output counts about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Series kept now.
    pub(super) series: u64,
    /// Samples refused for `maxSeries`.
    pub(super) refused: u64,
    /// Series removed for their age.
    pub(super) expired: u64,
}

/// The series of one output.
pub(super) struct Store {
    output: Text,
    limits: Limits,
    board: Arc<Board>,
    hasher: DefaultHashBuilder,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    index: HashTable<usize>,
    series: Slab<Series>,
    families: Slab<Family>,
    names: HashMap<Arc<str>, usize>,
    tick: u32,
    refused: u64,
    expired: u64,
}

struct Family {
    name: Arc<str>,
    kind: Kind,
    help: Option<Arc<str>>,
    bounds: Arc<[f64]>,
    series: usize,
}

struct Series {
    hash: u64,
    family: usize,
    labels: Box<[(Box<str>, Box<str>)]>,
    text: Arc<str>,
    tick: u32,
    value: Value,
}

impl Store {
    pub(super) fn new(output: Text, limits: Limits, board: Arc<Board>) -> Arc<Store> {
        let store = Store { output, limits, board, hasher: DefaultHashBuilder::default(), table: Mutex::default() };
        let store = Arc::new(store);
        store.board.show(&store);
        store
    }

    pub(super) fn output(&self) -> &Text {
        &self.output
    }

    /// Applies all samples of an event, and says how many were refused for `maxSeries`.
    ///
    /// # Errors
    /// A sentence on the first sample that is wrong; nothing was applied.
    pub(super) fn apply(&self, bundle: &Bundle<'_>) -> Result<u64, String> {
        let hashes: SmallVec<[u64; 8]> = bundle.samples.iter().map(|sample| self.hash(sample)).collect();
        let mut begun = SmallVec::<[usize; 4]>::new();
        let mut table = self.table.lock();
        let mut known = SmallVec::<[Option<usize>; 8]>::new();
        for (sample, hash) in bundle.samples.iter().zip(&hashes) {
            let found = table.find(*hash, sample);
            let fits = match found {
                Some(slot) => table.family_of(slot).map_or(Ok(()), |family| family.accept(sample)),
                None => self.admit(&mut table, sample, &mut begun),
            };
            if let Err(reason) = fits {
                self.forget_empty(&mut table, &begun);
                return Err(reason);
            }
            known.push(found);
        }
        let mut refused = 0;
        for ((sample, hash), slot) in bundle.samples.iter().zip(hashes).zip(known) {
            // A series may have been begun by a sample before this one in the same event.
            let slot = slot.or_else(|| table.find(hash, sample));
            match slot.or_else(|| table.begin(hash, sample, self.limits.max_series)) {
                Some(slot) => table.record(slot, sample),
                None => refused += 1,
            }
        }
        table.refused += refused;
        self.forget_empty(&mut table, &begun);
        Ok(refused)
    }

    fn hash(&self, sample: &Sample<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        sample.name.hash(&mut hasher);
        for (label, value) in &sample.labels.0 {
            label.hash(&mut hasher);
            value.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Checks a sample whose series is not known, and begins its family if that is not known either.
    fn admit(&self, table: &mut Table, sample: &Sample<'_>, begun: &mut SmallVec<[usize; 4]>) -> Result<(), String> {
        name::check(sample, self.limits.pushed)?;
        if let Some(family) = table.names.get(&*sample.name).and_then(|family| table.families.get(*family)) {
            return family.accept(sample);
        }
        self.board.claim(&self.output, &sample.name, sample.kind)?;
        let bounds = match sample.kind {
            Kind::Histogram => self.limits.buckets.of(&sample.name, sample.unit.as_deref()),
            Kind::Counter | Kind::Gauge => [].into(),
        };
        let name: Arc<str> = (*sample.name).into();
        let family = Family { name: Arc::clone(&name), kind: sample.kind, help: None, bounds, series: 0 };
        let family = table.families.insert(family);
        table.names.insert(name, family);
        begun.push(family);
        Ok(())
    }

    /// Removes those of `families` that have no series.
    fn forget_empty(&self, table: &mut Table, families: &[usize]) {
        for family in families {
            if table.families.get(*family).is_some_and(|family| family.series == 0) {
                let family = table.families.remove(*family);
                table.names.remove(&family.name);
                self.board.release(&family.name, family.kind);
            }
        }
    }

    /// Lets a tenth of the `ttl` pass and removes what is too old.
    pub(super) fn tick(&self) -> u64 {
        let mut table = self.table.lock();
        table.tick += 1;
        let now = table.tick;
        let old: Vec<usize> =
            table.series.iter().filter(|(_, series)| now - series.tick > TICKS).map(|(slot, _)| slot).collect();
        let mut families = Vec::new();
        for slot in &old {
            families.push(table.remove(*slot));
        }
        table.expired += old.len() as u64;
        self.forget_empty(&mut table, &families);
        old.len() as u64
    }

    pub(super) fn figures(&self) -> Figures {
        let table = self.table.lock();
        Figures { series: table.series.len() as u64, refused: table.refused, expired: table.expired }
    }

    /// Everything at one moment, in no order. Only copying happens under the lock; writing it out does not.
    pub(super) fn families(&self) -> Vec<text::Family> {
        let table = self.table.lock();
        let mut places = vec![usize::MAX; table.families.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0)];
        let mut families = Vec::with_capacity(table.families.len());
        for (slot, family) in &table.families {
            if let Some(place) = places.get_mut(slot) {
                *place = families.len();
            }
            families.push(text::Family {
                name: Arc::clone(&family.name),
                kind: family.kind,
                help: family.help.clone(),
                bounds: Arc::clone(&family.bounds),
                series: Vec::with_capacity(family.series),
            });
        }
        for (_, series) in &table.series {
            let place = places.get(series.family).copied().unwrap_or(usize::MAX);
            if let Some(family) = families.get_mut(place) {
                family.series.push((Arc::clone(&series.text), series.value.clone()));
            }
        }
        families
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for (_, family) in &self.table.get_mut().families {
            self.board.release(&family.name, family.kind);
        }
    }
}

impl Family {
    fn accept(&self, sample: &Sample<'_>) -> Result<(), String> {
        if self.kind == sample.kind {
            return Ok(());
        }
        let word = |kind| match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let (name, is, sent) = (&self.name, word(self.kind), word(sample.kind));
        Err(format!("'{name}' is a {is} and was now sent as a {sent}; give one of them another name"))
    }
}

impl Series {
    fn is(&self, family: &Family, sample: &Sample<'_>) -> bool {
        *family.name == *sample.name
            && self.labels.len() == sample.labels.0.len()
            && self
                .labels
                .iter()
                .zip(&sample.labels.0)
                .all(|((name, value), (other_name, other_value))| **name == **other_name && **value == **other_value)
    }
}

impl Table {
    fn find(&self, hash: u64, sample: &Sample<'_>) -> Option<usize> {
        let same = |slot: &usize| {
            let Some(series) = self.series.get(*slot) else { return false };
            series.hash == hash && self.families.get(series.family).is_some_and(|family| series.is(family, sample))
        };
        self.index.find(hash, same).copied()
    }

    fn family_of(&self, slot: usize) -> Option<&Family> {
        self.families.get(self.series.get(slot)?.family)
    }

    /// Begins a series in its family; `None` if there are enough.
    fn begin(&mut self, hash: u64, sample: &Sample<'_>, max: usize) -> Option<usize> {
        if self.series.len() >= max {
            return None;
        }
        let place = *self.names.get(&*sample.name)?;
        let family = self.families.get_mut(place)?;
        let value = match (family.kind, sample.merge) {
            (Kind::Histogram, _) => Value::Histogram { counts: vec![0; family.bounds.len() + 1].into(), sum: 0.0 },
            (Kind::Gauge, Merge::Max) => Value::Number(f64::NEG_INFINITY),
            (Kind::Gauge, Merge::Min) => Value::Number(f64::INFINITY),
            (Kind::Counter | Kind::Gauge, _) => Value::Number(0.0),
        };
        family.series += 1;
        let labels: Vec<_> = sample.labels.0.iter().map(|(name, value)| ((**name).into(), (**value).into())).collect();
        let text: Vec<_> = sample.labels.0.iter().map(|(name, value)| text::label(name, value)).collect();
        let slot = self.series.insert(Series {
            hash,
            family: place,
            labels: labels.into(),
            text: text.join(",").into(),
            tick: self.tick,
            value,
        });
        let series = &self.series;
        self.index.insert_unique(hash, slot, |slot| series.get(*slot).map_or(0, |series| series.hash));
        Some(slot)
    }

    fn record(&mut self, slot: usize, sample: &Sample<'_>) {
        let Some(series) = self.series.get_mut(slot) else { return };
        let Some(family) = self.families.get_mut(series.family) else { return };
        series.tick = self.tick;
        if let (None, Some(help)) = (&family.help, &sample.help) {
            family.help = Some((**help).into());
        }
        match &mut series.value {
            Value::Number(number) => {
                *number = match (family.kind, sample.merge) {
                    (Kind::Counter, _) | (_, Merge::Add) => *number + sample.value,
                    (_, Merge::Set) => sample.value,
                    (_, Merge::Max) => number.max(sample.value),
                    (_, Merge::Min) => number.min(sample.value),
                }
            }
            Value::Histogram { counts, sum } => {
                let bucket = family.bounds.partition_point(|bound| *bound < sample.value);
                if let Some(count) = counts.get_mut(bucket) {
                    *count += 1;
                }
                *sum += sample.value;
            }
        }
    }

    /// Removes a series and answers its family.
    fn remove(&mut self, slot: usize) -> usize {
        let series = self.series.remove(slot);
        if let Ok(entry) = self.index.find_entry(series.hash, |other| *other == slot) {
            entry.remove();
        }
        if let Some(family) = self.families.get_mut(series.family) {
            family.series -= 1;
        }
        series.family
    }
}
