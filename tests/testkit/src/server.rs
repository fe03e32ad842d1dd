//! What every real broker of a test has in common: a process on free loopback ports, in a folder of its own, that can be
//! stopped, killed and started again on the same ports with the same folder, which is what a broker's restart is.
//!
//! What differs is a [`Program`]; the rest is written once, so that no broker is started or judged ready with less care.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use tempfile::TempDir;
use tokio::process::Command;

use crate::certificates::Certificates;
use crate::patience::{RETRY, until};
use crate::process::Process;

/// How one kind of broker is configured, started and asked whether it is there.
#[expect(async_fn_in_trait, reason = "a test runs it on its own task, and nobody else implements it")]
pub trait Program: Sized {
    /// What a test says about it.
    type Config;

    /// Its name, for messages.
    const NAME: &'static str;

    /// What its log holds when it ended because a port was taken.
    const TAKEN: &'static [&'static str] = &["in use"];

    /// Whether it ends with success when it is stopped, so that a failure on the way shows.
    const ENDS_WELL: bool = false;

    /// One that has no ports yet.
    async fn new(config: Self::Config, folder: &Path) -> Self;

    /// Takes free ports and writes the files that name them. Comes again when one was taken by somebody else first.
    async fn settle(&mut self, folder: &Path);

    /// What starts it; nothing between that and the broker may take the signals.
    fn command(&self, folder: &Path) -> Command;

    /// Whether it answers as a client needs it.
    async fn answers(&self) -> bool;

    /// What has to be done once, when it answers for the first time.
    async fn open(&self, _folder: &Path) {}

    /// Where its clients connect.
    fn address(&self) -> SocketAddr;

    /// Its URL.
    fn url(&self) -> String;

    /// The certificates that it and its clients use, when it speaks TLS.
    fn certificates(&self) -> Option<&Certificates>;
}

/// A broker of one test. Dropping it kills it and removes its folder.
pub struct Server<P> {
    process: Process,
    /// What is its own.
    pub(crate) program: P,
    folder: TempDir,
}

/// How often other ports are tried when somebody else has taken one that was free.
const PORTS_TRIED: usize = 5;

impl<P: Program> Server<P> {
    /// Starts one and returns when it answers.
    ///
    /// # Panics
    /// When it is not installed, with the command that installs it, or when it ends, with its log.
    pub async fn start(config: P::Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut program = P::new(config, folder.path()).await;
        for _ in 0..PORTS_TRIED {
            program.settle(folder.path()).await;
            if let Some(process) = launch(&program, folder.path()).await {
                program.open(folder.path()).await;
                return Self { process, program, folder };
            }
        }
        panic!("{} found no free ports in {PORTS_TRIED} attempts", P::NAME);
    }

    /// Where its clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.program.address()
    }

    /// Its URL, which says whether it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        self.program.url()
    }

    /// The certificates that it and its clients use, when it speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.program.certificates()
    }

    /// The folder with its configuration, data and certificates.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process, for its log and for freezing it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.lines().all()
    }

    /// Stops it by SIGTERM and waits until it has ended.
    pub async fn stop(&mut self) {
        let status = self.process.terminate().await;
        assert!(status.success() || !P::ENDS_WELL, "{} stopped with {status}: {:?}", P::NAME, self.log());
    }

    /// Kills it by SIGKILL: what it had not saved is lost.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again, on the same ports and with the same folder, after a stop or a kill.
    pub async fn restart(&mut self) {
        loop {
            if let Some(process) = launch(&self.program, self.folder.path()).await {
                self.process = process;
                return;
            }
            // The ports are free for us again as soon as the kernel has let go of them.
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Starts the program and waits for its answer. Nothing comes back when a port was taken.
async fn launch<P: Program>(program: &P, folder: &Path) -> Option<Process> {
    let mut process = Process::start(P::NAME, program.command(folder).current_dir(folder));
    let what = format!("{} to answer", P::NAME);
    let answered = until(&what, async || {
        if let Some(status) = process.ended() {
            process.wait().await;
            let log = process.lines().all().join("\n");
            assert!(P::TAKEN.iter().any(|word| log.contains(word)), "{} ended with {status}:\n{log}", P::NAME);
            return Some(false);
        }
        program.answers().await.then_some(true)
    });
    answered.await.then_some(process)
}

/// Starts a program that ends with this process, however that ends, and takes the folder with it: a shell holds the reading
/// end of a pipe whose other end nobody but this process has, and when it is closed, kills the program. What is printed
/// goes to a log in the folder.
///
/// # Panics
/// When no shell can be started.
#[must_use]
pub(crate) fn tethered(command: &std::process::Command, folder: &Path) -> Child {
    let script = "folder=$1; shift; \"$@\" </dev/null >>\"$folder/program.log\" 2>&1 & program=$!; \
                  read -r _; kill -9 $program; wait; rm -rf \"$folder\"";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(folder).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a shell starts")
}
