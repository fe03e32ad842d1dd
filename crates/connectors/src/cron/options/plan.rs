//! A checked cron source: what it can promise, and how it is opened.

use bytes::Bytes;
use engine::config::AckPoint;
use engine::port::{Bell, Source};
use engine::registry::{Entrance, OpenError, Sending, Setup, SourceFacts, SourcePlan};

use crate::cron::agenda::Missed;
use crate::cron::record::Record;
use crate::cron::schedule::Schedule;
use crate::cron::source::{Clockwork, Parts};
use crate::normalise::{Ids, Template, prefix};

/// A checked cron source.
pub(super) struct Plan {
    pub(super) schedules: Vec<Schedule>,
    pub(super) missed: Missed,
    pub(super) data: Bytes,
    pub(super) media_type: Option<&'static str>,
    pub(super) ack: AckPoint,
    pub(super) template: Template,
}

/// The ids of the source `name`, by nominal time: the same in every run and on every replica.
pub(in crate::cron) fn ids(name: &str) -> Ids {
    Ids::new(prefix(&[b"cron", name.as_bytes()]))
}

impl SourcePlan for Plan {
    fn facts(&self) -> SourceFacts {
        let mut limits =
            vec!["cron: every engine that runs this file fires by itself, so replicas fire each".to_owned()];
        limits.push(match self.missed {
            Missed::Skip => "cron: what is due while this engine is away is not made up for (missed: skip)".to_owned(),
            Missed::Run => {
                "cron: what is due while this engine is away is run once, however often it was due".to_owned()
            }
        });
        SourceFacts {
            ack: self.ack,
            // Only what a record keeps comes again.
            redelivers: self.missed == Missed::Run && self.ack != AckPoint::Received,
            keyed: true,
            in_order: true,
            captures: Vec::new(),
            limits,
        }
    }

    fn entrance(&self, _: &Sending<'_>) -> Result<Entrance, String> {
        Err("it makes its own events and receives none; `tidemill fire` makes one more".to_owned())
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        let record = match self.missed {
            Missed::Skip => Record::default(),
            Missed::Run => Record::new(setup.state, &setup.name),
        };
        let (bell, rings) = Bell::hang();
        let parts = Parts {
            ids: ids(&setup.name),
            drawn: Ids::new(fastrand::u64(..)),
            name: setup.name,
            schedules: self.schedules.clone(),
            missed: self.missed,
            data: self.data.clone(),
            media_type: self.media_type,
            at_once: self.ack == AckPoint::Received,
            template: self.template.clone(),
            record,
            clock: setup.clock,
            link: setup.link,
            // A run that is started again goes on where the last one was.
            until: None,
        };
        Ok(Box::new(Clockwork { parts, bell, rings }))
    }
}
