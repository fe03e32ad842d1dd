//! Where the installed programs are. One that is missing fails the test that needs it with the
//! command that installs it; a test never passes because its broker was not there.

use std::path::{Path, PathBuf};

/// Debian keeps servers out of an ordinary user's search path.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// The path of an installed program.
///
/// # Panics
/// When it is not installed, naming the Debian package that brings it.
#[must_use]
pub fn find(program: &str, package: &str) -> PathBuf {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&search).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    find_in(program, folders).unwrap_or_else(|| {
        panic!(
            "`{program}` is not installed and this test needs it; run `tests/run`, which installs \
             it, or `apt-get install --no-install-recommends {package}`"
        )
    })
}

fn find_in(program: &str, folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.map(|folder| folder.join(program)).find(|path| Path::new(path).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installed_program_is_found() {
        assert!(find("sh", "dash").ends_with("sh"));
    }

    #[test]
    #[should_panic(expected = "apt-get install --no-install-recommends tide-tables")]
    fn a_missing_program_is_named_with_the_command_that_installs_it() {
        let _ = find("no-such-tide", "tide-tables");
    }
}
