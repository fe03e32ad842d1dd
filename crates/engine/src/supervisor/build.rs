//! Putting an engine together from its plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::circuits::Circuits;
use super::end::{FLUSH, close};
use super::files::File;
use super::homes::Home;
use super::letters::{forward, targets};
use super::live::{Live, Road, RunningOutput, RunningRule, RunningSource, Wire, Wires, Wiring};
use super::reload::Reloads;
use super::runs::{self, Runs};
use super::send::SENDS_MAX;
use super::{Engine, Host, RouteMaker, StartError, Tasks};
use super::{ledger, parked, spools};
use crate::account::{Account, Name, Pen};
use crate::circuit::Way;
use crate::config::guarantee::Order;
use crate::config::plan::{self, Plan};
use crate::dead_letter::{Archive, Postbox};
use crate::delivery::Ledger;
use crate::dispatch::{Feed, Line, Options as LineOptions, Outlets, Pace, Reading};
use crate::event::Text;
use crate::invoke::Turns;
use crate::metric::{Link, Page};
use crate::parked::{Lot, Yard};
use crate::pool::{Options as PoolOptions, Pool};
use crate::registry::{OpenError, Setup};
use crate::router::{Router, Tally, returns};
use crate::spool::Desk;
use crate::store::ClockHandle;

impl Engine {
    /// Builds everything and starts reading. User code runs on the current runtime, everything else where
    /// [`Host::housing`] says.
    ///
    /// # Errors
    /// [`StartError`] when something on this machine is missing; nothing keeps running then.
    pub async fn start(plan: Plan, host: Host) -> Result<Engine, StartError> {
        let page = Page::default();
        let (homes, addresses) = host.housing.build(&plan).map_err(no_thread)?;
        let Kept { state, spools, deliveries, letters, postbox, writing, parked, account } =
            Kept::open(&plan, &host, &homes[0]).await?;
        let parked::Opened { yard, lots, left } = parked;
        let left = parked::orphan(&yard, left, &postbox).await;
        let setup = host.setup(&page);
        let turns = Arc::new(Turns::new(host.turns));
        let mut outputs = Vec::new();
        let homes_of = |addresses: &[usize]| addresses.iter().map(|address| &homes[*address]).collect::<Vec<_>>();
        let way_back = plan.sources.iter().zip(&spools).find(|(source, _)| returns::is(&source.name));
        let way_back = way_back.and_then(|(_, spool)| spool.as_ref()?.desk.clone());
        let homes_of_outputs = homes_of(&addresses.outputs);
        let opened = open_outputs(&plan.outputs, (&homes_of_outputs, way_back), &mut outputs, &setup).and_then(|()| {
            let pools = plan.functions.iter().map(|function| open_pool(function, &host, &turns, &setup));
            let pools = pools.collect::<Result<Vec<_>, _>>()?;
            let homes = addresses.sources.iter().map(|address| (*address, &homes[*address]));
            let sources =
                plan.sources.iter().zip(homes).map(|(source, home)| open_source(source, home, Link::default(), &setup));
            Ok((pools, sources.collect::<Result<Vec<_>, _>>()?))
        });
        let (pools, sources) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // Nothing keeps running, nor holds a file that the next start needs.
                drop((postbox, lots, spools));
                account.close();
                close(&outputs, sleep(FLUSH)).await;
                drop(writing.await);
                return Err(abandoned([state.as_ref().map(|state| &state.file), Some(&deliveries)], error).await);
            }
        };
        let mut tasks = start_pools(&pools, (writing, &postbox));
        let circuits = Circuits::of(&plan);
        let takers =
            Takers { pools: &pools, outputs: &outputs, circuits: &circuits, postbox: &postbox, account: &account };
        let (rules, triggers) = start_lines(&plan, &homes_of(&addresses.triggers), takers, lots, &mut tasks);
        let forwarders = forward(&letters, &outputs, &host, &mut tasks);
        let (sources, spools) = start_sources(sources, spools, &triggers, &postbox, (&account, &yard));
        let live = Live { sources, triggers, rules, pools, outputs, circuits, forwarders, ..Live::default() };
        Ok(Engine {
            name: plan.name.clone(),
            reloads: Mutex::new(Reloads::new(host.clock.now())),
            host,
            began: Instant::now(),
            live: Arc::new(RwLock::new(Arc::new(live))),
            spools,
            state,
            deliveries,
            letters,
            account,
            postbox: Mutex::new(Some(postbox)),
            present: tokio::sync::Mutex::new(plan),
            turns,
            runtime: Handle::current(),
            yard,
            left,
            purged: AtomicU64::new(0),
            replaying: Arc::new(Semaphore::new(1)),
            tending: tokio::sync::RwLock::default(),
            sends: Arc::new(Semaphore::new(SENDS_MAX)),
            page,
            homes,
            draining: AtomicBool::new(false),
            tasks: Mutex::new(tasks),
        })
    }
}

/// What the state folder holds, and who writes to it.
struct Kept {
    state: Option<spools::State>,
    spools: Vec<Option<spools::Opened>>,
    deliveries: File,
    letters: Archive,
    postbox: Postbox,
    /// The task that writes what the postbox is given.
    writing: JoinHandle<()>,
    parked: parked::Opened,
    account: Account,
}

impl Kept {
    async fn open(plan: &Plan, host: &Host, home: &Home) -> Result<Kept, StartError> {
        let (state, spools) = spools::open(plan, host).await?;
        let spool = state.as_ref().map(|state| &state.file);
        let targets = targets(plan);
        let (deliveries, letters) = match File::deliveries(plan.state.dead_letters, &targets.addressees(), host).await {
            Ok(opened) => opened,
            Err(error) => return Err(abandoned([spool, None], error).await),
        };
        let parked = match parked::open(plan, &deliveries, host).await {
            Ok(opened) => opened,
            Err(error) => return Err(abandoned([spool, Some(&deliveries)], error).await),
        };
        let account = match ledger::open(plan, host).await {
            Ok(account) => account,
            Err(error) => return Err(abandoned([spool, Some(&deliveries)], error).await),
        };
        let _there = home.handle.enter();
        let (postbox, writing) = Postbox::start(letters.clone(), ClockHandle(Arc::clone(&host.clock)), targets);
        Ok(Kept { state, spools, deliveries, letters, postbox, writing, parked, account })
    }
}

/// The error, once nothing holds these state files any more.
async fn abandoned(files: [Option<&File>; 2], error: StartError) -> StartError {
    for file in files.into_iter().flatten() {
        // Nothing was written to it.
        drop(file.close().await);
    }
    error
}

/// The operating system gave no thread for a home.
fn no_thread(cause: std::io::Error) -> StartError {
    let message = "the operating system gave no thread".to_owned();
    let error = OpenError { message, cause: Some(Box::new(cause)) };
    StartError { kind: "thread", name: Text::new_static("home"), error }
}

fn failed(kind: &'static str, name: &Text) -> impl FnOnce(OpenError) -> StartError {
    let name = name.clone();
    move |error| StartError { kind, name, error }
}

fn open_outputs(
    outputs: &[plan::Output],
    (homes, way_back): (&[&Home], Option<Desk>),
    opened: &mut Vec<Arc<RunningOutput>>,
    setup: &impl Fn(&Text, usize, &Link) -> Setup,
) -> Result<(), StartError> {
    for (output, home) in outputs.iter().zip(homes) {
        opened.push(Arc::new(match way_back.as_ref().filter(|_| returns::is(&output.name)) {
            Some(desk) => lead_back(output, home, desk),
            None => open_output(output, home, setup)?,
        }));
    }
    Ok(())
}

/// The way back into the router.
fn lead_back(output: &plan::Output, home: &Home, desk: &Desk) -> RunningOutput {
    let link = Link::default();
    link.connected();
    RunningOutput {
        name: output.name.clone(),
        link,
        binding: Arc::new(returns::Way::patient(desk.clone())),
        hasty: Some(Arc::new(returns::Way::hasty(desk.clone()))),
        home: home.handle.clone(),
    }
}

pub(super) fn open_output(
    output: &plan::Output,
    home: &Home,
    setup: &impl Fn(&Text, usize, &Link) -> Setup,
) -> Result<RunningOutput, StartError> {
    let link = Link::default();
    // What it starts of its own lives with it.
    let _there = home.handle.enter();
    let binding = output.plan.open(setup(&output.name, 0, &link)).map_err(failed("output", &output.name))?;
    let (name, home) = (output.name.clone(), home.handle.clone());
    Ok(RunningOutput { name, link, binding: Arc::from(binding), hasty: None, home })
}

pub(super) fn open_pool(
    function: &plan::Function,
    host: &Host,
    turns: &Arc<Turns>,
    setup: &impl Fn(&Text, usize, &Link) -> Setup,
) -> Result<(Text, Pool), StartError> {
    let opened =
        function.plan.open(setup(&function.name, 0, &Link::default())).map_err(failed("function", &function.name))?;
    let pool = Pool::new(PoolOptions {
        name: function.name.clone(),
        function: Arc::from(opened),
        limits: function.workers,
        concurrency: function.concurrency,
        idle_after: host.idle_after,
        turns: Arc::clone(turns),
    });
    Ok((function.name.clone(), pool))
}

pub(super) struct OpenedSource {
    pub(super) name: Text,
    seats: usize,
    link: Link,
    source: Box<dyn crate::port::Source>,
    /// Where it lives.
    home: (usize, Handle),
}

pub(super) fn open_source(
    source: &plan::Source,
    (number, home): (usize, &Home),
    link: Link,
    setup: &impl Fn(&Text, usize, &Link) -> Setup,
) -> Result<OpenedSource, StartError> {
    let _there = home.handle.enter();
    let opened = source.plan.open(setup(&source.name, source.seats, &link)).map_err(failed("source", &source.name))?;
    let home = (number, home.handle.clone());
    Ok(OpenedSource { name: source.name.clone(), seats: source.seats, link, source: opened, home })
}

/// Whom lines hand on to, by their places in the plan.
#[derive(Clone, Copy)]
pub(super) struct Takers<'a> {
    pub(super) pools: &'a [(Text, Pool)],
    pub(super) outputs: &'a [Arc<RunningOutput>],
    pub(super) circuits: &'a Circuits,
    pub(super) postbox: &'a Postbox,
    pub(super) account: &'a Account,
}

impl Takers<'_> {
    /// The function of a rule.
    pub(super) fn function(&self, rule: &plan::Rule) -> Option<(Text, Pool)> {
        self.pools.get(rule.function?).cloned()
    }

    /// Where a rule publishes.
    pub(super) fn outputs(&self, rule: &plan::Rule) -> Outlets {
        let binding = |output: &Arc<RunningOutput>| {
            let hasty = output.hasty.as_ref().filter(|_| rule.is_fed_back);
            (output.name.clone(), Arc::clone(hasty.unwrap_or(&output.binding)))
        };
        let named = |places: &[usize]| {
            places.iter().filter_map(|place| self.outputs.get(*place)).map(binding).collect::<Vec<_>>()
        };
        Outlets::new(named(&rule.outputs), named(&rule.on_success))
    }

    /// The circuits on the way of a rule's deliveries.
    pub(super) fn way(&self, rule: &plan::Rule) -> Way {
        let function = rule.function.and_then(|place| Some(&self.pools.get(place)?.0));
        let places = rule.outputs.iter().chain(&rule.on_success);
        let outputs = places.filter_map(|place| self.outputs.get(*place)).map(|output| &output.name);
        self.circuits.way(function, outputs)
    }

    /// Who writes down what becomes of the deliveries of the rule of this name.
    pub(super) fn pen(&self, name: &Text, rule: &plan::Rule) -> Pen {
        let output = |place: &usize| Some(self.outputs.get(*place)?.name.clone());
        self.account.pen(Name {
            name: name.clone(),
            is_source: false,
            function: rule.function.and_then(|place| Some(self.pools.get(place)?.0.clone())),
            outputs: rule.outputs.iter().filter_map(output).collect(),
        })
    }

    /// The line of a rule, and how to reach it.
    pub(super) fn line(&self, rule: &plan::Rule, lot: Lot, pace: &Arc<Pace>) -> (Feed, Reading, Line) {
        Line::new(LineOptions {
            rule: lot.rule().clone(),
            function: self.function(rule),
            outputs: self.outputs(rule),
            ordered: rule.order == Order::Key,
            way: self.way(rule),
            max_in_flight: rule.max_in_flight,
            max_seats: rule.max_seats,
            rate: rule.rate,
            weight: rule.weight,
            retry: rule.retry.clone(),
            timeout: rule.timeout,
            postbox: self.postbox.clone(),
            pen: self.pen(lot.rule(), rule),
            lot: Some(lot),
            pace: Arc::clone(pace),
        })
    }
}

/// Lets the pools run, beside who writes the dead letters.
fn start_pools(pools: &[(Text, Pool)], (writing, postbox): (JoinHandle<()>, &Postbox)) -> Tasks {
    let mut tasks = Tasks { letters: Some((writing, postbox.unsettled())), ..Tasks::default() };
    pools.iter().for_each(|(_, pool)| drop(tasks.pools.spawn(pool.clone().run())));
    tasks
}

fn start_lines(
    plan: &Plan,
    homes: &[&Home],
    takers: Takers<'_>,
    lots: Vec<Vec<Lot>>,
    tasks: &mut Tasks,
) -> (Vec<RunningRule>, Vec<Wiring>) {
    let mut running = Vec::new();
    let mut wirings = Vec::new();
    for (at, ((trigger, home), lots)) in plan.triggers.iter().zip(homes).zip(lots).enumerate() {
        let mut rules = Vec::new();
        let tally = Arc::new(Tally::new(trigger.rules.len()));
        for (number, (rule, lot)) in trigger.rules.iter().zip(lots).enumerate() {
            let name = lot.rule().clone();
            let (feed, reading, line) = takers.line(rule, lot, &home.pace);
            tasks.lines.spawn_on(line.run(), &home.handle);
            rules.push(Wire { filter: rule.filter.clone(), feed: feed.clone(), slot: number });
            let tally = Arc::clone(&tally);
            running.push(RunningRule { name, place: (at, number), tally, slot: number, feed, reading });
        }
        wirings.push(Wiring {
            name: trigger.name.clone(),
            sources: trigger.sources.iter().map(|place| plan.sources[*place].name.clone()).collect(),
            filter: trigger.filter.clone(),
            rules,
            keeps_unmatched: trigger.unmatched == plan::Unmatched::DeadLetter,
            tally,
        });
    }
    (running, wirings)
}

fn start_sources(
    sources: Vec<OpenedSource>,
    spools: Vec<Option<spools::Opened>>,
    triggers: &[Wiring],
    postbox: &Postbox,
    (account, yard): (&Account, &Yard),
) -> (Vec<Arc<RunningSource>>, Vec<spools::Running>) {
    let (mut started, mut spooled) = (Vec::new(), Vec::new());
    for (opened, spool) in sources.into_iter().zip(spools) {
        let wires = Wires::of(&opened.name, triggers, Vec::new(), account);
        let (source, spool) = start_source(opened, wires, spool, postbox, yard);
        started.push(Arc::new(source));
        spooled.extend(spool);
    }
    (started, spooled)
}

/// What makes the routers of a source that has those wires.
pub(super) fn router(name: Text, wires: Arc<Mutex<Wires>>, postbox: Postbox) -> Arc<RouteMaker> {
    Arc::new(move || Box::new(wires.lock().router(&name, &postbox)))
}

fn start_source(
    opened: OpenedSource,
    wires: Wires,
    spool: Option<spools::Opened>,
    postbox: &Postbox,
    yard: &Yard,
) -> (RunningSource, Option<spools::Running>) {
    let (name, seats) = (opened.name.clone(), opened.seats);
    let wires = Arc::new(Mutex::new(wires));
    let router = router(name.clone(), Arc::clone(&wires), postbox.clone());
    let route: Arc<RouteMaker> = match spool.as_ref().and_then(|spool| spool.desk.clone()) {
        Some(desk) => {
            let (name, postbox) = (name.clone(), postbox.clone());
            Arc::new(move || Box::new(desk.landing(name.clone(), postbox.clone())))
        }
        None => Arc::clone(&router),
    };
    let [ledger, takes] = [(); 2].map(|()| Ledger::of(name.clone(), yard.tracks().clone()));
    let direct = Arc::ptr_eq(&route, &router).then(|| ledger.clone());
    let ledgers = spool.iter().map(|_| takes.clone()).chain(direct).collect();
    let road = Road { wires, ledgers };
    let home = opened.home.1.clone();
    let spool = spool.map(|spool| spool.start(name, seats, takes, router, &home));
    (opened.start(ledger, road, route, None), spool)
}

impl OpenedSource {
    /// Begins to run the source, once the run before it has ended.
    pub(super) fn start(
        self,
        ledger: Ledger,
        road: Road,
        route: Arc<RouteMaker>,
        before: Option<&runs::Running>,
    ) -> RunningSource {
        let OpenedSource { name, seats, link, source, home: (number, home) } = self;
        let (bell, way) = (source.bell(), Arc::downgrade(&route));
        let runs = Runs {
            name: name.clone(),
            source,
            seats,
            ledger: ledger.clone(),
            link: link.clone(),
            route,
            durable: false,
        };
        let run = runs.start(&home, before);
        RunningSource { name, seats, ledger, link, route: way, road, bell, run, home: number }
    }
}

impl Wires {
    /// The triggers that a source feeds, and lines that may still have events of it.
    pub(super) fn of(source: &Text, triggers: &[Wiring], leaving: Vec<Feed>, account: &Account) -> Wires {
        let triggers = triggers.iter().filter(|trigger| trigger.sources.contains(source)).cloned().collect();
        let pen = account.pen(Name { name: source.clone(), is_source: true, ..Name::default() });
        Wires { triggers, leaving, pen }
    }

    /// The router of a source.
    pub(super) fn router(&self, source: &Text, postbox: &Postbox) -> Router {
        let triggers = self.triggers.iter().map(Wiring::trigger).collect();
        Router::new(source.clone(), triggers, postbox.clone(), self.pen.clone()).after(self.leaving.clone())
    }
}

impl Host {
    /// What each adapter is given when it is opened.
    pub(super) fn setup(&self, page: &Page) -> impl Fn(&Text, usize, &Link) -> Setup + use<> {
        let (host, page) = (self.clone(), page.clone());
        move |name, seats, link| Setup {
            name: name.clone(),
            instance: host.instance.clone(),
            seats,
            state: Some(host.state.clone()),
            clock: Arc::clone(&host.clock),
            link: link.clone(),
            page: page.clone(),
        }
    }
}
