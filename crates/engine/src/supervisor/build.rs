//! Putting an engine together from its plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::end::{FLUSH, close};
use super::files::File;
use super::homes::Home;
use super::letters::{forward, forwarded, targets};
use super::replay::Filters;
use super::runs::Runs;
use super::send::SENDS_MAX;
use super::{Engine, Host, RouteMaker, RunningOutput, RunningRule, RunningSource, StartError, Tasks};
use super::{parked, spools};
use crate::config::guarantee::Order;
use crate::config::plan::{self, Plan};
use crate::dead_letter::{Archive, Postbox};
use crate::delivery::Ledger;
use crate::dispatch::{Feed, Line, Options as LineOptions};
use crate::event::Text;
use crate::filter::Filter;
use crate::invoke::Turns;
use crate::metric::{Link, Page};
use crate::parked::Lot;
use crate::pool::{Options as PoolOptions, Pool};
use crate::port::Output;
use crate::registry::{OpenError, Setup};
use crate::router::{Router, Tally, Trigger};
use crate::store::ClockHandle;

/// One trigger's parts, from which every source that feeds it makes its own router.
#[derive(Clone)]
struct Wiring {
    sources: Vec<usize>,
    filter: Option<Filter>,
    rules: Vec<(Option<Filter>, Feed)>,
    keeps_unmatched: Option<Text>,
    tally: Arc<Tally>,
}

impl Wiring {
    fn filters(&self) -> Filters {
        Filters { trigger: self.filter.clone(), rules: self.rules.iter().map(|(filter, _)| filter.clone()).collect() }
    }
}

impl Engine {
    /// Builds everything and starts reading. User code runs on the current runtime, everything else where
    /// [`Host::housing`] says.
    ///
    /// # Errors
    /// [`StartError`] when something on this machine is missing; nothing keeps running then.
    pub async fn start(plan: Plan, host: Host) -> Result<Engine, StartError> {
        let page = Page::default();
        let (homes, addresses) = host.housing.build(&plan).map_err(no_thread)?;
        let Kept { state, spools, deliveries, letters, postbox, writing, parked } =
            Kept::open(&plan, &host, &homes[0]).await?;
        let parked::Opened { yard, lots, left } = parked;
        let setup = |name: &Text, seats: usize, link: &Link| Setup {
            name: name.clone(),
            instance: host.instance.clone(),
            seats,
            state: Some(host.state.clone()),
            clock: Arc::clone(&host.clock),
            link: link.clone(),
            page: page.clone(),
        };
        let mut outputs = Vec::new();
        let homes_of = |addresses: &[usize]| addresses.iter().map(|address| &homes[*address]).collect::<Vec<_>>();
        let opened = open_outputs(plan.outputs, &homes_of(&addresses.outputs), &mut outputs, &setup).and_then(|()| {
            let pools = open_pools(plan.functions, &host, &setup)?;
            Ok((pools, open_sources(plan.sources, &homes_of(&addresses.sources), &setup)?))
        });
        let (pools, sources) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // Nothing keeps running, nor holds a file that the next start needs.
                drop((postbox, lots, spools));
                close(&outputs, sleep(FLUSH)).await;
                drop(writing.await);
                return Err(abandoned([state.as_ref().map(|state| &state.file), Some(&deliveries)], error).await);
            }
        };
        let mut tasks = Tasks { letters: Some((writing, postbox.unsettled())), ..Tasks::default() };
        pools.iter().for_each(|(_, pool)| drop(tasks.pools.spawn(pool.clone().run())));
        let (rules, wirings) = start_lines(
            &plan.triggers,
            &homes_of(&addresses.triggers),
            Takers { pools: &pools, outputs: &outputs, postbox: &postbox },
            lots,
            &mut tasks,
        );
        let tally = |(trigger, wiring): (&plan::Trigger, &Wiring)| (trigger.name.clone(), Arc::clone(&wiring.tally));
        let forwarders = forward(&letters, &outputs, &host, &mut tasks);
        let (sources, spools) = start_sources(sources, spools, &wirings, &postbox);
        Ok(Engine {
            name: plan.name,
            host,
            began: Instant::now(),
            sources,
            spools,
            state,
            triggers: plan.triggers.iter().zip(&wirings).map(tally).collect(),
            filters: wirings.iter().map(Wiring::filters).collect(),
            rules,
            pools,
            outputs,
            deliveries,
            letters,
            forwarders,
            yard,
            left,
            purged: AtomicU64::new(0),
            replaying: Arc::new(Semaphore::new(1)),
            tending: tokio::sync::RwLock::default(),
            sends: Arc::new(Semaphore::new(SENDS_MAX)),
            page,
            _homes: homes,
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
}

impl Kept {
    async fn open(plan: &Plan, host: &Host, home: &Home) -> Result<Kept, StartError> {
        let (state, spools) = spools::open(plan, host).await?;
        let spool = state.as_ref().map(|state| &state.file);
        let targets = targets(plan);
        let (deliveries, letters) = match File::deliveries(plan.state.dead_letters, &forwarded(&targets), host).await {
            Ok(opened) => opened,
            Err(error) => return Err(abandoned([spool, None], error).await),
        };
        let parked = match parked::open(plan, &deliveries, host).await {
            Ok(opened) => opened,
            Err(error) => return Err(abandoned([spool, Some(&deliveries)], error).await),
        };
        let _there = home.handle.enter();
        let (postbox, writing) = Postbox::start(letters.clone(), ClockHandle(Arc::clone(&host.clock)), targets);
        Ok(Kept { state, spools, deliveries, letters, postbox, writing, parked })
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
    outputs: Vec<plan::Output>,
    homes: &[&Home],
    opened: &mut Vec<RunningOutput>,
    setup: &impl Fn(&Text, usize, &Link) -> Setup,
) -> Result<(), StartError> {
    for (output, home) in outputs.into_iter().zip(homes) {
        let link = Link::default();
        // What it starts of its own lives with it.
        let _there = home.handle.enter();
        let binding = output.plan.open(setup(&output.name, 0, &link)).map_err(failed("output", &output.name))?;
        opened.push(RunningOutput { name: output.name, link, binding: Arc::from(binding), home: home.handle.clone() });
    }
    Ok(())
}

fn open_pools(
    functions: Vec<plan::Function>,
    host: &Host,
    setup: &impl Fn(&Text, usize, &Link) -> Setup,
) -> Result<Vec<(Text, Pool)>, StartError> {
    let turns = Arc::new(Turns::new(host.turns));
    let open = |function: plan::Function| {
        let opened = function
            .plan
            .open(setup(&function.name, 0, &Link::default()))
            .map_err(failed("function", &function.name))?;
        let pool = Pool::new(PoolOptions {
            name: function.name.clone(),
            function: Arc::from(opened),
            limits: function.workers,
            concurrency: function.concurrency,
            idle_after: host.idle_after,
            turns: Arc::clone(&turns),
        });
        Ok((function.name, pool))
    };
    functions.into_iter().map(open).collect()
}

struct OpenedSource {
    name: Text,
    seats: usize,
    link: Link,
    source: Box<dyn crate::port::Source>,
    home: Handle,
}

fn open_sources(
    sources: Vec<plan::Source>,
    homes: &[&Home],
    setup: &impl Fn(&Text, usize, &Link) -> Setup,
) -> Result<Vec<OpenedSource>, StartError> {
    let open = |(source, home): (plan::Source, &&Home)| {
        let link = Link::default();
        let _there = home.handle.enter();
        let opened =
            source.plan.open(setup(&source.name, source.seats, &link)).map_err(failed("source", &source.name))?;
        Ok(OpenedSource { name: source.name, seats: source.seats, link, source: opened, home: home.handle.clone() })
    };
    sources.into_iter().zip(homes).map(open).collect()
}

/// Whom lines hand on to.
#[derive(Clone, Copy)]
struct Takers<'a> {
    pools: &'a [(Text, Pool)],
    outputs: &'a [RunningOutput],
    postbox: &'a Postbox,
}

fn start_lines(
    triggers: &[plan::Trigger],
    homes: &[&Home],
    takers: Takers<'_>,
    lots: Vec<Vec<Lot>>,
    tasks: &mut Tasks,
) -> (Vec<RunningRule>, Vec<Wiring>) {
    let Takers { pools, outputs, postbox } = takers;
    let mut running = Vec::new();
    let mut wirings = Vec::new();
    for (at, ((trigger, home), lots)) in triggers.iter().zip(homes).zip(lots).enumerate() {
        let mut rules = Vec::new();
        for (number, (rule, lot)) in trigger.rules.iter().zip(lots).enumerate() {
            let name = lot.rule().clone();
            let binding = |place: &usize| {
                let output = &outputs[*place];
                (output.name.clone(), Arc::clone(&output.binding) as Arc<dyn Output>)
            };
            let (feed, reading, line) = Line::new(LineOptions {
                rule: name.clone(),
                function: rule.function.map(|place| pools[place].clone()),
                outputs: rule.outputs.iter().map(binding).collect(),
                ordered: rule.order == Order::Key,
                max_in_flight: rule.max_in_flight,
                rate: rule.rate,
                retry: rule.retry.clone(),
                timeout: rule.timeout,
                postbox: postbox.clone(),
                lot: Some(lot),
                pace: Arc::clone(&home.pace),
            });
            tasks.lines.spawn_on(line.run(), &home.handle);
            rules.push((rule.filter.clone(), feed.clone()));
            running.push(RunningRule { name, place: (at, number), feed, reading });
        }
        let tally = Arc::new(Tally::new(rules.len()));
        let keeps_unmatched = (trigger.unmatched == plan::Unmatched::DeadLetter).then(|| trigger.name.clone());
        let (sources, filter) = (trigger.sources.clone(), trigger.filter.clone());
        wirings.push(Wiring { sources, filter, rules, keeps_unmatched, tally });
    }
    (running, wirings)
}

fn start_sources(
    sources: Vec<OpenedSource>,
    spools: Vec<Option<spools::Opened>>,
    wirings: &[Wiring],
    postbox: &Postbox,
) -> (Vec<RunningSource>, Vec<spools::Running>) {
    let (mut started, mut spooled) = (Vec::new(), Vec::new());
    for ((at, opened), spool) in sources.into_iter().enumerate().zip(spools) {
        let wirings = wirings.iter().filter(|wiring| wiring.sources.contains(&at)).cloned().collect();
        let (source, spool) = start_source(opened, wirings, spool, postbox);
        started.push(source);
        spooled.extend(spool);
    }
    (started, spooled)
}

fn start_source(
    opened: OpenedSource,
    wirings: Vec<Wiring>,
    spool: Option<spools::Opened>,
    postbox: &Postbox,
) -> (RunningSource, Option<spools::Running>) {
    let OpenedSource { name, seats, link, source, home } = opened;
    let (ledger, bell) = (Ledger::default(), source.bell());
    let router: Arc<RouteMaker> = Arc::new({
        let (name, postbox) = (name.clone(), postbox.clone());
        move || {
            let trigger = |wiring: &Wiring| Trigger {
                filter: wiring.filter.clone(),
                rules: wiring.rules.clone(),
                keeps_unmatched: wiring.keeps_unmatched.clone(),
                tally: Arc::clone(&wiring.tally),
            };
            Box::new(Router::new(name.clone(), wirings.iter().map(trigger).collect(), postbox.clone()))
        }
    });
    let route: Arc<RouteMaker> = match spool.as_ref().and_then(|spool| spool.desk.clone()) {
        Some(desk) => {
            let (name, postbox) = (name.clone(), postbox.clone());
            Arc::new(move || Box::new(desk.landing(name.clone(), postbox.clone())))
        }
        None => Arc::clone(&router),
    };
    let spool = spool.map(|spool| spool.start(name.clone(), seats, router, &home));
    let road = Arc::downgrade(&route);
    let runs =
        Runs { name: name.clone(), source, seats, ledger: ledger.clone(), link: link.clone(), route, durable: false };
    let run = runs.start(&home);
    (RunningSource { name, seats, ledger, link, route: road, bell, run }, spool)
}
