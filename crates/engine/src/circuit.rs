//! A circuit breaker: after so many failures in a row nothing is sent to a function or an output for a while, and then a few
//! deliveries try whether it works again.
//!
//! Decisions: **one object for all rules that use the same thing**, whichever threads they are on. A delivery that goes through
//! a closed circuit costs a look at one flag; the lock is for failures, and for what waits. **Waiting is no attempt**: a circuit
//! says whether a delivery may begin, and where it waits until then is its rule's business. **What began before the circuit
//! opened counts no more**, so that a late success does not close it; only a probe decides, and one that ends without a word
//! about the far side (a reject, an event that was taken back) lets another one begin.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::event::Text;

/// When a circuit opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Failures in a row that open it, at least 1.
    pub consecutive_failures: u32,
    /// How long nothing begins then.
    pub open_for: Duration,
    /// Deliveries that may try at once whether it works again, at least 1.
    pub probes: u32,
}

impl Default for Settings {
    /// Five failures, half a minute, one probe.
    fn default() -> Settings {
        Settings { consecutive_failures: 5, open_for: Duration::from_secs(30), probes: 1 }
    }
}

/// What a circuit lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Everything.
    #[default]
    Closed,
    /// A few deliveries, which try whether it works again.
    HalfOpen,
    /// Nothing.
    Open,
}

/// One reading of a circuit.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// What it lets through.
    pub state: State,
    /// Failures since the last success, while it is closed.
    pub consecutive_failures: u32,
    /// How often it has opened since the start.
    pub opened: u64,
    /// In how long it lets something through again, while it is open.
    pub reopens_in_seconds: Option<f64>,
    /// What was said last when it opened.
    pub last_error: Option<String>,
}

/// The circuit of one function or one output.
#[derive(Clone)]
pub struct Circuit(Arc<Shared>);

struct Shared {
    /// Of what, for people: `output 'alerts'`.
    name: Text,
    /// Whether it is closed: what every delivery looks at.
    closed: AtomicBool,
    failures: AtomicU32,
    inner: Mutex<Inner>,
}

struct Inner {
    settings: Settings,
    phase: Phase,
    /// How often it was half open, so that a probe of an earlier time decides nothing.
    round: u64,
    opened: u64,
    error: Option<String>,
    listeners: Vec<Weak<Listener>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    /// So many probes are out.
    HalfOpen {
        out: u32,
    },
}

/// Who is told when more may begin than before, or less. Called under a lock: it may not wait.
pub(crate) type Listener = dyn Fn() + Send + Sync;

/// Nothing may begin for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shut;

/// The right to try whether it works again. Dropping it lets another one try.
pub(crate) struct Permit {
    circuit: Circuit,
    round: u64,
}

impl Circuit {
    /// A closed circuit of what people call so: `output 'alerts'`.
    #[must_use]
    pub fn new(name: Text, settings: Settings) -> Circuit {
        let (phase, listeners) = (Phase::Closed, Vec::new());
        let inner = Inner { settings, phase, round: 0, opened: 0, error: None, listeners };
        let (closed, failures) = (AtomicBool::new(true), AtomicU32::new(0));
        Circuit(Arc::new(Shared { name, closed, failures, inner: Mutex::new(inner) }))
    }

    /// Of what it is, for people.
    #[must_use]
    pub fn name(&self) -> &Text {
        &self.0.name
    }

    /// Goes on under other settings. One that is open stays so until its time.
    pub fn renew(&self, settings: Settings) {
        self.0.inner.lock().settings = settings;
    }

    /// Tells somebody of every change, for as long as there is somebody.
    pub(crate) fn tell(&self, listener: &Arc<Listener>) {
        let listeners = &mut self.0.inner.lock().listeners;
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }

    /// Whether everything may begin.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Whether one more may begin now.
    pub(crate) fn has_room(&self) -> bool {
        if self.is_closed() {
            return true;
        }
        let inner = self.0.inner.lock();
        match inner.phase {
            Phase::Closed => true,
            Phase::Open { until } => until <= Instant::now(),
            Phase::HalfOpen { out } => out < inner.settings.probes,
        }
    }

    /// How many there may be under way, as far as this bounds it.
    pub(crate) fn bound(&self) -> Option<u32> {
        if self.is_closed() {
            return None;
        }
        let inner = self.0.inner.lock();
        match inner.phase {
            Phase::Closed => None,
            Phase::Open { until } if until > Instant::now() => Some(0),
            Phase::Open { .. } | Phase::HalfOpen { .. } => Some(inner.settings.probes),
        }
    }

    /// When it lets something through again, while that is to come.
    pub(crate) fn reopens(&self) -> Option<Instant> {
        if self.is_closed() {
            return None;
        }
        match self.0.inner.lock().phase {
            Phase::Open { until } => Some(until).filter(|until| *until > Instant::now()),
            Phase::Closed | Phase::HalfOpen { .. } => None,
        }
    }

    /// Lets one delivery begin: with a permit if it is to try whether it works again.
    ///
    /// # Errors
    /// [`Shut`] if it may not.
    pub(crate) fn admit(&self) -> Result<Option<Permit>, Shut> {
        if self.is_closed() {
            return Ok(None);
        }
        let mut inner = self.0.inner.lock();
        match inner.phase {
            Phase::Closed => return Ok(None),
            Phase::Open { until } if until > Instant::now() => return Err(Shut),
            Phase::Open { .. } => {
                inner.round += 1;
                inner.phase = Phase::HalfOpen { out: 1 };
                tracing::info!("the circuit of {} is half open: a delivery tries it", self.0.name);
            }
            Phase::HalfOpen { out } if out < inner.settings.probes => inner.phase = Phase::HalfOpen { out: out + 1 },
            Phase::HalfOpen { .. } => return Err(Shut),
        }
        Ok(Some(Permit { circuit: self.clone(), round: inner.round }))
    }

    /// It has worked, for a delivery that may have had a permit.
    pub(crate) fn succeeded(&self, permit: Option<Permit>) {
        if self.is_closed() {
            if self.0.failures.load(Ordering::Relaxed) > 0 {
                self.0.failures.store(0, Ordering::Relaxed);
            }
            return;
        }
        let Some(permit) = permit else { return };
        let mut inner = self.0.inner.lock();
        if inner.is_probed_by(&permit) {
            inner.phase = Phase::Closed;
            self.0.failures.store(0, Ordering::Relaxed);
            self.0.closed.store(true, Ordering::Relaxed);
            tracing::info!("the circuit of {} is closed again", self.0.name);
            inner.changed();
        }
        // A permit takes the lock when it is dropped.
        drop(inner);
    }

    /// It has failed, for a delivery that may have had a permit.
    pub(crate) fn failed(&self, permit: Option<&Permit>, error: &str) {
        let mut inner = self.0.inner.lock();
        let opens = match inner.phase {
            Phase::Closed => {
                let failures = self.0.failures.load(Ordering::Relaxed).saturating_add(1);
                self.0.failures.store(failures, Ordering::Relaxed);
                failures >= inner.settings.consecutive_failures
            }
            Phase::HalfOpen { .. } => permit.is_some_and(|permit| inner.is_probed_by(permit)),
            Phase::Open { .. } => false,
        };
        if opens {
            let (name, open_for) = (&self.0.name, inner.settings.open_for);
            inner.phase = Phase::Open { until: Instant::now() + open_for };
            inner.opened += 1;
            inner.error = Some(error.to_owned());
            self.0.closed.store(false, Ordering::Relaxed);
            tracing::warn!("the circuit of {name} is open for {}: {error}", crate::config::Period(open_for));
            inner.changed();
        }
        drop(inner);
    }

    /// One reading; never waits for long.
    #[must_use]
    pub fn read(&self) -> Reading {
        let inner = self.0.inner.lock();
        let failures = self.0.failures.load(Ordering::Relaxed);
        let (state, consecutive_failures, reopens) = match inner.phase {
            Phase::Closed => (State::Closed, failures, None),
            Phase::HalfOpen { .. } => (State::HalfOpen, 0, None),
            Phase::Open { until } => (State::Open, 0, Some(until.saturating_duration_since(Instant::now()))),
        };
        Reading {
            state,
            consecutive_failures,
            opened: inner.opened,
            reopens_in_seconds: reopens.map(|left| left.as_secs_f64()),
            last_error: inner.error.clone(),
        }
    }
}

impl Inner {
    fn is_probed_by(&self, permit: &Permit) -> bool {
        matches!(self.phase, Phase::HalfOpen { .. }) && permit.round == self.round
    }

    fn changed(&self) {
        self.listeners.iter().filter_map(Weak::upgrade).for_each(|listener| listener());
    }
}

impl Permit {
    /// Whether it is one of this circuit.
    pub(crate) fn is_of(&self, circuit: &Circuit) -> bool {
        Arc::ptr_eq(&self.circuit.0, &circuit.0)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inner = self.circuit.0.inner.lock();
        if let Phase::HalfOpen { out } = inner.phase
            && inner.round == self.round
        {
            inner.phase = Phase::HalfOpen { out: out.saturating_sub(1) };
            inner.changed();
        }
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Circuit").field(&self.0.name).field(&self.read()).finish()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.round).finish()
    }
}

/// The circuits on the way of a rule's deliveries: of its function, and of its outputs by their places.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// The function's.
    pub function: Option<Circuit>,
    /// The outputs', each where the output stands in the rule's list.
    pub outputs: Vec<Option<Circuit>>,
}

impl Way {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Every one of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Circuit> {
        self.function.iter().chain(self.outputs.iter().flatten())
    }

    /// The circuit of an output, by its place.
    pub(crate) fn output(&self, place: usize) -> Option<&Circuit> {
        self.outputs.get(place)?.as_ref()
    }
}
