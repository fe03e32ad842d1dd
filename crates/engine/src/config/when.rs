//! `when:`, the six filter dialects as they are written.
//!
//! Several dialects in one map must all hold.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::decode::Whole;
use super::suggest::{instead, nearest, quoted};
use super::{Check, Span, Spanned};
use crate::event::Attribute;
use crate::filter::Filter;

type Texts = BTreeMap<Spanned<String>, Spanned<String>>;

/// Which events pass. Several keys in one map must all hold; an empty map lets everything pass.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WhenEntry {
    /// Attributes that equal these texts.
    pub(super) exact: Option<Spanned<Texts>>,
    /// Attributes that begin with these texts.
    pub(super) prefix: Option<Spanned<Texts>>,
    /// Attributes that end with these texts.
    pub(super) suffix: Option<Spanned<Texts>>,
    /// Filters that all pass.
    pub(super) all: Option<Spanned<Vec<Spanned<WhenEntry>>>>,
    /// Filters of which at least one passes.
    pub(super) any: Option<Spanned<Vec<Spanned<WhenEntry>>>>,
    /// A filter that does not pass.
    pub(super) not: Option<Spanned<Box<WhenEntry>>>,
}

/// How much one filter may compare, so that an event is judged in bounded time.
const COMPARISONS_MAX: usize = 1000;

/// The attributes that an event without extensions has.
const CORE: [&str; 8] = ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "specversion"];

impl WhenEntry {
    /// The filter that this means; `None` when everything passes or something is wrong, which is noted.
    /// Where something was left out because it was wrong, nobody is told that it is missing.
    pub(super) fn filter(&self, whole: Whole, check: &mut Check) -> Option<Filter> {
        let mut parts = Vec::new();
        for (name, texts, make) in [
            ("exact", &self.exact, Filter::exact::<String> as fn(Vec<(Attribute, String)>) -> _),
            ("prefix", &self.prefix, Filter::prefix::<String>),
            ("suffix", &self.suffix, Filter::suffix::<String>),
        ] {
            if let Some(texts) = texts {
                parts.extend(conditions(name, texts, check).and_then(|pairs| made(make(pairs), texts.span, check)));
            }
        }
        if let Some(filters) = &self.all {
            parts.extend(
                several("all", filters, whole, check).and_then(|all| made(Filter::all(all), filters.span, check)),
            );
        }
        if let Some(filters) = &self.any {
            parts.extend(
                several("any", filters, whole, check).and_then(|any| made(Filter::any(any), filters.span, check)),
            );
        }
        if let Some(filter) = &self.not {
            match filter.filter(whole, check) {
                Some(inner) => parts.extend(made(Filter::not(inner), filter.span, check)),
                None if filter.empty() && whole == Whole::Yes => {
                    check.error(filter.span, "'not' holds no filter", "write what must not match");
                }
                None => {}
            }
        }
        match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ => Filter::all(parts).ok(),
        }
    }

    /// Whether the filter is of a size that makes sense; a larger one is noted.
    pub(super) fn fits(&self, span: Span, check: &mut Check) -> bool {
        let fits = self.comparisons() <= COMPARISONS_MAX;
        if !fits {
            let message = format!("a filter of more than {COMPARISONS_MAX} comparisons");
            check.error(span, message, "compare with a common prefix, or let the function decide");
        }
        fits
    }

    fn comparisons(&self) -> usize {
        let texts = [&self.exact, &self.prefix, &self.suffix].into_iter().flatten().map(|texts| texts.len());
        let filters = [&self.all, &self.any].into_iter().flatten();
        let nested = filters.flat_map(|filters| filters.iter().map(|filter| filter.comparisons()));
        texts.sum::<usize>() + nested.sum::<usize>() + self.not.as_ref().map_or(0, |filter| filter.comparisons()) + 1
    }

    fn empty(&self) -> bool {
        self.exact.is_none()
            && self.prefix.is_none()
            && self.suffix.is_none()
            && self.all.is_none()
            && self.any.is_none()
            && self.not.is_none()
    }
}

fn conditions(dialect: &str, texts: &Spanned<Texts>, check: &mut Check) -> Option<Vec<(Attribute, String)>> {
    let mut pairs = Vec::new();
    let mut sound = true;
    for (name, text) in &texts.value {
        if name.starts_with("data.") || matches!(name.as_str(), "data" | "data_base64") {
            let message = format!("{} is not an attribute", quoted(name));
            check.error(
                name.span,
                message,
                "filters read attributes such as type, source and subject, not the payload",
            );
            sound = false;
            continue;
        }
        if text.is_empty() {
            let message = format!("'{dialect}' compares {} with an empty text", quoted(name));
            check.error(text.span, message, "write the text that the attribute should have");
            sound = false;
        }
        match Attribute::named(name) {
            Ok(attribute) => {
                if matches!(attribute, Attribute::Extension(_)) {
                    slip(name, check);
                }
                pairs.push((attribute, text.value.clone()));
            }
            Err(_) => {
                let message = format!("{} is no attribute name", quoted(name));
                let known = instead(name, "attributes", CORE);
                check.error(name.span, message, format!("use lower-case letters and digits only; {known}"));
                sound = false;
            }
        }
    }
    if texts.is_empty() {
        let help = "write at least one, such as type: com.example.created";
        check.error(texts.span, format!("'{dialect}' names no attribute"), help);
        return None;
    }
    sound.then_some(pairs)
}

/// Warns of an extension attribute whose name is nearly that of a core attribute.
fn slip(name: &Spanned<String>, check: &mut Check) {
    if let Some(core) = nearest(name, CORE).filter(|core| core.len() > 2) {
        let message = format!("{} is compared as an extension attribute", quoted(name));
        check.warning(name.span, message, format!("did you mean '{core}'?"));
    }
}

fn several(
    dialect: &str,
    filters: &Spanned<Vec<Spanned<WhenEntry>>>,
    whole: Whole,
    check: &mut Check,
) -> Option<Vec<Filter>> {
    if filters.is_empty() {
        let help = "write at least one, such as { exact: { type: ... } }";
        check.error(filters.span, format!("'{dialect}' holds no filter"), help);
        return None;
    }
    let mut all = Vec::new();
    for filter in &filters.value {
        if filter.empty() && whole == Whole::Yes {
            let help = "write what must match, such as { exact: { type: ... } }";
            check.error(filter.span, format!("an empty filter stands in '{dialect}'"), help);
        }
        all.extend(filter.filter(whole, check));
    }
    // A part that is missing because it was wrong would change what the whole means.
    (all.len() == filters.len()).then_some(all)
}

fn made(filter: Result<Filter, crate::filter::Error>, span: Span, check: &mut Check) -> Option<Filter> {
    filter
        .map_err(|error| {
            let text = error.to_string();
            let (message, help) = text.split_once("; ").unwrap_or((&text, ""));
            check.error(span, message, help);
        })
        .ok()
}
