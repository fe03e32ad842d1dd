//! Topics of MQTT: how filters are written, and how a share of them is asked for.

use engine::event::Text;

use super::text::LONGEST;
use crate::capture::{Filter, Filters, Flaw, Syntax};

/// How MQTT writes topics.
pub(super) static TOPICS: Syntax = Syntax {
    whole: "topic",
    filter: "topic filter",
    part: "level",
    separator: '/',
    one: '+',
    rest: '#',
    // `sport/#` matches `sport` too.
    rest_of_none: true,
    empty_parts: true,
    spaces: true,
    // Wildcards at the first level do not reach the broker's own topics.
    reserved: Some('$'),
    longest: LONGEST,
    example: "v1/{fleet}/{vehicle}/telemetry",
};

/// Reads a topic filter.
///
/// # Errors
/// The first [`Flaw`].
pub(super) fn parse(text: &str) -> Result<Filter, Flaw> {
    if text.starts_with("$share/") {
        let help = "write the group under shareGroup: and only the filter here".to_owned();
        return Err(Flaw { at: 0, len: "$share".len(), message: "the topic filter names a share".into(), help });
    }
    Filter::parse(&TOPICS, text)
}

/// Every filter as the broker is asked for it, with its share.
pub(super) fn wire(filters: &Filters, share: Option<&str>) -> Vec<Text> {
    match share {
        Some(group) => filters.wire().map(|filter| format!("$share/{group}/{filter}").into()).collect(),
        None => filters.wire().map(Text::new).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_apart() {
        let flaw = parse("$share/g/a").unwrap_err();
        assert_eq!((flaw.at, flaw.len), (0, 6));
        let filters = Filters::new(vec![parse("v1/{fleet}/telemetry").unwrap(), parse("v2/{vehicle}/#").unwrap()]);
        assert_eq!(wire(&filters, Some("g")), ["$share/g/v1/+/telemetry", "$share/g/v2/+/#"]);
        assert_eq!(wire(&filters, None), ["v1/+/telemetry", "v2/+/#"]);
    }
}
