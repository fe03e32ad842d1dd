//! A binary before it runs: which kinds, native functions and commands it knows.
//!
//! Decision: a binary is a value that its `main` puts together, not a set of modules that register themselves. What a
//! configuration can name is what `main` says.

use std::process::ExitCode;

use engine::event::Text;
use engine::registry::{FunctionKind, OutputKind, Registry, Setup, SourceKind};
use functions::native::{self, Entry};

use crate::builtin;
use crate::cli::{self, Extra};
use crate::vehicle::TelemetryToMetrics;

/// A binary before it runs.
pub struct Tidemill {
    kinds: Registry,
    natives: native::Registry,
    extras: Vec<Extra>,
}

impl Tidemill {
    /// A binary that knows nothing yet.
    #[must_use]
    pub fn empty() -> Tidemill {
        Tidemill { kinds: Registry::default(), natives: native::Registry::default(), extras: Vec::new() }
    }

    /// The binary with everything that Tidemill brings, as its own `main` has it.
    #[must_use]
    pub fn builtin() -> Tidemill {
        let telemetry = |setup: Setup| Ok(TelemetryToMetrics::new(setup.clock));
        builtin::kinds(Tidemill::empty()).native(TelemetryToMetrics::NAME, telemetry)
    }

    /// The binary with a native function, named as `functions: { x: { native: NAME } }` names it. See
    /// [`functions::native`] for the ways to write one. A name that is taken is given to the new function.
    #[must_use]
    pub fn native(mut self, name: impl Into<Text>, function: impl Entry) -> Tidemill {
        self.natives = self.natives.with(name, function);
        self
    }

    /// The binary with a kind of source.
    #[must_use]
    pub fn source(mut self, kind: impl SourceKind) -> Tidemill {
        self.kinds = self.kinds.with_source(kind);
        self
    }

    /// The binary with a function runtime besides the native one.
    #[must_use]
    pub fn runtime(mut self, kind: impl FunctionKind) -> Tidemill {
        self.kinds = self.kinds.with_function(kind);
        self
    }

    /// The binary with a kind of output.
    #[must_use]
    pub fn output(mut self, kind: impl OutputKind) -> Tidemill {
        self.kinds = self.kinds.with_output(kind);
        self
    }

    /// The binary with one more command.
    #[must_use]
    pub fn command(mut self, extra: Extra) -> Tidemill {
        self.extras.push(extra);
        self
    }

    /// What a configuration can name.
    #[must_use]
    pub fn into_registry(self) -> Registry {
        self.kinds.with_function(self.natives)
    }

    /// Reads the command line and does what it says. This is a whole `main`.
    #[must_use]
    pub fn main(mut self) -> ExitCode {
        builtin::install_tls();
        let extras = std::mem::take(&mut self.extras);
        cli::main(std::env::args_os(), &self.into_registry(), &extras)
    }
}
