//! A real RabbitMQ on free loopback ports, in a folder of its own. It can be stopped, killed and started again on the same
//! ports with the same folder, which is what a broker's restart is.
//!
//! Erlang's port mapper outlives the node that started it, so every broker has one of its own, found by its port and ended
//! by its process id.

mod config;
mod mapper;
mod peer;
mod shared;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

pub use config::Config;
pub use peer::{Message, Peer, properties};
pub use shared::{Shared, shared};

use crate::certificates::Certificates;
use crate::patience::within;
use crate::server::{Program, Server};
use crate::{port, programs};

/// The script of Debian's package that starts a broker as whoever calls it; the one in the search path changes the user.
const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A broker of one test. Dropping it kills it and removes its folder.
pub type RabbitMq = Server<RabbitMqBroker>;

/// RabbitMQ with its settings.
pub struct RabbitMqBroker {
    config: Config,
    ports: Ports,
}

/// Where one broker listens, always on the loopback interface.
#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: SocketAddr,
    /// Between Erlang nodes, of which there is one.
    distribution: u16,
    /// Of Erlang's port mapper.
    mapper: u16,
}

impl Ports {
    fn free() -> Self {
        Self { amqp: port::free(), distribution: port::free().port(), mapper: port::free().port() }
    }
}

impl RabbitMq {
    /// A client that is let in.
    pub async fn peer(&self) -> Peer {
        Peer::connect(&self.url(), self.certificates()).await
    }

    /// Runs `rabbitmqctl` against it.
    ///
    /// # Panics
    /// When it fails, with what it printed.
    pub async fn control(&self, arguments: &[&str]) -> String {
        control(self.folder(), self.program.ports, arguments).await
    }
}

impl Program for RabbitMqBroker {
    type Config = Config;
    const NAME: &'static str = "rabbitmq-server";
    const TAKEN: &'static [&'static str] = &["eaddrinuse", "in use", "already_started"];

    async fn new(config: Config, _folder: &Path) -> Self {
        Self { config, ports: Ports::free() }
    }

    async fn settle(&mut self, folder: &Path) {
        self.ports = Ports::free();
        self.config.write(folder, self.ports.amqp);
    }

    fn command(&self, folder: &Path) -> Command {
        command(folder, self.ports).into()
    }

    async fn answers(&self) -> bool {
        is_amqp(self.ports.amqp).await.is_some()
    }

    async fn open(&self, folder: &Path) {
        self.config.let_users_in(folder, self.ports).await;
    }

    fn address(&self) -> SocketAddr {
        self.ports.amqp
    }

    /// `amqps` when it speaks TLS.
    fn url(&self) -> String {
        let scheme = if self.config.certificates().is_some() { "amqps" } else { "amqp" };
        format!("{scheme}://{}", self.ports.amqp)
    }

    fn certificates(&self) -> Option<&Certificates> {
        self.config.certificates()
    }
}

impl Drop for RabbitMqBroker {
    fn drop(&mut self) {
        mapper::end(self.ports.mapper);
    }
}

fn script() -> PathBuf {
    let script = PathBuf::from(SCRIPT);
    // Only for the sentence that it fails with.
    let _ = programs::find("rabbitmqctl", "rabbitmq-server");
    assert!(script.is_file(), "'{SCRIPT}' is missing; run `tests/run`, which installs rabbitmq-server");
    script
}

/// What starts a broker.
fn command(folder: &Path, ports: Ports) -> std::process::Command {
    let mut command = std::process::Command::new(script());
    environment(&mut command, folder, ports);
    command
        // Then the script becomes the Erlang machine, and no shell in between gets the signals.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string());
    command
}

/// What every program of RabbitMQ has to know about this one.
fn environment(command: &mut std::process::Command, folder: &Path, ports: Ports) {
    let Ports { amqp, mapper, .. } = ports;
    let inside = |name: &str| folder.join(name);
    command
        .env("HOME", folder)
        .env("RABBITMQ_NODENAME", format!("t{}@localhost", amqp.port()))
        .env("RABBITMQ_MNESIA_BASE", inside("mnesia"))
        .env("RABBITMQ_LOG_BASE", inside("log"))
        .env("RABBITMQ_PID_FILE", inside("pid"))
        .env("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", inside("advanced.config"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("ERL_EPMD_PORT", mapper.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
        );
}

async fn control(folder: &Path, ports: Ports, arguments: &[&str]) -> String {
    let script = script().with_file_name("rabbitmqctl");
    let mut command = Command::new(script);
    environment(command.as_std_mut(), folder, ports);
    let output = command.args(arguments).kill_on_drop(true).output();
    let output = within("rabbitmqctl", output).await.expect("rabbitmqctl can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "rabbitmqctl {arguments:?} failed:\n{out}\n{errors}");
    out
}

/// Whether a broker is ready for a connection: `Connection.Start`, or an alert of TLS, which wants another first byte.
async fn is_amqp(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"AMQP\0\0\x09\x01").await.ok()?;
    let mut first = [0];
    stream.read_exact(&mut first).await.ok()?;
    matches!(first[0], 1 | 21).then_some(())
}

#[cfg(test)]
mod tests;
