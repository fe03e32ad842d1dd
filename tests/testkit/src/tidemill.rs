//! The built program as a user runs it: a YAML file in a folder, a process, an admin address that
//! it prints, signals. Restarting keeps the folder, because the state folder is what a crash test
//! is about.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{self, Response};
use crate::patience::{RETRY, within};
use crate::process::Process;

/// One engine of one test. Dropping it kills it and removes its folder.
pub struct Tidemill {
    program: PathBuf,
    folder: TempDir,
    words: Option<Vec<OsString>>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    process: Option<Process>,
    admin: Option<SocketAddr>,
}

/// The file that the configuration is written to, and so the name of the state folder.
const FILE: &str = "tidemill.yaml";

impl Tidemill {
    /// What it is told to do.
    pub const RUN: [&str; 4] = ["run", FILE, "--admin", "127.0.0.1:0"];

    /// An engine that is not started yet. `program` is `env!("CARGO_BIN_EXE_tidemill")`, which only
    /// the integration test itself knows.
    #[must_use]
    pub fn new(program: &str, yaml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let engine = Self {
            program: PathBuf::from(program),
            folder,
            words: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            process: None,
            admin: None,
        };
        engine.write(FILE, yaml);
        engine
    }

    /// Starts it with these words instead of `run FILE --admin 127.0.0.1:0`, for a program that comes to the same by itself.
    #[must_use]
    pub fn words(mut self, words: &[&str]) -> Self {
        self.words = Some(words.iter().map(Into::into).collect());
        self
    }

    /// One more argument of `tidemill run`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One variable of its environment, which is otherwise the test's own.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file beside the configuration, or replaces the configuration itself.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("the folder is writable");
    }

    /// The folder that it runs in; its state is below.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `tidemill run` with an admin API on a free port, without waiting for anything.
    pub fn launch(&mut self) {
        let mut command = Command::new(&self.program);
        match &self.words {
            Some(words) => command.args(words),
            None => command.args(Self::RUN),
        };
        command.args(&self.arguments).envs(self.environment.iter().cloned()).current_dir(self.folder.path());
        self.process = Some(Process::start("tidemill", &mut command));
        self.admin = None;
    }

    /// Starts it, and returns when it has printed its admin address and `/readyz` says yes.
    ///
    /// # Panics
    /// When it ends instead, with everything it printed.
    pub async fn start(&mut self) {
        self.start_degraded().await;
        self.ready().await;
    }

    /// Starts it, and returns when it has printed its admin address: a source or an output may
    /// still be without its broker.
    pub async fn start_degraded(&mut self) {
        self.launch();
        self.admitted().await;
    }

    /// Waits until an engine that was launched has printed its admin address.
    ///
    /// # Panics
    /// When it ends instead, with everything it printed.
    pub async fn admitted(&mut self) {
        let process = self.process.as_mut().expect("it was launched");
        let line = process.line("the admin address", |line| address_in(line).is_some()).await;
        self.admin = address_in(&line);
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&self) {
        within("/readyz to say yes", async {
            while self.get("/readyz").await.status != 200 {
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
    }

    /// Where its admin API listens.
    ///
    /// # Panics
    /// When it has not been started.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("the engine was started")
    }

    /// GET from the admin API.
    pub async fn get(&self, path: &str) -> Response {
        http::get(self.admin(), path).await
    }

    /// POST to the admin API.
    pub async fn post(&self, path: &str, body: &str) -> Response {
        http::post(self.admin(), path, body).await
    }

    /// `/v1/status`.
    pub async fn status(&self) -> Value {
        self.get("/v1/status").await.json()
    }

    /// Waits until `/v1/status` satisfies `is_it`, and returns it.
    pub async fn status_where(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        within(what, async {
            loop {
                let status = self.status().await;
                if is_it(&status) {
                    return status;
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
    }

    /// Its process, for its lines, and for freezing it.
    ///
    /// # Panics
    /// When it has not been started.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the engine was started")
    }

    /// Asks it to drain with SIGTERM and waits until it has ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process().terminate().await
    }

    /// Kills it with SIGKILL; [`Tidemill::start`] starts it again with the same state.
    pub async fn kill(&mut self) {
        self.process().kill().await;
    }

    /// The file of this name anywhere below its folder, if it is there.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        find(self.folder.path(), name)
    }
}

/// The loopback address behind the word `admin` in a line of the program's output.
fn address_in(line: &str) -> Option<SocketAddr> {
    let after = &line[line.find("admin")?..];
    let at = after.find("127.0.0.1:")?;
    let address: String = after[at..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    let address: SocketAddr = address.trim_end_matches([':', '.']).parse().ok()?;
    (address.port() > 0).then_some(address)
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|e| e.path()).collect();
    let here = entries.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    here.cloned().or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}

#[cfg(test)]
mod tests;
