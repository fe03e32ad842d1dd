//! The files that a configuration is read from, within a budget.
//!
//! A configuration is small. What is larger than a budget is refused before it is read, so that a wrong PATH costs
//! neither time nor memory. A folder stands for its `*.yaml` and `*.yml` in order of their names, not for its subfolders.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Check, Span};

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 << 20;
/// All files together, in bytes.
pub const TOTAL_BYTES_MAX: u64 = 8 << 20;
/// The largest number of files.
pub const FILES_MAX: usize = 256;

/// The text of every file that was read; a [`Span`] points into one of them. `Debug` shows names only, for texts may
/// hold secrets.
#[derive(Clone, Default)]
pub struct Files {
    files: Vec<(String, String)>,
}

/// A place as people count it, from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Files {
    /// Reads files and folders. What cannot be read is noted in `check` and left out.
    #[must_use]
    pub fn read(paths: &[PathBuf], check: &mut Check) -> Files {
        let mut files = Files::default();
        if paths.is_empty() {
            check.general_error("no configuration was named", "name a file or a folder, such as tidemill.yaml");
        }
        let mut seen = HashSet::new();
        let mut room = TOTAL_BYTES_MAX;
        let all: Vec<PathBuf> = paths.iter().flat_map(|path| listed(path, check)).collect();
        for path in all {
            if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                continue;
            }
            if files.files.len() == FILES_MAX {
                check.general_error(format!("more than {FILES_MAX} files were named"), "join them into fewer files");
                break;
            }
            if let Some(text) = text(&path, &mut room, check) {
                files.add(path.display().to_string(), text);
            }
        }
        files
    }

    /// Adds a text under the name that diagnostics show.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.files.push((name.into(), text.into()));
    }

    /// Name and text of every file, in the order of reading.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Name and text of the file that a span points into.
    #[must_use]
    pub fn of(&self, span: Span) -> Option<(&str, &str)> {
        self.files.get(span.file as usize).map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Where a span begins.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        let before = self.of(span)?.1.get(..span.start as usize)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Some(Position { line, column: before.get(line_start..)?.chars().count() + 1 })
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// The files that a path stands for.
fn listed(path: &Path, check: &mut Check) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = match path.read_dir() {
        Ok(entries) => entries,
        Err(cause) => {
            check.general_error(format!("cannot read folder '{}': {}", path.display(), reason(&cause)), "");
            return Vec::new();
        }
    };
    let hidden = |file: &Path| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let yaml = |file: &Path| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| yaml(file) && !hidden(file) && !file.is_dir())
        .take(FILES_MAX + 1)
        .collect();
    files.sort();
    if files.is_empty() {
        check.general_error(
            format!("folder '{}' holds no .yaml or .yml file", path.display()),
            "name a file, or a folder with configuration files directly in it",
        );
    }
    files
}

/// The content of one file, read no further than the budget.
fn text(path: &Path, room: &mut u64, check: &mut Check) -> Option<String> {
    let name = path.display();
    let limit = FILE_BYTES_MAX.min(*room);
    let too_large = |check: &mut Check| {
        let (what, max) = if limit == FILE_BYTES_MAX { ("it", limit) } else { ("all files together", TOTAL_BYTES_MAX) };
        check.general_error(
            format!("'{name}' is too large: {what} may have {} MiB", max >> 20),
            "check that this is the configuration; data belongs elsewhere",
        );
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        let metadata = file.metadata()?;
        if metadata.len() > limit {
            return Ok(metadata.len());
        }
        // The length of a pipe or a device is not known before it is read.
        file.take(limit + 1).read_to_end(&mut bytes).map(|count| count as u64)
    });
    match read {
        Err(cause) => {
            check.general_error(format!("cannot read '{name}': {}", reason(&cause)), "check the path");
            None
        }
        Ok(length) if length > limit => {
            too_large(check);
            None
        }
        Ok(length) => {
            *room -= length;
            String::from_utf8(bytes)
                .map_err(|broken| {
                    let at = broken.utf8_error().valid_up_to();
                    check.general_error(format!("'{name}' is not UTF-8 at byte {at}"), "save it in UTF-8");
                })
                .ok()
        }
    }
}

fn reason(cause: &std::io::Error) -> String {
    match cause.kind() {
        ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        ErrorKind::PermissionDenied => "permission is denied".to_owned(),
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(paths: &[PathBuf]) -> (Files, Vec<String>) {
        let mut check = Check::default();
        let files = Files::read(paths, &mut check);
        (files, check.finish().into_iter().map(|diagnostic| diagnostic.message).collect())
    }

    #[test]
    fn a_folder_stands_for_its_own_yaml_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["b.yml", "a.yaml", "notes.txt", ".hidden.yaml"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::fs::create_dir(path("deep")).unwrap();
        std::fs::write(path("deep/c.yaml"), "c").unwrap();

        let (files, problems) = read(&[folder.path().to_owned(), path("a.yaml")]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(files.iter().map(|(_, text)| text).collect::<Vec<_>>(), ["a.yaml", "b.yml"]);
    }

    #[test]
    fn large_and_endless_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.yaml");
        File::create(&large).unwrap().set_len(50_000_000).unwrap();
        let (files, problems) = read(&[large, "/dev/zero".into()]);
        assert_eq!(files.iter().count(), 0);
        assert!(problems.iter().all(|problem| problem.contains("too large: it may have 4 MiB")), "{problems:?}");
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn all_files_together_have_a_budget() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(folder.path().join(format!("{name}.yaml")), vec![b'#'; 3 << 20]).unwrap();
        }
        let (files, problems) = read(&[folder.path().to_owned()]);
        assert_eq!(files.iter().count(), 2);
        assert!(problems[0].contains("all files together may have 8 MiB"), "{problems:?}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let latin = folder.path().join("latin.yaml");
        std::fs::write(&latin, b"name: caf\xe9").unwrap();
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let (_, problems) = read(&[latin, empty, folder.path().join("absent.yaml")]);
        for part in ["not UTF-8 at byte 9", "holds no .yaml", "there is no such file"] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:?}");
        }
        assert_eq!(read(&[]).1, ["no configuration was named"]);
    }

    #[test]
    fn positions_count_characters() {
        let mut files = Files::default();
        files.add("a", "é: 1\nü: 2\n");
        assert_eq!(files.position(Span { file: 0, start: 9, end: 10 }), Some(Position { line: 2, column: 3 }));
    }
}
