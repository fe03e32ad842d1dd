//! One story out of everything that is known: pure, and the same for a running engine and for a folder.

mod shown;

use std::collections::BTreeMap;

use super::{Known, Rule};
use crate::account::Name;
use crate::account::{End, Print, Record, Trouble, UNKNOWN, Wanted, What, Window, print_of_source};
use crate::dead_letter::{Content, Id, Letter};
use crate::dispatch::{DropReason, Sighting, Whereabouts};
use crate::event::{Event, Text};
use crate::parked::Pause;
use crate::store::Stamp;
use shown::time;
pub use shown::{Explanation, Gap, Reach, RuleStory, Spooled, State, Step, Story, Unmatched};

/// Steps of one rule that are shown at most, the newest.
const STEPS: usize = 50;

/// What is known of one event: of an id within one source.
#[derive(Default)]
struct Part<'k> {
    source: Option<Text>,
    event: Option<&'k Event>,
    rules: BTreeMap<Text, Facts<'k>>,
    spooled: Option<(Text, Stamp)>,
    unmatched: Option<(Text, Stamp)>,
    /// When it was there for sure.
    since: Option<Stamp>,
}

/// What is known of one event and one rule.
#[derive(Default)]
struct Facts<'k> {
    records: Vec<(Record, &'k Name)>,
    troubles: Vec<&'k Trouble>,
    lines: Vec<&'k Sighting>,
    parked: Vec<&'k crate::parked::Sighting>,
    letters: Vec<(Id, &'k Letter)>,
}

/// Tells it.
pub(super) fn tell(wanted: &Wanted, known: &Known) -> Explanation {
    let window = &known.found.window;
    let events: Vec<Story> = parts(known).into_values().map(|part| part.story(known, window)).collect();
    Explanation::new(wanted, window, known.found.omitted, events)
}

fn parts(known: &Known) -> BTreeMap<u32, Part<'_>> {
    let mut parts: BTreeMap<u32, Part<'_>> = BTreeMap::new();
    for (record, name) in &known.found.records {
        let part = parts.entry(record.print().source).or_default();
        let facts = record.facts();
        let begun = (facts.took != UNKNOWN).then(|| Stamp(facts.ended.saturating_sub(facts.took.into())));
        part.was_there(begun);
        if name.is_source {
            part.unmatched = Some((name.name.clone(), record.ended()));
        } else {
            part.rules.entry(name.name.clone()).or_default().records.push((*record, name));
        }
    }
    for trouble in &known.found.troubles {
        let part = parts.entry(print_of_source(&trouble.source)).or_default();
        part.source.get_or_insert_with(|| trouble.source.clone());
        part.rules.entry(trouble.rule.clone()).or_default().troubles.push(trouble);
    }
    for (rule, sighting) in &known.lines {
        let part = whole(&mut parts, &sighting.event);
        part.was_there(Some(sighting.arrived));
        part.rules.entry(rule.clone()).or_default().lines.push(sighting);
    }
    for row in &known.parked {
        whole(&mut parts, &row.event).rules.entry(row.rule.clone()).or_default().parked.push(row);
    }
    for (id, letter) in &known.letters {
        if let (Content::Event(event), Some(rule)) = (&letter.content, &letter.rule) {
            let part = whole(&mut parts, event);
            part.rules.entry(rule.clone()).or_default().letters.push((*id, letter));
        }
    }
    for sighting in &known.spooled {
        let part = whole(&mut parts, &sighting.event);
        part.spooled = Some((sighting.source.clone(), sighting.received));
    }
    parts
}

/// The part of an event that is known whole.
fn whole<'p, 'k>(parts: &'p mut BTreeMap<u32, Part<'k>>, event: &'k Event) -> &'p mut Part<'k> {
    let part = parts.entry(Print::of(event).source).or_default();
    part.source.get_or_insert_with(|| event.source().clone());
    part.event.get_or_insert(event);
    part
}

impl Part<'_> {
    fn was_there(&mut self, since: Option<Stamp>) {
        if let Some(since) = since {
            self.since = Some(self.since.map_or(since, |known| known.min(since)));
        }
    }

    fn story(self, known: &Known, window: &Window) -> Story {
        let mut rules: Vec<RuleStory> =
            self.rules.iter().map(|(name, facts)| facts.story(name, &self, known.rules.is_some())).collect();
        for rule in &mut rules {
            let state = rule.state.as_mut().filter(|state| state.is == "parked" || state.does == Some("turn"));
            state.into_iter().for_each(|state| state.circuit = known.held.get(&rule.rule).cloned());
        }
        for rule in known.rules.iter().flatten().filter(|rule| !self.rules.contains_key(&rule.name)) {
            if self.concerns(rule, known) {
                rules.push(self.untold(rule, window));
            }
        }
        rules.sort_by(|one, other| one.rule.cmp(&other.rule));
        // What was given out of a spool stays in it until it has settled.
        let waits = self.spooled.as_ref().filter(|_| rules.iter().all(|rule| rule.state.is_none()));
        Story {
            source: self.source.clone(),
            r#type: self.event.map(|event| event.r#type().clone()),
            subject: self.event.and_then(|event| event.subject().cloned()),
            received: self.since.map(time),
            spool: waits.map(|(source, received)| Spooled { source: source.clone(), since: time(*received) }),
            unmatched: self.unmatched.map(|(source, at)| Unmatched { source, time: time(at) }),
            rules,
        }
    }

    /// Whether a rule of which nothing is known may have got the event.
    fn concerns(&self, rule: &Rule, known: &Known) -> bool {
        let spooled = self.spooled.iter().map(|(source, _)| source);
        let named: Vec<&Text> = spooled.chain(self.unmatched.iter().map(|(source, _)| source)).collect();
        if !named.is_empty() {
            return rule.sources.iter().any(|source| named.contains(&source));
        }
        let rules = known.rules.iter().flatten().filter(|other| self.rules.contains_key(&other.name));
        let mut sources = rules.flat_map(|other| &other.sources).peekable();
        sources.peek().is_none() || sources.any(|source| rule.sources.contains(source))
    }

    /// What can be said of a rule that has no delivery of it.
    fn untold(&self, rule: &Rule, window: &Window) -> RuleStory {
        let told = |verdict, because: Option<String>| RuleStory { verdict, because, ..RuleStory::of(&rule.name) };
        if let Some(event) = self.event {
            let refused =
                |filter: &Option<crate::filter::Filter>| filter.as_ref().and_then(|filter| filter.refusal(event));
            let trigger = refused(&rule.trigger).map(|why| format!("by its trigger: {why}"));
            return match trigger.or_else(|| refused(&rule.filter)) {
                Some(why) => told("filtered", Some(why)),
                None if self.spooled.is_some() => told("matched", None),
                None => told("matched", Some("no delivery of it is known: it ended before the ledger's reach, or the rule is newer than the event".to_owned())),
            };
        }
        if self.unmatched.is_some() || self.since.is_some_and(|since| window.covers(since)) {
            return told("filtered", None);
        }
        told("unknown", Some("the ledger does not reach back to when the event arrived".to_owned()))
    }
}

impl Facts<'_> {
    fn story(&self, rule: &Text, part: &Part<'_>, runs: bool) -> RuleStory {
        let mut steps: Vec<(Stamp, Step)> = Vec::new();
        steps.extend(self.troubles.iter().map(|trouble| (trouble.time, Step::of_trouble(trouble))));
        for (record, name) in &self.records {
            // What went wrong at the end was told at once, in full.
            let told = self.troubles.iter().any(|trouble| ends(trouble, record));
            if !told && let Some(end) = record.end() {
                steps.push((record.ended(), Step::of_record(record, end, name)));
            }
        }
        steps.sort_by_key(|(time, _)| *time);
        let omitted = steps.len().saturating_sub(STEPS);
        RuleStory {
            verdict: "matched",
            state: self.state(part.spooled.is_some(), runs),
            steps: steps.into_iter().skip(omitted).map(|(_, step)| step).collect(),
            omitted: omitted as u64,
            ..RuleStory::of(rule)
        }
    }

    /// Where the delivery is now; of several, the one that is the most alive.
    fn state(&self, spooled: bool, runs: bool) -> Option<State> {
        if let Some(sighting) = self.lines.first() {
            let mut state = State::of_line(sighting);
            state.copies = self.lines.len() as u64;
            return Some(state);
        }
        // That a copy of it came says nothing of the delivery.
        let is_copy = |record: &Record| record.end() == Some(End::Dropped(DropReason::Duplicate));
        let mut ends = self.records.iter().rev().map(|(record, _)| record);
        let ended = ends.find(|record| !is_copy(record));
        // A row that was due and has ended since only waits to be removed.
        let is_over = |due: Option<Stamp>| ended.is_some_and(|record| due.is_some_and(|due| record.ended() >= due));
        if let Some(row) = self.parked.iter().find(|row| !is_over(row.due)) {
            return Some(State { copies: self.parked.len() as u64, ..State::of_row(row) });
        }
        let letter = self.letters.last();
        if let Some((id, letter)) = letter
            && ended.is_none_or(|record| {
                record.ended() <= letter.last || matches!(record.end(), Some(End::DeadLettered(_)))
            })
        {
            return Some(State::of_letter(*id, letter));
        }
        if let Some(record) = ended {
            return record.end().map(|end| State::of_end(record, end));
        }
        if let Some((copy, _)) = self.records.last().filter(|_| self.troubles.is_empty()) {
            return copy.end().map(|end| State::of_end(copy, end));
        }
        let last = self.troubles.iter().max_by_key(|trouble| trouble.time)?;
        State::of_trouble(last, spooled, runs)
    }
}

/// Whether a trouble is what this record is about.
fn ends(trouble: &Trouble, record: &Record) -> bool {
    let same = match (trouble.what, record.end()) {
        (What::GivenUp(reason), Some(End::DeadLettered(known))) => reason == known,
        (What::Dropped(reason), Some(End::Dropped(known))) => reason == known,
        _ => false,
    };
    // It is told when it is given up, and ends when that is on the disk.
    same && trouble.time <= record.ended()
}

impl State {
    fn of_line(sighting: &Sighting) -> State {
        let attempt = sighting.attempts.max(1);
        let base = State {
            stage: Some(if sighting.publishing { "publish" } else { "call" }),
            attempt: Some(attempt),
            max_attempts: Some(sighting.of),
            since: Some(time(sighting.arrived)),
            ..State::is("inFlight")
        };
        let next = Some(sighting.attempts + 1);
        match &sighting.whereabouts {
            Whereabouts::Called(since) => State { does: Some("called"), since: Some(time(*since)), ..base },
            Whereabouts::Publishing(since, outputs) => {
                State { does: Some("publishing"), since: Some(time(*since)), outputs: outputs.clone(), ..base }
            }
            Whereabouts::Behind => State { does: Some("behind"), attempt: next, ..base },
            Whereabouts::Turn => State { does: Some("turn"), attempt: next, ..base },
            Whereabouts::Held => State { does: Some("held"), attempt: next, ..base },
            Whereabouts::Paused { since, rule } => {
                let error = (!sighting.message.is_empty()).then(|| sighting.message.clone());
                let does = Some(if *rule { "rule" } else { "key" });
                let since = Some(time(*since));
                State { is: "paused", does, since, attempt: next, code: sighting.code.clone(), error, ..base }
            }
            Whereabouts::Waiting(until) => {
                State { does: Some("waiting"), attempt: next, until: Some(time(*until)), ..base }
            }
            Whereabouts::Parking => State { does: Some("parking"), ..base },
            Whereabouts::Keeping => State { does: Some("keeping"), ..base },
        }
    }

    fn of_row(row: &crate::parked::Sighting) -> State {
        if let Some(pause) = &row.pause {
            return State::of_pause(row, pause);
        }
        State {
            stage: Some(if row.publishing { "publish" } else { "call" }),
            does: Some(if row.due.is_some() { "waiting" } else { "behind" }),
            attempt: Some(row.attempts + 1),
            until: row.due.map(time),
            since: row.failed.map(time),
            code: row.code.clone(),
            error: (!row.message.is_empty()).then(|| row.message.clone()),
            ..State::is("parked")
        }
    }

    /// What waits for somebody's word, and why: what was said of it last, or else of what its key or its rule is paused for.
    fn of_pause(row: &crate::parked::Sighting, pause: &Pause) -> State {
        let own = !row.message.is_empty();
        let (code, message) = if own { (&row.code, &row.message) } else { (&pause.cause.code, &pause.cause.message) };
        State {
            stage: Some(if row.publishing { "publish" } else { "call" }),
            does: Some(if pause.key.is_some() { "key" } else { "rule" }),
            attempt: Some(row.attempts + 1),
            since: Some(time(pause.since)),
            code: code.clone(),
            error: (!message.is_empty()).then(|| message.clone()),
            ..State::is("paused")
        }
    }

    fn of_letter(id: Id, letter: &Letter) -> State {
        State {
            reason: Some(letter.reason.name()),
            dead_letter: Some(id.to_string()),
            attempt: Some(letter.attempts),
            time: Some(time(letter.last)),
            code: letter.code.clone(),
            error: Some(letter.message.clone()),
            forward: letter
                .forward
                .as_ref()
                .map(|forward| format!("{} to {}", forward.progress.name(), forward.output)),
            ..State::is("deadLettered")
        }
    }

    fn of_end(record: &Record, end: End) -> State {
        let (is, reason) = match end {
            End::Done => ("done", None),
            End::DeadLettered(reason) => ("deadLettered", Some(reason.name())),
            End::Dropped(reason) => ("dropped", Some(reason.name())),
            End::HandedBack => ("handedBack", None),
            End::Unmatched => ("unmatched", None),
        };
        State { reason, time: Some(time(record.ended())), ..State::is(is) }
    }

    /// Where only what went wrong is known: a crash came before the rest was written down, or it was so a moment ago.
    fn of_trouble(trouble: &Trouble, spooled: bool, runs: bool) -> Option<State> {
        match trouble.what {
            What::Dropped(reason) => {
                Some(State { reason: Some(reason.name()), time: Some(time(trouble.time)), ..State::is("dropped") })
            }
            What::GivenUp(_) if runs => Some(State {
                does: Some("keeping"),
                stage: Some(if trouble.publishing { "publish" } else { "call" }),
                attempt: Some(trouble.attempt),
                max_attempts: Some(trouble.of),
                since: Some(time(trouble.time)),
                ..State::is("inFlight")
            }),
            What::Failed(_) | What::GivenUp(_) if spooled => None,
            What::Failed(_) | What::GivenUp(_) => {
                Some(State { time: Some(time(trouble.time)), ..State::is("unknown") })
            }
        }
    }
}
