//! From entries to a plan: kinds read their options, and every name, number and reference is checked.
//!
//! Nothing stops at the first problem. An entry that is wrong keeps its name, so that nobody is told that it is unknown.

use std::collections::HashMap;

use super::dead_letter::Targets;
use super::decode::decode;
use super::ending::Ending;
use super::file::{DefaultsEntry, FunctionEntry, OutputEntry, SourceEntry};
use super::guarantee::Guarantee;
use super::node::{Entry, Node, Value};
use super::plan::{Function, Output, Plan, Source, Wording};
use super::prune::prune;
use super::renamed::renamed;
use super::rules::Rules;
use super::section::{Sections, Shape, name, parts};
use super::share::{say, share};
use super::state::{Kept, kept, spool};
use super::suggest::quoted;
use super::told::Told;
use super::{AckPoint, Check, Environment, Many, Spanned, Written, returns, setting};
use crate::event::Text;
use crate::registry::{Registry, SourceCommon};
use crate::retry::Policy;
use crate::router::returns::NAME;

/// The adapters of one sort: every name in the files, and what could be made of it.
#[derive(Debug)]
pub(super) struct Adapters<T> {
    pub(super) names: Vec<Spanned<Text>>,
    /// Where in `names` each one is.
    pub(super) places: HashMap<Text, usize>,
    pub(super) built: Vec<Option<T>>,
}

impl<T> Default for Adapters<T> {
    fn default() -> Adapters<T> {
        Adapters { names: Vec::new(), places: HashMap::new(), built: Vec::new() }
    }
}

impl<T> Adapters<T> {
    pub(super) fn add(&mut self, name: Spanned<Text>, built: Option<T>) {
        self.places.insert(name.value.clone(), self.names.len());
        self.names.push(name);
        self.built.push(built);
    }

    /// All of them, if every one could be made.
    fn all(self) -> Option<Vec<T>> {
        self.built.into_iter().collect()
    }
}

/// What rules inherit.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub(super) retry: Policy,
    pub(super) timeout: Option<std::time::Duration>,
    /// The output of what is given up.
    pub(super) dead_letter: Option<usize>,
    /// The outputs that are told of what ends well, and of what is given up.
    pub(super) told: Told,
}

/// A function with the timeout that it asks for.
pub(super) type Called = (Function, Option<std::time::Duration>);

/// Makes a plan of the joined files and says what its rules promise, or notes in `check` why not.
pub(super) fn plan(
    sections: &Sections,
    title: &str,
    registry: &Registry,
    environment: &Environment,
    check: &mut Check,
) -> Option<(Plan, Vec<Guarantee>)> {
    let kept = kept(sections.state.as_ref(), check);
    replicas(sections.replicas.as_ref(), check);
    instance(environment, check);
    let mut outputs = outputs(&sections.outputs, registry, check);
    let returning = returns::is_named(sections);
    if returning && !outputs.places.contains_key(NAME) {
        returns::add_output(&mut outputs);
    }
    let targets = Targets { outputs: &outputs, sections };
    let defaults = defaults(sections.defaults.as_ref(), &targets, check);
    let mut sources = sources(&sections.sources, registry, (&kept, &targets, &defaults), check);
    if returning && !sources.places.contains_key(NAME) {
        returns::add_source(&mut sources, setting::SEATS, kept.spool);
    }
    let functions = functions(&sections.functions, registry, check);
    if sections.triggers.is_empty() && !sections.torn {
        check
            .general_error("no trigger is defined", "add 'triggers' with at least one rule, so that something happens");
    }
    let mut rules = Rules::new(&sources, &functions, targets, defaults);
    (rules.state, rules.stateless) = (kept.state.clone(), kept.none);
    let mut triggers = rules.read(&sections.triggers, check);
    returns::judge(sections, &sources, &outputs, &triggers, check);
    let renamed = renamed(&rules.renamed, &triggers, check);
    share(&mut triggers, &sources, &rules.shares, check);
    let (shares, stateless) = (std::mem::take(&mut rules.shares), rules.stateless);
    let (mut guarantees, used) = rules.end();
    say(&triggers, &sources, &shares, stateless, &mut guarantees);
    if check.failed() {
        return None;
    }
    let plan = Plan {
        name: title.into(),
        state: kept.state,
        sources: sources.all()?,
        functions: functions.all()?.into_iter().map(|(function, _)| function).collect(),
        outputs: outputs.all()?,
        triggers,
        wording: Wording {
            sources: Written::of(&sections.sources, &["seats", "spool", "deadLetter"]),
            functions: Written::of(&sections.functions, &["timeout", "workers", "circuit"]),
            outputs: Written::of(&sections.outputs, &["circuit"]),
        },
        renamed,
    };
    Some((prune(plan, &used), guarantees))
}

/// What every source may ask for.
type Common<'a> = (&'a Kept, &'a Targets<'a>, &'a Defaults);

fn sources(entries: &[Entry], registry: &Registry, common: Common<'_>, check: &mut Check) -> Adapters<Source> {
    let shape = Shape {
        noun: "source",
        holder: "SourceEntry",
        common: &["ack", "event", "seats", "spool", "deadLetter"],
        kinds: &registry.sources(),
    };
    let mut sources = Adapters::default();
    for entry in entries {
        let name = name(shape.noun, &entry.key, check);
        returns::reserve(shape.noun, &name, check);
        let built = source(entry, name.clone(), &shape, (registry, common), check);
        sources.add(name, built);
    }
    sources
}

fn source(
    entry: &Entry,
    name: Spanned<Text>,
    shape: &Shape<'_>,
    (registry, (kept, targets, defaults)): (&Registry, Common<'_>),
    check: &mut Check,
) -> Option<Source> {
    let parts = parts(entry, shape, check)?;
    let written: SourceEntry = decode(&parts.common, &entry.key, check).unwrap_or_default();
    let seats =
        written.seats.as_ref().map_or(setting::SEATS, |seats| setting::number("seats", seats, 1, 1_000_000, check));
    written.event.check(check);
    if let Some(ack) = written.ack.as_ref().filter(|ack| kept.none && ack.value == AckPoint::Spooled) {
        let help = "write 'ack: processed', which acknowledges when every matched delivery has ended";
        check.error(ack.span, "'ack: spooled' needs a state folder, and the file says 'state: none'", help);
    }
    let policy = spool(written.spool.as_ref(), kept.spool, check);
    let common = SourceCommon { name: name.clone(), ack: written.ack, event: written.event, seats };
    let kind = parts.kind?;
    let plan = made(kind, check, |check| {
        registry.source(kind.name()).and_then(|known| known.plan(&kind.value, &kind.key, &common, check))
    })?;
    let spooled = plan.facts().ack == AckPoint::Spooled;
    if let Some(unused) = written.spool.as_ref().filter(|_| !spooled) {
        let message = format!("source {} keeps nothing in a spool", quoted(&name));
        check.error(unused.span, message, "write 'ack: spooled', or leave 'spool' out");
    }
    let mut source = Source { name: name.value, seats, spool: spooled.then_some(policy), dead_letter: None, plan };
    source.dead_letter = targets.of_source(&source, written.dead_letter.as_ref(), defaults.dead_letter, check);
    Some(source)
}

fn functions(entries: &[Entry], registry: &Registry, check: &mut Check) -> Adapters<Called> {
    let shape = Shape {
        noun: "function",
        holder: "FunctionEntry",
        common: &["timeout", "workers", "circuit"],
        kinds: &registry.functions(),
    };
    let mut functions = Adapters::default();
    for entry in entries {
        let name = name(shape.noun, &entry.key, check);
        let built = parts(entry, &shape, check).and_then(|parts| {
            let written: FunctionEntry = decode(&parts.common, &entry.key, check).unwrap_or_default();
            let timeout = written.timeout.as_ref().map(|timeout| setting::period("timeout", timeout, check));
            let (workers, concurrency) = setting::workers(written.workers.as_ref(), &name, check);
            let kind = parts.kind?;
            let plan = made(kind, check, |check| {
                registry.function(kind.name()).and_then(|known| known.plan(&kind.value, &kind.key, check))
            })?;
            let circuit = setting::circuit(written.circuit.as_ref(), check);
            Some((Function { name: name.value.clone(), workers, concurrency, circuit, plan }, timeout))
        });
        functions.add(name, built);
    }
    functions
}

fn outputs(entries: &[Entry], registry: &Registry, check: &mut Check) -> Adapters<Output> {
    let shape = Shape { noun: "output", holder: "OutputEntry", common: &["circuit"], kinds: &registry.outputs() };
    let mut outputs = Adapters::default();
    for entry in entries {
        let name = name(shape.noun, &entry.key, check);
        returns::reserve(shape.noun, &name, check);
        let built = parts(entry, &shape, check).and_then(|parts| {
            let written: OutputEntry = decode(&parts.common, &entry.key, check).unwrap_or_default();
            let circuit = setting::circuit(written.circuit.as_ref(), check);
            let kind = parts.kind?;
            let plan = made(kind, check, |check| {
                registry.output(kind.name()).and_then(|known| known.plan(&kind.value, &kind.key, check))
            })?;
            Some(Output { name: name.value.clone(), circuit, plan })
        });
        outputs.add(name, built);
    }
    outputs
}

/// A kind that makes nothing must have said why; one that is silent is told on.
fn made<T>(kind: &Entry, check: &mut Check, make: impl FnOnce(&mut Check) -> Option<T>) -> Option<T> {
    let made = make(check);
    if made.is_none() && !check.failed() {
        check.error(kind.key.span, format!("{} refused its options without a reason", quoted(kind.name())), "");
    }
    made
}

fn defaults(entry: Option<&Entry>, targets: &Targets<'_>, check: &mut Check) -> Defaults {
    let Some(entry) = entry else { return Defaults::default() };
    let written: DefaultsEntry = decode(&entry.value, &entry.key, check).unwrap_or_default();
    let mut told = |written: &Option<Many<Spanned<String>>>| {
        written.as_ref().map(|named| targets.find_all(&named.0, check)).unwrap_or_default()
    };
    let told = Told { success: told(&written.on_success), failure: told(&written.on_failure) };
    Defaults {
        told,
        retry: Ending::from(&written).policy(Policy::default(), check),
        timeout: written.timeout.as_ref().map(|timeout| setting::period("timeout", timeout, check)),
        dead_letter: written.dead_letter.as_ref().and_then(|target| targets.find(target, check)),
    }
}

fn replicas(entry: Option<&Entry>, check: &mut Check) {
    let Some(entry) = entry else { return };
    match entry.value.text() {
        Some("1") => {}
        Some("many") => {
            let help = "leave it out, and give each replica its own state folder and TIDEMILL_INSTANCE";
            check.error(entry.value.span, "'replicas: many' is not available yet", help);
        }
        _ => check.error(entry.value.span, "'replicas' is 1 or many", "write 1, or leave it out"),
    }
}

fn instance(environment: &Environment, check: &mut Check) {
    if let Some(instance) = environment.instance.as_deref().filter(|id| !super::environment::is_instance(id)) {
        check.general_error(
            format!("TIDEMILL_INSTANCE is {}, which is no instance id", quoted(instance)),
            "use 1 to 64 letters, digits, '-' and '_'",
        );
    }
}

/// An entry of which something is left to read below `key`, without the keys in `taken`.
pub(super) fn without(node: &Node, taken: &[&str]) -> Node {
    let entries = node.entries().unwrap_or_default();
    let left = entries.iter().filter(|entry| !taken.contains(&entry.name())).cloned().collect();
    Node { id: node.id, span: node.span, value: Value::Map(left) }
}
