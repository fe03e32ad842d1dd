//! The task that waits for the next nominal time and hands its event over.
//!
//! It sleeps at most half a minute at once, because a wall clock may be set while it sleeps. While something due waits for
//! a seat nothing else becomes due: what is late by then is judged as late.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use engine::delivery::{Inbox, Intake, Outcome, Seat, Seats};
use engine::event::{Event, Name, Text};
use engine::metric::Link;
use engine::port::{Bell, BoxFuture, Clock, Ring, Rings, Shutdown, Source, SourceError};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::agenda::{Agenda, Missed, Reason};
use super::record::{Entries, Record};
use super::schedule::Schedule;
use crate::normalise::{Ids, NoEvent, Received, Template};

/// The longest sleep.
const NAP: Duration = Duration::from_secs(30);
/// The extension that says why an event was made.
const REASON: &str = "cronrun";

/// A cron source.
pub(super) struct Clockwork {
    pub(super) parts: Parts,
    pub(super) bell: Bell,
    pub(super) rings: Rings,
}

/// What a cron source is made of.
pub(super) struct Parts {
    pub(super) name: Text,
    pub(super) schedules: Vec<Schedule>,
    pub(super) missed: Missed,
    pub(super) data: Bytes,
    pub(super) media_type: Option<&'static str>,
    /// Whether a run counts as ended when it is handed over.
    pub(super) at_once: bool,
    pub(super) template: Template,
    /// By nominal time.
    pub(super) ids: Ids,
    /// Of what is asked for by hand.
    pub(super) drawn: Ids,
    pub(super) record: Record,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) link: Link,
    /// How far an earlier run of this source has come.
    pub(super) until: Option<i64>,
}

/// Something to hand over.
struct Run {
    nominal: i64,
    reason: Reason,
    /// Who asked for it.
    ring: Option<Ring>,
}

/// One run of the source.
struct Turn<'c> {
    parts: &'c mut Parts,
    agenda: Agenda,
    waiting: VecDeque<Run>,
    /// The nominal time in each seat, where the record knows of it.
    seats: Vec<Option<i64>>,
    entries: Entries,
}

impl Source for Clockwork {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.work(inbox, stop))
    }

    fn bell(&self) -> Option<Bell> {
        Some(self.bell.clone())
    }
}

impl Clockwork {
    async fn work(&mut self, inbox: Inbox, mut stop: Shutdown) -> Result<(), SourceError> {
        let (intake, mut settlements) = inbox.split();
        let mut turn = self.parts.turn(intake.capacity()).await?;
        turn.parts.link.connected();
        let (mut intake, mut settled) = (Some(intake), Vec::new());
        loop {
            let idle = intake.is_some() && turn.waiting.is_empty();
            let nap = turn.nap();
            let mut stopped = false;
            tokio::select! {
                biased;
                more = settlements.next(&mut settled) => {
                    turn.settle(&mut settled).await;
                    if !more {
                        break;
                    }
                }
                _ = stop.requested(), if intake.is_some() => {
                    stopped = true;
                    // What waits was not begun: whoever rang learns it, and the record knows the rest.
                    turn.waiting.clear();
                }
                seats = reserve(&mut intake, turn.waiting.len()), if intake.is_some() && !idle => turn.hand_over(seats?).await?,
                ring = self.rings.next(), if idle => turn.rung(ring),
                () = sleep(nap), if idle => turn.look(),
            }
            if stopped {
                intake = None;
            }
        }
        Ok(())
    }
}

impl Parts {
    async fn turn(&mut self, seats: usize) -> Result<Turn<'_>, SourceError> {
        let record = self.record.clone();
        let read = spawn_blocking(move || record.read()).await.unwrap_or_else(|cause| Err(cause.into()));
        let entries = read.map_err(|cause| {
            let name = &self.name;
            let sentence = format!("source '{name}' cannot read what it ran last from cron-{name}.json in the state folder: {cause}; remove that file to begin anew");
            SourceError::Fatal(sentence, Some(Box::new(cause)))
        })?;
        let now = seconds(self.clock.now());
        let until = self.until.or(entries.until).unwrap_or(now);
        // What had begun when the engine died begins again.
        let again = entries.open.iter().map(|nominal| Run { nominal: *nominal, reason: Reason::Missed, ring: None });
        Ok(Turn {
            agenda: Agenda::new(self.schedules.clone(), self.missed, until),
            waiting: again.collect(),
            seats: vec![None; seats],
            entries: Entries { until: Some(until), open: entries.open.clone() },
            parts: self,
        })
    }

    /// The event of one run.
    fn event(&mut self, run: &Run) -> Result<Event, String> {
        let id = match run.reason {
            Reason::Manual => self.drawn.draw(),
            // Nominal times are after 1970, and no id reaches as far as their seconds.
            Reason::Scheduled | Reason::Missed => self.ids.at(run.nominal.unsigned_abs()),
        };
        let received = Received {
            whole: &self.name,
            captured: &[],
            content_type: self.media_type,
            binary: false,
            attributes: std::iter::empty::<Result<(&str, Text), NoEvent>>(),
            hop: None,
            payload: self.data.clone(),
        };
        let mut event = self.template.receive(received, || id).map_err(|cause| cause.to_string())?;
        let time = DateTime::<Utc>::from_timestamp(run.nominal, 0).unwrap_or_default();
        let mut edit = event.edit();
        edit.time(time.to_rfc3339_opts(SecondsFormat::Secs, true).into()).map_err(|cause| cause.to_string())?;
        if let Ok(name) = Name::new(REASON) {
            edit.extension(name, run.reason.name());
        }
        Ok(event)
    }
}

impl Turn<'_> {
    /// How long to sleep before the next look.
    fn nap(&self) -> Duration {
        let Some(next) = self.agenda.next() else { return NAP };
        let nominal = SystemTime::UNIX_EPOCH + Duration::from_secs(next.unsigned_abs());
        nominal.duration_since(self.parts.clock.now()).unwrap_or_default().min(NAP)
    }

    /// Takes what is due now.
    fn look(&mut self) {
        let due = self.agenda.due(seconds(self.parts.clock.now()));
        if due.skipped > 0 {
            self.parts.link.dropped("missed", due.skipped);
        }
        self.waiting.extend(due.runs.into_iter().map(|(nominal, reason)| Run { nominal, reason, ring: None }));
    }

    /// Somebody wants an event now.
    fn rung(&mut self, ring: Ring) {
        let nominal = seconds(self.parts.clock.now());
        self.waiting.push_back(Run { nominal, reason: Reason::Manual, ring: Some(ring) });
    }

    /// Hands over what waits, as far as there are seats.
    async fn hand_over(&mut self, mut seats: Seats<'_>) -> Result<(), SourceError> {
        // Who no longer waits was told that nothing came of it.
        self.waiting.retain(|run| run.ring.as_ref().is_none_or(Ring::is_waited_for));
        let count = seats.len().min(self.waiting.len());
        for run in self.waiting.iter().take(count).filter(|run| run.reason != Reason::Manual) {
            self.parts.until = self.parts.until.max(Some(run.nominal));
            self.entries.until = self.entries.until.max(Some(run.nominal));
            self.entries.open.insert(run.nominal);
        }
        // Before it is handed over: an engine that dies in between begins again.
        self.remember().await;
        for run in self.waiting.drain(..count) {
            let event = self.parts.event(&run).map_err(|cause| {
                SourceError::Fatal(format!("source '{}' cannot make its event: {cause}", self.parts.name), None)
            })?;
            let id = event.id().clone();
            if let Ok(seat) = seats.deliver(event) {
                let recorded = (run.reason != Reason::Manual).then_some(run.nominal);
                self.seats[seat.index()] = recorded.filter(|_| !self.parts.at_once);
                if self.parts.at_once {
                    self.entries.open.remove(&run.nominal);
                }
            }
            if let Some(ring) = run.ring {
                ring.answer(id);
            }
        }
        drop(seats);
        if self.parts.at_once {
            self.remember().await;
        }
        Ok(())
    }

    /// Notes what has ended. What was handed back stays open, and begins again at the next start.
    async fn settle(&mut self, settled: &mut Vec<(Seat, Outcome)>) {
        let before = self.entries.open.len();
        for (seat, outcome) in settled.drain(..) {
            if let Some(nominal) = self.seats[seat.index()].take().filter(|_| !matches!(outcome, Outcome::Retry { .. }))
            {
                self.entries.open.remove(&nominal);
            }
        }
        if self.entries.open.len() < before {
            self.remember().await;
        }
    }

    /// Writes the record.
    async fn remember(&self) {
        let (record, entries) = (self.parts.record.clone(), self.entries.clone());
        let written = spawn_blocking(move || record.write(&entries)).await.unwrap_or_else(|cause| Err(cause.into()));
        if let Err(cause) = written {
            let sentence = format!("source '{}' cannot write what it ran: {cause}", self.parts.name);
            tracing::warn!("{sentence}");
            self.parts.link.error(sentence);
        }
    }
}

/// Waits for a seat. Cancel safe.
async fn reserve(intake: &mut Option<Intake>, up_to: usize) -> Result<Seats<'_>, SourceError> {
    match intake {
        Some(intake) => intake.reserve(up_to).await.map_err(|cause| SourceError::Restart(cause.to_string(), None)),
        None => std::future::pending().await,
    }
}

/// Whole seconds since the beginning of 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
