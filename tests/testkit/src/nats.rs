//! A real nats-server with JetStream on a free loopback port, in a folder of its own. It can be stopped, killed and
//! started again on the same port with the same folder, which is what a server's restart is.

mod config;
mod operator;
mod peer;

use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

pub use config::Config;
pub use operator::Operator;
pub use peer::{Delivery, Peer};

use crate::certificates::Certificates;
use crate::server::{Program, Server};
use crate::{port, programs};

/// A server of one test. Dropping it kills it and removes its folder.
pub type Nats = Server<NatsServer>;

/// nats-server with its settings.
pub struct NatsServer {
    config: Config,
    address: SocketAddr,
}

impl Nats {
    /// A client that is let in, over plain TCP.
    pub async fn peer(&self) -> Peer {
        Peer::connect(self.address(), self.program.config.credentials()).await
    }
}

impl Program for NatsServer {
    type Config = Config;
    const NAME: &'static str = "nats-server";

    async fn new(config: Config, _folder: &Path) -> Self {
        Self { config, address: port::free() }
    }

    async fn settle(&mut self, folder: &Path) {
        self.address = self.config.listens().unwrap_or_else(port::free);
        self.config.write(folder, self.address);
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(programs::find("nats-server", "nats-server"));
        command.arg("-c").arg(folder.join("nats.conf"));
        command
    }

    /// It introduces itself and has JetStream.
    async fn answers(&self) -> bool {
        introduction(self.address).await.is_some_and(|line| line.contains("\"jetstream\":true"))
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    /// `tls` when it speaks TLS.
    fn url(&self) -> String {
        let scheme = if self.config.certificates().is_some() { "tls" } else { "nats" };
        format!("{scheme}://{}", self.address)
    }

    fn certificates(&self) -> Option<&Certificates> {
        self.config.certificates()
    }
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
