//! What a broker needs before it can start quickly, made once per machine and kept beside cargo's own caches: the jars
//! (by Maven), a formatted data folder to copy, and an archive of loaded classes, which more than halves the time to boot.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::config::Config;
use super::wire;
use crate::patience::{LIMIT, RETRY};
use crate::{port, programs};

/// The version that `pom.xml` names.
const VERSION: &str = "4.4.0";
/// A cluster's id is no secret and the same in every test.
const CLUSTER: &str = "AAAAAAAAQACAAAAAAAAAAQ";

/// The folder with everything.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    folder: PathBuf,
    java: PathBuf,
}

impl Parts {
    /// Finds the parts, or makes those that are missing. Blocks: the first time for as long as Maven takes to fetch 43 MB.
    ///
    /// # Panics
    /// When Java or Maven is missing, or does not do its work.
    pub(super) fn prepared() -> Parts {
        let java = programs::find("java", "default-jre-headless");
        let folder = cache().join(format!("kafka-{VERSION}"));
        std::fs::create_dir_all(&folder).expect("the cache folder can be made");
        let parts = Parts { folder, java };
        // Test binaries run side by side, and one of them is enough.
        let lock = File::create(parts.folder.join("lock")).expect("the cache folder is writable");
        lock.lock().expect("a file can be locked");
        if !parts.jars().is_dir() {
            parts.fetch();
        }
        if !parts.template().is_dir() {
            let folder = tempfile::tempdir().expect("a temporary folder");
            parts.format(folder.path(), &[]);
            parts.keep_folder(&folder.path().join("log"), "template");
        }
        if !parts.archive().is_file() {
            parts.archive_classes();
        }
        parts
    }

    /// The arguments, program first, that run a class of the broker.
    pub(super) fn java(&self, class: &str) -> Vec<String> {
        let archive = format!("-XX:SharedArchiveFile={}", self.archive().display());
        let archive = self.archive().is_file().then_some(archive);
        self.command(archive, class)
    }

    fn command(&self, archive: Option<String>, class: &str) -> Vec<String> {
        let java = self.java.display().to_string();
        let options = ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];
        let path = ["-cp".to_owned(), self.class_path(), class.to_owned()];
        [java].into_iter().chain(options.map(str::to_owned)).chain(archive).chain(path).collect()
    }

    /// Gives `folder` the data of a broker that has never run. What has to be known before it runs costs the start of
    /// another Java program.
    pub(super) fn new_data(&self, folder: &Path, formatting: &[String]) {
        match formatting {
            [] => copy(&self.template(), &folder.join("log")),
            further => self.format(folder, further),
        }
    }

    /// A formatted data folder; it names neither port nor path, so that any broker can begin with a copy.
    fn template(&self) -> PathBuf {
        self.folder.join("template")
    }

    fn jars(&self) -> PathBuf {
        self.folder.join("lib")
    }

    fn archive(&self) -> PathBuf {
        self.folder.join("classes.jsa")
    }

    /// The archive checks the class path as a text, so the order is fixed.
    fn class_path(&self) -> String {
        let mut jars: Vec<_> = std::fs::read_dir(self.jars())
            .expect("the jars are there")
            .map(|entry| entry.expect("a folder can be read").path().display().to_string())
            .collect();
        jars.sort();
        jars.join(":")
    }

    fn fetch(&self) {
        let mvn = programs::find("mvn", "maven");
        let fresh = self.folder.join("lib.new");
        let project = self.folder.join("pom.xml");
        std::fs::write(&project, include_str!("pom.xml")).expect("the cache folder is writable");
        let mut command = Command::new(mvn);
        command.args(["-q", "-B", "-f"]).arg(&project).args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        command.arg(format!("-DoutputDirectory={}", fresh.display()));
        run("mvn, which fetches Kafka's jars from Maven Central,", &mut command);
        std::fs::rename(fresh, self.jars()).expect("a folder can be renamed");
    }

    /// Makes `folder/log`.
    fn format(&self, folder: &Path, further: &[String]) {
        let ports = [port::free(), port::free(), port::free()];
        let properties = Config::new().write(folder, ports);
        let java = self.java("kafka.tools.StorageTool");
        let mut command = Command::new(&java[0]);
        command.args(&java[1..]).args(["format", "-t", CLUSTER, "-c"]).arg(properties).args(further);
        run("the formatting of Kafka's data folder", &mut command);
    }

    /// Runs a broker until it answers and has made a topic; what it has loaded by then is archived when it ends.
    fn archive_classes(&self) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = [port::free(), port::free(), port::free()];
        let config = Config::new();
        self.new_data(folder.path(), &[]);
        let properties = config.write(folder.path(), ports);
        let fresh = self.folder.join("classes.new");
        let java = self.command(Some(format!("-XX:ArchiveClassesAtExit={}", fresh.display())), "kafka.Kafka");
        let mut command = Command::new(&java[0]);
        command.args(&java[1..]).arg(properties).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut broker = command.spawn().expect("java starts");
        until_answered(ports[0], &mut broker);
        let made = wire::create_topic(ports[0], "archive", 1, &[]).expect("a new broker makes a topic");
        assert!(made, "a new broker is known to its controller");
        let pid = rustix::process::Pid::from_child(&broker);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a child can be signalled");
        let status = broker.wait().expect("a child can be awaited");
        assert!(fresh.is_file(), "java ended with {status} and left no archive of classes");
        std::fs::rename(fresh, self.archive()).expect("a file can be renamed");
    }

    /// Keeps a copy that is complete as soon as it is there.
    fn keep_folder(&self, from: &Path, name: &str) {
        let fresh = self.folder.join(format!("{name}.new"));
        let _ = std::fs::remove_dir_all(&fresh);
        copy(from, &fresh);
        std::fs::rename(fresh, self.folder.join(name)).expect("a folder can be renamed");
    }
}

/// Waits until the broker at the address answers.
#[expect(clippy::disallowed_methods, reason = "the thread is one for waiting, and no test's time is paused here")]
fn until_answered(address: SocketAddr, broker: &mut Child) {
    for _ in 0..LIMIT.as_millis() / RETRY.as_millis() {
        if wire::brokers(address).is_some() {
            return;
        }
        let ended = broker.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "kafka ended with {ended:?} before it answered");
        std::thread::sleep(RETRY);
    }
    panic!("kafka did not answer at {address}");
}

/// Where the parts are kept, outside of any checkout.
fn cache() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map_or_else(home, PathBuf::from).join("tidemill")
}

fn run(what: &str, command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{what} did not start: {error}"));
    assert!(
        output.status.success(),
        "{what} failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}
