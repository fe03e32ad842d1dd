//! What a run of the simulator is made of, and which values are refused.
//!
//! Decision: names are parsed here with [`FromStr`], so that the command line, tests and other drivers say the same words
//! and get the same sentence for a wrong one.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use super::Profile;
use super::cycle::Malformed;

/// Everything that determines a run. Equal options give equal messages.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many vehicles, 1 to 100,000.
    pub vehicles: u32,
    /// Samples per vehicle and simulated second, 0.001 to 100.
    pub rate: f64,
    /// How many simulated seconds pass in one second of the run, 0.001 to 100,000.
    pub speed_up: f64,
    /// What the vehicles follow.
    pub cycle: Choice,
    /// How long the run lasts, in its own (not simulated) time; without it, see the module.
    pub duration: Option<Duration>,
    /// The seed of everything random.
    pub seed: u64,
    /// How much goes wrong on the way.
    pub faults: Profile,
    /// The fleet's name in topics: not empty, and no `/`, `+`, `#`, quote, backslash or control character in it.
    pub fleet: String,
    /// The wall time at which the run begins. Samples carry `start` plus their true due time.
    pub start: SystemTime,
}

impl Default for Options {
    /// One vehicle drives UDDS at 1 Hz in its own time, without faults, from the Unix epoch on.
    fn default() -> Options {
        Options {
            vehicles: 1,
            rate: 1.0,
            speed_up: 1.0,
            cycle: Choice::Udds,
            duration: None,
            seed: 1,
            faults: Profile::None,
            fleet: "demo".to_owned(),
            start: SystemTime::UNIX_EPOCH,
        }
    }
}

/// Options that no run can be made of.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A figure outside its range.
    #[error("{name} is {value}, but it must be between {low} and {high}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// What was given.
        value: f64,
        /// The least that is allowed.
        low: f64,
        /// The most that is allowed.
        high: f64,
    },
    /// A fleet name that would not be one level of a topic, or not plain in JSON.
    #[error(
        "the fleet's name {0:?} cannot stand in a topic; write a name without `/`, `+`, `#`, quotes or control characters"
    )]
    FleetName(String),
    /// A cycle table that is damaged.
    #[error("the driving cycle cannot be read")]
    Cycle(#[from] Malformed),
}

impl Options {
    /// Refuses what no run can be made of.
    pub(super) fn validate(&self) -> Result<(), Error> {
        within("vehicles", f64::from(self.vehicles), 1.0, 100_000.0)?;
        within("rate", self.rate, 0.001, 100.0)?;
        within("speed-up", self.speed_up, 0.001, 100_000.0)?;
        // A century of run time keeps every product with the speed-up within the range of a simulated clock.
        let seconds = self.duration.map_or(0.0, |duration| duration.as_secs_f64());
        within("simulated duration in seconds", seconds * self.speed_up, 0.0, 3.0e9)?;
        let unfit = |letter: char| letter.is_control() || "/+#\"\\".contains(letter);
        if self.fleet.is_empty() || self.fleet.contains(unfit) {
            return Err(Error::FleetName(self.fleet.clone()));
        }
        Ok(())
    }
}

fn within(name: &'static str, value: f64, low: f64, high: f64) -> Result<(), Error> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(Error::OutOfRange { name, value, low, high }) }
}

/// What vehicles follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The city cycle.
    Udds,
    /// The highway cycle.
    Hwfet,
    /// The load of a weekday, each trip a city cycle.
    Tide,
}

impl Choice {
    const ALL: [Choice; 3] = [Choice::Udds, Choice::Hwfet, Choice::Tide];
}

impl fmt::Display for Choice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Choice::Udds => "udds",
            Choice::Hwfet => "hwfet",
            Choice::Tide => "tide",
        })
    }
}

impl FromStr for Choice {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Choice, UnknownName> {
        UnknownName::or(Choice::ALL, "cycle", name)
    }
}

/// A name that stands for none of the choices; its message lists them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} `{name}`; write one of {known}")]
pub struct UnknownName {
    kind: &'static str,
    name: String,
    known: String,
}

impl UnknownName {
    /// The one of `all` that is written `name`.
    pub(super) fn or<T: fmt::Display, const N: usize>(
        all: [T; N],
        kind: &'static str,
        name: &str,
    ) -> Result<T, UnknownName> {
        let known = all.each_ref().map(ToString::to_string).join(", ");
        let found = all.into_iter().find(|choice| choice.to_string() == name);
        found.ok_or_else(|| UnknownName { kind, name: name.to_owned(), known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_read_as_it_is_written() {
        for choice in Choice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
    }

    #[test]
    fn a_wrong_name_gets_the_right_ones() {
        let error = "nedc".parse::<Choice>().unwrap_err();
        assert_eq!(error.to_string(), "unknown cycle `nedc`; write one of udds, hwfet, tide");
    }

    #[test]
    fn what_no_run_can_be_made_of_is_refused() {
        let refused = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.validate().unwrap_err().to_string()
        };
        assert_eq!(refused(|o| o.vehicles = 0), "vehicles is 0, but it must be between 1 and 100000");
        assert!(refused(|o| o.rate = f64::NAN).starts_with("rate is NaN"));
        assert!(refused(|o| o.rate = 0.0).starts_with("rate is 0"));
        assert!(refused(|o| o.speed_up = -1.0).starts_with("speed-up is -1"));
        assert!(refused(|o| o.duration = Some(Duration::MAX)).starts_with("simulated duration"));
        for fleet in ["", "a/b", "+", "#", "a\"b", "a\0b"] {
            let options = Options { fleet: fleet.to_owned(), ..Options::default() };
            assert_eq!(options.validate(), Err(Error::FleetName(fleet.to_owned())));
        }
        assert_eq!(Options::default().validate(), Ok(()));
    }
}
