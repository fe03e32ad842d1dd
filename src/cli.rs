//! The command line: what can be typed, and with which exit code it ends.
//!
//! Exit codes: 0 well, 1 failed, 2 wrong usage or configuration. Data goes to standard output, everything that is said
//! about it to standard error, so that every command can stand in a pipe.

mod check;
mod console;
mod dlq;
mod explain;
mod fire;
mod leave;
mod log;
mod pause;
mod reload;
mod remote;
mod run;
mod schema;
mod send;
mod state;
mod status;
mod table;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use engine::config::Period;
use engine::registry::Registry;

pub use console::{colour, data, note};
pub use log::{Format as LogFormat, start as start_log};

/// An event-driven async function engine in one binary
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, after_help = EXAMPLES)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tidemill check tidemill.yaml
  tidemill run tidemill.yaml

Exit codes: 0 well, 1 failed, 2 wrong usage or configuration.
The log goes to standard error; TIDEMILL_LOG sets its level, such as debug or info,engine=debug.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Schema(schema::Arguments),
    Status(status::Arguments),
    Explain(explain::Arguments),
    Send(send::Arguments),
    Fire(fire::Arguments),
    Leave(leave::Arguments),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Reload(reload::Arguments),
    State(state::Arguments),
    Dlq(dlq::Arguments),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Well.
    Well,
    /// It failed.
    Failed,
    /// Wrong usage or configuration.
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        match exit {
            Exit::Well => ExitCode::SUCCESS,
            Exit::Failed => ExitCode::FAILURE,
            Exit::Refused => ExitCode::from(2),
        }
    }
}

/// A command could not do its work, and why.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// The machine or somebody on the network did not allow it: exit code 1.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { exit: Exit::Failed, error: error.into() }
    }

    /// What was typed or written cannot be meant: exit code 2.
    pub fn refused(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { exit: Exit::Refused, error: error.into() }
    }

    /// The sentence with its causes.
    fn sentence(&self) -> String {
        let mut sentence = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors repeat their cause in their own words.
            if !sentence.ends_with(&text) {
                sentence = format!("{sentence}: {text}");
            }
            cause = error.source();
        }
        sentence
    }
}

/// A command besides those of this module, such as the demo of a build that has it.
pub struct Extra {
    /// What can be typed, with its name, its help and an example in it.
    pub definition: clap::Command,
    /// What it does with what was typed and the kinds that the binary knows.
    pub run: fn(&ArgMatches, &Registry) -> Result<Exit, Failure>,
}

/// Reads a command line, whose first word is the program's name, and does what it says.
pub fn main(words: impl IntoIterator<Item = OsString>, registry: &Registry, extras: &[Extra]) -> ExitCode {
    let matches = match definition(extras).try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are no mistakes, and come with exit code 0. A closed pipe changes neither.
            let _ = error.print();
            return if error.use_stderr() { Exit::Refused.into() } else { Exit::Well.into() };
        }
    };
    match dispatch(&matches, registry, extras) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            note(&format!("error: {}", failure.sentence()));
            failure.exit.into()
        }
    }
}

fn definition(extras: &[Extra]) -> clap::Command {
    extras.iter().fold(Line::command(), |line, extra| line.subcommand(extra.definition.clone()))
}

fn dispatch(matches: &ArgMatches, registry: &Registry, extras: &[Extra]) -> Result<Exit, Failure> {
    if let Some((name, arguments)) = matches.subcommand()
        && let Some(extra) = extras.iter().find(|extra| extra.definition.get_name() == name)
    {
        return (extra.run)(arguments, registry);
    }
    match Line::from_arg_matches(matches).map_err(Failure::refused)?.command {
        Command::Run(arguments) => run::run(&arguments, registry),
        Command::Check(arguments) => check::check(&arguments, registry),
        Command::Schema(_) => schema::schema(registry),
        Command::Status(arguments) => status::status(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Send(arguments) => send::send(&arguments, registry),
        Command::Fire(arguments) => fire::fire(&arguments),
        Command::Leave(arguments) => leave::leave(&arguments),
        Command::Pause(arguments) => arguments.run(),
        Command::Resume(arguments) => arguments.run(),
        Command::Reload(arguments) => reload::reload(&arguments),
        Command::State(arguments) => state::state(&arguments),
        Command::Dlq(arguments) => dlq::dlq(&arguments),
    }
}

/// A length of time as people write it.
///
/// # Errors
/// A sentence that says what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    Period::parse(text).map(|period| period.0)
}

/// How long to wait for an answer: a [`duration`] that is not nothing.
fn patience(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("no answer comes at once; write a longer time, such as 10s".to_owned()),
        length => Ok(length),
    }
}
