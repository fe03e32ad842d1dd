//! Every case beside this file.

use std::fs;
use std::path::{Path, PathBuf};

use engine::config::{Colour, Environment, Files, load_files};

use crate::kinds::registry;

#[test]
fn what_is_said_about_every_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let cases = sorted(&folder).into_iter().filter(|path| path.is_dir() || is_yaml(path)).collect::<Vec<_>>();
    let mut broken = 0;
    let mut differences = Vec::new();
    for case in &cases {
        let (said, is_broken) = say(case);
        broken += usize::from(is_broken);
        if let Err(difference) = check(&case.with_extension("txt"), &said) {
            differences.push(difference);
        }
    }
    assert!(differences.is_empty(), "{}\nTIDEMILL_BLESS=1 accepts this", differences.join("\n"));
    assert!(broken >= 40, "only {broken} cases are broken");
}

/// What is said about the files of one case, and whether an engine would refuse them.
fn say(case: &Path) -> (String, bool) {
    let mut files = Files::default();
    let paths = if case.is_dir() { sorted(case) } else { vec![case.to_owned()] };
    for path in paths {
        files.add(path.file_name().unwrap().to_string_lossy(), fs::read_to_string(&path).unwrap());
    }
    let loaded = load_files(files, "golden", &registry(), &Environment::default());
    assert_eq!(loaded.plan.is_some(), loaded.is_sound(), "{}", case.display());
    let mut said = loaded.render(Colour::Never);
    for guarantee in &loaded.guarantees {
        said += &(guarantee.lines().join("\n") + "\n");
    }
    (said, loaded.plan.is_none())
}

fn check(expected: &Path, said: &str) -> Result<(), String> {
    if std::env::var_os("TIDEMILL_BLESS").is_some() {
        fs::write(expected, said).unwrap();
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    if wanted == said {
        return Ok(());
    }
    Err(format!("{} says\n{wanted}\nbut what came out is\n{said}", expected.display()))
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
}
