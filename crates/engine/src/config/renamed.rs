//! `renamedFrom` of a rule: that it is the same one as before by another name, so that what is parked of it goes on.
//!
//! Decision: **a name is what parked work belongs to, and nobody guesses**. A rule that says nothing gets nothing of another one.

use super::plan::Trigger;
use super::suggest::quoted;
use super::{Check, Spanned};
use crate::event::Text;

/// What rules were called before, each with what it is called now.
pub(super) type Renamed = Vec<(Spanned<String>, Text)>;

/// Notes names that cannot be meant; answers those that can: what it was, and what it is.
pub(super) fn renamed(written: &Renamed, triggers: &[Trigger], check: &mut Check) -> Vec<(Text, Text)> {
    let mut renamed: Vec<(Text, Text)> = Vec::new();
    for (before, now) in written {
        let is_id = before
            .split_once('/')
            .is_some_and(|(trigger, rule)| !trigger.is_empty() && !rule.is_empty() && !rule.contains('/'));
        let exists = |id: &str| triggers.iter().any(|trigger| trigger.rules.iter().any(|rule| rule.id(trigger) == id));
        if !is_id {
            let message = format!("{} is no rule's full name", quoted(before));
            check.error(before.span, message, "write TRIGGER/RULE as it was, such as telemetry/battery");
        } else if exists(before) {
            let message = format!("rule {} is still there, so {} is another one", quoted(before), quoted(now));
            check.error(before.span, message, "remove the old rule, or leave 'renamedFrom' out");
        } else if let Some((_, other)) = renamed.iter().find(|(known, _)| *known == before.as_str()) {
            let message = format!("{} was renamed to {} already", quoted(before), quoted(other));
            check.error(before.span, message, "write it below one rule only");
        } else {
            renamed.push((Text::from(before.as_str()), now.clone()));
        }
    }
    renamed
}
