//! Which share of its sources' seats a rule may have, so that one that is slow leaves the others theirs.
//!
//! Decision: a share binds only where a source feeds several rules, and where what is beyond it can wait on the disk. A rule with
//! several sources counts the seats that it has of all of them, against the smallest.

use std::collections::HashMap;

use super::build::Adapters;
use super::guarantee::Guarantee;
use super::plan::{Source, Trigger};
use super::suggest::quoted;
use super::{Check, Spanned, setting};
use crate::event::Text;
use crate::retry::Hold;

/// Rules that are named in one sentence.
const NAMES: usize = 5;

/// What is written of it, by `trigger/rule`.
pub(super) type Shares = HashMap<Text, Spanned<u32>>;

/// The rules that each source feeds, by its place.
fn fed(triggers: &[Trigger], sources: usize) -> Vec<Vec<Text>> {
    let mut fed = vec![Vec::new(); sources];
    for trigger in triggers {
        for source in &trigger.sources {
            fed[*source].extend(trigger.rules.iter().map(|rule| rule.id(trigger)));
        }
    }
    fed
}

/// Gives every rule its share, and notes what is wrong with one that was written.
pub(super) fn share(triggers: &mut [Trigger], sources: &Adapters<Source>, shares: &Shares, check: &mut Check) {
    let fed = fed(triggers, sources.built.len());
    // Rules that are wrong are missing here, and who has siblings is not known.
    let whole = !check.failed();
    for trigger in triggers {
        let shared = trigger.sources.iter().filter(|source| fed[**source].len() > 1);
        let smallest = shared.filter_map(|source| Some(sources.built[*source].as_ref()?.seats)).min();
        let ids: Vec<Text> = trigger.rules.iter().map(|rule| rule.id(trigger)).collect();
        for (rule, id) in trigger.rules.iter_mut().zip(ids) {
            let written = shares.get(&id);
            let own = written.map(|most| setting::number("maxSeats", most, 1, 1_000_000, check));
            rule.max_seats = match smallest {
                _ if rule.retry.hold == Hold::Source => {
                    if let Some(written) = written {
                        let message = "'maxSeats' lets what is beyond it wait on the disk, and 'hold: source' keeps nothing there";
                        check.error(written.span, message, "leave it out, or write 'hold: state'");
                    }
                    usize::MAX
                }
                None => {
                    if let Some(written) = written.filter(|_| whole) {
                        let message = format!("'maxSeats' binds nothing: {} is alone at its source", quoted(&id));
                        check.warning(written.span, message, "leave it out; a rule that is alone may have all seats");
                    }
                    usize::MAX
                }
                Some(seats) => {
                    if let (Some(written), Some(own)) = (written, own)
                        && own > seats
                    {
                        let message = format!("'maxSeats' is {own}, and there are {seats} seats");
                        check.warning(written.span, message, "write fewer, so that the other rules have some");
                    }
                    own.unwrap_or_else(|| (seats / 2).max(1))
                }
            };
        }
    }
}

/// Says of each rule what comes of its share, or of having none.
pub(super) fn say(
    triggers: &[Trigger],
    sources: &Adapters<Source>,
    shares: &Shares,
    stateless: bool,
    guarantees: &mut [Guarantee],
) {
    let fed = fed(triggers, sources.built.len());
    let places: HashMap<String, usize> =
        guarantees.iter().zip(0..).map(|(known, at)| (known.rule.clone(), at)).collect();
    let rules = triggers.iter().flat_map(|trigger| trigger.rules.iter().map(move |rule| (rule.id(trigger), rule)));
    for (id, rule) in rules {
        let stays = stateless || rule.retry.hold == Hold::Source;
        let place = places.get(id.as_str()).filter(|_| stays || shares.contains_key(&id));
        let Some(guarantee) = place.and_then(|place| guarantees.get_mut(*place)) else { continue };
        for chain in &mut guarantee.sources {
            let feeds = sources.places.get(chain.source.as_str()).map_or(&[][..], |place| &fed[*place]);
            if feeds.len() < 2 {
                continue;
            }
            if stays {
                let why = if stateless { "state: none" } else { "hold: source" };
                let others = others(feeds, &id);
                chain.limits.push(format!(
                    "what waits keeps its seat ({why}), so that it can take all seats and hold up {others}"
                ));
            } else {
                let most = rule.max_seats;
                chain.limits.push(format!("what comes while it has {most} of the seats waits on the disk (maxSeats)"));
            }
        }
    }
}

/// The rules beside this one; of many, some.
fn others(feeds: &[Text], id: &Text) -> String {
    let some = feeds.iter().filter(|other| *other != id).take(NAMES).map(|other| quoted(other));
    let mut others = some.collect::<Vec<_>>().join(", ");
    if feeds.len() - 1 > NAMES {
        others += &format!(" and {} more", feeds.len() - 1 - NAMES);
    }
    others
}
