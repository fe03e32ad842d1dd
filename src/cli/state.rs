//! `tidemill state`: what lies in the state files of a stopped engine, and a copy of what of it can be read.

use std::path::{Path, PathBuf};

use engine::store::Schema;
use engine::store::survey::{self, Report};
use serde_json::json;

use super::table::Table;
use super::{Exit, Failure, data, note};

/// Look into the state files of a stopped engine, and copy what can be read of a damaged one
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tidemill state check tidemill-state/fleet
  tidemill state salvage tidemill-state/fleet/spool";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read every record and report what is there and what is damaged
    ///
    /// Changes nothing. Ends with 0 if everything is as it was written, else with 1.
    Check(Files),
    /// Copy every record that is as it was written into a new file, and say what was lost
    ///
    /// Changes nothing: the copy of FILE is FILE.salvaged, and moving it into place is left to you. Ends with 0 if every
    /// copy was written.
    Salvage(Files),
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Files {
    /// A state folder, or one file in it
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Print one report for each file as a JSON list to standard output
    #[arg(long)]
    json: bool,
}

pub(super) fn state(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Check(files) => {
            let reports = reports(files, survey::check)?;
            show(files, &reports)?;
            Ok(if reports.iter().all(Report::sound) { Exit::Well } else { Exit::Failed })
        }
        Command::Salvage(files) => {
            let reports = reports(files, survey::salvage)?;
            show(files, &reports)?;
            for report in &reports {
                let copy = survey::salvaged(&report.path);
                note(&format!("to use the copy: mv '{}' '{}'", copy.display(), report.path.display()));
            }
            Ok(Exit::Well)
        }
    }
}

fn reports(files: &Files, look: impl Fn(&Path) -> Result<Report, survey::Error>) -> Result<Vec<Report>, Failure> {
    let paths = paths(&files.path)?;
    paths.iter().map(|path| look(path).map_err(Failure::failed)).collect()
}

/// The state files that are meant.
fn paths(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let found: Vec<PathBuf> =
        Schema::ALL.iter().map(|schema| path.join(schema.kind)).filter(|file| file.is_file()).collect();
    if found.is_empty() {
        return Err(Failure::failed(format!(
            "there is no state file in '{}'; name a state folder, or a file in one",
            path.display()
        )));
    }
    Ok(found)
}

fn show(files: &Files, reports: &[Report]) -> Result<(), Failure> {
    if files.json {
        return data(&format!("{:#}", json!(reports)));
    }
    let mut table = Table::new(["file", "table", "records", "bytes", "lost", "damaged", "oldest", "newest"]);
    for report in reports {
        let file = report.path.file_name().unwrap_or(report.path.as_os_str()).to_string_lossy().into_owned();
        for found in &report.tables {
            let time = |stamp: Option<_>| stamp.map_or("-".to_owned(), survey::written);
            table.row([
                file.clone(),
                found.name.clone(),
                found.rows.to_string(),
                found.bytes.to_string(),
                found.lost().to_string(),
                found.damaged.to_string(),
                time(found.oldest),
                time(found.newest),
            ]);
            if let Some(why) = &found.broken {
                note(&format!("'{}', table '{}': {why}", report.path.display(), found.name));
            }
        }
        report.damage.iter().for_each(|why| note(&format!("'{}': {why}", report.path.display())));
    }
    data(&table.render())
}

#[cfg(test)]
mod tests {
    use engine::store::{Batch, Settings, Spec, Stamp, Store};

    use super::*;

    /// A folder with a spool of three events; what is written under `seed` says whether they are sound.
    fn filled(folder: &Path) -> PathBuf {
        let path = folder.join("spool");
        let specs = vec![Spec { name: "spool/fleet".into(), quota: engine::store::Quota::default() }];
        let work = async {
            let store = Store::open(&path, Schema::SPOOL, specs, Settings::default()).unwrap();
            let mut batch = Batch::default();
            for key in [b"1", b"2", b"3"] {
                batch.put(store.table("spool/fleet").unwrap(), key, Stamp(0), |value| {
                    value.extend_from_slice(&[7; 2_000]);
                });
            }
            store.write(&mut batch).await.unwrap();
            store.close().await.unwrap();
        };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
        path
    }

    fn run(command: fn(Files) -> Command, path: &Path) -> Result<Exit, Failure> {
        state(&Arguments { command: command(Files { path: path.to_owned(), json: true }) })
    }

    #[test]
    fn a_sound_folder_is_well_and_a_damaged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        assert_eq!(run(Command::Check, folder.path()).unwrap(), Exit::Well);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(9).position(|window| window == [7; 9]).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(run(Command::Check, &path).unwrap(), Exit::Failed);
        assert_eq!(run(Command::Salvage, folder.path()).unwrap(), Exit::Well);
        assert_eq!(run(Command::Check, &survey::salvaged(&path)).unwrap(), Exit::Well);
        let again = run(Command::Salvage, &path).unwrap_err().sentence();
        assert!(again.contains("spool.salvaged' is there already"), "{again}");
    }

    #[test]
    fn a_folder_without_state_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let sentence = run(Command::Check, folder.path()).unwrap_err().sentence();
        assert!(sentence.contains("there is no state file in"), "{sentence}");
        let sentence = run(Command::Check, &folder.path().join("spool")).unwrap_err().sentence();
        assert!(sentence.contains("cannot open"), "{sentence}");
    }
}
