//! Trace context: where an event's way began, and the hop that carries it now (W3C Trace Context, level 1).
//!
//! CloudEvents keeps two contexts apart. The extension attributes `traceparent` and `tracestate` say where the way of an
//! event began, and nobody on that way changes them. A protocol's own headers of these names belong to one hop, and whoever
//! sends the next message writes them anew.
//!
//! Decided here:
//!
//! * an event that has neither attribute takes the context of the hop that brought it, which is the first one known;
//! * one that has them keeps them, and a hop whose context differs is kept beside the attributes, because it is none;
//! * the engine has no tracer of its own, so it passes on the context that it was given instead of dropping it: the hop's,
//!   else the event's ([`Event::trace`]);
//! * a result that says nothing of its own continues the trace of the event it was made of;
//! * what is malformed is as good as absent, and never makes a message unreadable.

use std::sync::Arc;

use super::{Event, Name, Text, Value};

/// The longest `tracestate`, in members.
const MEMBERS: usize = 32;
/// The length of a `traceparent` of version 00, and of what later versions begin with.
const PARENT: usize = 55;

/// A trace context that is well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace<'t> {
    parent: &'t str,
    state: Option<&'t str>,
}

/// The context of a hop, where it is not the event's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    parent: Text,
    state: Option<Text>,
}

impl<'t> Trace<'t> {
    /// The name of the header, and of the attribute, that says the trace and the caller's place in it.
    pub const PARENT: &'static str = "traceparent";
    /// The name of the header, and of the attribute, that says what tracing systems add to it.
    pub const STATE: &'static str = "tracestate";

    /// The context that these texts are. Without a well-formed parent there is none; a malformed state is left out.
    ///
    /// ```
    /// use engine::event::Trace;
    ///
    /// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let trace = Trace::read(parent, Some("rojo=1, no member")).unwrap();
    /// assert_eq!((trace.parent(), trace.state()), (parent, None));
    /// assert_eq!(Trace::read(&parent.to_uppercase(), None), None);
    /// ```
    #[must_use]
    pub fn read(parent: &'t str, state: Option<&'t str>) -> Option<Trace<'t>> {
        is_parent(parent.as_bytes()).then(|| Trace { parent, state: state.filter(|state| is_state(state)) })
    }

    /// The value of `traceparent`.
    #[must_use]
    pub fn parent(self) -> &'t str {
        self.parent
    }

    /// The value of `tracestate`.
    #[must_use]
    pub fn state(self) -> Option<&'t str> {
        self.state
    }

    /// The headers that carry it, names and values.
    pub fn headers(self) -> impl Iterator<Item = (&'static str, &'t str)> {
        [(Self::PARENT, Some(self.parent)), (Self::STATE, self.state)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Hop {
    pub(super) fn new(trace: Trace<'_>) -> Hop {
        Hop { parent: Text::new(trace.parent), state: trace.state.map(Text::new) }
    }

    pub(super) fn trace(&self) -> Trace<'_> {
        Trace { parent: &self.parent, state: self.state.as_deref() }
    }
}

impl Event {
    /// The context that goes on with the event in the headers of a protocol: that of the hop which brought it, else the
    /// event's own.
    #[must_use]
    pub fn trace(&self) -> Option<Trace<'_>> {
        match &self.0.hop {
            Some(hop) => Some(hop.trace()),
            None => self.origin(),
        }
    }

    /// What the attributes say, as far as it is well formed.
    fn origin(&self) -> Option<Trace<'_>> {
        let text = |name| match self.extension(name)? {
            Value::String(text) => Some(text.as_str()),
            Value::Boolean(_) | Value::Integer(_) => None,
        };
        Trace::read(text(Trace::PARENT)?, text(Trace::STATE))
    }

    /// Whether an attribute says something of a trace, however malformed.
    fn is_traced(&self) -> bool {
        self.extensions().iter().any(|(name, _)| matches!(name.as_str(), Trace::PARENT | Trace::STATE))
    }

    /// Notes the context of the hop that brought the event, after its attributes have been set. An event without one of its
    /// own takes it as its attributes; the attributes of any other stay as they are.
    pub fn carried_by(&mut self, hop: Trace<'_>) {
        if !self.is_traced() {
            let mut edit = self.edit();
            edit.absent_extension(Name::TRACEPARENT, Text::new(hop.parent));
            if let Some(state) = hop.state {
                edit.absent_extension(Name::TRACESTATE, Text::new(state));
            }
        } else if self.trace() != Some(hop) {
            self.parts().hop = Some(Arc::new(Hop::new(hop)));
        }
    }

    /// Continues the trace of the event that this one was made of, unless it says something of its own.
    #[inline]
    pub fn continue_trace(&mut self, of: &Event) {
        // What a function gave back as it was needs nothing.
        if !Arc::ptr_eq(&self.0, &of.0) {
            self.take_trace(of);
        }
    }

    fn take_trace(&mut self, of: &Event) {
        if of.0.hop.is_none() && !of.is_traced() {
            return;
        }
        if self.0.hop.is_some() || self.is_traced() {
            return;
        }
        if let Some(origin) = of.origin() {
            self.carried_by(origin);
        }
        if let Some(hop) = &of.0.hop {
            self.carried_by(hop.trace());
        }
    }
}

/// Version, trace, parent and flags in lower-case hexadecimal. Later versions may add to it, behind one more dash.
fn is_parent(text: &[u8]) -> bool {
    let Some((known, more)) = text.split_at_checked(PARENT) else { return false };
    let hexadecimal = |part: &[u8]| part.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let (version, trace, parent, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    let ids = [trace, parent];
    [2, 35, 52].iter().all(|at| known[*at] == b'-')
        && [version, flags].into_iter().chain(ids).all(hexadecimal)
        && ids.iter().all(|id| id.iter().any(|digit| *digit != b'0'))
        && version != b"ff"
        && (more.is_empty() || (version != b"00" && more[0] == b'-' && more.iter().all(u8::is_ascii_graphic)))
}

/// Members `key=value` with commas between them; empty ones count for nothing.
fn is_state(text: &str) -> bool {
    let members = || text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty());
    (1..=MEMBERS).contains(&members().count()) && members().all(is_member)
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    is_key(key)
        && (1..=256).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

/// A system's name, or a tenant's at a system.
fn is_key(key: &str) -> bool {
    let name = |part: &str, digit_first: bool, longest: usize| {
        let first = |byte: u8| byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit());
        let rest = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        part.bytes().next().is_some_and(first) && part.len() <= longest && part.bytes().all(rest)
    };
    match key.split_once('@') {
        None => name(key, false, 256),
        Some((tenant, system)) => name(tenant, true, 241) && name(system, false, 14),
    }
}

#[cfg(test)]
mod tests;
