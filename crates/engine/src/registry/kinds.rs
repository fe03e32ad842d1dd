//! The list of kinds, with their types erased: reading options, checking them and describing them is all that is left.

use std::fmt;

use schemars::{Schema, SchemaGenerator};

use super::{FunctionKind, FunctionPlan, OutputKind, OutputPlan, SourceCommon, SourceKind, SourcePlan};
use crate::config::{Check, Node, decode};

/// The kinds that a binary knows. Two of a sort with one name are a mistake of the binary; the first counts.
///
/// ```text
/// Registry::default().with_source(Mqtt).with_function(native).with_output(Prometheus).with_output(Log)
/// ```
#[derive(Default)]
pub struct Registry {
    sources: Vec<Box<dyn AnySource>>,
    functions: Vec<Box<dyn AnyFunction>>,
    outputs: Vec<Box<dyn AnyOutput>>,
}

impl Registry {
    /// The registry with this kind of source.
    #[must_use]
    pub fn with_source(mut self, kind: impl SourceKind) -> Registry {
        self.sources.push(Box::new(kind));
        self
    }

    /// The registry with this function runtime.
    #[must_use]
    pub fn with_function(mut self, kind: impl FunctionKind) -> Registry {
        self.functions.push(Box::new(kind));
        self
    }

    /// The registry with this kind of output.
    #[must_use]
    pub fn with_output(mut self, kind: impl OutputKind) -> Registry {
        self.outputs.push(Box::new(kind));
        self
    }

    /// The names of the kinds of sources, in order of registration.
    #[must_use]
    pub fn sources(&self) -> Vec<&'static str> {
        self.sources.iter().map(|kind| kind.name()).collect()
    }

    /// The names of the function runtimes.
    #[must_use]
    pub fn functions(&self) -> Vec<&'static str> {
        self.functions.iter().map(|kind| kind.name()).collect()
    }

    /// The names of the kinds of outputs.
    #[must_use]
    pub fn outputs(&self) -> Vec<&'static str> {
        self.outputs.iter().map(|kind| kind.name()).collect()
    }

    pub(crate) fn source(&self, name: &str) -> Option<&dyn AnySource> {
        self.sources.iter().find(|kind| kind.name() == name).map(Box::as_ref)
    }

    pub(crate) fn function(&self, name: &str) -> Option<&dyn AnyFunction> {
        self.functions.iter().find(|kind| kind.name() == name).map(Box::as_ref)
    }

    pub(crate) fn output(&self, name: &str) -> Option<&dyn AnyOutput> {
        self.outputs.iter().find(|kind| kind.name() == name).map(Box::as_ref)
    }

    /// Name and schema of every kind of source.
    pub(crate) fn source_schemas(&self, generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        self.sources.iter().map(|kind| (kind.name(), kind.schema(generator))).collect()
    }

    /// Name and schema of every function runtime.
    pub(crate) fn function_schemas(&self, generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        self.functions.iter().map(|kind| (kind.name(), kind.schema(generator))).collect()
    }

    /// Name and schema of every kind of output.
    pub(crate) fn output_schemas(&self, generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        self.outputs.iter().map(|kind| (kind.name(), kind.schema(generator))).collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("sources", &self.sources())
            .field("functions", &self.functions())
            .field("outputs", &self.outputs())
            .finish()
    }
}

pub(crate) trait AnySource: Send + Sync {
    fn name(&self) -> &'static str;
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;
    /// Reads and checks the options that stand under `key`.
    fn plan(&self, options: &Node, key: &Node, common: &SourceCommon, check: &mut Check)
    -> Option<Box<dyn SourcePlan>>;
}

pub(crate) trait AnyFunction: Send + Sync {
    fn name(&self) -> &'static str;
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;
    fn plan(&self, options: &Node, key: &Node, check: &mut Check) -> Option<Box<dyn FunctionPlan>>;
}

pub(crate) trait AnyOutput: Send + Sync {
    fn name(&self) -> &'static str;
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;
    fn plan(&self, options: &Node, key: &Node, check: &mut Check) -> Option<Box<dyn OutputPlan>>;
}

impl<K: SourceKind> AnySource for K {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<K::Options>()
    }
    fn plan(
        &self,
        options: &Node,
        key: &Node,
        common: &SourceCommon,
        check: &mut Check,
    ) -> Option<Box<dyn SourcePlan>> {
        let options = decode(options, key, check)?;
        self.check(options, common, check)
    }
}

impl<K: FunctionKind> AnyFunction for K {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<K::Options>()
    }
    fn plan(&self, options: &Node, key: &Node, check: &mut Check) -> Option<Box<dyn FunctionPlan>> {
        let options = decode(options, key, check)?;
        self.check(options, check)
    }
}

impl<K: OutputKind> AnyOutput for K {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<K::Options>()
    }
    fn plan(&self, options: &Node, key: &Node, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        let options = decode(options, key, check)?;
        self.check(options, check)
    }
}
