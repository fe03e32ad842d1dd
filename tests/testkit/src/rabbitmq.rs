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

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

pub use config::Config;
pub use peer::{Message, Peer};
pub use shared::{Shared, shared};

use crate::certificates::Certificates;
use crate::patience::{RETRY, within};
use crate::port;
use crate::process::Process;
use crate::programs;

/// The script of Debian's package that starts a broker as whoever calls it; the one in the search path changes the user.
const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A broker of one test. Dropping it kills it and removes its folder.
pub struct RabbitMq {
    config: Config,
    folder: TempDir,
    ports: Ports,
    process: Process,
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

/// How often other ports are tried when somebody else has taken one that was free.
const PORTS_TRIED: usize = 5;

impl RabbitMq {
    /// Starts a broker and returns when it answers the first bytes of AMQP.
    ///
    /// # Panics
    /// When RabbitMQ is not installed, or ends, with its log.
    pub async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for _ in 0..PORTS_TRIED {
            let ports = Ports { amqp: port::free(), distribution: port::free().port(), mapper: port::free().port() };
            config.write(folder.path(), ports.amqp);
            let mut process = launch(folder.path(), ports);
            if answers(&mut process, ports.amqp).await {
                config.let_users_in(folder.path(), ports).await;
                return Self { config, folder, ports, process };
            }
        }
        panic!("RabbitMQ found no free ports in {PORTS_TRIED} attempts");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.ports.amqp
    }

    /// Its URL, `amqps` when it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.config.certificates().is_some() { "amqps" } else { "amqp" };
        format!("{scheme}://{}", self.ports.amqp)
    }

    /// The certificates that it and its clients use, when it speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.config.certificates()
    }

    /// The folder with its configuration, queues and certificates.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process, for its log and for freezing it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A client that is let in.
    pub async fn peer(&self) -> Peer {
        Peer::connect(&self.url(), self.config.certificates()).await
    }

    /// Runs `rabbitmqctl` against it.
    ///
    /// # Panics
    /// When it fails, with what it printed.
    pub async fn control(&self, arguments: &[&str]) -> String {
        control(self.folder.path(), self.ports, arguments).await
    }

    /// Stops it by SIGTERM and waits until it has ended.
    pub async fn stop(&mut self) {
        self.process.terminate().await;
    }

    /// Kills it by SIGKILL.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again, on the same ports and with the same folder, after a stop or a kill.
    pub async fn restart(&mut self) {
        loop {
            self.process = launch(self.folder.path(), self.ports);
            if answers(&mut self.process, self.ports.amqp).await {
                return;
            }
            // The ports are free for us again as soon as the kernel has let go of them.
            tokio::time::sleep(RETRY).await;
        }
    }
}

impl Drop for RabbitMq {
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

fn launch(folder: &Path, ports: Ports) -> Process {
    let mut command = Command::new(script());
    environment(command.as_std_mut(), folder, ports);
    command
        // Then the script becomes the Erlang machine, and no shell in between gets the signals.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .current_dir(folder);
    Process::start("rabbitmq-server", &mut command)
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
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", inside("none"))
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

/// Waits for an answer to the protocol's header; with TLS only for an open port. Tells `false` when a port was taken.
async fn answers(process: &mut Process, address: SocketAddr) -> bool {
    within("RabbitMQ to answer", async {
        loop {
            if let Some(status) = process.ended() {
                process.wait().await;
                let log = process.lines().all().join("\n");
                let taken = ["eaddrinuse", "in use", "already_started"].iter().any(|word| log.contains(word));
                assert!(taken, "RabbitMQ ended with {status}:\n{log}");
                return false;
            }
            if is_amqp(address).await.is_some() {
                return true;
            }
            tokio::time::sleep(RETRY).await;
        }
    })
    .await
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
