//! What goes wrong between a vehicle and the broker, and how often.
//!
//! Decision: every fault is an addition or a delay. Each true sample is sent at least once, so totals must come out the
//! same under every profile, and the run without faults is the oracle of the others.
//!
//! Decision: no sample is overtaken by more than [`SAMPLES_BEHIND`] samples of its vehicle. A receiver can tell duplicates
//! from late samples only within a bounded memory; the faults stay inside what a careful receiver remembers.

use std::fmt;
use std::str::FromStr;

use super::options::UnknownName;
use super::random::Random;

/// A late or silent sample is held back for at most as many sample periods (25 minutes at 1 Hz).
pub(super) const SAMPLES_BEHIND: f64 = 1_500.0;
/// Simulated seconds that a late sample is held back, before the bound above: a parking deck, a ferry, a dead cell.
const LATE: (f64, f64) = (60.0, 1_800.0);
/// Sample periods that an out-of-order sample is held back.
const OVERTAKEN: (f64, f64) = (1.0, 6.0);
/// Simulated seconds of silence: a tunnel, from a short one to the longest.
const SILENCE: (f64, f64) = (30.0, 300.0);
/// Simulated seconds until a duplicate follows: a retransmission after a lost acknowledgement.
const RETRANSMISSION: (f64, f64) = (0.0, 20.0);
/// A vehicle sends what it kept this many times faster than it was recorded.
pub(super) const BACKFILL_SPEED: f64 = 20.0;

/// How often each fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A perfect network and perfect firmware.
    None,
    /// What a healthy fleet on mobile networks shows.
    Mild,
    /// Everything at once, many times the rates of a bad day.
    Harsh,
}

/// Probabilities per sample; silences per simulated hour of driving.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// A copy follows the sample.
    pub duplicate: f64,
    /// The sample arrives minutes later.
    pub late: f64,
    /// The sample is overtaken by the next few.
    pub out_of_order: f64,
    /// Its numbers are written as text, as some firmware does.
    pub as_text: f64,
    /// A payload that is no sample is sent beside it.
    pub malformed: f64,
    /// The vehicle loses its connection, and back-fills afterwards.
    pub silences_per_hour: f64,
}

/// QoS 1 retransmits around one message in two hundred on mobile links; late and overtaken samples are those of a
/// store-and-forward modem; wrong types and broken payloads come from a firmware version or two in a mixed fleet. A
/// tunnel an hour.
const MILD: Rates = Rates {
    duplicate: 0.005,
    late: 0.02,
    out_of_order: 0.01,
    as_text: 0.001,
    malformed: 0.000_5,
    silences_per_hour: 1.0,
};

/// Five to a hundred times the mild rates, so that one cycle of one vehicle (1,370 samples) meets every fault many times:
/// around 140 duplicates, 140 late samples, 400 overtaken ones, 140 as text, 70 broken payloads, two or three silences.
const HARSH: Rates =
    Rates { duplicate: 0.10, late: 0.10, out_of_order: 0.30, as_text: 0.10, malformed: 0.05, silences_per_hour: 6.0 };

const PERFECT: Rates =
    Rates { duplicate: 0.0, late: 0.0, out_of_order: 0.0, as_text: 0.0, malformed: 0.0, silences_per_hour: 0.0 };

impl Profile {
    const ALL: [Profile; 3] = [Profile::None, Profile::Mild, Profile::Harsh];

    /// The rates that this profile stands for.
    pub fn rates(self) -> Rates {
        match self {
            Profile::None => PERFECT,
            Profile::Mild => MILD,
            Profile::Harsh => HARSH,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Profile::None => "none",
            Profile::Mild => "mild",
            Profile::Harsh => "harsh",
        })
    }
}

impl FromStr for Profile {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Profile, UnknownName> {
        UnknownName::or(Profile::ALL, "fault profile", name)
    }
}

/// How one sample travels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fate {
    pub(super) journey: Journey,
    /// Simulated seconds after its own delivery at which a copy follows.
    pub(super) duplicate: Option<f64>,
    pub(super) as_text: bool,
    /// Which broken payload is sent beside it.
    pub(super) malformed: Option<u64>,
}

/// How long one sample is on its way, in simulated seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Journey {
    Direct,
    Late(f64),
    Overtaken(f64),
    /// With this sample the vehicle falls silent for so long.
    Silence(f64),
}

impl Rates {
    /// Draws the fate of one sample. `period` is simulated seconds between samples.
    ///
    /// Every fate takes the same number of draws, so one fault's rate does not shift the dice of the others.
    pub(super) fn draw(&self, dice: &mut Random, period: f64) -> Fate {
        let bound = SAMPLES_BEHIND * period;
        let journey = dice.unit();
        let length = dice.unit();
        let stretch = |(low, high): (f64, f64)| (low + (high - low) * length).min(bound);
        let silence = self.silences_per_hour * period / 3_600.0;
        let journey = if journey < silence {
            Journey::Silence(stretch(SILENCE))
        } else if journey < silence + self.late {
            Journey::Late(stretch(LATE))
        } else if journey < silence + self.late + self.out_of_order {
            Journey::Overtaken(stretch((OVERTAKEN.0 * period, OVERTAKEN.1 * period)))
        } else {
            Journey::Direct
        };
        let duplicate = dice.chance(self.duplicate);
        let after = dice.between(RETRANSMISSION.0, RETRANSMISSION.1).min(bound);
        let as_text = dice.chance(self.as_text);
        let malformed = dice.chance(self.malformed);
        let kind = dice.next_u64();
        Fate { journey, duplicate: duplicate.then_some(after), as_text, malformed: malformed.then_some(kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Fate = Fate { journey: Journey::Direct, duplicate: None, as_text: false, malformed: None };

    fn fates(profile: Profile, period: f64) -> Vec<Fate> {
        let mut dice = Random::new(11, 0);
        (0..100_000).map(|_| profile.rates().draw(&mut dice, period)).collect()
    }

    fn share(fates: &[Fate], which: fn(&Fate) -> bool) -> f64 {
        fates.iter().filter(|fate| which(fate)).count() as f64 / fates.len() as f64
    }

    #[test]
    fn profiles_are_read_as_they_are_written() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        let error = "wild".parse::<Profile>().unwrap_err();
        assert_eq!(error.to_string(), "unknown fault profile `wild`; write one of none, mild, harsh");
    }

    #[test]
    fn without_faults_nothing_happens() {
        assert!(fates(Profile::None, 1.0).iter().all(|fate| *fate == PLAIN));
    }

    #[test]
    fn faults_happen_as_often_as_their_rates_say() {
        let harsh = fates(Profile::Harsh, 1.0);
        let close = |share: f64, rate: f64| assert!((share - rate).abs() < 0.1 * rate + 0.001, "{share} for {rate}");
        close(share(&harsh, |fate| fate.duplicate.is_some()), 0.10);
        close(share(&harsh, |fate| matches!(fate.journey, Journey::Late(_))), 0.10);
        close(share(&harsh, |fate| matches!(fate.journey, Journey::Overtaken(_))), 0.30);
        close(share(&harsh, |fate| fate.as_text), 0.10);
        close(share(&harsh, |fate| fate.malformed.is_some()), 0.05);
        close(share(&harsh, |fate| matches!(fate.journey, Journey::Silence(_))), 6.0 / 3_600.0);
    }

    #[test]
    fn harsh_is_at_least_five_times_mild() {
        let (mild, harsh) = (MILD, HARSH);
        assert!(harsh.duplicate >= 5.0 * mild.duplicate && harsh.malformed >= 5.0 * mild.malformed);
        assert!(harsh.out_of_order >= 5.0 * mild.out_of_order && harsh.as_text >= 5.0 * mild.as_text);
        assert!(harsh.late >= 5.0 * mild.late && harsh.silences_per_hour >= 5.0 * mild.silences_per_hour);
    }

    #[test]
    fn no_delay_exceeds_the_bound_at_any_rate() {
        for period in [0.01, 0.1, 1.0, 30.0] {
            for fate in fates(Profile::Harsh, period) {
                let held_back = match fate.journey {
                    Journey::Direct => 0.0,
                    Journey::Late(held) | Journey::Overtaken(held) | Journey::Silence(held) => held,
                };
                assert!(held_back <= SAMPLES_BEHIND * period);
                assert!(fate.duplicate.unwrap_or(0.0) <= SAMPLES_BEHIND * period);
            }
        }
    }
}
