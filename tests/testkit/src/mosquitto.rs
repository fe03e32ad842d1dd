//! A real mosquitto on a free loopback port, in a folder of its own. It can be stopped, killed and
//! started again on the same port with the same folder, which is what a broker's restart is.

mod config;

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

pub use config::Config;

use crate::certificates::Certificates;
use crate::client::{Publisher, Settings};
use crate::packet::{Framer, Kind, Version, connect};
use crate::patience::{RETRY, within};
use crate::port;
use crate::process::Process;
use crate::programs;

/// A broker of one test. Dropping it kills it and removes its folder.
pub struct Mosquitto {
    config: Config,
    folder: TempDir,
    address: SocketAddr,
    process: Process,
}

/// How often another port is tried when somebody else has taken the one that was free.
const PORTS_TRIED: usize = 5;

impl Mosquitto {
    /// Starts a broker and returns when it answers a CONNECT.
    ///
    /// # Panics
    /// When mosquitto is not installed, or ends, with its log.
    pub async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for _ in 0..PORTS_TRIED {
            let address = port::free();
            config.write(folder.path(), address).await;
            let mut process = launch(folder.path());
            if answers(&mut process, &config, address).await {
                return Self { config, folder, address, process };
            }
        }
        panic!("mosquitto found no free port in {PORTS_TRIED} attempts");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, `mqtts` when it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.config.certificates().is_some() { "mqtts" } else { "mqtt" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificates that it and its clients use, when it speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.config.certificates()
    }

    /// The folder with its configuration, database and certificates.
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

    /// Stops it by SIGTERM and waits until it has saved its sessions and ended.
    pub async fn stop(&mut self) {
        let status = self.process.terminate().await;
        assert!(status.success(), "mosquitto stopped with {status}: {:?}", self.log());
    }

    /// Kills it by SIGKILL: what it had not saved is lost.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again, on the same port and with the same folder, after a stop or a kill.
    pub async fn restart(&mut self) {
        loop {
            self.process = launch(self.folder.path());
            if answers(&mut self.process, &self.config, self.address).await {
                return;
            }
            // The port is free for us again as soon as the kernel has let go of it.
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn launch(folder: &Path) -> Process {
    let program = programs::find("mosquitto", "mosquitto");
    let mut command = Command::new(program);
    command.arg("-c").arg(folder.join("mosquitto.conf")).current_dir(folder);
    Process::start("mosquitto", &mut command)
}

/// Waits for a CONNACK. Tells `false` when the port was taken.
async fn answers(process: &mut Process, config: &Config, address: SocketAddr) -> bool {
    within("mosquitto to answer a CONNECT", async {
        loop {
            if let Some(status) = process.ended() {
                process.wait().await;
                let log = process.lines().all().join("\n");
                assert!(log.contains("in use"), "mosquitto ended with {status}:\n{log}");
                return false;
            }
            let answered = match config.certificates() {
                None => connack_from(address).await.is_some(),
                Some(_) => TcpStream::connect(address).await.is_ok(),
            };
            if answered {
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        if let Some(settings) = config.tls_settings(Settings::new(address, "are-you-there")) {
            Publisher::connect(settings.clean()).await.close().await;
        }
        true
    })
    .await
}

/// The code of the CONNACK of whatever listens at the address, if it speaks MQTT at all.
pub async fn connack_from(address: SocketAddr) -> Option<u8> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(&connect(Version::V311, "are-you-there")).await.ok()?;
    let mut framer = Framer::default();
    let mut bytes = [0; 64];
    loop {
        let read = stream.read(&mut bytes).await.ok()?;
        framer.feed(&bytes[..read]);
        match framer.next_frame().ok()? {
            Some(frame) if frame.kind == Kind::Connack => return frame.body().get(1).copied(),
            None if read > 0 => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
