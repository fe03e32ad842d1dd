//! What a configuration means, checked as a whole: plain data that the supervisor builds from.
//!
//! Names have become places in these lists, defaults are filled in, and nothing here can be wrong any more.

use std::path::PathBuf;
use std::time::Duration;

use super::Written;
use super::guarantee::Order;
use crate::account;
use crate::circuit;
use crate::dispatch::{Rate, Weight};
use crate::event::Text;
use crate::filter::Filter;
use crate::pool::Limits;
use crate::registry::{FunctionPlan, OutputPlan, SourcePlan};
use crate::retry::Policy;
use crate::spool;
use crate::store::{OnFull, Quota, Sync};

/// Everything that one engine runs.
pub struct Plan {
    /// The stem of the first path.
    pub name: Text,
    /// Where messages come from.
    pub sources: Vec<Source>,
    /// What judges events.
    pub functions: Vec<Function>,
    /// Where results go.
    pub outputs: Vec<Output>,
    /// Which events concern which rules.
    pub triggers: Vec<Trigger>,
    /// Where and how it keeps what must survive.
    pub state: State,
    /// What its adapters were written as.
    pub wording: Wording,
    /// What rules were called before, and what they are called now, as `trigger/rule`.
    pub renamed: Vec<(Text, Text)>,
}

/// What the adapters of a plan were written as, by which a later plan is compared with it.
#[derive(Clone, Debug, Default)]
pub struct Wording {
    /// The sources, but for what stands beside the kind and is compared by what it means.
    pub sources: Written,
    /// The functions, likewise.
    pub functions: Written,
    /// The outputs.
    pub outputs: Written,
}

/// What must survive a restart, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The folder as written; `None` leaves it to the host.
    pub dir: Option<PathBuf>,
    /// When it is forced to the disk.
    pub sync: Sync,
    /// How much is kept of what was given up.
    pub dead_letters: Quota,
    /// Bytes of deliveries that wait for another attempt or for their turn.
    pub parked: u64,
    /// Finished deliveries of which the account tells.
    pub ledger: usize,
}

impl Default for State {
    /// Everything is forced to the disk before anybody counts on it; 1 GiB of dead letters, and then what adds some waits; 1 GiB
    /// of parked deliveries, and then what waits keeps its seat; the account of a million finished deliveries.
    fn default() -> State {
        let dead_letters = Quota { max_bytes: Some(1 << 30), max_age: None, on_full: OnFull::Block };
        State { dir: None, sync: Sync::Always, dead_letters, parked: 1 << 30, ledger: account::RECORDS }
    }
}

/// One source.
pub struct Source {
    /// Its name.
    pub name: Text,
    /// Messages in flight at most.
    pub seats: usize,
    /// How its spool keeps its bounds, if it acknowledges what is in there.
    pub spool: Option<spool::Policy>,
    /// A place in [`Plan::outputs`]: what gets messages that are no events, besides their being kept.
    pub dead_letter: Option<usize>,
    /// What its kind made of its options.
    pub plan: Box<dyn SourcePlan>,
}

/// One function.
pub struct Function {
    /// Its name.
    pub name: Text,
    /// Workers at least and at most.
    pub workers: Limits,
    /// Calls that one worker runs at once.
    pub concurrency: usize,
    /// When it is left alone for a while because it fails.
    pub circuit: Option<circuit::Settings>,
    /// What its kind made of its options.
    pub plan: Box<dyn FunctionPlan>,
}

/// One output.
pub struct Output {
    /// Its name.
    pub name: Text,
    /// When it is left alone for a while because it fails.
    pub circuit: Option<circuit::Settings>,
    /// What its kind made of its options.
    pub plan: Box<dyn OutputPlan>,
}

/// One trigger.
pub struct Trigger {
    /// Its name.
    pub name: Text,
    /// Places in [`Plan::sources`].
    pub sources: Vec<usize>,
    /// Which events belong to it; `None` for all.
    pub filter: Option<Filter>,
    /// What becomes of an event that none of its rules takes.
    pub unmatched: Unmatched,
    /// A place in [`Plan::outputs`]: what gets such an event where it is kept, besides that.
    pub dead_letter: Option<usize>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// What becomes of an event that belongs to a trigger and that none of its rules takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// It is counted, and that is all.
    #[default]
    Drop,
    /// It is kept as a dead letter.
    DeadLetter,
}

/// One rule.
pub struct Rule {
    /// Its name within the trigger.
    pub name: Text,
    /// Which of the trigger's events match; `None` for all.
    pub filter: Option<Filter>,
    /// A place in [`Plan::functions`]; without one the event itself is the result.
    pub function: Option<usize>,
    /// Places in [`Plan::outputs`]; every result goes to each.
    pub outputs: Vec<usize>,
    /// In which order its deliveries run.
    pub order: Order,
    /// How many of them are called or published at once; those that wait for another attempt do not count.
    pub max_in_flight: usize,
    /// Seats of its sources that it may have before what comes for it waits on the disk.
    pub max_seats: usize,
    /// How often one is called or published.
    pub rate: Option<Rate>,
    /// How much of its function, where others call that too, is the rule's beside theirs.
    pub weight: Weight,
    /// How long one call may take.
    pub timeout: Duration,
    /// When what failed is tried again.
    pub retry: Policy,
    /// A place in [`Plan::outputs`]: what gets what the rule gives up, besides its being kept.
    pub dead_letter: Option<usize>,
    /// Whether its trigger takes results that go back into the router, so that it must not wait for room for its own.
    pub is_fed_back: bool,
    /// Places in [`Plan::outputs`]: what is told of each delivery that ends well.
    pub on_success: Vec<usize>,
    /// Places in [`Plan::outputs`]: what is told of each delivery that becomes a dead letter.
    pub on_failure: Vec<usize>,
}

impl Rule {
    /// Whether anything of the rule goes to the output at this place.
    #[must_use]
    pub fn publishes_to(&self, output: usize) -> bool {
        let mut places = self.outputs.iter().chain(&self.on_success).chain(&self.on_failure).chain(&self.dead_letter);
        places.any(|place| *place == output)
    }
}
