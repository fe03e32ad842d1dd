//! The back of a spool: a source of its own, that delivers what is on the disk, in the order in which it was appended.
//!
//! It has seats like every source, so that what it holds is bounded whatever waits behind it. Decision: **what is handed
//! back stays**, until the next start: a spool has no broker that would deliver it again, and an event is handed back only
//! while the engine ends.

use super::{Entry, Outlet};
use std::collections::VecDeque;

use crate::delivery::{Inbox, Intake, Outcome, Seat, Settlements, Stream};
use crate::event::Text;
use crate::port::{BoxFuture, Shutdown, Source, SourceError};
use crate::store::{Error, Ticket};

/// Events that are taken from the spool at a time.
const DRAW: usize = 512;

/// The source at the end of a spool.
#[derive(Debug)]
pub struct Feeder {
    outlet: Outlet,
    /// What people know the spool as.
    name: Text,
    /// The sequence in each seat.
    sequences: Vec<u64>,
    /// What the engine knows the spool as, once something of it was delivered.
    stream: Option<Stream>,
    /// Below which event every one is removed once the ticket is on the disk.
    removed: VecDeque<(u64, Ticket)>,
    /// Whether something was handed back, which stays wherever it stands.
    keeps: bool,
    entries: Vec<Entry>,
}

impl Feeder {
    /// Delivers what is, or will be, in this spool of the source of this name.
    #[must_use]
    pub fn new(outlet: Outlet, source: &str) -> Feeder {
        let name = smol_str::format_smolstr!("spool:{source}");
        Feeder {
            outlet,
            name,
            sequences: Vec::new(),
            stream: None,
            removed: VecDeque::new(),
            keeps: false,
            entries: Vec::new(),
        }
    }

    async fn serve(&mut self, inbox: Inbox, mut stop: Shutdown) -> Result<(), SourceError> {
        // What an earlier run has taken will not be heard of any more, so that it would run beside what follows it.
        let taken = self.outlet.books().in_flight;
        if taken > 0 {
            self.outlet.hand_back_all();
            let sentence =
                format!("{taken} events of a run that broke down come again after the next start; restart the engine");
            return Err(SourceError::Fatal(sentence, None));
        }
        let (intake, mut settlements) = inbox.split();
        self.sequences = vec![0; intake.capacity()];
        let mut intake = Some(intake);
        let mut settled = Vec::new();
        let mut ended = Ok(());
        loop {
            self.accept(&settlements);
            tokio::select! {
                biased;
                more = settlements.next(&mut settled) => {
                    if !more {
                        return ended;
                    }
                    self.settle(&mut settled);
                }
                _ = stop.requested(), if intake.is_some() => intake = None,
                delivered = self.deliver(intake.as_mut()), if intake.is_some() => {
                    if let Err(error) = delivered {
                        // What is in flight is finished all the same.
                        intake = None;
                        ended = Err(SourceError::Fatal(error.to_string(), Some(Box::new(error))));
                    }
                }
            }
        }
    }

    /// Waits for free seats and for events, and delivers what there is. Cancel safe.
    async fn deliver(&mut self, intake: Option<&mut Intake>) -> Result<(), Error> {
        let Some(intake) = intake else { return Ok(()) };
        let Ok(mut seats) = intake.reserve(DRAW).await else { return Ok(()) };
        self.outlet.next(seats.len(), &mut self.entries).await?;
        let stream = *self.stream.get_or_insert_with(|| seats.stream(&self.name, &Text::default()));
        for entry in self.entries.drain(..) {
            // There are as many seats as were asked for events.
            if let Ok(seat) = seats.deliver_at(entry.event, stream, entry.sequence) {
                self.sequences[seat.index()] = entry.sequence;
            }
        }
        Ok(())
    }

    fn settle(&mut self, settled: &mut Vec<(Seat, Outcome)>) {
        let (mut done, mut kept) = (Vec::with_capacity(settled.len()), Vec::new());
        for (seat, outcome) in settled.drain(..) {
            let sequence = self.sequences[seat.index()];
            match outcome {
                Outcome::Ack | Outcome::Reject => done.push(sequence),
                Outcome::Retry { .. } => kept.push(sequence),
            }
        }
        // A store that has ended brings them again after the next start; whoever draws next learns of it.
        let removed = self.outlet.settle(&done);
        self.keeps |= !kept.is_empty();
        self.outlet.hand_back(&kept);
        self.removed.extend(removed.ok().filter(|_| !self.keeps));
    }

    /// Tells the engine what never comes again, for it is removed.
    fn accept(&mut self, settlements: &Settlements) {
        let Some(stream) = self.stream else { return };
        while let Some((below, _)) = self.removed.pop_front_if(|(_, ticket)| self.outlet.has(*ticket)) {
            settlements.accepted(stream, below);
        }
    }
}

impl Source for Feeder {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.serve(inbox, stop))
    }
}
