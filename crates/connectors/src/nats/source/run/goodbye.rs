//! The end of a run: what is owed is said, and the server's word that it has taken it is waited for.

use super::{Run, Verb, ask, say};
use crate::nats::source::line::{Happening, Line, Session};

impl Run<'_> {
    /// Sends what is still owed, and waits until the server has taken it: the last acknowledgement is asked about, and it
    /// is taken after all others.
    pub(in crate::nats::source) async fn goodbye(&mut self, line: &mut Line) {
        let mut asked = false;
        while !self.fenced && self.facts.durable() && (asked || self.last.is_some() || !self.owed.is_empty()) {
            if let Some(session) = line.session() {
                if let Err(fault) = self.work(session, false) {
                    line.lost(&fault);
                    asked = false;
                    continue;
                }
                if !asked {
                    asked = true;
                    self.fence(session);
                }
            }
            if !self.fenced
                && let Happening::Opened = line.moves().await
            {
                asked = false;
            }
        }
        self.write_out(line).await;
    }

    /// Sees off what was handed back while the last answer was waited for.
    async fn write_out(&mut self, line: &mut Line) {
        while let Some(session) = line.session()
            && session.connection.has_output()
        {
            line.moves().await;
        }
    }

    fn fence(&mut self, session: &mut Session) {
        let Session { connection, durable: Some(consuming) } = session else { return };
        match &self.last {
            Some(reply) => {
                let fence = format!("{}fence", connection.inbox);
                say(connection, reply, fence.as_bytes(), Verb::Ack);
            }
            None => ask(connection, consuming, "fence"),
        }
    }

    /// The server has not taken everything in time.
    pub(in crate::nats::source) fn unheard(&self) {
        let source = &self.made_of.name;
        tracing::warn!(%source, owed = self.owed.len(), "the server did not confirm the last acknowledgements; those events come again");
    }

    /// Somebody wants the source to leave for good.
    pub(in crate::nats::source) fn stays(&self) {
        if self.facts.durable() {
            let source = &self.made_of.name;
            tracing::info!(%source, "the durable consumer stays, because other engines may use it; delete it at the server");
        }
    }
}
