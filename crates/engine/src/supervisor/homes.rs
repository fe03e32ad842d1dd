//! Where connections, sources, lines and outputs live: threads of their own, which no user code ever enters.
//!
//! Decision: everything that an event passes inside the engine happens on one thread, its *home*, so that a hop from a
//! connection to its source, to a line and back costs no wake-up of another thread. Sources and rules that a trigger joins
//! share a home; what nothing joins is spread over as many homes as there may be. User code runs on the runtime on which
//! the engine was started: only the way to a worker and back crosses threads, in batches, and a function that blocks its
//! thread can strand no task of a connection. Tests, and whoever measures on one thread, have everything *here*.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::config::plan::Plan;
use crate::dispatch::Pace;

/// Where the engine's own tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Housing {
    /// On the runtime on which the engine is started, beside user code.
    Here,
    /// On at most so many threads of their own, at least one.
    Threads(usize),
}

/// One home.
pub(super) struct Home {
    pub(super) handle: Handle,
    pub(super) pace: Arc<Pace>,
    /// Dropping it ends the thread, and with it every task that is left.
    _stop: Option<oneshot::Sender<()>>,
}

/// Which home everything of a plan has, by its place in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) sources: Vec<usize>,
    pub(super) triggers: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    /// How many homes there are.
    pub(super) homes: usize,
}

impl Housing {
    /// The homes for a plan, and who lives in which.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn build(self, plan: &Plan) -> io::Result<(Vec<Home>, Addresses)> {
        match self {
            Housing::Here => {
                let here = Home { handle: Handle::current(), pace: Arc::default(), _stop: None };
                Ok((vec![here], Addresses::of(plan, 1)))
            }
            Housing::Threads(most) => {
                let addresses = Addresses::of(plan, most.max(1));
                let homes: io::Result<Vec<Home>> = (0..addresses.homes).map(Home::start).collect();
                Ok((homes?, addresses))
            }
        }
    }
}

impl Home {
    fn start(number: usize) -> io::Result<Home> {
        let pace = Arc::new(Pace::default());
        let parking = Arc::clone(&pace);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name(format!("home-{number}-files"))
            .on_thread_park(move || parking.rest())
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name(format!("home-{number}")).spawn(move || {
            // Nobody sends: the end of the other half is the sign.
            drop(runtime.block_on(stopped));
            // A look-up of a name that hangs must not keep anybody.
            runtime.shutdown_background();
        })?;
        Ok(Home { handle, pace, _stop: Some(stop) })
    }
}

impl Addresses {
    /// At most `most` homes: what a trigger joins lives together, and groups are dealt out in their order.
    fn of(plan: &Plan, most: usize) -> Addresses {
        // Each source begins as its own group; a trigger makes one of its sources' groups.
        let mut group: Vec<usize> = (0..plan.sources.len()).collect();
        for trigger in &plan.triggers {
            let Some(&first) = trigger.sources.first() else { continue };
            for &source in &trigger.sources {
                let (old, new) = (group[source], group[first]);
                group.iter_mut().filter(|group| **group == old).for_each(|group| *group = new);
            }
        }
        let mut dealt: Vec<usize> = Vec::new();
        let sources: Vec<usize> = group
            .iter()
            .map(|group| {
                let known = dealt.iter().position(|other| other == group);
                known.unwrap_or_else(|| {
                    dealt.push(*group);
                    dealt.len() - 1
                }) % most
            })
            .collect();
        let home =
            |trigger: &crate::config::plan::Trigger| trigger.sources.first().map_or(0, |source| sources[*source]);
        let triggers: Vec<usize> = plan.triggers.iter().map(home).collect();
        // An output that several homes publish to has its own tasks with the first of them.
        let uses = |output: usize| {
            let by =
                |trigger: &crate::config::plan::Trigger| trigger.rules.iter().any(|rule| rule.publishes_to(output));
            plan.triggers.iter().position(by).map_or(0, |trigger| triggers[trigger])
        };
        let outputs = (0..plan.outputs.len()).map(uses).collect();
        Addresses { triggers, outputs, homes: dealt.len().clamp(1, most), sources }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::guarantee::Order;
    use crate::config::plan::{Rule, Trigger};
    use crate::registry::{OpenError, OutputPlan, Setup, SourceFacts, SourcePlan};
    use crate::retry::Policy;

    struct Nothing;

    impl SourcePlan for Nothing {
        fn facts(&self) -> SourceFacts {
            unreachable!("nobody asks")
        }

        fn open(&self, _: Setup) -> Result<Box<dyn crate::port::Source>, OpenError> {
            unreachable!("nothing is opened")
        }
    }

    impl OutputPlan for Nothing {
        fn durable(&self) -> bool {
            false
        }

        fn open(&self, _: Setup) -> Result<Box<dyn crate::port::Output>, OpenError> {
            unreachable!("nothing is opened")
        }
    }

    /// A plan of so many sources and outputs, with triggers of sources and outputs.
    fn plan(sources: usize, outputs: usize, triggers: &[(&[usize], &[usize])]) -> Plan {
        let source = |at| crate::config::plan::Source {
            name: format!("s{at}").into(),
            seats: 1,
            spool: None,
            dead_letter: None,
            plan: Box::new(Nothing),
        };
        let output =
            |at| crate::config::plan::Output { name: format!("o{at}").into(), circuit: None, plan: Box::new(Nothing) };
        let trigger = |(sources, outputs): &(&[usize], &[usize])| Trigger {
            name: "t".into(),
            sources: sources.to_vec(),
            filter: None,
            unmatched: crate::config::plan::Unmatched::Drop,
            dead_letter: None,
            rules: vec![Rule {
                name: "r".into(),
                filter: None,
                function: None,
                outputs: outputs.to_vec(),
                order: Order::Key,
                max_in_flight: usize::MAX,
                max_seats: usize::MAX,
                rate: None,
                weight: crate::dispatch::Weight::MIN,
                timeout: std::time::Duration::ZERO,
                retry: Policy::default(),
                dead_letter: None,
                is_fed_back: false,
                on_success: Vec::new(),
                on_failure: Vec::new(),
            }],
        };
        Plan {
            name: "p".into(),
            sources: (0..sources).map(source).collect(),
            functions: Vec::new(),
            outputs: (0..outputs).map(output).collect(),
            triggers: triggers.iter().map(trigger).collect(),
            state: crate::config::plan::State::default(),
            wording: crate::config::plan::Wording::default(),
            renamed: Vec::new(),
        }
    }

    #[test]
    fn what_a_trigger_joins_lives_together_and_the_rest_is_spread() {
        // Source 3 joins the first two triggers; source 2 has one of its own, and source 4 none.
        let plan = plan(5, 3, &[(&[0, 3], &[0]), (&[3, 1], &[1]), (&[2], &[1, 2])]);
        let apart = Addresses::of(&plan, 8);
        assert_eq!((apart.sources, apart.triggers), (vec![0, 0, 1, 0, 2], vec![0, 0, 1]));
        assert_eq!((apart.outputs, apart.homes), (vec![0, 0, 1], 3));
        let two = Addresses::of(&plan, 2);
        assert_eq!((two.sources, two.triggers, two.homes), (vec![0, 0, 1, 0, 0], vec![0, 0, 1], 2));
    }

    #[test]
    fn a_plan_without_sources_still_has_a_home() {
        assert_eq!(Addresses::of(&plan(0, 1, &[]), 4).homes, 1);
    }
}
