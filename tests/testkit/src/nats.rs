//! A real nats-server with JetStream on a free loopback port, in a folder of its own. It can be stopped, killed and
//! started again on the same port with the same folder, which is what a server's restart is.

mod config;
mod peer;

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

pub use config::Config;
pub use peer::{Delivery, Peer};

use crate::certificates::Certificates;
use crate::patience::{RETRY, within};
use crate::port;
use crate::process::Process;
use crate::programs;

/// A server of one test. Dropping it kills it and removes its folder.
pub struct Nats {
    config: Config,
    folder: TempDir,
    address: SocketAddr,
    process: Process,
}

/// How often another port is tried when somebody else has taken the one that was free.
const PORTS_TRIED: usize = 5;

impl Nats {
    /// Starts a server and returns when it introduces itself and has JetStream.
    ///
    /// # Panics
    /// When nats-server is not installed, or ends, with its log.
    pub async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for _ in 0..PORTS_TRIED {
            let address = config.listens().unwrap_or_else(port::free);
            config.write(folder.path(), address);
            let mut process = launch(folder.path());
            if answers(&mut process, address).await {
                return Self { config, folder, address, process };
            }
        }
        panic!("nats-server found no free port in {PORTS_TRIED} attempts");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, `tls` when it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.config.certificates().is_some() { "tls" } else { "nats" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificates that it and its clients use, when it speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.config.certificates()
    }

    /// The folder with its configuration, streams and certificates.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process, for its log and for freezing it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A client that is let in, over plain TCP.
    pub async fn peer(&self) -> Peer {
        Peer::connect(self.address, self.config.credentials()).await
    }

    /// Stops it by SIGTERM and waits until it has ended.
    pub async fn stop(&mut self) {
        self.process.terminate().await;
    }

    /// Kills it by SIGKILL.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again, on the same port and with the same folder, after a stop or a kill.
    pub async fn restart(&mut self) {
        loop {
            self.process = launch(self.folder.path());
            if answers(&mut self.process, self.address).await {
                return;
            }
            // The port is free for us again as soon as the kernel has let go of it.
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn launch(folder: &Path) -> Process {
    let program = programs::find("nats-server", "nats-server");
    let mut command = Command::new(program);
    command.arg("-c").arg(folder.join("nats.conf")).current_dir(folder);
    Process::start("nats-server", &mut command)
}

/// Waits for the line by which a server introduces itself. Tells `false` when the port was taken.
async fn answers(process: &mut Process, address: SocketAddr) -> bool {
    within("nats-server to introduce itself", async {
        loop {
            if let Some(status) = process.ended() {
                process.wait().await;
                let log = process.lines().all().join("\n");
                assert!(log.contains("in use"), "nats-server ended with {status}:\n{log}");
                return false;
            }
            if introduction(address).await.is_some_and(|line| line.contains("\"jetstream\":true")) {
                return true;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await
}

/// The first line of whatever listens at the address.
async fn introduction(address: SocketAddr) -> Option<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await.ok()?);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    Some(line)
}

#[cfg(test)]
mod tests;
