//! A real mosquitto on a free loopback port, in a folder of its own. It can be stopped, killed and
//! started again on the same port with the same folder, which is what a broker's restart is.

mod config;

use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

pub use config::Config;

use crate::certificates::Certificates;
use crate::client::{Publisher, Settings};
use crate::packet::{Framer, Kind, Version, connect};
use crate::server::{Program, Server};
use crate::{port, programs};

/// A broker of one test. Dropping it kills it and removes its folder.
pub type Mosquitto = Server<MosquittoBroker>;

/// mosquitto with its settings.
pub struct MosquittoBroker {
    config: Config,
    address: SocketAddr,
}

impl Program for MosquittoBroker {
    type Config = Config;
    const NAME: &'static str = "mosquitto";
    /// It has saved its sessions then.
    const ENDS_WELL: bool = true;

    async fn new(config: Config, _folder: &Path) -> Self {
        Self { config, address: port::free() }
    }

    async fn settle(&mut self, folder: &Path) {
        self.address = port::free();
        self.config.write(folder, self.address).await;
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(programs::find("mosquitto", "mosquitto"));
        command.arg("-c").arg(folder.join("mosquitto.conf"));
        command
    }

    /// It answers a CONNECT; with TLS, that of a client which is let in.
    async fn answers(&self) -> bool {
        let Some(settings) = self.config.tls_settings(Settings::new(self.address, "are-you-there")) else {
            return connack_from(self.address).await.is_some();
        };
        let listens = TcpStream::connect(self.address).await.is_ok();
        if listens {
            Publisher::connect(settings.clean()).await.close().await;
        }
        listens
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    /// `mqtts` when it speaks TLS.
    fn url(&self) -> String {
        let scheme = if self.config.certificates().is_some() { "mqtts" } else { "mqtt" };
        format!("{scheme}://{}", self.address)
    }

    fn certificates(&self) -> Option<&Certificates> {
        self.config.certificates()
    }
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
