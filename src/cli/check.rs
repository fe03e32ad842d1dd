//! `tidemill check`: everything that is wrong with a configuration, and what every rule promises if nothing is.

use std::path::PathBuf;

use engine::config::{Environment, Loaded, load};
use engine::registry::Registry;
use serde_json::json;

use super::{Exit, Failure, colour, data, note};

/// Check a configuration: every problem at once, and what each rule promises
///
/// Needs no network, no broker and no secrets. Problems go to standard error, the effective guarantee of every rule to
/// standard output. Ends with 2 if an engine would refuse the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidemill check tidemill.yaml
  tidemill check --json config/")]
pub(super) struct Arguments {
    /// Files, or folders with .yaml and .yml files in them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print {sound, diagnostics, rules} as JSON to standard output
    #[arg(long)]
    json: bool,
}

pub(super) fn check(arguments: &Arguments, registry: &Registry) -> Result<Exit, Failure> {
    let loaded = load(&arguments.paths, registry, &Environment::current());
    if arguments.json {
        let guarantees = serde_json::to_value(&loaded.guarantees).map_err(Failure::failed)?;
        let answer = json!({ "sound": loaded.plan.is_some(), "diagnostics": loaded.json(), "rules": guarantees });
        data(&format!("{answer:#}"))?;
    } else {
        say(&loaded);
        for guarantee in &loaded.guarantees {
            data(&guarantee.lines().join("\n"))?;
        }
    }
    Ok(if loaded.plan.is_some() { Exit::Well } else { Exit::Refused })
}

/// Shows every problem, if there is one.
pub(super) fn say(loaded: &Loaded) {
    if !loaded.diagnostics.is_empty() {
        note(loaded.render(colour()).trim_end());
    }
}
