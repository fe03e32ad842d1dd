//! What an earlier run has left of one rule: read before anything starts, from the two indexes and not from the rows.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashMap;

use super::super::calendar::Calendar;
use super::super::pause::Record;
use super::super::reader::Reader;
use super::super::{Yard, keys};
use super::bring::due_at;
use super::{Lot, Standing};
use crate::event::Text;
use crate::store::{Batch, Error, Stamp};

impl Yard {
    /// The parked deliveries of a rule. More are put aside if it `takes` any; none is due later than `max_delay` from now.
    /// Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub fn lot(&self, rule: Text, max_delay: Duration, takes: bool) -> Result<Lot, Error> {
        let reader = Reader { yard: self.clone(), prefix: keys::prefix(&rule).into() };
        let (mut standing, places) = standing(&reader)?;
        let (stopped, skips) = self.paused(&reader, &mut standing, &places)?;
        let mut waiting = standing.iter().map(|lane| u64::from(lane.rows)).sum();
        let (mut calendar, mut damaged) = (Calendar::default(), None);
        let at = due_at(self.now().0, max_delay);
        self.0.store.scan(self.0.due, &reader.prefix, keys::behind(&reader.prefix).as_deref(), |key, record| {
            let Some(mark) = keys::due_of(&reader.prefix, key) else {
                damaged = Some(key.to_vec());
                return ControlFlow::Break(());
            };
            calendar.add((at(mark), mark, record.stamp.0));
            let lane = std::str::from_utf8(record.value).ok().and_then(|lane| places.get(lane));
            match lane.and_then(|place| standing.get_mut(*place)) {
                Some(lane) => lane.waits = true,
                None => waiting += 1,
            }
            ControlFlow::Continue(())
        })?;
        if let Some(key) = damaged {
            return Err(self.0.store.damaged(self.0.due, key));
        }
        Ok(Lot {
            confirmations: self.0.store.confirmations(),
            reader,
            rule,
            max_delay,
            takes,
            rows: waiting,
            max_rows: u64::MAX,
            brings: true,
            most: super::bring::OUT,
            stopped,
            skips,
            calendar,
            wants: VecDeque::new(),
            staged: Batch::default(),
            frees: Batch::default(),
            coming: VecDeque::new(),
            unsent: 0,
            tickets: VecDeque::new(),
            reached: 0,
            written: None,
            reading: None,
            paging: None,
            found: None,
            waiting,
            out: 0,
            out_bytes: 0,
            busy: Default::default(),
            gone: Default::default(),
            standing,
            fault: None,
            told: false,
            aged: None,
        })
    }

    /// Notes which lanes are paused. Answers since when the rule itself is, and below which row it goes on without what is spent.
    fn paused(
        &self,
        reader: &Reader,
        standing: &mut [Standing],
        places: &HashMap<Text, usize>,
    ) -> Result<(Option<Stamp>, u64), Error> {
        let (mut stopped, mut skips) = (None, 0);
        self.records(&reader.prefix, |key, since, record| {
            match (key, record) {
                (Some(key), _) => {
                    let lane = places.get(&key).and_then(|place| standing.get_mut(*place));
                    lane.into_iter().for_each(|lane| lane.paused = Some(since));
                }
                (None, Record::Paused(_)) => stopped = Some(since),
                (None, Record::Skips(below)) => {
                    // What is parked from now on is none of what was meant.
                    self.0.next.fetch_max(below, Ordering::Relaxed);
                    skips = below;
                }
            }
            true
        })?;
        Ok((stopped, skips))
    }
}

impl Lot {
    /// The lanes that an earlier run has left.
    pub(crate) fn take_standing(&mut self) -> Vec<Standing> {
        std::mem::take(&mut self.standing)
    }
}

/// The lanes of a rule, and where each is among them.
fn standing(reader: &Reader) -> Result<(Vec<Standing>, HashMap<Text, usize>), Error> {
    let (store, table) = (&reader.yard.0.store, reader.yard.0.lanes);
    let (mut standing, mut damaged): (Vec<Standing>, _) = (Vec::new(), None);
    store.scan(table, &reader.prefix, keys::behind(&reader.prefix).as_deref(), |key, _| {
        let Some((lane, _)) = keys::place_of(&reader.prefix, key) else {
            damaged = Some(key.to_vec());
            return ControlFlow::Break(());
        };
        match standing.last_mut().filter(|last| last.lane == lane) {
            Some(last) => last.rows = last.rows.saturating_add(1),
            None => standing.push(Standing { lane: lane.into(), rows: 1, waits: false, paused: None }),
        }
        ControlFlow::Continue(())
    })?;
    if let Some(key) = damaged {
        return Err(store.damaged(table, key));
    }
    let places = standing.iter().enumerate().map(|(place, lane)| (lane.lane.clone(), place)).collect();
    Ok((standing, places))
}
