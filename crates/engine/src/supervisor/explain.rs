//! What became of one event: where each of its deliveries is, how those that have ended did, and what went wrong on the way.
//!
//! Decision: **every owner is asked for itself, and nothing is kept for the sake of an answer**: the lines for what is in flight,
//! the file of the deliveries for what is parked or given up, the spools, and the account for what has ended. An event that is
//! still known whole has every rule's filter tried on it again, so that the condition that refused it has a name.

mod story;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use tokio::task::spawn_blocking;

use super::Engine;
use super::live::Live;
use crate::account::{self, Found, Wanted};
use crate::dead_letter::{Addressees, Archive, Id, Letter, Selection};
use crate::dispatch;
use crate::event::Text;
use crate::filter::Filter;
use crate::parked::Yard;
use crate::port::SystemClock;
use crate::spool;
use crate::store::{ClockHandle, Error, Quota, Schema, Settings, Store};

pub use story::{Explanation, Gap, Reach, RuleStory, Spooled, State, Step, Story, Unmatched};

/// Everything that somebody knows of the events of one id.
#[derive(Debug, Default)]
struct Known {
    found: Found,
    /// Deliveries in lines, with their rules.
    lines: Vec<(Text, dispatch::Sighting)>,
    parked: Vec<crate::parked::Sighting>,
    letters: Vec<(Id, Letter)>,
    spooled: Vec<spool::Sighting>,
    /// Rules of which nothing begins for a circuit's sake, with what that is of.
    held: HashMap<Text, Text>,
    /// The rules that there are; nothing where nobody knows.
    rules: Option<Vec<Rule>>,
}

/// One rule, and which events it wants.
#[derive(Clone, Debug)]
struct Rule {
    /// `trigger/rule`.
    name: Text,
    /// The sources of its trigger.
    sources: Vec<Text>,
    trigger: Option<Filter>,
    filter: Option<Filter>,
}

/// Dead letters of one event that are looked at, at most.
const LETTERS: usize = 1000;

/// The letters of an event.
fn letters(archive: &Archive, wanted: &Wanted) -> Result<Vec<(Id, Letter)>, Error> {
    let pairs = [("id", Some(&wanted.id)), ("source", wanted.source.as_ref())];
    let pairs: Vec<String> = pairs.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", text?))).collect();
    // Names of attributes that every event has.
    let Ok(selection) = Selection::read(pairs.iter().map(|pair| ("where", pair.as_str()))) else {
        return Ok(Vec::new());
    };
    let (mut letters, mut after) = (Vec::new(), None);
    loop {
        let page = archive.page(&selection, after, LETTERS)?;
        letters.extend(page.letters);
        after = page.next;
        if after.is_none() || letters.len() >= LETTERS {
            return Ok(letters);
        }
    }
}

impl Engine {
    /// What became of the events of this id.
    ///
    /// # Errors
    /// A sentence, when a state file cannot be read.
    pub async fn explain(&self, wanted: &Wanted) -> Result<Explanation, String> {
        // Lines first: what leaves one meanwhile is found where it goes, and is not missed.
        let (live, mut lines) = (self.live(), Vec::new());
        for rule in live.every_rule() {
            let found = rule.feed.seek(wanted.clone()).await;
            lines.extend(found.into_iter().map(|sighting| (rule.name.clone(), sighting)));
        }
        let (account, archive, yard) = (self.account.clone(), self.letters.clone(), self.yard.clone());
        let spools = self.spool_tables();
        let held =
            live.every_rule().filter_map(|rule| Some((rule.name.clone(), rule.reading.held().circuit?))).collect();
        let (asked, lines, rules) = (wanted.clone(), lines, rules(&live));
        let reading = spawn_blocking(move || {
            let sentence = |error: Error| error.to_string();
            let (parked, letters) =
                (yard.seek(&asked).map_err(sentence)?, letters(&archive, &asked).map_err(sentence)?);
            let mut spooled = Vec::new();
            for (store, table, source) in spools {
                spooled.extend(spool::seek(&store, table, &source, &asked).map_err(sentence)?);
            }
            // Last: whatever has ended while the others were asked is here.
            let found = account.find(&asked).map_err(|cause| format!("the ledger cannot be read: {cause}"))?;
            let known = Known { found, lines, parked, letters, spooled, held, rules: Some(rules) };
            Ok(story::tell(&asked, &known))
        });
        reading.await.map_err(|panic| panic.to_string())?
    }

    fn spool_tables(&self) -> Vec<(Store, crate::store::Table, Text)> {
        let Some(state) = &self.state else { return Vec::new() };
        let store = &state.file.store;
        let table = |spool: &super::spools::Running| {
            Some((store.clone(), store.table(&super::spools::table(&spool.name))?, spool.name.clone()))
        };
        self.spools.iter().filter_map(table).collect()
    }
}

/// The rules of the configuration that runs.
fn rules(live: &Live) -> Vec<Rule> {
    let rule = |rule: &super::RunningRule| {
        let (trigger, _) = rule.place;
        let trigger = live.triggers.get(trigger)?;
        let wire = trigger.rules.iter().find(|wire| wire.slot == rule.slot)?;
        Some(Rule {
            name: rule.name.clone(),
            sources: trigger.sources.clone(),
            trigger: trigger.filter.clone(),
            filter: wire.filter.clone(),
        })
    };
    live.rules.iter().filter_map(rule).collect()
}

/// What became of the events of this id, as the folder of an engine that is stopped tells it. The caller has locked it. Blocks for
/// as long as the disk takes.
///
/// # Errors
/// A sentence, when a state file cannot be read.
pub fn explain_stopped(folder: &Path, wanted: &Wanted) -> Result<Explanation, String> {
    let found = account::look(folder, wanted).map_err(|cause| format!("the ledger cannot be read: {cause}"))?;
    let mut known = Known { found, spooled: spool::look(folder, wanted)?, ..Known::default() };
    let path = folder.join(Schema::DELIVERIES.kind);
    if path.is_file() {
        let specs = Archive::specs(Quota::default(), &Addressees::default()).into_iter().chain(Yard::specs()).collect();
        let store = Store::open(&path, Schema::DELIVERIES, specs, Settings::default());
        let store = store.map_err(|error| error.to_string())?;
        let sentence = |error: Error| error.to_string();
        let yard = Yard::of(&store, u64::MAX, ClockHandle(std::sync::Arc::new(SystemClock))).map_err(sentence)?;
        known.parked = yard.seek(wanted).map_err(sentence)?;
        if let Some(archive) = Archive::of(&store, Quota::default(), &Addressees::default()) {
            known.letters = letters(&archive, wanted).map_err(sentence)?;
        }
        drop(yard);
        spool::close(&store)?;
    }
    Ok(story::tell(wanted, &known))
}
