//! A source that delivers as fast as it may, so that the figures that are asked for keep moving.

use std::sync::Arc;

use engine::config::{AckPoint, Check};
use engine::delivery::{Inbox, Undecodable};
use engine::event::Event;
use engine::metric::Link;
use engine::port::{BoxFuture, Shutdown, Source, SourceError, Stop};
use engine::registry::{OpenError, Setup, SourceCommon, SourceFacts, SourceKind, SourcePlan};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;

/// The kind `drip`. It connects when it is told to, and remembers how it was told to stop.
#[derive(Clone)]
pub(super) struct Drip {
    pub(super) connect: watch::Receiver<bool>,
    pub(super) stopped: Arc<watch::Sender<Option<Stop>>>,
}

/// It has none.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Options {}

impl SourceKind for Drip {
    type Options = Options;
    const NAME: &'static str = "drip";

    fn check(&self, _: Options, _: &SourceCommon, _: &mut Check) -> Option<Box<dyn SourcePlan>> {
        Some(Box::new(self.clone()))
    }
}

impl SourcePlan for Drip {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            ack: AckPoint::Processed,
            redelivers: false,
            keyed: false,
            in_order: false,
            captures: vec![],
            limits: vec![],
        }
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Running { kind: self.clone(), link: setup.link }))
    }
}

struct Running {
    kind: Drip,
    link: Link,
}

impl Source for Running {
    fn run<'a>(&'a mut self, inbox: Inbox, mut stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let (mut intake, mut settlements) = inbox.split();
            let mut settled = Vec::new();
            let connected = async |connect: &mut watch::Receiver<bool>| connect.wait_for(|told| *told).await.is_ok();
            tokio::select! {
                told = stop.requested() => return self.end(told),
                true = connected(&mut self.kind.connect) => self.link.connected(),
            }
            let told = loop {
                tokio::select! {
                    biased;
                    _ = settlements.next(&mut settled) => settled.clear(),
                    told = stop.requested() => break told,
                    Ok(mut seats) = intake.reserve(8) => {
                        // Every eighth message is no event.
                        let _ = seats.reject(undecodable());
                        while seats.deliver(drop_event()).is_ok() {}
                    }
                }
            };
            drop(intake);
            while settlements.next(&mut settled).await {
                settled.clear();
            }
            self.end(told)
        })
    }
}

impl Running {
    fn end(&self, told: Stop) -> Result<(), SourceError> {
        self.kind.stopped.send_replace(Some(told));
        Ok(())
    }
}

fn drop_event() -> Event {
    Event::new("1".into(), "/drip".into(), "drop".into()).unwrap()
}

fn undecodable() -> Undecodable {
    Undecodable { raw: "mud".into(), reason: "no water".to_owned(), facts: Vec::new() }
}
