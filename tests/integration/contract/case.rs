//! The list of cases, what a kind of broker declares that it cannot do, and the table of both.

use std::fmt::Write as _;
use std::time::Duration;

/// One promise of a source or an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Order,
    Seats,
    Unacknowledged,
    HandBack,
    Pause,
    Drain,
    Oversize,
    Malformed,
    Payloads,
    Lease,
    Missing,
    Credentials,
    Absent,
    Restart,
    Slow,
    Cut,
    HalfOpen,
}

/// What a source promises.
pub(super) const OF_SOURCES: [Case; 17] = [
    Case::Order,
    Case::Seats,
    Case::Unacknowledged,
    Case::HandBack,
    Case::Pause,
    Case::Drain,
    Case::Oversize,
    Case::Malformed,
    Case::Payloads,
    Case::Lease,
    Case::Missing,
    Case::Credentials,
    Case::Absent,
    Case::Restart,
    Case::Slow,
    Case::Cut,
    Case::HalfOpen,
];

/// What an output promises: nothing is acknowledged by it, so that a confirmation takes that place, and it has no seats.
pub(super) const OF_OUTPUTS: [Case; 12] = [
    Case::Order,
    Case::Unacknowledged,
    Case::Drain,
    Case::Oversize,
    Case::Payloads,
    Case::Missing,
    Case::Credentials,
    Case::Absent,
    Case::Restart,
    Case::Slow,
    Case::Cut,
    Case::HalfOpen,
];

impl Case {
    /// As the table calls it.
    fn title(self) -> &'static str {
        match self {
            Case::Order => "in order",
            Case::Seats => "back-pressure at N seats",
            Case::Unacknowledged => "nothing acknowledged or confirmed before its outcome",
            Case::HandBack => "redelivery after a hand-back",
            Case::Pause => "pause and resume",
            Case::Drain => "drain",
            Case::Oversize => "oversize",
            Case::Malformed => "malformed",
            Case::Payloads => "64 KiB and 1 MiB",
            Case::Lease => "events that wait longer than the lease",
            Case::Missing => "topic, stream or queue that does not exist",
            Case::Credentials => "wrong credentials",
            Case::Absent => "broker absent at start",
            Case::Restart => "broker restart",
            Case::Slow => "slow network",
            Case::Cut => "connections cut",
            Case::HalfOpen => "connections half open",
        }
    }
}

/// Something that a broker cannot do, and why.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cannot {
    /// There is nothing that could be tried.
    Meaningless(&'static str),
    /// It is tried all the same, and must fail: a declaration that is no longer true has to go.
    Tried(&'static str),
}

impl Cannot {
    fn reason(self) -> &'static str {
        match self {
            Cannot::Meaningless(reason) | Cannot::Tried(reason) => reason,
        }
    }
}

/// What one kind of source or output declares.
#[derive(Debug)]
pub(super) struct Declared {
    /// As the table calls it.
    pub(super) name: &'static str,
    pub(super) cannot: &'static [(Case, Cannot)],
}

impl Declared {
    pub(super) fn of(&self, case: Case) -> Option<Cannot> {
        self.cannot.iter().find(|(named, _)| *named == case).map(|(_, cannot)| *cannot)
    }
}

/// Says of a case that it was passed, and how long that took, or that it cannot be.
pub(super) fn tell(side: &str, declared: &Declared, case: Case, took: Duration) {
    let passed = || format!("ok in {:.1} s", took.as_secs_f64());
    let verdict = declared.of(case).map_or_else(passed, |cannot| format!("cannot: {}", cannot.reason()));
    println!("{side} | {} | {} | {verdict}", declared.name, case.title());
}

/// The table of one side as the documentation has it.
pub(super) fn table(cases: &[Case], kinds: &[&Declared]) -> String {
    let (mut text, mut reasons) = (String::from("| |"), Vec::new());
    for kind in kinds {
        let _ = write!(text, " {} |", kind.name);
    }
    let _ = write!(text, "\n|---|{}", "---|".repeat(kinds.len()));
    for case in cases {
        let _ = write!(text, "\n| {} |", case.title());
        for kind in kinds {
            let Some(cannot) = kind.of(*case) else {
                text.push_str(" ok |");
                continue;
            };
            let reason = cannot.reason();
            let place = reasons.iter().position(|known| *known == reason).unwrap_or_else(|| {
                reasons.push(reason);
                reasons.len() - 1
            });
            let _ = write!(text, " cannot ({}) |", place + 1);
        }
    }
    text.push('\n');
    for (place, reason) in reasons.iter().enumerate() {
        let _ = write!(text, "\n{}. {reason}", place + 1);
    }
    text
}
