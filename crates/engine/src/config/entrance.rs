//! From a source in a file to an output that publishes to where it receives from.

use super::node::{Entry, Node, Value};
use super::suggest::{instead, quoted};
use super::{Check, Loaded, Span};
use crate::registry::{OutputPlan, Registry, Sending};

/// An output that reaches a source.
pub struct Opening {
    /// The kind of both.
    pub kind: String,
    /// Where events go, for people, such as `topic 'v1/demo/veh-1/telemetry'`.
    pub place: String,
    /// The output.
    pub plan: Box<dyn OutputPlan>,
}

impl Loaded {
    /// The output that publishes to where the source `name` receives from, with the source's own keys for how to get there.
    /// Does no I/O, and resolves no secrets.
    ///
    /// # Errors
    /// A sentence that says what keeps anybody from sending there, and what to write instead.
    pub fn entrance(&self, name: &str, sending: &Sending<'_>, registry: &Registry) -> Result<Opening, String> {
        let sources = self.plan.iter().flat_map(|plan| &plan.sources);
        let names: Vec<_> = sources.clone().map(|source| source.name.as_str()).collect();
        let unknown = || format!("there is no source {}; {}", quoted(name), instead(name, "sources", names));
        let source = sources.clone().find(|source| source.name == name).ok_or_else(unknown)?;
        let entrance = source.plan.entrance(sending).map_err(|reason| format!("source {}: {reason}", quoted(name)))?;
        let kinds = registry.sources();
        let kind = self.sources.iter().find(|entry| entry.name() == name).and_then(|entry| {
            let mut entries = entry.value.entries()?.iter();
            entries.find(|inner| kinds.contains(&inner.name()))
        });
        let no_output = || format!("source {}: this binary has no output of its kind", quoted(name));
        let kind = kind.ok_or_else(no_output)?;
        let output = registry.output(kind.name()).ok_or_else(no_output)?;

        let written = kind.value.entries().unwrap_or_default().iter();
        let shared = written.filter(|entry| entrance.shared.contains(&entry.name())).cloned();
        let own = (0..).zip(&entrance.own).map(|(number, (key, value))| Entry {
            key: scalar(number, key, false),
            value: match value {
                serde_json::Value::String(text) => scalar(number, text, false),
                other => scalar(number, &other.to_string(), true),
            },
        });
        let options = Node { id: kind.value.id, span: kind.value.span, value: Value::Map(shared.chain(own).collect()) };
        let mut check = Check::default();
        match output.plan(&options, &kind.key, &mut check) {
            Some(plan) => Ok(Opening { kind: kind.name().to_owned(), place: entrance.place, plan }),
            None => {
                let said = check.finish().into_iter().map(|found| match found.help {
                    Some(help) => format!("{}; {help}", found.message),
                    None => found.message,
                });
                Err(format!("source {}: {}", quoted(name), said.collect::<Vec<_>>().join("; ")))
            }
        }
    }
}

/// A scalar that stands in no file.
fn scalar(number: u32, text: &str, plain: bool) -> Node {
    Node { id: u32::MAX - number, span: Span::default(), value: Value::Scalar { text: text.to_owned(), plain } }
}
