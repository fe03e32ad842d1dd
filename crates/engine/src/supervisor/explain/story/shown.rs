//! A story as it is printed and sent: documented members, times in RFC 3339.

use serde::Serialize;

use crate::account::{End, Name, Record, Trouble, UNKNOWN, Wanted, What, Window};
use crate::event::Text;
use crate::store::{Stamp, survey};

/// What became of the events of one id.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The id that was asked for.
    pub id: Text,
    /// The source that was asked for.
    pub source: Option<Text>,
    /// One for each source that has an event of this id.
    pub events: Vec<Story>,
    /// How far back the account reaches.
    pub ledger: Reach,
}

/// How far back the account reaches.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    /// Finished deliveries that it has.
    pub deliveries: u64,
    /// Everything that has ended since then is in it, but for what `gaps` names.
    pub since: Option<String>,
    /// The same for failures, retries and drops in full.
    pub failures_since: Option<String>,
    /// Times in which an engine was killed, or could not write.
    pub gaps: Vec<Gap>,
    /// Pieces of its files that are not what was written.
    pub damaged: u64,
    /// Older deliveries and failures of this id that are not shown.
    pub omitted: u64,
    /// The same for people.
    pub sentence: String,
}

/// What ended in between may be missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// From then on.
    pub from: String,
    /// Until then; nothing for an engine that has not been started since.
    pub to: Option<String>,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// Its source attribute; nothing where only its number is known.
    pub source: Option<Text>,
    /// Its type, if the event is still here.
    pub r#type: Option<Text>,
    /// Its subject, if it has one and is still here.
    pub subject: Option<Text>,
    /// When it was here at the latest.
    pub received: Option<String>,
    /// The spool in which it waits.
    pub spool: Option<Spooled>,
    /// That no rule wanted it.
    pub unmatched: Option<Unmatched>,
    /// Every rule that may have got it, by name.
    pub rules: Vec<RuleStory>,
}

/// A spool in which an event waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spooled {
    /// Its source's name.
    pub source: Text,
    /// Since when.
    pub since: String,
}

/// An event that no rule wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unmatched {
    /// The source that received it.
    pub source: Text,
    /// When.
    pub time: String,
}

/// What one rule made of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleStory {
    /// `trigger/rule`.
    pub rule: Text,
    /// `matched`, `filtered`, or `unknown`, where the account does not reach far enough.
    pub verdict: &'static str,
    /// Why it was filtered, as far as the event is still here; or why the verdict is not known.
    pub because: Option<String>,
    /// Where its delivery is now.
    pub state: Option<State>,
    /// What happened before, in order.
    pub steps: Vec<Step>,
    /// Older steps that are not shown.
    pub omitted: u64,
}

/// Where a delivery is, or how it has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// `inFlight`, `parked`, `paused`, `done`, `deadLettered`, `dropped`, `handedBack`, or `unknown` after a crash.
    pub is: &'static str,
    /// What is owed: `call`, or `publish` its results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// What it does or waits for: `called`, `publishing`, `behind` another one of its key, `turn` under the rule's limits, `held`
    /// for want of room for dead letters, `waiting` for its next attempt, `parking`, `keeping`. Of what is paused,
    /// what of it is: the `key` or the `rule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub does: Option<&'static str>,
    /// Since when it does that, or its pause is; of what rests, since when it is here or has failed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Until when it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The present attempt of its stage, or the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How many there may be, where the engine runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Of what the circuit is that lets nothing of its rule begin, whatever its time is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<Text>,
    /// Why it was given up or dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Its dead letter, as `tidemill dlq show` takes it; nothing once that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
    /// How far the dead letter is on its way to an output besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What kind of failure the last one was, where it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Text>,
    /// What was said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Text>,
    /// The outputs that it is on its way to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Text>,
    /// Deliveries of the event that are there at once, where it came more than once.
    #[serde(skip_serializing_if = "is_one")]
    pub copies: u64,
}

fn is_one(number: &u64) -> bool {
    *number <= 1
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// When.
    pub time: String,
    /// `failed`, `done`, `deadLettered`, `dropped` or `handedBack`.
    pub what: &'static str,
    /// What was tried: `call`, or `publish` its results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// The attempt of that stage; 255 for that many or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How many there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Milliseconds of that attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_ms: Option<u32>,
    /// Milliseconds from the arrival to the end, or from the first failure of what was parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u32>,
    /// Calls before there were results, where it took more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// Results that each of `outputs` has confirmed; 255 for that many or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<u8>,
    /// Who has confirmed them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Text>,
    /// Why it was given up or dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What kind of failure it was, where it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Text>,
    /// What was said; 512 bytes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Text>,
    /// When it was to be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How often it was a dead letter before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redrives: Option<u32>,
}

/// A time as people read it.
pub(super) fn time(stamp: Stamp) -> String {
    survey::written(stamp)
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Explanation {
    pub(super) fn new(wanted: &Wanted, window: &Window, omitted: u64, events: Vec<Story>) -> Explanation {
        let gap = |(from, to): &(Stamp, Stamp)| Gap { from: time(*from), to: (to.0 < u64::MAX).then(|| time(*to)) };
        let gaps: Vec<Gap> = window.gaps.iter().map(gap).collect();
        let sentence = sentence(window, &gaps, events.is_empty());
        let ledger = Reach {
            deliveries: window.deliveries,
            since: window.since.map(time),
            failures_since: window.failures_since.map(time),
            gaps,
            damaged: window.damaged,
            omitted,
            sentence,
        };
        Explanation { id: wanted.id.clone(), source: wanted.source.clone(), events, ledger }
    }
}

fn sentence(window: &Window, gaps: &[Gap], is_missing: bool) -> String {
    let mut text = match window.since {
        Some(since) => {
            format!("the ledger reaches back to {} ({} deliveries)", time(since), grouped(window.deliveries))
        }
        None => "there is no ledger".to_owned(),
    };
    if is_missing {
        text += "; an event with this id is not in it: it was either finished before, or never received";
    }
    if let Some(Gap { from, to }) = gaps.last() {
        text += &format!("; what ended between {from} and ");
        text += &to.as_ref().map_or("the end of the engine".to_owned(), |to| to.clone());
        text += " may be missing, because the engine was killed or could not write";
        if gaps.len() > 1 {
            text += &format!(", as {} times before", gaps.len() - 1);
        }
    }
    if window.damaged > 0 {
        text += &format!("; {} pieces of it are damaged and were passed over", window.damaged);
    }
    text
}

impl RuleStory {
    /// A rule of which nothing is known.
    pub(super) fn of(rule: &Text) -> RuleStory {
        RuleStory { rule: rule.clone(), verdict: "unknown", because: None, state: None, steps: Vec::new(), omitted: 0 }
    }
}

impl State {
    pub(super) fn is(is: &'static str) -> State {
        State { is, ..State::default() }
    }
}

impl Step {
    pub(super) fn of_trouble(trouble: &Trouble) -> Step {
        let (what, reason, next) = match trouble.what {
            What::Failed(next) => ("failed", None, next),
            What::GivenUp(reason) => ("deadLettered", Some(reason.name()), None),
            What::Dropped(reason) => ("dropped", Some(reason.name()), None),
        };
        Step {
            time: time(trouble.time),
            what,
            stage: Some(if trouble.publishing { "publish" } else { "call" }),
            attempt: Some(trouble.attempt),
            max_attempts: Some(trouble.of),
            attempt_ms: Some(trouble.took),
            reason,
            code: trouble.code.clone(),
            error: (!trouble.message.is_empty()).then(|| trouble.message.clone()),
            next: next.map(time),
            redrives: (trouble.redrives > 0).then_some(trouble.redrives),
            ..Step::default()
        }
    }

    pub(super) fn of_record(record: &Record, end: End, name: &Name) -> Step {
        let (what, reason) = match end {
            End::Done => ("done", None),
            End::DeadLettered(reason) => ("deadLettered", Some(reason.name())),
            End::Dropped(reason) => ("dropped", Some(reason.name())),
            End::HandedBack => ("handedBack", None),
            End::Unmatched => ("unmatched", None),
        };
        let facts = record.facts();
        let confirmed = end == End::Done && facts.results > 0;
        Step {
            time: time(record.ended()),
            what,
            stage: Some(if facts.results > 0 { "publish" } else { "call" }),
            attempt: Some(facts.attempts),
            attempt_ms: Some(facts.last),
            took_ms: (facts.took != UNKNOWN).then_some(facts.took),
            calls: (facts.calls > 0).then_some(facts.calls),
            results: confirmed.then_some(facts.results),
            outputs: if confirmed { name.outputs.clone() } else { Vec::new() },
            reason,
            ..Step::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_have_commas() {
        let numbers = [0, 12, 999, 1000, 123_456, 1_000_000].map(grouped);
        assert_eq!(numbers, ["0", "12", "999", "1,000", "123,456", "1,000,000"]);
    }
}
