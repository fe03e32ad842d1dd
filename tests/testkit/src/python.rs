//! Python with client libraries that have nothing to do with ours, from a folder beside cargo's own caches that `tests/run`
//! fills.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::process::Process;

/// What scripts may import.
const LIBRARIES: [&str; 3] = ["cloudevents/core", "nats", "pika"];

/// A script that has been started with the interpreter that has the libraries.
///
/// # Panics
/// When the libraries are not there, with the command that installs them.
#[must_use]
pub fn run(script: &str, arguments: &[&str]) -> Process {
    let python = interpreter();
    let mut command = Command::new(python);
    command.arg("-u").arg("-c").arg(script).args(arguments);
    Process::start("python", &mut command)
}

/// What is fetched once for the tests of every checkout.
pub(crate) fn cache() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("tidemill")
}

fn interpreter() -> PathBuf {
    found(&cache().join("python"))
}

/// The interpreter in a folder where every library is installed.
fn found(folder: &Path) -> PathBuf {
    let versions = std::fs::read_dir(folder.join("lib")).into_iter().flatten().flatten();
    let libraries: Vec<_> = versions.map(|version| version.path().join("site-packages")).collect();
    let installed = |name: &&str| libraries.iter().any(|folder| folder.join(name).is_dir());
    let missing: Vec<_> = LIBRARIES.into_iter().filter(|name| !installed(name)).collect();
    assert!(
        missing.is_empty(),
        "Python clients of the tests are not installed in '{}' ({}); run `tests/run`, which installs them",
        folder.display(),
        missing.join(", ")
    );
    folder.join("bin/python")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_has_the_libraries_and_its_arguments() {
        let mut process = run("import cloudevents.core, nats, pika, sys; print('hello', sys.argv[1])", &["mill"]);
        assert_eq!(process.line("a greeting", |line| line.starts_with("hello")).await, "hello mill");
        assert!(process.wait().await.success());
    }

    #[test]
    #[should_panic(expected = "(cloudevents/core, pika); run `tests/run`")]
    fn libraries_that_are_missing_are_named_with_what_installs_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("lib/python3/site-packages/nats")).unwrap();
        found(folder.path());
    }
}
