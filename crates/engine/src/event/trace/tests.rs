//! What a trace context is, and what becomes of it on an event.

use super::*;

const ORIGIN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const HOP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn event(attributes: &[(&str, &str)]) -> Event {
    let event = Event::new("e-1".into(), "/s".into(), "t".into()).unwrap();
    attributes.iter().fold(event, |event, (name, value)| event.with_extension(Name::new(name).unwrap(), *value))
}

fn trace<'t>(parent: &'t str, state: Option<&'t str>) -> Trace<'t> {
    Trace::read(parent, state).unwrap()
}

/// Names and values, in order.
type Owned = Vec<(String, String)>;

/// The attributes of an event, and the headers that it goes on with.
fn said(event: &Event) -> (Owned, Vec<(&str, &str)>) {
    let attribute = |(name, value): &(Name, Value)| (name.as_str().to_owned(), value.text().into_owned());
    (event.extensions().iter().map(attribute).collect(), event.trace().into_iter().flat_map(Trace::headers).collect())
}

fn owned(pairs: &[(&str, &str)]) -> Owned {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_parent_is_what_the_recommendation_says() {
    let future = format!("cc{}", &ORIGIN[2..]);
    let longer = [format!("{future}-what-the-future-will-be"), format!("{future}-")];
    for well in [ORIGIN, HOP, &ORIGIN.replace("-01", "-ff"), &future, &longer[0], &longer[1]] {
        assert!(Trace::read(well, None).is_some(), "{well}");
    }
    let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    let zero_parent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
    for malformed in [
        "",
        "00",
        &ORIGIN[..54],
        &ORIGIN.to_uppercase(),
        &ORIGIN.replace("0af", "0Af"),
        &ORIGIN.replace("0af", "0gf"),
        &ORIGIN.replace("-b7", "_b7"),
        &ORIGIN.replace("-01", "-0x"),
        &format!("ff{}", &ORIGIN[2..]),
        &format!("{ORIGIN}-what"),
        &format!("{ORIGIN} "),
        &format!(" {ORIGIN}"),
        &format!("{future}."),
        &format!("{future}-a b"),
        &format!("{future}-\u{e9}"),
        &zero_trace,
        &zero_parent,
        "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
    ] {
        assert_eq!(Trace::read(malformed, None), None, "{malformed}");
    }
}

#[test]
fn a_state_is_what_the_recommendation_says_and_a_malformed_one_is_left_out() {
    let members = |count: usize| (0..count).map(|n| format!("m{n}=x")).collect::<Vec<_>>().join(",");
    let value = "v".repeat(256);
    for well in [
        "rojo=00f067aa0ba902b7",
        "rojo=1,congo=t61rcWkgMzE",
        " rojo=1\t, ,congo= a b;c ",
        "fw529a3039@dt=FfAA,1a-2f@foo=bar2",
        "z*/_-9=!~",
        "foo=1,foo=2",
        &members(32),
        &format!("{}={value}", "k".repeat(256)),
        &format!("{}@{}=1", "t".repeat(241), "s".repeat(14)),
    ] {
        assert_eq!(trace(ORIGIN, Some(well)).state(), Some(well));
    }
    for malformed in [
        "",
        " , ",
        "rojo",
        "rojo=",
        "=1",
        "Rojo=1",
        "1a=2",
        "rojo =1",
        "foo@=1",
        "@foo=1",
        "foo@@bar=1",
        "foo@1bar=1",
        "foo@bar@baz=1",
        "foo=1=2",
        "foo=b\u{e9}",
        "foo=a\tb",
        "foo=1,bar",
        &members(33),
        &format!("{}=1", "k".repeat(257)),
        &format!("k={value}v"),
        &format!("{}@s=1", "t".repeat(242)),
        &format!("t@{}=1", "s".repeat(15)),
    ] {
        assert_eq!(trace(ORIGIN, Some(malformed)).state(), None, "{malformed}");
    }
}

#[test]
fn an_event_without_a_trace_takes_that_of_the_hop() {
    let mut bare = event(&[("tenant", "a")]);
    bare.carried_by(trace(HOP, Some("rojo=1")));
    let headers = [("traceparent", HOP), ("tracestate", "rojo=1")];
    let attributes = [&[("tenant", "a")][..], &headers].concat();
    assert_eq!(said(&bare), (owned(&attributes), headers.to_vec()));
    assert!(bare.0.hop.is_none(), "there is nothing to keep beside the attributes");
    let mut stateless = event(&[]);
    stateless.carried_by(trace(HOP, None));
    assert_eq!(said(&stateless), (owned(&headers[..1]), headers[..1].to_vec()));
}

#[test]
fn an_event_with_a_trace_keeps_it_and_goes_on_with_that_of_the_hop() {
    for own in [
        &[("traceparent", ORIGIN)][..],
        &[("traceparent", ORIGIN), ("tracestate", "congo=2")],
        &[("tracestate", "congo=2")],
        &[("traceparent", "nonsense")],
    ] {
        for state in [None, Some("rojo=1")] {
            let mut event = event(own);
            event.carried_by(trace(HOP, state));
            let headers = trace(HOP, state).headers().collect();
            assert_eq!(said(&event), (owned(own), headers));
        }
    }
}

#[test]
fn a_hop_that_says_what_the_event_says_is_not_kept() {
    let own = [("traceparent", ORIGIN), ("tracestate", "congo=2")];
    let mut event = event(&own);
    event.carried_by(trace(ORIGIN, Some("congo=2")));
    assert!(event.0.hop.is_none());
    assert_eq!(said(&event), (owned(&own), own.to_vec()));
    event.carried_by(trace(ORIGIN, None));
    assert_eq!(said(&event), (owned(&own), own[..1].to_vec()), "another state is another context");
}

#[test]
fn an_event_goes_on_with_its_own_trace_as_far_as_it_is_well_formed() {
    for (own, headers) in [
        (&[][..], &[][..]),
        (&[("traceparent", ORIGIN)], &[("traceparent", ORIGIN)]),
        (&[("traceparent", ORIGIN), ("tracestate", "no member")], &[("traceparent", ORIGIN)]),
        (&[("traceparent", "nonsense"), ("tracestate", "a=1")], &[]),
        (&[("tracestate", "a=1")], &[]),
    ] {
        assert_eq!(said(&event(own)), (owned(own), headers.to_vec()));
    }
    let odd = event(&[]).with_extension(Name::TRACEPARENT, Value::Integer(7));
    assert_eq!(odd.trace(), None);
}

#[test]
fn a_result_continues_the_trace_of_its_event_unless_it_has_one() {
    let [mut bare, mut own] = [event(&[]), event(&[("traceparent", ORIGIN), ("tracestate", "congo=2")])];
    let result = |of: &Event, attributes: &[(&str, &str)]| {
        let mut result = event(attributes);
        result.continue_trace(of);
        result
    };
    assert_eq!(said(&result(&bare, &[])), (vec![], vec![]));
    assert_eq!(said(&result(&own, &[])), said(&own));
    own.carried_by(trace(HOP, None));
    bare.carried_by(trace(HOP, None));
    let garbled = {
        let mut event = event(&[("traceparent", "nonsense")]);
        event.carried_by(trace(HOP, None));
        event
    };
    assert_eq!(said(&result(&bare, &[])), said(&bare));
    assert_eq!(said(&result(&own, &[])), said(&own));
    assert_eq!(said(&result(&garbled, &[])), said(&bare), "nonsense is not handed on");
    let other = [("traceparent", "00-11111111111111111111111111111111-2222222222222222-01")];
    assert_eq!(said(&result(&own, &other)), (owned(&other), other.to_vec()));
    let state = [("tracestate", "a=1")];
    assert_eq!(said(&result(&own, &state)), (owned(&state), vec![]));
    let mut same = own.clone();
    same.continue_trace(&own);
    assert!(Arc::ptr_eq(&same.0, &own.0));
}

#[test]
fn a_copy_that_is_given_another_trace_forgets_the_hop() {
    let mut copy = event(&[("traceparent", ORIGIN)]);
    copy.carried_by(trace(HOP, None));
    let kept = copy.clone().with_extension(Name::new("tenant").unwrap(), "a");
    assert_eq!(kept.trace(), Some(trace(HOP, None)));
    let next = "00-11111111111111111111111111111111-2222222222222222-01";
    copy = copy.with_extension(Name::TRACEPARENT, next);
    assert_eq!(copy.trace(), Some(trace(next, None)));
}
