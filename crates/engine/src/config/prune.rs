//! Leaving out what nothing leads to.
//!
//! A source that no trigger reads would find no rule for its messages and acknowledge them all away; a function or an
//! output that nobody uses would hold workers and connections. The reader is warned of each, and then it is left out.

use super::plan::Plan;

/// What is used, by its place in the plan.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) sources: Vec<bool>,
    pub(super) functions: Vec<bool>,
    pub(super) outputs: Vec<bool>,
}

/// The plan without what is not used.
pub(super) fn prune(mut plan: Plan, used: &Used) -> Plan {
    let sources = keep(&mut plan.sources, &used.sources);
    let functions = keep(&mut plan.functions, &used.functions);
    let outputs = keep(&mut plan.outputs, &used.outputs);
    for source in &mut plan.sources {
        source.dead_letter = source.dead_letter.map(|place| outputs[place]);
    }
    for trigger in &mut plan.triggers {
        trigger.sources.iter_mut().for_each(|place| *place = sources[*place]);
        for rule in &mut trigger.rules {
            rule.function = rule.function.map(|place| functions[place]);
            let told = rule.on_success.iter_mut().chain(&mut rule.on_failure);
            rule.outputs.iter_mut().chain(told).for_each(|place| *place = outputs[*place]);
            rule.dead_letter = rule.dead_letter.map(|place| outputs[place]);
        }
    }
    plan
}

/// Keeps what is used; answers the new place of each old one, which means nothing for what is gone.
fn keep<T>(all: &mut Vec<T>, used: &[bool]) -> Vec<usize> {
    let places = used.iter().scan(0, |left, used| {
        let place = *left;
        *left += usize::from(*used);
        Some(place)
    });
    let places = places.collect();
    let mut flags = used.iter();
    all.retain(|_| flags.next().is_some_and(|used| *used));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_moves_up() {
        let mut all = vec!["a", "b", "c", "d"];
        let places = keep(&mut all, &[false, true, false, true]);
        assert_eq!((all, places[1], places[3]), (vec!["b", "d"], 0, 1));
    }
}
