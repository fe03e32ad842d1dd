//! Dead letters on their way again: to the rule that gave them up and to no other, or to every rule of its trigger that
//! matches.
//!
//! Decision: **copy, confirm, then remove**. A letter stays where it is until its rule has settled the delivery, so that a
//! crash in between loses nothing and may repeat one. What fails again is a new letter, which says how often it was tried
//! so; beyond a number nobody means to try once more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::Engine;
use crate::dead_letter::{Content, Id, Letter, Reason, Selection};
use crate::delivery::{Inbox, Ledger, Outcome, Receipt, Route, Settlements, Undecodable};
use crate::dispatch::{Arrival, Feed};
use crate::event::{Event, Text};
use crate::store;

/// How often a dead letter is sent on its way again at most.
pub const REDRIVES_MAX: u32 = 16;

/// Letters that are on their way again at once, at most.
pub const REPLAYS_MAX: usize = 64;

/// The longest that one piece is waited with for the sake of a rate, in seconds.
const PAUSE_MAX: f64 = 300.0;

/// Which part of the archive is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Only letters behind this one.
    pub after: Option<Id>,
    /// Only letters up to this one; by default the newest when it begins. So what fails again is not replayed again.
    pub upto: Option<Id>,
}

/// How letters are sent on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Drive {
    /// To whom.
    pub through: Through,
    /// How many in a second at most, on average; as many as there are otherwise.
    pub rate: Option<f64>,
    /// Whether it is only said what would become of them.
    pub dry_run: bool,
}

impl Drive {
    /// Reads a rate, from 0.01 to a billion in a second.
    ///
    /// # Errors
    /// What to write instead.
    pub fn read_rate(text: &str) -> Result<f64, String> {
        let rate = text.parse::<f64>().ok().filter(|rate| (0.01..=1e9).contains(rate));
        rate.ok_or_else(|| {
            format!("'{text}' is no rate; write how many in a second, from 0.01 to a billion, such as 50 or 0.5")
        })
    }
}

/// To whom a letter goes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Through {
    /// To the rule that gave it up; what no rule took goes to those that take it now.
    #[default]
    Rule,
    /// To every rule of that rule's trigger that matches it now.
    Router,
}

/// What became of one piece of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Were settled by their rules, well or as new dead letters, and removed.
    pub replayed: u64,
    /// Were given back unfinished, because the engine ends; they stay.
    pub handed_back: u64,
    /// Cannot be replayed, by reason: `undecodable`, `redrives`, because they were tried too often, `rule`, because there is
    /// no such rule or trigger any more, and `unmatched`, because no rule of its trigger matches. They stay.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Where to go on, if there may be more.
    pub next: Option<String>,
    /// The letter up to which the whole replay goes.
    pub upto: Option<String>,
}

/// Nothing, or not everything, was replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The engine takes nothing new.
    #[error("the engine is ending; replay when it runs again")]
    Ending,
    /// Two at once might run a letter twice.
    #[error("somebody replays dead letters already; wait until that is done")]
    Busy,
    /// The file cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The rules that get a letter, its event, and how often it was on its way by then.
type Way = (Vec<Feed>, Event, u32);

/// A letter, and the output that it was to go to besides.
type Known = (Id, Option<Text>);

/// Catches what is delivered, with its receipts.
#[derive(Clone, Default)]
struct Caught(Arc<Mutex<Vec<Arrival>>>);

impl Route for Caught {
    fn route(&mut self, event: Event, receipt: Receipt) {
        self.0.lock().push(Arrival { event, receipt });
    }

    fn undecodable(&mut self, _message: Undecodable, receipt: Receipt) {
        // Only events are replayed; dropping it gives it back.
        drop(receipt);
    }

    fn flush(&mut self) {}
}

impl Engine {
    /// Sends at most [`REPLAYS_MAX`] of the dead letters that are meant to their rules again, waits until each has settled, and
    /// removes those that have. Where there is a rate it answers no sooner than the next piece may follow.
    ///
    /// # Errors
    /// [`ReplayError`]; letters that were not removed stay, and what has settled of them may run again.
    pub async fn replay(&self, selection: &Selection, span: Span, drive: Drive) -> Result<Replayed, ReplayError> {
        if self.is_draining() {
            return Err(ReplayError::Ending);
        }
        let _alone = Arc::clone(&self.replaying).try_acquire_owned().map_err(|_| ReplayError::Busy)?;
        let _tending = self.tending.read().await;
        let (began, piece) = (Instant::now(), piece(drive.rate));
        let Some(upto) = span.upto.or_else(|| self.letters.newest()) else { return Ok(Replayed::default()) };
        let (letters, wanted) = (self.letters.clone(), selection.clone());
        let page = spawn_blocking(move || letters.page(&wanted, span.after, piece)).await;
        let page = page.map_err(|panic| self.deliveries.store.unreadable(&panic.to_string()))??;
        let next = page.next.filter(|next| *next < upto);
        let mut replayed =
            Replayed { next: next.map(|id| id.to_string()), upto: Some(upto.to_string()), ..Replayed::default() };
        let mut going = Vec::new();
        for (id, letter) in page.letters.into_iter().filter(|(id, _)| *id <= upto) {
            let output = letter.forward.as_ref().map(|forward| forward.output.clone());
            match self.way_of(letter, drive.through) {
                Ok(way) => going.push(((id, output), way)),
                Err(reason) => *replayed.skipped.entry(reason).or_default() += 1,
            }
        }
        if drive.dry_run {
            replayed.replayed = going.len() as u64;
            return Ok(replayed);
        }
        let count = going.len() as u64;
        let settled = send(going).await;
        replayed.replayed = settled.len() as u64;
        replayed.handed_back = count - replayed.replayed;
        self.letters.remove(&settled).await?;
        if let Some(rate) = drive.rate.filter(|_| count > 0 && replayed.next.is_some()) {
            sleep_until(began + Duration::from_secs_f64((count as f64 / rate).min(PAUSE_MAX))).await;
        }
        Ok(replayed)
    }

    /// Where a letter goes again, and how often it has by then; else why it cannot.
    fn way_of(&self, letter: Letter, through: Through) -> Result<Way, &'static str> {
        let Content::Event(event) = letter.content else { return Err("undecodable") };
        if letter.redrives >= REDRIVES_MAX {
            return Err("redrives");
        }
        let is_its = |name: &Text| letter.rule.as_ref() == Some(name);
        let live = self.live();
        let feeds = if letter.reason == Reason::Unmatched {
            let trigger = live.triggers.iter().find(|trigger| is_its(&trigger.name)).ok_or("rule")?;
            trigger.matching(&event)
        } else {
            let rule = live.rules.iter().find(|rule| is_its(&rule.name)).ok_or("rule")?;
            match through {
                Through::Rule => vec![rule.feed.clone()],
                Through::Router => {
                    live.triggers.get(rule.place.0).map_or_else(Vec::new, |trigger| trigger.matching(&event))
                }
            }
        };
        if feeds.is_empty() {
            return Err("unmatched");
        }
        Ok((feeds, event, letter.redrives + 1))
    }
}

/// How many letters go together at this rate.
fn piece(rate: Option<f64>) -> usize {
    // Four pieces in a second, so that a rate is no series of bursts.
    rate.map_or(REPLAYS_MAX, |rate| ((rate / 4.0) as usize).clamp(1, REPLAYS_MAX))
}

/// Sends letters to their rules, in their order, and waits for all of them; answers which have settled.
async fn send(going: Vec<(Known, Way)>) -> Vec<Known> {
    if going.is_empty() {
        return Vec::new();
    }
    // Durable, for a letter that is handed back stays where it is.
    let (caught, books) = (Caught::default(), Ledger::default());
    let (mut intake, settlements) = Inbox::durable(going.len(), books, Box::new(caught.clone())).split();
    let mut ids = vec![None; going.len()];
    let mut feeds = Vec::new();
    if let Ok(mut seats) = intake.reserve(going.len()).await {
        for (id, (to, event, redrives)) in going {
            if let Ok(seat) = seats.deliver(event) {
                ids[seat.index()] = Some(id);
                feeds.push((to, redrives));
            }
        }
    }
    drop(intake);
    let arrivals = std::mem::take(&mut *caught.0.lock());
    for (arrival, (to, redrives)) in arrivals.into_iter().zip(feeds) {
        // The first one gets the receipt itself, once the others have their forks.
        for feed in &to[1..] {
            let fork = Arrival { event: arrival.event.clone(), receipt: arrival.receipt.fork() };
            feed.replay(vec![(fork, redrives)]);
        }
        if let Some(feed) = to.first() {
            feed.replay(vec![(arrival, redrives)]);
        }
    }
    wait(settlements, ids).await
}

async fn wait(mut settlements: Settlements, mut ids: Vec<Option<Known>>) -> Vec<Known> {
    let (mut pairs, mut settled) = (Vec::new(), Vec::new());
    while settlements.next(&mut pairs).await {
        for (seat, outcome) in pairs.drain(..) {
            if matches!(outcome, Outcome::Ack | Outcome::Reject) {
                settled.extend(ids.get_mut(seat.index()).and_then(Option::take));
            }
        }
    }
    settled
}
