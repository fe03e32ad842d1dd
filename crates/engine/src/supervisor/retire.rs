//! What an earlier configuration had and the present one has not, on its way out.
//!
//! Decision: **everything ends in the order of the engine's own end**: sources first, then the rules that nothing reaches any
//! more, then the outputs and workers that nothing uses any more. Nobody waits for it but the engine's end and the next one's
//! way out; a call that never returns keeps its workers and its outputs, and nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::Engine;
use super::end::{FLUSH, close};
use super::live::{Leaving, Live, RunningOutput, RunningRule, RunningSource};
use crate::dead_letter::Postbox;
use crate::delivery::Ledger;
use crate::event::Text;
use crate::parked::Yard;
use crate::pool::Pool;
use crate::port::Stop;

/// How often it is looked whether a source's batch has ended; hardly one is on its way when somebody looks.
const LOOK: Duration = Duration::from_millis(1);

/// When one of these has ended, so has everything before it.
pub(super) type Previous = (Option<watch::Receiver<()>>, watch::Sender<()>);

/// What is on its way out of one configuration.
pub(super) struct Retiring {
    live: Arc<RwLock<Arc<Live>>>,
    leaving: Leaving,
    /// The forwarders that were told to end.
    forwarders: Vec<watch::Receiver<()>>,
    /// Who delivered by the routes before.
    ledgers: Vec<Ledger>,
    /// Closes once no line has anything under way with what it had before.
    held: mpsc::Receiver<Infallible>,
    previous: Previous,
    yard: Yard,
    postbox: Postbox,
}

impl Retiring {
    /// What the old one had and the new one has not; the new one takes its place.
    pub(super) fn between(
        old: &Live,
        mut new: Live,
        rules: Vec<RunningRule>,
        engine: &Engine,
        (held, previous, postbox): (mpsc::Receiver<Infallible>, Previous, Postbox),
        place: &mut Arc<Live>,
    ) -> Retiring {
        let source = |source: &&Arc<RunningSource>| new.sources.iter().all(|known| !Arc::ptr_eq(known, source));
        let output = |output: &&Arc<RunningOutput>| new.outputs.iter().all(|known| !Arc::ptr_eq(known, output));
        let pool = |(_, pool): &&(Text, Pool)| new.pools.iter().all(|(_, known)| !known.is(pool));
        let leaving = Leaving {
            sources: old.sources.iter().filter(source).cloned().collect(),
            rules,
            pools: old.pools.iter().filter(pool).cloned().collect(),
            outputs: old.outputs.iter().filter(output).cloned().collect(),
        };
        for source in &leaving.sources {
            source.run.stop.stop(Stop::Keep);
        }
        let ends = old
            .forwarders
            .iter()
            .filter(|before| new.forwarders.iter().all(|known| !known.ended.same_channel(&before.ended)));
        let forwarders = ends.map(|before| before.ended.clone()).collect();
        let ledgers = old.sources.iter().flat_map(|source| source.road.ledgers.clone()).collect();
        new.leaving.add(&leaving);
        *place = Arc::new(new);
        let live = Arc::clone(&engine.live);
        Retiring { live, leaving, forwarders, ledgers, held, previous, yard: engine.yard.clone(), postbox }
    }

    /// Waits for everything, part by part, and lets go of it.
    pub(super) async fn run(mut self) {
        // What was on its way out before may still use what leaves now.
        if let Some(previous) = &mut self.previous.0 {
            while previous.changed().await.is_ok() {}
        }
        for source in &self.leaving.sources {
            // How it ended is in its log.
            drop(source.run.ended().await);
        }
        self.forget(|leaving, gone| leaving.sources.retain(|source| !gone.has_source(source)));
        for ledger in &self.ledgers {
            while ledger.is_routing() {
                sleep(LOOK).await;
            }
        }
        self.leaving.rules.iter().for_each(|rule| rule.feed.retire());
        for rule in &self.leaving.rules {
            rule.feed.is_empty().await;
            rule.feed.hand_back().await;
            match self.yard.orphan(&rule.name, &self.postbox).await {
                Ok(0) => info!(rule = %rule.name, "the rule has ended"),
                Ok(orphaned) => {
                    warn!(rule = %rule.name, orphaned, "the rule has ended; what was parked of it is a dead letter");
                }
                Err(error) => {
                    warn!(rule = %rule.name, "what is parked of the rule stays until the next start: {error}");
                }
            }
        }
        self.forget(|leaving, gone| leaving.rules.retain(|rule| !gone.has_rule(rule)));
        // No line keeps what it does not use.
        let _closed = self.held.recv().await;
        for forwarder in &mut self.forwarders {
            while forwarder.changed().await.is_ok() {}
        }
        for (name, pool) in &self.leaving.pools {
            pool.close();
            if timeout_at(Instant::now() + FLUSH, pool.ended()).await.is_err() {
                warn!(function = %name, "its workers did not end in time and are dropped");
            }
        }
        close(&self.leaving.outputs, sleep(FLUSH)).await;
        self.forget(|leaving, gone| {
            leaving.pools.retain(|(_, pool)| gone.pools.iter().all(|(_, other)| !other.is(pool)));
            leaving.outputs.retain(|output| gone.outputs.iter().all(|other| !Arc::ptr_eq(other, output)));
        });
    }

    /// Takes what has ended out of what the engine's end waits for.
    fn forget(&self, forget: impl Fn(&mut Leaving, &Leaving)) {
        let mut place = self.live.write();
        let mut live = Live::clone(&place);
        forget(&mut live.leaving, &self.leaving);
        *place = Arc::new(live);
    }
}

impl Leaving {
    fn add(&mut self, more: &Leaving) {
        let Leaving { sources, rules, pools, outputs } = more.clone();
        self.sources.extend(sources);
        self.rules.extend(rules);
        self.pools.extend(pools);
        self.outputs.extend(outputs);
    }

    fn has_source(&self, source: &Arc<RunningSource>) -> bool {
        self.sources.iter().any(|other| Arc::ptr_eq(other, source))
    }

    fn has_rule(&self, rule: &RunningRule) -> bool {
        self.rules.iter().any(|other| other.name == rule.name)
    }
}

impl Engine {
    /// Waits until `deadline` for what is on its way out; what is not out then is ended with the rest.
    pub(super) async fn end_retiring(&self, deadline: Instant) {
        let mut retiring = std::mem::take(&mut self.tasks.lock().retiring);
        let ended = async { while retiring.join_next().await.is_some() {} };
        drop(timeout_at(deadline, ended).await);
        retiring.abort_all();
    }
}
