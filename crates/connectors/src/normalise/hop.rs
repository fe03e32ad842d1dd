//! The trace context in a message's own headers, picked out while they are read.
//!
//! Every protocol gives the headers their plain names, without the prefix that attributes have, and its own page says
//! where they stand. Names are compared in any case, because HTTP's have none. Two parents that differ say nothing for
//! certain, and so nothing; several states are one list, as HTTP has it. What becomes of the context is decided in
//! [`Event::carried_by`](engine::event::Event::carried_by).

use std::borrow::Cow;
use std::str::from_utf8;

use engine::event::Trace;

/// What the headers of one message say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop<'m> {
    parent: Parent<'m>,
    state: Option<Cow<'m, [u8]>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Parent<'m> {
    #[default]
    Absent,
    Said(&'m [u8]),
    Contradicted,
}

impl<'m> Hop<'m> {
    /// Looks at one header.
    pub fn note(&mut self, name: &[u8], value: &'m [u8]) {
        if name.eq_ignore_ascii_case(Trace::PARENT.as_bytes()) {
            self.parent = match self.parent {
                Parent::Absent => Parent::Said(value),
                Parent::Said(before) if before == value => Parent::Said(value),
                Parent::Said(_) | Parent::Contradicted => Parent::Contradicted,
            };
        } else if name.eq_ignore_ascii_case(Trace::STATE.as_bytes()) {
            self.state = Some(match self.state.take() {
                None => Cow::Borrowed(value),
                // Whatever number of them somebody sends, each is copied a few times at most.
                Some(before) => {
                    let mut all = before.into_owned();
                    all.push(b',');
                    all.extend_from_slice(value);
                    Cow::Owned(all)
                }
            });
        }
    }

    /// The context, if it is one.
    #[must_use]
    pub fn trace(&self) -> Option<Trace<'_>> {
        let Parent::Said(parent) = self.parent else { return None };
        let state = self.state.as_deref().and_then(|state| from_utf8(state).ok());
        Trace::read(from_utf8(parent.trim_ascii()).ok()?, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn check(headers: &[(&str, &[u8])], expected: Option<(&str, Option<&str>)>) {
        let mut hop = Hop::default();
        headers.iter().for_each(|(name, value)| hop.note(name.as_bytes(), value));
        assert_eq!(hop.trace().map(|trace| (trace.parent(), trace.state())), expected, "{headers:?}");
    }

    #[test]
    fn the_context_is_picked_out_of_the_headers() {
        let (one, other) = (ONE.as_bytes(), OTHER.as_bytes());
        check(&[("Traceparent", one), ("x-other", b"1"), ("TRACESTATE", b"a=1")], Some((ONE, Some("a=1"))));
        check(&[("traceparent", format!(" {ONE}\t").as_bytes())], Some((ONE, None)));
        check(&[("tracestate", b"a=1"), ("traceparent", one), ("tracestate", b"b=2")], Some((ONE, Some("a=1,b=2"))));
        check(&[("traceparent", one), ("traceparent", one)], Some((ONE, None)));
        check(&[("traceparent", one), ("traceparent", other)], None);
        check(&[("traceparent", one), ("traceparent", other), ("traceparent", one)], None);
        check(&[("traceparent", one), ("tracestate", b"\xff")], Some((ONE, None)));
        check(&[("traceparent", one), ("tracestate", b"a=1"), ("tracestate", b"nonsense")], Some((ONE, None)));
        check(&[("tracestate", b"a=1")], None);
        check(&[("traceparent", b"\xff")], None);
        check(&[("traceparent", b"nonsense"), ("tracestate", b"a=1")], None);
        check(&[("ce-traceparent", one), ("ce_traceparent", one), ("trace-parent", one)], None);
        check(&[], None);
    }
}
