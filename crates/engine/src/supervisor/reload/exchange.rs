//! The exchange: what is new is opened, takes its place, and what was there before is told to end.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::super::build::{OpenedSource, Takers, open_output, open_pool, open_source, router};
use super::super::end::{FLUSH, close};
use super::super::letters::{forward_to, targets};
use super::super::live::{Forwarding, Live, Road, RunningOutput, RunningRule, RunningSource, Wire, Wires, Wiring};
use super::super::retire::Retiring;
use super::super::{Engine, RouteMaker, StartError, Tasks, files, parked};
use super::ReloadError;
use super::refusal::refusal;
use crate::config::Change;
use crate::config::guarantee::Order;
use crate::config::plan::{self, Plan};
use crate::dead_letter::{FILE, Post, Postbox};
use crate::delivery::Ledger;
use crate::dispatch::{Feed, Hold, Renewal};
use crate::event::Text;
use crate::metric::Link;
use crate::parked::Lot;
use crate::pool::Pool;
use crate::port::Stop;
use crate::retry;
use crate::router::Tally;

/// Everything that the new configuration needs, open; each list in the order of its plan.
struct Fresh {
    outputs: Vec<Arc<RunningOutput>>,
    pools: Vec<(Text, Pool)>,
    /// Of the rules that are new.
    lots: HashMap<Text, Lot>,
    /// Those that are new or begin anew.
    sources: Vec<Option<OpenedSource>>,
    /// Where each of them lives.
    homes: Vec<usize>,
}

impl Engine {
    /// Exchanges the configuration.
    pub(super) async fn exchange(&self, plan: Plan) -> Result<Change, ReloadError> {
        let mut present = self.present.lock().await;
        if self.is_draining() {
            return Err(ReloadError::Ending);
        }
        if let Some(sentence) = refusal(&present, &plan, &self.live(), &self.letters) {
            return Err(ReloadError::Fixed(sentence));
        }
        let change = Change::between(&present, &plan);
        if change.is_empty() {
            return Ok(change);
        }
        let fresh = self.open(&present, &plan).await?;
        let Some(retiring) = self.swap(&present, &plan, fresh) else { return Err(ReloadError::Ending) };
        *present = plan;
        let retired = &mut self.tasks.lock().retiring;
        // Those that are done are of no interest any more.
        while retired.try_join_next().is_some() {}
        retired.spawn_on(retiring.run(), &self.runtime);
        Ok(change)
    }

    /// Opens what is new. What fails closes what was opened before it.
    async fn open(&self, before: &Plan, after: &Plan) -> Result<Fresh, StartError> {
        let live = self.live();
        let lots = self.lots(before, after).await?;
        let homes = self.homes_for(&live, after);
        let mut fresh = Fresh { outputs: Vec::new(), pools: Vec::new(), lots, sources: Vec::new(), homes };
        if let Err(error) = self.open_all(&live, before, after, &mut fresh) {
            let is_new = |output: &&Arc<RunningOutput>| live.outputs.iter().all(|old| !Arc::ptr_eq(old, output));
            let opened: Vec<_> = fresh.outputs.iter().filter(is_new).cloned().collect();
            close(&opened, sleep(FLUSH)).await;
            return Err(error);
        }
        Ok(fresh)
    }

    fn open_all(&self, live: &Live, before: &Plan, after: &Plan, fresh: &mut Fresh) -> Result<(), StartError> {
        let setup = self.host.setup(&self.page);
        for (place, output) in after.outputs.iter().enumerate() {
            let known = live.outputs.iter().find(|known| known.name == output.name);
            let output = match known.filter(|_| !before.replaces_output(after, &output.name)) {
                Some(known) => Arc::clone(known),
                None => Arc::new(open_output(output, &self.homes[home_of_output(after, place, &fresh.homes)], &setup)?),
            };
            fresh.outputs.push(output);
        }
        for function in &after.functions {
            let known = live.pools.iter().find(|(name, _)| *name == function.name);
            let pool = match known.filter(|_| !before.replaces_function(after, &function.name)) {
                Some(known) => known.clone(),
                None => open_pool(function, &self.host, &self.turns, &setup)?,
            };
            fresh.pools.push(pool);
        }
        for (source, home) in after.sources.iter().zip(&fresh.homes) {
            let known = live.sources.iter().find(|known| known.name == source.name);
            let kept = known.is_some() && !before.replaces_source(after, &source.name);
            let link = known.map_or_else(Link::default, |known| known.link.clone());
            let open = || open_source(source, (*home, &self.homes[*home]), link, &setup);
            fresh.sources.push(if kept { None } else { Some(open()?) });
        }
        Ok(())
    }

    /// What is parked of the rules that are new, which is nothing unless they were there before.
    async fn lots(&self, before: &Plan, after: &Plan) -> Result<HashMap<Text, Lot>, StartError> {
        let rules = after.triggers.iter().flat_map(|trigger| trigger.rules.iter().map(move |rule| (trigger, rule)));
        let new = rules.filter(|(trigger, rule)| before.rule(&trigger.name, &rule.name).is_none());
        let new: Vec<_> = new
            .map(|(trigger, rule)| {
                let takes = rule.retry.hold == retry::Hold::State;
                (parked::name(&trigger.name, &rule.name), rule.retry.max_delay, takes)
            })
            .collect();
        let yard = self.yard.clone();
        let loading = spawn_blocking(move || {
            let lot = |(name, max_delay, takes): (Text, _, _)| Ok((name.clone(), yard.lot(name, max_delay, takes)?));
            new.into_iter().map(lot).collect::<Result<HashMap<_, _>, crate::store::Error>>()
        });
        let loaded = loading.await.map_err(|panic| files::refused(FILE, panic.to_string()))?;
        loaded.map_err(|error| files::refused(FILE, error.to_string()))
    }

    /// Where the sources of a plan live: those that run where they are, those that a trigger joins with one of them beside it,
    /// and the others where the fewest are.
    fn homes_for(&self, live: &Live, after: &Plan) -> Vec<usize> {
        let running = |name: &Text| live.sources.iter().find(|source| source.name == *name).map(|source| source.home);
        let mut homes: Vec<Option<usize>> = after.sources.iter().map(|source| running(&source.name)).collect();
        for place in 0..homes.len() {
            let joined = after.triggers.iter().filter(|trigger| trigger.sources.contains(&place));
            let beside = joined.flat_map(|trigger| &trigger.sources).find_map(|other| homes[*other]);
            let count = |home: &usize| homes.iter().filter(|known| **known == Some(*home)).count();
            let emptiest = (0..self.homes.len()).min_by_key(count).unwrap_or_default();
            homes[place] = homes[place].or(beside).or(Some(emptiest));
        }
        homes.into_iter().flatten().collect()
    }

    /// Puts everything in its place, without waiting for anything; nothing if the engine is ending.
    fn swap(&self, before: &Plan, after: &Plan, fresh: Fresh) -> Option<Retiring> {
        let mut place = self.live.write();
        let postbox = self.postbox.lock().clone().filter(|_| !self.is_draining())?;
        let old = Arc::clone(&place);
        let mut tasks = self.tasks.lock();
        let (hold, held) = mpsc::channel(1);
        let Fresh { outputs, pools, lots, sources, homes } = fresh;
        self.run_pools(&old, after, &pools, &mut tasks);
        let circuits = old.circuits.after(
            after,
            |name| before.replaces_function(after, name),
            |name| before.replaces_output(after, name),
        );
        let takers =
            Takers { pools: &pools, outputs: &outputs, circuits: &circuits, postbox: &postbox, account: &self.account };
        let mut lines = Lines { engine: self, old: &old, before, after, takers, hold, lots, homes: &homes };
        let (rules, triggers) = lines.exchange(&mut tasks);
        drop(lines);
        let gone = |rule: &&RunningRule| rules.iter().all(|known| known.name != rule.name);
        let removed: Vec<RunningRule> = old.rules.iter().filter(gone).cloned().collect();
        let leaving: Vec<Feed> = old.leaving.rules.iter().chain(&removed).map(|rule| rule.feed.clone()).collect();
        let sources = self.exchange_sources(&old, sources, after, (&triggers, &leaving), &postbox);
        postbox.retarget(targets(after));
        let live = Live {
            leaving: old.leaving.clone(),
            sources,
            triggers,
            rules,
            pools,
            outputs,
            circuits,
            forwarders: Vec::new(),
        };
        let live = self.exchange_forwarders(&old, live, &mut tasks);
        let previous = self.reloads.lock().chain();
        let retiring = Retiring::between(&old, live, removed, self, (held, previous, postbox), &mut place);
        Some(retiring)
    }

    fn run_pools(&self, old: &Live, after: &Plan, pools: &[(Text, Pool)], tasks: &mut Tasks) {
        for ((_, pool), function) in pools.iter().zip(&after.functions) {
            match old.pools.iter().any(|(_, known)| known.is(pool)) {
                true => pool.resize(function.workers),
                false => drop(tasks.pools.spawn_on(pool.clone().run(), &self.runtime)),
            }
        }
    }

    /// Every source of the plan, and its routes.
    fn exchange_sources(
        &self,
        old: &Live,
        fresh: Vec<Option<OpenedSource>>,
        after: &Plan,
        (triggers, leaving): (&[Wiring], &[Feed]),
        postbox: &Postbox,
    ) -> Vec<Arc<RunningSource>> {
        let mut sources = Vec::new();
        for (source, opened) in after.sources.iter().zip(fresh) {
            let known = old.sources.iter().find(|known| known.name == source.name);
            let wires = Wires::of(&source.name, triggers, leaving.to_vec(), &self.account);
            if let Some(known) = known {
                // The wires first: a run that begins meanwhile makes its router from them.
                let before = std::mem::replace(&mut *known.road.wires.lock(), wires.clone());
                drop(before);
                for ledger in &known.road.ledgers {
                    ledger.reroute(Box::new(wires.router(&source.name, postbox)));
                }
            }
            sources.extend(match (opened, known) {
                (None, known) => known.cloned(),
                (Some(opened), Some(known)) => {
                    known.run.stop.stop(Stop::Keep);
                    let route = self.route_of(known, postbox);
                    Some(Arc::new(opened.start(known.ledger.clone(), known.road.clone(), route, Some(&known.run))))
                }
                (Some(opened), None) => {
                    let ledger = Ledger::of(source.name.clone(), self.yard.tracks().clone());
                    let wires = Arc::new(Mutex::new(wires));
                    let route = router(source.name.clone(), Arc::clone(&wires), postbox.clone());
                    let road = Road { wires, ledgers: vec![ledger.clone()] };
                    Some(Arc::new(opened.start(ledger, road, route, None)))
                }
            });
        }
        sources
    }

    /// What makes the routers of a source that begins anew: to its spool, if it has one.
    fn route_of(&self, known: &RunningSource, postbox: &Postbox) -> Arc<RouteMaker> {
        let spool = self.spools.iter().find(|spool| spool.name == known.name);
        match spool.and_then(|spool| spool.desk.clone()) {
            Some(desk) => {
                let (name, postbox) = (known.name.clone(), postbox.clone());
                Arc::new(move || Box::new(desk.landing(name.clone(), postbox.clone())))
            }
            None => router(known.name.clone(), Arc::clone(&known.road.wires), postbox.clone()),
        }
    }

    /// Forwarders of outputs that stay go on; those of the others end, and those of new ones begin after them.
    fn exchange_forwarders(&self, old: &Live, mut live: Live, tasks: &mut Tasks) -> Live {
        let each = live.outputs.iter().flat_map(|output| [(Post::Letters, output), (Post::Notices, output)]);
        for (post, output) in each {
            let is_same = |known: &&Forwarding| known.post == post && known.output == output.name;
            let before = old.forwarders.iter().find(is_same);
            let stays = old.outputs.iter().any(|known| Arc::ptr_eq(known, output));
            live.forwarders.extend(match before.filter(|_| stays) {
                Some(before) => Some(before.clone()),
                None => forward_to(&self.letters, (post, output), &self.host, before, tasks),
            });
        }
        let ends = old
            .forwarders
            .iter()
            .filter(|before| live.forwarders.iter().all(|forwarding| !forwarding.ended.same_channel(&before.ended)));
        for before in ends {
            before.stop.send_replace(true);
        }
        live
    }
}

/// Where an output lives: with the first trigger that publishes to it.
fn home_of_output(plan: &Plan, output: usize, homes: &[usize]) -> usize {
    let uses = |trigger: &&plan::Trigger| trigger.rules.iter().any(|rule| rule.publishes_to(output));
    let source = plan.triggers.iter().find(uses).and_then(|trigger| trigger.sources.first());
    source.and_then(|source| homes.get(*source).copied()).unwrap_or_default()
}

/// The lines of the new configuration.
struct Lines<'a> {
    engine: &'a Engine,
    old: &'a Live,
    before: &'a Plan,
    after: &'a Plan,
    takers: Takers<'a>,
    hold: Hold,
    lots: HashMap<Text, Lot>,
    homes: &'a [usize],
}

impl Lines<'_> {
    /// New ones are started, those that change are told, and all are wired.
    fn exchange(&mut self, tasks: &mut Tasks) -> (Vec<RunningRule>, Vec<Wiring>) {
        let (mut rules, mut triggers) = (Vec::new(), Vec::new());
        for (at, trigger) in self.after.triggers.iter().enumerate() {
            let known = self.old.triggers.iter().find(|known| known.name == trigger.name);
            let tally = known.map_or_else(|| Arc::new(Tally::new(0)), |known| Arc::clone(&known.tally));
            let mut wires = Vec::new();
            for (number, rule) in trigger.rules.iter().enumerate() {
                let Some(running) = self.rule((trigger, rule), (at, number), &tally, tasks) else { continue };
                wires.push(Wire { filter: rule.filter.clone(), feed: running.feed.clone(), slot: running.slot });
                rules.push(running);
            }
            let name = |place: &usize| Some(self.after.sources.get(*place)?.name.clone());
            triggers.push(Wiring {
                name: trigger.name.clone(),
                sources: trigger.sources.iter().filter_map(name).collect(),
                filter: trigger.filter.clone(),
                rules: wires,
                keeps_unmatched: trigger.unmatched == plan::Unmatched::DeadLetter,
                tally,
            });
        }
        (rules, triggers)
    }

    fn rule(
        &mut self,
        (trigger, rule): (&plan::Trigger, &plan::Rule),
        place: (usize, usize),
        tally: &Arc<Tally>,
        tasks: &mut Tasks,
    ) -> Option<RunningRule> {
        let name = rule.id(trigger);
        if let Some(known) = self.old.rules.iter().find(|known| known.name == name) {
            let before = self.before.rule(&trigger.name, &rule.name);
            if before.is_some_and(|(_, before)| self.before.renews_rule(self.after, before, rule)) {
                known.feed.renew(self.renewal(&name, rule));
            }
            return Some(RunningRule { place, ..known.clone() });
        }
        let lot = self.lots.remove(&name)?;
        let home = trigger.sources.first().and_then(|source| self.homes.get(*source)).copied().unwrap_or_default();
        let home = self.engine.homes.get(home)?;
        let (feed, reading, line) = self.takers.line(rule, lot, &home.pace);
        tasks.lines.spawn_on(line.run(), &home.handle);
        Some(RunningRule { name, place, slot: tally.add(), tally: Arc::clone(tally), feed, reading })
    }

    fn renewal(&self, name: &Text, rule: &plan::Rule) -> Renewal {
        Renewal {
            function: self.takers.function(rule),
            outputs: self.takers.outputs(rule),
            ordered: rule.order == Order::Key,
            way: self.takers.way(rule),
            max_in_flight: rule.max_in_flight,
            max_seats: rule.max_seats,
            rate: rule.rate,
            weight: rule.weight,
            retry: rule.retry.clone(),
            timeout: rule.timeout,
            pen: self.takers.pen(name, rule),
            hold: self.hold.clone(),
        }
    }
}
