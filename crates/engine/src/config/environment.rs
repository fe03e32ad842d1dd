//! What a configuration takes from outside its files, passed in so that reading it stays pure.

use std::path::{Path, PathBuf};

/// The variables that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `STATE_DIRECTORY`, which systemd sets for a service; with several folders in it the first counts.
    pub state_directory: Option<String>,
    /// `TIDEMILL_INSTANCE`, the id of this engine among its replicas.
    pub instance: Option<String>,
}

impl Environment {
    /// The variables of this process.
    #[must_use]
    pub fn current() -> Environment {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Environment { state_directory: variable("STATE_DIRECTORY"), instance: variable("TIDEMILL_INSTANCE") }
    }

    /// The state folder: what the file says, else `STATE_DIRECTORY`, else `./tidemill-state/NAME`.
    #[must_use]
    pub fn state_folder(&self, written: Option<&Path>, name: &str) -> PathBuf {
        let given = self.state_directory.as_deref().and_then(|list| list.split(':').find(|folder| !folder.is_empty()));
        match written.or(given.map(Path::new)) {
            Some(folder) => folder.to_owned(),
            None => Path::new("tidemill-state").join(name),
        }
    }
}

/// The name of a configuration: that of its first file without the extension, or of its folder.
#[must_use]
pub fn name(path: &Path) -> String {
    let named = |path: &Path| {
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        name.map(|name| name.to_string_lossy().into_owned())
    };
    // `.` and `..` have a name only where they lead.
    named(path).or_else(|| named(&path.canonicalize().ok()?)).unwrap_or_else(|| "tidemill".to_owned())
}

/// Whether an instance id can become part of a client id everywhere: letters, digits, `-` and `_`, at most 64.
#[must_use]
pub fn is_instance(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_comes_from_the_nearest_place() {
        let none = Environment::default();
        let systemd = Environment { state_directory: Some("/var/lib/a:/var/lib/b".into()), instance: None };
        assert_eq!(none.state_folder(None, "fleet"), Path::new("tidemill-state/fleet"));
        assert_eq!(systemd.state_folder(None, "fleet"), Path::new("/var/lib/a"));
        assert_eq!(systemd.state_folder(Some(Path::new("/data")), "fleet"), Path::new("/data"));
    }

    #[test]
    fn a_configuration_is_called_after_its_first_path() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("fleet.d");
        std::fs::create_dir(&inner).unwrap();
        assert_eq!(name(Path::new("some/tidemill.yaml")), "tidemill");
        assert_eq!(name(&inner), "fleet.d");
        assert_eq!(name(&inner.join(".")), "fleet.d");
        assert_eq!(name(&inner.join("../fleet.d/..")), folder.path().file_name().unwrap().to_string_lossy());
    }

    #[test]
    fn instance_ids_fit_into_client_ids() {
        assert!(is_instance("edge-1_A"));
        for id in ["", "a b", "ü", "a/b", &"x".repeat(65)] {
            assert!(!is_instance(id), "{id}");
        }
    }
}
