//! The state folder: one engine's own, under one instance id.
//!
//! The id is part of client ids at brokers, so it must survive restarts and must not be shared: it is kept in the folder,
//! and the folder is locked by whoever runs on it. The operating system gives the lock back when a process dies.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use engine::config::is_instance;
use engine::event::Text;
use serde::{Deserialize, Serialize};

/// A locked state folder. Dropping it gives the lock back.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    instance: Text,
    _lock: File,
}

/// A state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {step} '{path}'; make it writable, or name another folder with 'state: {{ dir: ... }}'")]
    Io {
        /// What was tried.
        step: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another engine runs on it.
    #[error(
        "the state folder '{path}' is in use by {holder}; stop it, or name another folder with 'state: {{ dir: ... }}'"
    )]
    Held {
        /// The folder.
        path: PathBuf,
        /// Instance id and process id of the other engine, as far as known.
        holder: String,
        /// The instance id alone.
        instance: Option<Text>,
    },
    /// The kept instance id is not one.
    #[error(
        "'{0}' holds no instance id; write 1 to 64 letters, digits, '-' and '_' into it, or delete it to get a new one"
    )]
    Instance(PathBuf),
}

/// What a holder writes into the file that it locks.
#[derive(Serialize, Deserialize)]
struct Holder {
    instance: Text,
    pid: u32,
}

impl Folder {
    /// Creates the folder where it is missing, locks it, and finds the instance id: `given`, else the kept one, else a new
    /// one, which is kept.
    ///
    /// # Errors
    /// [`Error`] when it cannot be written to or another engine runs on it.
    pub fn open(path: &Path, given: Option<&str>) -> Result<Folder, Error> {
        let refused = |step, path: &Path| {
            let path = path.to_owned();
            move |cause| Error::Io { step, path, cause }
        };
        // Rejected messages will lie here, so nobody else reads them.
        let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
        created.map_err(refused("create the state folder", path))?;
        let lock_path = path.join("lock");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(refused("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (holder, instance) = holder(&mut lock);
                return Err(Error::Held { path: path.to_owned(), holder, instance });
            }
            Err(TryLockError::Error(cause)) => return Err(refused("lock", &lock_path)(cause)),
        }
        let instance = match given {
            Some(given) => Text::from(given),
            None => kept(path)?,
        };
        write_holder(&mut lock, &instance).map_err(refused("write to", &lock_path))?;
        Ok(Folder { path: path.to_owned(), instance, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id of the engine that runs on it.
    #[must_use]
    pub fn instance(&self) -> &Text {
        &self.instance
    }
}

fn holder(lock: &mut File) -> (String, Option<Text>) {
    let mut text = String::new();
    let read = lock.take(4096).read_to_string(&mut text);
    match read.ok().and_then(|_| serde_json::from_str(&text).ok()) {
        Some(Holder { instance, pid }) => (format!("instance '{instance}', process {pid}"), Some(instance)),
        None => ("another process".to_owned(), None),
    }
}

fn write_holder(lock: &mut File, instance: &Text) -> io::Result<()> {
    let holder = Holder { instance: instance.clone(), pid: std::process::id() };
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(&serde_json::to_vec(&holder)?)
}

/// The id in the file `instance`, made if there is none. The caller holds the lock, so nobody else makes one.
fn kept(folder: &Path) -> Result<Text, Error> {
    let path = folder.join("instance");
    match fs::read_to_string(&path) {
        Ok(text) if is_instance(text.trim()) => return Ok(text.trim().into()),
        Ok(_) => return Err(Error::Instance(path)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(Error::Io { step: "read", path, cause }),
    }
    let id = new_id();
    // Whole or not at all: an engine that lost half an id in a crash would leave its sessions behind at the broker.
    let unfinished = folder.join("instance.new");
    let written = File::create(&unfinished)
        .and_then(|mut file| {
            file.write_all(format!("{id}\n").as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&unfinished, &path))
        .and_then(|()| File::open(folder)?.sync_all());
    match written {
        Ok(()) => Ok(id.into()),
        Err(cause) => Err(Error::Io { step: "write", path, cause }),
    }
}

/// Twelve letters and digits: 60 bits of chance, so that no two engines of a fleet meet.
fn new_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).map(|c| c.to_ascii_lowercase()).take(12).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_instance_id_survives_a_restart() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/state");
        let first = Folder::open(&path, None).unwrap().instance().clone();
        assert!(is_instance(&first), "{first}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(Folder::open(&path, None).unwrap().instance(), &first);
        assert_eq!(Folder::open(&path, Some("edge-1")).unwrap().instance(), "edge-1");
        assert_eq!(Folder::open(&path, None).unwrap().instance(), &first);
        assert!(!path.join("instance.new").exists());
        assert_ne!(Folder::open(&parent.path().join("other"), None).unwrap().instance(), &first);
    }

    #[test]
    fn a_second_engine_is_told_who_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path(), Some("edge-1")).unwrap();
        let sentence = Folder::open(folder.path(), None).unwrap_err().to_string();
        let process = format!("process {}", std::process::id());
        assert!(sentence.contains("instance 'edge-1'") && sentence.contains(&process), "{sentence}");
        drop(first);
        Folder::open(folder.path(), None).unwrap();
    }

    #[test]
    fn what_is_no_instance_id_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "two words", "ü"] {
            fs::write(folder.path().join("instance"), text).unwrap();
            assert!(matches!(Folder::open(folder.path(), None), Err(Error::Instance(_))), "{text}");
        }
        Folder::open(folder.path(), Some("edge-1")).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let sentence = Folder::open(&file.join("state"), None).unwrap_err().to_string();
        assert!(sentence.contains("cannot create") && sentence.contains("file/state"), "{sentence}");
    }
}
