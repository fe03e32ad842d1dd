//! A source in memory that follows the loop of the port's documentation, and misbehaves when told to.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::delivery::{Inbox, Outcome, Seat, Undecodable};
use crate::event::{Event, Text};
use crate::metric::Link;
use crate::port::{BoxFuture, Shutdown, Source, SourceError, Stop};

/// What a broker does next.
#[derive(Debug)]
pub(crate) enum Message {
    Event(Event),
    Raw(Undecodable),
    Fail(SourceError),
    Panic,
}

/// The broker's end.
pub(crate) struct Pipe {
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) told: Arc<Mutex<Vec<(Text, Outcome)>>>,
    /// How many runs have begun.
    pub(crate) runs: watch::Receiver<usize>,
    /// How the source was asked to end, and did.
    pub(crate) ended: Arc<Mutex<Option<Stop>>>,
}

/// The source's end.
pub(crate) struct Memory {
    messages: mpsc::Receiver<Message>,
    told: Arc<Mutex<Vec<(Text, Outcome)>>>,
    runs: watch::Sender<usize>,
    ended: Arc<Mutex<Option<Stop>>>,
    link: Link,
    /// Does not listen when it is asked to stop.
    pub(crate) deaf: bool,
}

impl Memory {
    pub(crate) fn new() -> (Pipe, Memory) {
        let (sender, messages) = mpsc::channel(10_000);
        let (started, runs) = watch::channel(0);
        let (told, ended) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<_>>::default());
        let pipe = Pipe { messages: sender, told: Arc::clone(&told), runs, ended: Arc::clone(&ended) };
        (pipe, Memory { messages, told, runs: started, ended, link: Link::default(), deaf: false })
    }

    pub(crate) fn with_link(self, link: Link) -> Memory {
        Memory { link, ..self }
    }

    async fn receive(&mut self, inbox: Inbox, mut stop: Shutdown) -> Result<(), SourceError> {
        self.runs.send_modify(|runs| *runs += 1);
        self.link.connected();
        let (mut intake, mut settlements) = inbox.split();
        let mut names = vec![Text::default(); intake.capacity()];
        let (mut pairs, mut next) = (Vec::new(), None);
        let asked = loop {
            tokio::select! {
                biased;
                true = settlements.next(&mut pairs) => self.tell(&mut pairs, &names),
                asked = stop.requested(), if !self.deaf => break asked,
                Ok(mut seats) = intake.reserve(16), if next.is_some() => {
                    while let Some(message) = next.take() {
                        match message {
                            Message::Event(event) => {
                                let id = event.id().clone();
                                names[seats.deliver(event).unwrap().index()] = id;
                            }
                            Message::Raw(raw) => names[seats.reject(raw).unwrap().index()] = "raw".into(),
                            Message::Fail(error) => return Err(error),
                            Message::Panic => panic!("told to"),
                        }
                        next = if seats.is_empty() { None } else { self.messages.try_recv().ok() };
                    }
                }
                Some(message) = self.messages.recv(), if next.is_none() => next = Some(message),
            }
        };
        drop(intake);
        while settlements.next(&mut pairs).await {
            self.tell(&mut pairs, &names);
        }
        *self.ended.lock() = Some(asked);
        Ok(())
    }

    fn tell(&self, pairs: &mut Vec<(Seat, Outcome)>, names: &[Text]) {
        self.told.lock().extend(pairs.drain(..).map(|(seat, outcome)| (names[seat.index()].clone(), outcome)));
    }
}

impl Source for Memory {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.receive(inbox, stop))
    }
}
