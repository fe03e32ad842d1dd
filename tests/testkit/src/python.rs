//! Python with client libraries that have nothing to do with ours, from a folder beside cargo's own caches that `tests/run`
//! fills.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::process::Process;

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

fn interpreter() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    found(cache.join("tidemill/python/bin/python"))
}

fn found(python: PathBuf) -> PathBuf {
    assert!(
        python.is_file(),
        "the Python clients of the tests are not installed in '{}'; run `tests/run`, which installs them",
        python.display()
    );
    python
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_has_the_libraries_and_its_arguments() {
        let mut process = run("import nats, pika, sys; print('hello', sys.argv[1])", &["mill"]);
        assert_eq!(process.line("a greeting", |line| line.starts_with("hello")).await, "hello mill");
        assert!(process.wait().await.success());
    }

    #[test]
    #[should_panic(expected = "run `tests/run`")]
    fn libraries_that_are_missing_are_named_with_what_installs_them() {
        found(PathBuf::from("/nonexistent/python"));
    }
}
