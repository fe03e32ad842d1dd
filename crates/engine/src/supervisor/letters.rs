//! The dead letters of a running engine: which outputs they go to besides, and how its admin API shows and removes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::live::{Forwarding, RunningOutput};
use super::{DeadLetterStatus, Engine, ForwardStatus, Host, Tasks};
use crate::config::plan::{Plan, Unmatched};
use crate::dead_letter::{Archive, EditError, Forwarder, Id, ImportError, Imported, Post, Selection, Targets};
use crate::event::{Event, Text};
use crate::store::{ClockHandle, Error, Stamp};

/// Which outputs the plan names for what is given up.
pub(super) fn targets(plan: &Plan) -> Targets {
    let name = |place: usize| plan.outputs[place].name.clone();
    let source = |source: &crate::config::plan::Source| Some((source.name.clone(), name(source.dead_letter?)));
    let rules = plan.triggers.iter().flat_map(|trigger| {
        let of = move |rule: &crate::config::plan::Rule| {
            Some((Text::from(format!("{}/{}", trigger.name, rule.name)), name(rule.dead_letter?)))
        };
        trigger.rules.iter().filter_map(of)
    });
    let unmatched = plan.triggers.iter().filter(|trigger| trigger.unmatched == Unmatched::DeadLetter);
    let triggers = unmatched.filter_map(|trigger| Some((trigger.name.clone(), name(trigger.dead_letter?)))).collect();
    let told = plan.triggers.iter().flat_map(|trigger| {
        let telling = trigger.rules.iter().filter(|rule| !rule.on_failure.is_empty());
        telling.map(|rule| (rule.id(trigger), rule.on_failure.iter().map(|place| name(*place)).collect()))
    });
    let (rules, told) = (rules.collect(), told.collect());
    Targets { rules, triggers, sources: plan.sources.iter().filter_map(source).collect(), told }
}

/// Starts forwarding to every output that the archive was opened for, and names those that are not there any more.
pub(super) fn forward(
    letters: &Archive,
    outputs: &[Arc<RunningOutput>],
    host: &Host,
    tasks: &mut Tasks,
) -> Vec<Forwarding> {
    for (post, key) in [(Post::Letters, "deadLetter"), (Post::Notices, "onFailure")] {
        let noun = post.noun();
        for (output, waiting) in letters.stranded(post) {
            tracing::warn!(
                %output, waiting,
                "{noun} wait for an output that no '{key}' names any more; they are kept, and go there once one does"
            );
        }
    }
    let each = outputs.iter().flat_map(|output| [(Post::Letters, &**output), (Post::Notices, &**output)]);
    each.filter_map(|to| forward_to(letters, to, host, None, tasks)).collect()
}

/// Starts forwarding to one output, if the archive was opened for it, once whoever did so before has ended.
pub(super) fn forward_to(
    letters: &Archive,
    (post, output): (Post, &RunningOutput),
    host: &Host,
    before: Option<&Forwarding>,
    tasks: &mut Tasks,
) -> Option<Forwarding> {
    let binding = Arc::clone(&output.binding);
    let clock = ClockHandle(Arc::clone(&host.clock));
    let forwarder = Forwarder::new((post, output.name.clone()), binding, letters, clock)?;
    let (stop, ending) = (watch::Sender::new(false), watch::Sender::new(()));
    let (stopped, ended, reading) = (stop.subscribe(), ending.subscribe(), forwarder.reading());
    let before = before.map(|before| before.ended.clone());
    let run = async move {
        if let Some(mut before) = before {
            // Two would send the same letters.
            while before.changed().await.is_ok() {}
        }
        forwarder.run(stopped).await;
        drop(ending);
    };
    tasks.forwarders.spawn_on(run, &output.home);
    Some(Forwarding { post, output: output.name.clone(), reading, stop, ended })
}

impl Engine {
    /// The dead letters, to look into. Reading blocks for as long as the disk takes.
    #[must_use]
    pub fn dead_letters(&self) -> &Archive {
        &self.letters
    }

    /// Adds the dead letters of an export.
    ///
    /// # Errors
    /// [`ImportError`]; then none is added.
    pub async fn import(&self, lines: &str) -> Result<Imported, ImportError> {
        let imported = self.letters.import(lines, self.host.clock.now().into()).await?;
        tracing::info!(imported = imported.imported, duplicates = imported.duplicates, "dead letters were brought");
        Ok(imported)
    }

    /// Puts another event in a dead letter's place; see [`Archive::edit`].
    ///
    /// # Errors
    /// [`EditError`]; then it is as it was.
    pub async fn edit(&self, id: Id, edits: u32, event: Event) -> Result<u32, EditError> {
        // What is removed meanwhile must not come back.
        let _alone = self.tending.try_write().map_err(|_| EditError::Busy)?;
        let edits = self.letters.edit(id, edits, event).await?;
        tracing::info!(%id, edits, "a dead letter was edited");
        Ok(edits)
    }

    /// Removes the dead letters that are meant and are there now, and answers how many.
    ///
    /// # Errors
    /// As [`Archive::purge`].
    pub async fn purge(&self, selection: &Selection) -> Result<u64, Error> {
        let _tending = self.tending.read().await;
        let purged = self.letters.purge(selection).await?;
        self.purged.fetch_add(purged, Ordering::Relaxed);
        tracing::info!(purged, "dead letters were removed as somebody asked");
        Ok(purged)
    }

    /// Ends forwarding: what is on its way to an output is waited for until `deadline`, and what waits stays.
    pub(super) async fn end_forwarding(&self, deadline: Instant) {
        for forwarding in &self.live().forwarders {
            forwarding.stop.send_replace(true);
        }
        let mut forwarders = std::mem::take(&mut self.tasks.lock().forwarders);
        let ended = async { while forwarders.join_next().await.is_some() {} };
        if timeout_at(deadline, ended).await.is_err() {
            tracing::warn!(
                "an output did not confirm dead letters, or notices of them, in time; they are sent again after the next start"
            );
        }
        forwarders.abort_all();
    }

    fn forward_status(&self, post: Post) -> BTreeMap<Text, ForwardStatus> {
        let now = Stamp::from(self.host.clock.now());
        let of = |Forwarding { output, reading, .. }: &Forwarding| {
            let (counts, waiting) = (reading.counts(), self.letters.waiting(post, output));
            let oldest = counts.oldest.filter(|_| waiting > 0);
            let status = ForwardStatus {
                waiting,
                forwarded: counts.forwarded,
                refused: counts.refused,
                failures: counts.failed,
                oldest_age_seconds: oldest.map(|oldest| now.0.saturating_sub(oldest.0) as f64 / 1000.0),
                last_error: counts.last_error,
            };
            (output.clone(), status)
        };
        self.live().forwarders.iter().filter(|forwarding| forwarding.post == post).map(of).collect()
    }

    pub(super) fn dead_letter_status(&self) -> DeadLetterStatus {
        let usage = self.letters.usage();
        DeadLetterStatus {
            stored: usage.rows,
            bytes: usage.bytes,
            max_bytes: self.letters.quota().max_bytes,
            full: self.letters.is_full(),
            dropped: BTreeMap::from([("quota", usage.dropped)]),
            purged: self.purged.load(Ordering::Relaxed),
            outputs: self.forward_status(Post::Letters),
            left: self.letters.stranded(Post::Letters).into_iter().collect(),
            told: self.forward_status(Post::Notices),
        }
    }
}
