//! `tidemill schema`: the JSON Schema of a configuration with the kinds of this very binary.

use engine::registry::Registry;

use super::{Exit, Failure, data};

/// Print the JSON Schema of the configuration, for editors
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tidemill schema > tidemill.schema.json

An editor with the YAML language server uses it when a file begins with the line
  # yaml-language-server: $schema=tidemill.schema.json")]
pub(super) struct Arguments {}

pub(super) fn schema(registry: &Registry) -> Result<Exit, Failure> {
    data(&format!("{:#}", engine::config::schema(registry)))?;
    Ok(Exit::Well)
}
