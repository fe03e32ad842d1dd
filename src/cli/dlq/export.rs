//! `tidemill dlq export`: dead letters as JSON lines, to a file that is whole or not there.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::super::{Exit, Failure, data, note};
use super::Export;
use super::place::Place;

pub(super) fn run(export: &Export) -> Result<Exit, Failure> {
    let pairs = export.filters.pairs(&[])?;
    let place = Place::find(&export.place)?;
    let Some(path) = &export.file else {
        place.each(&pairs, None, &mut |line| data(line).map(|()| true))?;
        return Ok(Exit::Well);
    };
    let file = File::create_new(path).map_err(failed("make", path))?;
    let mut lines = BufWriter::new(file);
    let mut count = 0;
    let written = place
        .each(&pairs, None, &mut |line| {
            count += 1;
            writeln!(lines, "{line}").map(|()| true).map_err(failed("write to", path))
        })
        .and_then(|()| lines.flush().and_then(|()| lines.get_ref().sync_all()).map_err(failed("write to", path)));
    if let Err(failure) = written {
        // Half an export looks like a whole one.
        let _ = std::fs::remove_file(path);
        return Err(failure);
    }
    note(&format!("wrote {count} dead letters to '{}'", path.display()));
    Ok(Exit::Well)
}

fn failed(step: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |cause| Failure::failed(format!("cannot {step} '{}': {cause}", path.display()))
}
