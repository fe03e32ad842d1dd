//! The demo's state folder: a temporary one, nobody else's, gone with the demo.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How often another name is tried.
const ATTEMPTS: usize = 16;

/// A temporary folder. Dropping it removes it with everything in it.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

/// No temporary folder could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a temporary folder in '{}'; make it writable, or set TMPDIR", parent.display())]
pub(super) struct Error {
    parent: PathBuf,
    #[source]
    cause: io::Error,
}

impl Scratch {
    /// Makes one where temporary files belong.
    pub(super) fn create() -> Result<Scratch, Error> {
        Scratch::create_in(std::env::temp_dir())
    }

    fn create_in(parent: PathBuf) -> Result<Scratch, Error> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..ATTEMPTS {
            let name: String = std::iter::repeat_with(fastrand::alphanumeric).take(12).collect();
            let path = parent.join(format!("tidemill-demo-{name}"));
            // Not recursive: a folder that is already there belongs to somebody else.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => last = cause,
                Err(cause) => return Err(Error { parent, cause }),
            }
        }
        Err(Error { parent, cause: last })
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever tidies temporary folders.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_empty_private_and_goes_with_everything_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::create_in(parent.path().to_owned()).unwrap();
        std::fs::write(scratch.path().join("deliveries"), "x").unwrap();
        assert_ne!(Scratch::create_in(parent.path().to_owned()).unwrap().path(), scratch.path());
        drop(scratch);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_none_can_be_made_the_parent_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let error = Scratch::create_in(parent.path().join("missing")).unwrap_err();
        assert!(error.to_string().contains("missing'; make it writable"), "{error}");
    }
}
