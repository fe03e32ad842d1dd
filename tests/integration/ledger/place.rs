//! Where an engine is killed, and how it is brought there. Every place is reached by an event that can be awaited: a line of
//! the engine's log, or an answer of its broker; nothing in the engine knows of it.

use std::os::unix::process::ExitStatusExt;

use serde_json::Value;
use testkit::patience::until;
use testkit::tidemill::Tidemill;

use super::bank::{Bank, Kind};

/// What an engine is doing when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Whatever it is.
    Anywhere,
    /// Finishing what has begun, because it was asked to stop.
    Drain,
    /// Telling its broker how far it has come.
    Commit,
    /// Giving partitions to another engine, or taking them.
    Rebalance,
}

impl Place {
    /// The places in the order in which a trial visits them.
    pub(super) fn of(source: Kind, kills: usize) -> Vec<Self> {
        let named = match source {
            Kind::Kafka => [Self::Rebalance, Self::Drain, Self::Commit, Self::Anywhere],
            Kind::Mqtt | Kind::Nats | Kind::Amqp => [Self::Commit, Self::Drain, Self::Anywhere, Self::Anywhere],
        };
        named.into_iter().cycle().take(kills).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Anywhere => "anywhere",
            Self::Drain => "drain",
            Self::Commit => "commit",
            Self::Rebalance => "rebalance",
        }
    }
}

/// The engines of a trial: one that is killed, and one that sometimes shares its group.
pub(super) struct Engines<'a> {
    pub(super) bank: &'a dyn Bank,
    pub(super) from: &'a str,
    pub(super) victim: Tidemill,
    pub(super) guest: Tidemill,
    pub(super) guest_runs: bool,
}

impl Engines<'_> {
    /// Kills the victim at a place. Tells `false` when it had ended by itself before it was hit, which is no kill.
    pub(super) async fn kill(&mut self, place: Place) -> bool {
        match place {
            Place::Anywhere => {}
            Place::Drain => {
                self.victim.process().ask();
                self.victim.process().line("the drain", |line| line.contains("draining;")).await;
            }
            Place::Commit => {
                let before = self.progress().await;
                until("progress at the broker", async || (self.progress().await > before).then_some(())).await;
            }
            Place::Rebalance => self.rebalance().await,
        }
        self.victim.process().kill().await.signal() == Some(9)
    }

    /// What the engines say of themselves, for whoever looks into a fault.
    pub(super) async fn say(&mut self) -> String {
        let mut said = String::new();
        for (name, engine, runs) in [("victim", &mut self.victim, true), ("guest", &mut self.guest, self.guest_runs)] {
            if runs {
                engine.admitted().await;
                let (status, log) = (engine.status().await, engine.process().lines().all().join("\n"));
                said += &format!("the {name} says {status}\nand printed\n{log}\n");
            }
        }
        said
    }

    /// What the broker knows of progress, or what the engine says of it.
    async fn progress(&self) -> u64 {
        match self.bank.progress(self.from).await {
            Some(progress) => progress,
            None => settled(&self.victim.status().await),
        }
    }

    /// Lets the guest come, or go if it is there, and returns when the victim is told.
    async fn rebalance(&mut self) {
        let lines = self.victim.process().lines().clone();
        let word = if self.guest_runs { "the group gives partitions" } else { "the group wants partitions back" };
        let told = || lines.all().iter().filter(|line| line.contains(word)).count();
        let before = told();
        if self.guest_runs {
            assert!(self.guest.terminate().await.success(), "the guest ends well");
        } else {
            self.guest.launch();
        }
        self.guest_runs = !self.guest_runs;
        until("a rebalance", async || (told() > before).then_some(())).await;
    }
}

/// How many messages the source has settled.
fn settled(status: &Value) -> u64 {
    status["sources"]["from"]["settled"].as_u64().unwrap_or_else(|| panic!("no count of settled messages in {status}"))
}
