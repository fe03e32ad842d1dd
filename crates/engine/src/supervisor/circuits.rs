//! The circuits of an engine, by the names of what they are of.
//!
//! Decision: a circuit outlives another configuration as long as what it is of goes on, so that an output that is away is not
//! asked by everybody again because somebody has changed a filter.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::circuit::{Circuit, Reading, Way};
use crate::config::plan::Plan;
use crate::event::Text;

/// The circuits of a configuration, each by its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Circuits {
    functions: BTreeMap<Text, Circuit>,
    outputs: BTreeMap<Text, Circuit>,
}

/// The circuits that there are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CircuitsStatus {
    /// By function.
    pub functions: BTreeMap<Text, Reading>,
    /// By output.
    pub outputs: BTreeMap<Text, Reading>,
}

impl Circuits {
    /// Those of a plan.
    pub(super) fn of(plan: &Plan) -> Circuits {
        Circuits::default().after(plan, |_| true, |_| true)
    }

    /// Those of another plan; what goes on keeps its own, unless its function, or its output, `is_new`.
    pub(super) fn after(
        &self,
        plan: &Plan,
        is_new_function: impl Fn(&str) -> bool,
        is_new_output: impl Fn(&str) -> bool,
    ) -> Circuits {
        let goes_on = |known: &BTreeMap<Text, Circuit>, sort, name: &Text, settings, is_new: bool| match known.get(name)
        {
            Some(circuit) if !is_new => {
                circuit.renew(settings);
                circuit.clone()
            }
            _ => Circuit::new(format!("{sort} '{name}'").into(), settings),
        };
        let functions = plan.functions.iter().filter_map(|function| Some((&function.name, function.circuit?)));
        let outputs = plan.outputs.iter().filter_map(|output| Some((&output.name, output.circuit?)));
        let function =
            |(name, how)| (Text::clone(name), goes_on(&self.functions, "function", name, how, is_new_function(name)));
        let output =
            |(name, how)| (Text::clone(name), goes_on(&self.outputs, "output", name, how, is_new_output(name)));
        Circuits { functions: functions.map(function).collect(), outputs: outputs.map(output).collect() }
    }

    /// Those on the way to this function and then to these outputs.
    pub(super) fn way<'n>(&self, function: Option<&Text>, outputs: impl Iterator<Item = &'n Text>) -> Way {
        Way {
            function: function.and_then(|name| self.functions.get(name).cloned()),
            outputs: outputs.map(|name| self.outputs.get(name).cloned()).collect(),
        }
    }

    /// One reading of all.
    pub(super) fn status(&self) -> CircuitsStatus {
        let read = |circuits: &BTreeMap<Text, Circuit>| {
            circuits.iter().map(|(name, circuit)| (name.clone(), circuit.read())).collect()
        };
        CircuitsStatus { functions: read(&self.functions), outputs: read(&self.outputs) }
    }
}
