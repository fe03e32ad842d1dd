//! What can be typed behind `tidemill demo`, and what it means.
//!
//! Decision: what looks good depends on the cycle. The tide is played as a day in ten minutes with a sample every ten
//! simulated seconds; a driving cycle is driven in its own time with the sample a second that its table has.

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches};

use super::simulator::{Choice, Options, Profile, tide};
use crate::admin::{self, Address};

/// Run an MQTT broker, a simulated fleet and the engine in this process, with a live view
///
/// The engine runs examples/vehicle-telemetry/tidemill.yaml, connected to an embedded broker on a free port of the
/// loopback interface. A live view, or elsewhere a line a second, goes to standard error, and a report to standard output
/// at the end. The totals in it are those of the engine's /metrics, held against what was sent: ends with 1 if something
/// was lost or the conservation law does not hold.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill demo
  tidemill demo --cycle udds --vehicles 1 --speed-up 200 --faults harsh --json
  tidemill demo --cycle tide --speed-up 144 --work 5ms

One vehicle on udds or hwfet ends when its cycle is over, the tide after one simulated day, anything else with
--duration or Ctrl-C. A second Ctrl-C does not wait for what is still to be settled.")]
pub(super) struct Arguments {
    /// How many vehicles, 1 to 100000
    #[arg(long, value_name = "N", default_value_t = 100)]
    vehicles: u32,
    /// Samples per vehicle and simulated second [default: 1, for the tide 0.1]
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Simulated seconds per second [default: 1, for the tide 144, a day in ten minutes]
    #[arg(long, value_name = "X")]
    speed_up: Option<f64>,
    /// What vehicles follow: udds (city), hwfet (highway) or tide (the load of a weekday, from six in the morning)
    #[arg(long, value_name = "CYCLE", default_value_t = Choice::Tide)]
    cycle: Choice,
    /// How long it runs in its own, not simulated, time, such as 30s
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::duration)]
    duration: Option<Duration>,
    /// The seed of everything random
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// How much goes wrong on the way: none, mild or harsh
    #[arg(long, value_name = "FAULTS", default_value_t = Profile::Mild)]
    faults: Profile,
    /// How much longer each call of the function takes, such as 5ms, to see workers follow the load
    #[arg(long, value_name = "DURATION", value_parser = work, default_value = "0s")]
    pub(super) work: Duration,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Where the admin API with /metrics listens: IP:PORT or unix:PATH; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value_t = admin::DEFAULT)]
    pub(super) admin: Address,
    /// Options again: `cargo demo -- --help` passes its dashes on
    #[arg(last = true, hide = true)]
    behind_dashes: Vec<OsString>,
}

/// The command `demo` with its options.
pub(super) fn definition() -> clap::Command {
    Arguments::augment_args(clap::Command::new("demo"))
}

/// What was typed.
///
/// # Errors
/// What clap says, which may be the help text, when options were typed behind dashes.
pub(super) fn read(matches: &ArgMatches) -> Result<Arguments, clap::Error> {
    let arguments = Arguments::from_arg_matches(matches)?;
    if arguments.behind_dashes.is_empty() {
        return Ok(arguments);
    }
    let behind = arguments.behind_dashes;
    let mut command = definition().bin_name("tidemill demo").no_binary_name(true);
    let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let before = command.get_arguments().map(|argument| argument.get_id().as_str()).filter(|id| typed(id));
    // The dashes themselves are one.
    if before.count() > 1 {
        let sentence = "options stand before and behind '--'; leave out the '--'\n";
        return Err(command.error(clap::error::ErrorKind::ArgumentConflict, sentence));
    }
    Arguments::from_arg_matches(&command.try_get_matches_from_mut(behind)?)
}

impl Arguments {
    /// The fleet that was asked for, with samples from `start` on.
    pub(super) fn simulation(&self, start: SystemTime) -> Options {
        let tidal = self.cycle == Choice::Tide;
        let speed_up = self.speed_up.unwrap_or(if tidal { 144.0 } else { 1.0 });
        let day = || Duration::try_from_secs_f64(tide::DAY.as_secs_f64() / speed_up).ok().filter(|_| tidal);
        Options {
            vehicles: self.vehicles,
            rate: self.rate.unwrap_or(if tidal { 0.1 } else { 1.0 }),
            speed_up,
            cycle: self.cycle,
            duration: self.duration.or_else(day),
            seed: self.seed,
            faults: self.faults,
            start,
            ..Options::default()
        }
    }
}

/// A call has thirty seconds in the example; twenty leave room for what it does besides.
fn work(text: &str) -> Result<Duration, String> {
    let work = crate::cli::duration(text)?;
    if work > Duration::from_secs(20) {
        return Err("a call of the example's function may take 30s in all; write 20s or less".to_owned());
    }
    Ok(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &[&str]) -> Result<Arguments, clap::Error> {
        let words = ["demo"].iter().chain(words);
        definition().try_get_matches_from(words).and_then(|matches| read(&matches))
    }

    fn simulation(words: &[&str]) -> Options {
        typed(words).unwrap().simulation(SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn every_example_of_the_help_can_be_typed() {
        let help = definition().render_long_help().to_string();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.trim().strip_prefix("tidemill demo")).collect();
        assert!(examples.len() >= 3, "{help}");
        for example in examples {
            typed(&example.split_whitespace().collect::<Vec<_>>()).unwrap();
        }
        definition().debug_assert();
    }

    #[test]
    fn without_a_word_it_is_a_day_of_the_tide_in_ten_minutes() {
        let options = simulation(&[]);
        assert_eq!((options.vehicles, options.cycle, options.faults), (100, Choice::Tide, Profile::Mild));
        assert_eq!((options.rate, options.speed_up, options.seed), (0.1, 144.0, 1));
        assert_eq!(options.duration, Some(Duration::from_secs(600)));
    }

    #[test]
    fn a_cycle_has_its_own_time_and_end() {
        let options = simulation(&["--cycle", "udds", "--vehicles", "1", "--faults", "harsh"]);
        assert_eq!((options.rate, options.speed_up, options.duration), (1.0, 1.0, None));
        let options = simulation(&["--cycle", "tide", "--duration", "30s", "--rate", "2", "--speed-up", "10"]);
        assert_eq!((options.rate, options.speed_up, options.duration), (2.0, 10.0, Some(Duration::from_secs(30))));
        assert_eq!(simulation(&["--speed-up", "0"]).duration, None);
    }

    #[test]
    fn options_may_stand_behind_dashes_as_cargo_passes_them() {
        assert_eq!(simulation(&["--", "--cycle", "hwfet"]).cycle, Choice::Hwfet);
        let help = typed(&["--", "--help"]).unwrap_err();
        assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp);
        assert!(help.to_string().contains("tidemill demo --cycle udds"), "{help}");
        let both = typed(&["--json", "--", "--seed", "2"]).unwrap_err().to_string();
        assert!(both.contains("leave out the '--'"), "{both}");
    }

    #[test]
    fn what_cannot_be_meant_is_told_what_to_write() {
        for (words, expected) in [
            (["--cycle", "nedc"], "write one of udds, hwfet, tide"),
            (["--faults", "some"], "write one of none, mild, harsh"),
            (["--work", "1m"], "write 20s or less"),
            (["--duration", "soon"], "soon"),
        ] {
            let sentence = typed(&words).unwrap_err().to_string();
            assert!(sentence.contains(expected), "{sentence}");
        }
    }
}
