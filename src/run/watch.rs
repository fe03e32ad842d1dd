//! Files that somebody may change at any moment.
//!
//! Decision: they are looked at once a second, by what the file system says of them, and nobody is told before two looks in a
//! row have found the same. So it does not matter whether an editor writes into a file, puts another in its place or removes it
//! for a moment, nor that Kubernetes exchanges what a link points to; and there is nothing that a file system or a container
//! could fail to report.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// From one look to the next.
const PERIOD: Duration = Duration::from_secs(1);

/// What tells one state of a file from another: device, node, size, and when its content and its entry were changed.
type Mark = (u64, u64, u64, (i64, i64), (i64, i64));

/// Every file as it was found; nothing for one that was not there.
type Marks = Vec<(PathBuf, Option<Mark>)>;

/// The files of a configuration, watched.
#[derive(Debug)]
pub struct Watch {
    paths: Vec<PathBuf>,
    known: Marks,
}

impl Watch {
    /// Watches files, and what lies directly in folders, from what they are now.
    #[must_use]
    pub fn begin(paths: &[PathBuf]) -> Watch {
        Watch { paths: paths.to_vec(), known: look(paths) }
    }

    /// Waits until they are different from what they were when it was last said that they are. Cancel safe.
    pub async fn changed(&mut self) {
        let mut before = None;
        loop {
            sleep(PERIOD).await;
            let paths = self.paths.clone();
            let Ok(found) = spawn_blocking(move || look(&paths)).await else { continue };
            if found == self.known {
                before = None;
            } else if before.as_ref() == Some(&found) {
                self.known = found;
                return;
            } else {
                before = Some(found);
            }
        }
    }
}

fn look(paths: &[PathBuf]) -> Marks {
    let files = paths.iter().flat_map(|path| match path.read_dir() {
        Ok(entries) => {
            let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.retain(|file| is_yaml(file));
            files.sort();
            files
        }
        Err(_) => vec![path.clone()],
    });
    // Through links, whose targets are what is read.
    files.map(|file| (file.clone(), file.metadata().ok().as_ref().map(mark))).collect()
}

fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn mark(file: &Metadata) -> Mark {
    (file.dev(), file.ino(), file.size(), (file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tokio::time::timeout;

    use super::*;

    /// Whether anything is said within five looks.
    async fn says(watch: &mut Watch) -> bool {
        timeout(5 * PERIOD, watch.changed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_way_a_file_is_changed_it_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.yaml"), "one").unwrap();
        let mut watch = Watch::begin(&[path("a.yaml")]);
        assert!(!says(&mut watch).await);

        // As an editor does it: another file takes its place, of the same size.
        fs::write(path("a.yaml.new"), "two").unwrap();
        fs::rename(path("a.yaml.new"), path("a.yaml")).unwrap();
        assert!(says(&mut watch).await && !says(&mut watch).await);
        fs::write(path("a.yaml"), "three").unwrap();
        assert!(says(&mut watch).await && !says(&mut watch).await);
        fs::remove_file(path("a.yaml")).unwrap();
        assert!(says(&mut watch).await && !says(&mut watch).await);
        fs::write(path("b.yaml"), "beside").unwrap();
        assert!(!says(&mut watch).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_of_links_is_watched_as_kubernetes_exchanges_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("a.yaml"), text).unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/a.yaml", path("a.yaml")).unwrap();
        let mut watch = Watch::begin(&[folder.path().to_owned()]);
        assert!(!says(&mut watch).await);
        symlink("..2", path("..data.new")).unwrap();
        fs::rename(path("..data.new"), path("..data")).unwrap();
        assert!(says(&mut watch).await && !says(&mut watch).await);
        fs::write(path("notes.txt"), "nothing of a configuration").unwrap();
        assert!(!says(&mut watch).await);
        fs::write(path("b.yml"), "more").unwrap();
        assert!(says(&mut watch).await && !says(&mut watch).await);
    }
}
