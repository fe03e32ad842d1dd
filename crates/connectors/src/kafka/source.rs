//! The task that turns messages into events, and outcomes into offsets.
//!
//! One biased select: settlements before everything, then the wish to stop, then whatever time has made due, then polls and
//! seats. The consumer is polled whatever happens, because the group takes a member that does not poll for dead. So while
//! there are no seats, at most one message is staged; and when that has lasted for a second, every partition is paused
//! (which throws away what was fetched ahead) and polling goes on for the group's sake alone.

mod run;

use std::sync::Arc;
use std::time::Duration;

use engine::config::AckPoint;
use engine::delivery::Inbox;
use engine::port::{BoxFuture, Shutdown, Source, SourceError};
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::access::Reports;
use super::before::Before;
use super::client::{Client, Member, dismiss};
use super::topics::Topics;
use crate::normalise::Template;
use run::Run;

/// How long goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// Where a partition begins that the group has never committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Initial {
    Earliest,
    Latest,
    /// At this time, in milliseconds since 1970, or later.
    Since(i64),
}

/// What a reader is made of.
#[derive(Clone)]
pub(super) struct Ingredients {
    pub(super) config: ClientConfig,
    /// Each run has a client, and each client an ear of its own.
    pub(super) reports: Arc<dyn Fn() -> Reports + Send + Sync>,
    pub(super) topics: Topics,
    pub(super) template: Template,
    pub(super) ack: AckPoint,
    pub(super) initial: Initial,
    /// What there was before this engine joined, for `latest`, once that is known.
    pub(super) before: Option<Arc<Before>>,
    pub(super) max_uncommitted: usize,
    /// The largest payload that becomes an event.
    pub(super) limit: usize,
}

/// A Kafka source.
pub(super) struct Reader {
    made_of: Ingredients,
}

impl Reader {
    pub(super) fn new(made_of: Ingredients) -> Reader {
        Reader { made_of }
    }

    async fn receive(&mut self, inbox: Inbox, mut stop: Shutdown) -> Result<(), SourceError> {
        let reports = (self.made_of.reports)();
        let problem = |what: String, cause: KafkaError| SourceError::Fatal(what, Some(Box::new(cause)));
        let sentence = reports.sentence("no consumer can be made; check tls and sasl");
        let made = self.made_of.config.create_with_context(Client::new(reports));
        let member: Member = made.map_err(|cause| problem(format!("{sentence}: {cause}"), cause))?;
        // Declared before the run, so that it outlives what the run has of the member.
        let membership = Membership(Some(Arc::new(member)));
        let Membership(Some(member)) = &membership else { return Ok(()) };
        if self.made_of.initial == Initial::Latest && self.made_of.before.is_none() {
            let before = tokio::select! {
                biased;
                _ = stop.requested() => None,
                before = Before::joining(member, &self.made_of.topics) => Some(before),
            };
            let Some(before) = before else {
                membership.end().await;
                return Ok(());
            };
            self.made_of.before = Some(Arc::new(before));
        }
        let topics = self.made_of.topics.wire();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if let Err(cause) = member.subscribe(&topics) {
            let what =
                member.context().reports().sentence(&format!("cannot subscribe to {}: {cause}", topics.join(", ")));
            return Err(problem(what, cause));
        }
        let ended = Run::new(&self.made_of, member, inbox).serve(stop).await;
        membership.end().await;
        ended
    }
}

impl Source for Reader {
    fn run<'a>(&'a mut self, inbox: Inbox, stop: Shutdown) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.receive(inbox, stop))
    }
}

/// A member of a group for as long as its run takes. When the run is given up, what is left of it must not be dropped here:
/// librdkafka waits then, for ever, for an answer to the rebalance that the leaving begins.
struct Membership(Option<Arc<Member>>);

impl Membership {
    async fn end(mut self) {
        if let Some(member) = self.0.take() {
            goodbye(member).await;
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let Some(member) = self.0.take() else { return };
        let name = member.context().reports().name().clone();
        let leave = move || {
            member.context().close();
            // A rebalance may have been noted that nobody answers any more.
            let _ = member.unassign();
            dismiss(member);
        };
        if std::thread::Builder::new().name(format!("leave {name}")).spawn(leave).is_err() {
            tracing::warn!(%name, "no thread could be started to leave the group");
        }
    }
}

/// Commits what was stored and leaves. Both wait for the brokers, so they happen on a thread of their own, which is left
/// alone when it takes too long: what was not committed is delivered again.
async fn goodbye(member: Arc<Member>) {
    let name = member.context().reports().name().clone();
    member.context().reports().link().stopped();
    let (done, ended) = oneshot::channel();
    let leave = move || {
        member.context().close();
        match member.commit_consumer_state(CommitMode::Sync) {
            Ok(()) => {}
            Err(cause) if cause.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => {}
            Err(cause) => member.context().reports().trouble(&format!("the last offsets were not committed: {cause}")),
        }
        dismiss(member);
        // Nobody may wait for it any more.
        let _ = done.send(());
    };
    if std::thread::Builder::new().name(format!("leave {name}")).spawn(leave).is_err() {
        tracing::warn!(%name, "no thread could be started to leave the group; its place is given away after a while");
        return;
    }
    if timeout(GOODBYE, ended).await.is_err() {
        tracing::warn!(%name, "the group did not say goodbye in time; what was not committed is delivered again");
    }
}
