//! Node with client libraries that have nothing to do with ours, from a folder beside cargo's own caches that `tests/run`
//! fills. Their versions are those of `node/package-lock.json`.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::process::Process;
use crate::{programs, python};

/// The version of the CloudEvents SDK that `node/package.json` names, and the folder after it.
const VERSION: &str = "9.0.0";

/// A script that has been started with the libraries.
///
/// # Panics
/// When Node or the libraries are not there, with the command that installs them.
#[must_use]
pub fn run(script: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(programs::find("node", "nodejs"));
    let libraries = found(python::cache().join(format!("node-cloudevents-{VERSION}/node_modules")));
    command.env("NODE_PATH", libraries).arg("-e").arg(script).arg("--").args(arguments);
    Process::start("node", &mut command)
}

fn found(libraries: PathBuf) -> PathBuf {
    assert!(
        Path::new(&libraries).join("cloudevents").is_dir(),
        "the JavaScript clients of the tests are not installed in '{}'; run `tests/run`, which installs them",
        libraries.display()
    );
    libraries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_has_the_libraries_and_its_arguments() {
        let script = "console.log('hello', new (require('cloudevents').CloudEvent)({ type: 't', source: '/s' }).type, process.argv[1])";
        let mut process = run(script, &["--mill"]);
        assert_eq!(process.line("a greeting", |line| line.starts_with("hello")).await, "hello t --mill");
        assert!(process.wait().await.success());
    }

    #[test]
    fn the_folder_is_named_after_the_version() {
        let named = |text: &str| text.contains(&format!("\"cloudevents\": \"{VERSION}\""));
        assert!(named(include_str!("node/package.json")) && named(include_str!("node/package-lock.json")));
    }

    #[test]
    #[should_panic(expected = "run `tests/run`")]
    fn libraries_that_are_missing_are_named_with_what_installs_them() {
        found(PathBuf::from("/nonexistent/node_modules"));
    }
}
