//! Native functions by name: the function kind `native`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use engine::config::{Check, Spanned};
use engine::event::Text;
use engine::port::Function;
use engine::registry::{FunctionKind, FunctionPlan, OpenError, Setup};

/// What a name stands for. It is opened once for each function of a configuration that is given the name.
///
/// [`stateless()`](super::stateless()) and [`stateful()`](super::stateful()) make one, and so is any closure from [`Setup`] to a
/// [`Function`] or an [`OpenError`].
pub trait Entry: Send + Sync + 'static {
    /// Makes the function; its workers are started later.
    ///
    /// # Errors
    /// [`OpenError`] when something on this machine is missing.
    fn open(&self, setup: Setup) -> Result<Box<dyn Function>, OpenError>;
}

impl<C, F> Entry for C
where
    C: Fn(Setup) -> Result<F, OpenError> + Send + Sync + 'static,
    F: Function + 'static,
{
    fn open(&self, setup: Setup) -> Result<Box<dyn Function>, OpenError> {
        Ok(Box::new(self(setup)?))
    }
}

/// The native functions of a binary.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<Text, Arc<dyn Entry>>);

impl Registry {
    /// The registry with this function too. A name that is taken is given to the new function, so that a binary can put
    /// its own in the place of a built-in one.
    #[must_use]
    pub fn with(mut self, name: impl Into<Text>, function: impl Entry) -> Registry {
        self.0.insert(name.into(), Arc::new(function));
        self
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(Text::as_str)
    }

    /// What to write instead of a name that is unknown.
    fn instead(&self, name: &str) -> String {
        let known: Vec<&str> = self.names().collect();
        if known.is_empty() {
            return "this binary has no native functions; register one in its main".into();
        }
        let list = format!("this binary has: {}", known.join(", "));
        // A third of the letters may be wrong, whatever their case; more of them than a name has are not compared.
        let name: String = name.chars().take(64).flat_map(char::to_lowercase).collect();
        let slips = |known: &str| strsim::damerau_levenshtein(&known.to_lowercase(), &name);
        match known.iter().min_by_key(|known| slips(known)) {
            Some(near) if slips(near) * 3 <= near.chars().count() => format!("did you mean '{near}'? {list}"),
            _ => list,
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FunctionKind for Registry {
    type Options = Spanned<String>;
    const NAME: &'static str = "native";

    fn check(&self, name: Spanned<String>, check: &mut Check) -> Option<Box<dyn FunctionPlan>> {
        let Some(entry) = self.0.get(name.as_str()) else {
            let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            check.error(name.span, format!("there is no native function '{shown}'"), self.instead(&name));
            return None;
        };
        Some(Box::new(Plan(Arc::clone(entry))))
    }
}

/// A name that was found.
struct Plan(Arc<dyn Entry>);

impl FunctionPlan for Plan {
    fn open(&self, setup: Setup) -> Result<Box<dyn Function>, OpenError> {
        self.0.open(setup)
    }
}
