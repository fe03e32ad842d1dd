//! `tidemill dlq import`: letters of an export, back under their old names.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use super::super::{Exit, Failure, data};
use super::place::{Imported, Place};
use super::{EXAMPLES, Where};

/// Bytes of lines that go together; a longer line goes alone.
const PIECE: usize = 4 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    /// What `tidemill dlq export` has written; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: Where,
    /// Print {imported, duplicates} as JSON
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let failed = |cause| Failure::failed(format!("cannot read '{}': {cause}", self.file.display()));
        let lines: Box<dyn BufRead> = match self.file.to_str() {
            Some("-") => Box::new(std::io::stdin().lock()),
            _ => Box::new(BufReader::new(File::open(&self.file).map_err(failed)?)),
        };
        let place = Place::find(&self.place)?;
        let (mut piece, mut sum) = (String::new(), Imported::default());
        // Lines before the present piece, so that a wrong one is named as it stands in the file.
        let (mut before, mut count) = (0, 0);
        let mut send = |piece: &mut String, before: usize| {
            let sent = place.import(piece).map_err(|failure| match before {
                0 => failure,
                _ => Failure::failed(format!("behind line {before}, which is imported: {}", failure.sentence())),
            })?;
            piece.clear();
            sum.imported += sent.imported;
            sum.duplicates += sent.duplicates;
            Ok::<_, Failure>(())
        };
        for line in lines.lines() {
            let line = line.map_err(failed)?;
            if !piece.is_empty() && piece.len() + line.len() > PIECE {
                send(&mut piece, before)?;
                before = count;
            }
            piece.push_str(&line);
            piece.push('\n');
            count += 1;
        }
        if !piece.is_empty() {
            send(&mut piece, before)?;
        }
        let Imported { imported, duplicates } = sum;
        data(&match self.json {
            true => serde_json::json!({ "imported": imported, "duplicates": duplicates }).to_string(),
            false if duplicates == 0 => format!("imported {imported} dead letters"),
            false => format!("imported {imported} dead letters; {duplicates} were there already, and are as they were"),
        })?;
        Ok(Exit::Well)
    }
}
