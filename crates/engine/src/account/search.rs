//! What the account knows of one event, and how far back it reaches.

use std::io;
use std::path::Path;

use super::frame::{Frame, Head, Name, Records};
use super::log::{before, scan};
use super::record::Record;
use super::trouble::Trouble;
use super::{FAILURES, FILE, Shared, kept, print};
use crate::event::{Event, Text};
use crate::store::Stamp;

/// Which event is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its id.
    pub id: Text,
    /// Its source attribute; without one, every event of this id.
    pub source: Option<Text>,
}

impl Wanted {
    /// Whether this event is meant.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        *event.id() == self.id && self.source.as_ref().is_none_or(|source| source == event.source())
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Deliveries that have ended, in the order in which that was written down, and whose they were.
    pub records: Vec<(Record, Name)>,
    /// What went wrong.
    pub troubles: Vec<Trouble>,
    /// How many more there were of both, older ones.
    pub omitted: u64,
    /// How far back both reach.
    pub window: Window,
}

/// Records of one event that are shown at most, and troubles: where every event has the same id, only the newest are of use.
const MOST: usize = 1000;

/// Takes one more in, for which the oldest go.
fn keep<T>(one: T, into: &mut Vec<T>, omitted: &mut u64) {
    if into.len() >= 2 * MOST {
        into.drain(..MOST);
        *omitted += MOST as u64;
    }
    into.push(one);
}

/// How far back an account reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Deliveries that it has.
    pub deliveries: u64,
    /// Everything that has ended since then is in it, but for what [`Window::gaps`] names.
    pub since: Option<Stamp>,
    /// The same for what went wrong; nothing where that is not kept.
    pub failures_since: Option<Stamp>,
    /// Times in which an engine was killed, or could not write: what ended in between may be missing.
    pub gaps: Vec<(Stamp, Stamp)>,
    /// Pieces of the files that are not what was written.
    pub damaged: u64,
}

impl Window {
    /// Whether everything is known that has happened since then.
    #[must_use]
    pub fn covers(&self, since: Stamp) -> bool {
        let whole = self.gaps.iter().all(|(_, to)| *to < since) && self.damaged == 0;
        whole && self.since.is_some_and(|begin| begin <= since)
    }
}

/// What the files in the folder of an engine that is stopped know of an event.
///
/// # Errors
/// When one cannot be read.
pub fn look(folder: &Path, wanted: &Wanted) -> io::Result<Found> {
    let mut search = Search::new(wanted);
    search.finished(folder)?;
    search.failures(folder)?;
    Ok(search.found)
}

/// The same for a running engine.
pub(super) fn find(shared: &Shared, wanted: &Wanted) -> io::Result<Found> {
    let mut search = Search::new(wanted);
    // The memory first: what leaves it meanwhile is in the file, and was taken from here.
    let oldest = {
        let desk = shared.desk.lock();
        search.names.clone_from(&desk.names);
        desk.ring.iter().for_each(|record| search.see(*record));
        search.ours = Some((shared.run, desk.ring.first()));
        desk.ring.iter().next().map(Record::ended).filter(|_| desk.ring.first() > 0)
    };
    let newest = std::mem::take(&mut search.found.records);
    match &shared.folder {
        None => search.found.window.since = oldest.or(Some(shared.began)),
        Some(folder) => {
            // No file takes another's place meanwhile.
            let _turning = shared.turning.lock();
            search.finished(folder)?;
            search.failures(folder)?;
        }
    }
    search.found.records.extend(newest);
    Ok(search.found)
}

struct Search {
    id: u64,
    source: Option<u32>,
    kept: (Text, Option<Text>),
    found: Found,
    names: Vec<Name>,
    /// The run that is searched in memory from this number on.
    ours: Option<(u64, u64)>,
}

impl Search {
    fn new(wanted: &Wanted) -> Search {
        Search {
            id: print::id(&wanted.id),
            source: wanted.source.as_deref().map(print::source),
            kept: (kept(&wanted.id), wanted.source.as_deref().map(kept)),
            found: Found::default(),
            names: Vec::new(),
            ours: None,
        }
    }

    fn see(&mut self, record: Record) {
        self.found.window.deliveries += 1;
        let print = record.print();
        if print.id == self.id && self.source.is_none_or(|source| source == print.source) {
            let name = self.names.get(usize::from(record.rule())).cloned().unwrap_or_default();
            keep((record, name), &mut self.found.records, &mut self.found.omitted);
        }
    }

    fn finished(&mut self, folder: &Path) -> io::Result<()> {
        let path = folder.join(FILE);
        // The run that is open, and until when it is known to have been.
        let mut open: Option<(u64, Stamp)> = None;
        // The number of the record that should follow.
        let mut next = None;
        for path in [before(&path), path] {
            let damaged = scan(&path, |frame| match frame {
                Frame::Head(Head { run, time, names }) => {
                    if let Some((_, last)) = open.filter(|(other, _)| *other != run) {
                        self.found.window.gaps.push((last, time));
                    }
                    if open.is_none_or(|(other, _)| other != run) {
                        next = None;
                    }
                    open = Some((run, time));
                    self.found.window.since.get_or_insert(time);
                    self.names = names;
                }
                Frame::Records(Records { time, first, records }) => {
                    if let Some((_, last)) = open.filter(|_| next.is_some_and(|next| next < first)) {
                        self.found.window.gaps.push((last, time));
                    }
                    next = Some(first + records.len() as u64);
                    let run = open.map(|(run, _)| run);
                    open = run.map(|run| (run, time));
                    let upto = self.ours.filter(|(ours, _)| run == Some(*ours)).map_or(u64::MAX, |(_, from)| from);
                    let older = upto.saturating_sub(first).min(records.len() as u64) as usize;
                    records.iter().take(older).for_each(|record| self.see(*record));
                }
                Frame::End(_) => open = None,
                Frame::Trouble(_) => {}
            })?;
            self.found.window.damaged += damaged.damaged;
        }
        // Without an engine that runs, one that has not said so has not ended in order.
        if let Some((_, last)) = open.filter(|(run, _)| self.ours.is_none_or(|(ours, _)| ours != *run)) {
            self.found.window.gaps.push((last, Stamp(u64::MAX)));
        }
        Ok(())
    }

    fn failures(&mut self, folder: &Path) -> io::Result<()> {
        let path = folder.join(FAILURES);
        for path in [before(&path), path] {
            let damaged = scan(&path, |frame| match frame {
                Frame::Head(head) => {
                    self.found.window.failures_since.get_or_insert(head.time);
                }
                Frame::Trouble(trouble) if self.is_meant(&trouble) => {
                    keep(trouble, &mut self.found.troubles, &mut self.found.omitted);
                }
                _ => {}
            })?;
            self.found.window.damaged += damaged.damaged;
        }
        Ok(())
    }

    fn is_meant(&self, trouble: &Trouble) -> bool {
        let (id, source) = &self.kept;
        trouble.id == *id && source.as_ref().is_none_or(|source| *source == trouble.source)
    }
}
