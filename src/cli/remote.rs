//! The running engine that a command is about.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::Failure;
use crate::admin::client::{self, Request};
use crate::admin::{self, Address, Token};

/// Where the admin API is and how to be let in.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    /// Where the running engine's admin API listens: IP:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", default_value_t = admin::DEFAULT)]
    admin: Address,
    /// A file with the admin token; else TIDEMILL_ADMIN_TOKEN counts, where it is set
    #[arg(long, value_name = "PATH")]
    admin_token_file: Option<PathBuf>,
}

#[cfg(test)]
impl Default for Remote {
    /// Where an engine listens unless it is told otherwise.
    fn default() -> Remote {
        Remote { admin: admin::DEFAULT, admin_token_file: None }
    }
}

impl Remote {
    /// Sends one request without a body and reads the JSON in its answer.
    pub(super) fn ask(&self, method: &str, path: &str, patience: Duration) -> Result<Value, Failure> {
        self.tell(Request { method, path, body: b"" }, patience)
    }

    /// Makes sure that the engine which answers is the one that runs on this folder.
    pub(super) fn answers_for(&self, path: &Path, instance: Option<&str>, patience: Duration) -> Result<(), Failure> {
        let status = self.ask("GET", "/v1/status", patience)?;
        let answers = status["instance"].as_str();
        if instance.is_some() && instance == answers {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "the state folder '{}' is in use by instance '{}', and instance '{}' answers; name its admin API with --admin",
            path.display(),
            instance.unwrap_or("unknown"),
            answers.unwrap_or("unknown"),
        )))
    }

    /// Sends one request and answers what came back, as it was written.
    pub(super) fn fetch(&self, request: Request<'_>, patience: Duration) -> Result<Vec<u8>, Failure> {
        let token = token(self.admin_token_file.as_deref())?;
        client::fetch(&self.admin, token.as_ref(), request, patience).map_err(Failure::failed)
    }

    /// Sends one request and answers the status code and the JSON of whatever came back.
    pub(super) fn exchange(&self, request: Request<'_>, patience: Duration) -> Result<(u16, Value), Failure> {
        let token = token(self.admin_token_file.as_deref())?;
        client::exchange(&self.admin, token.as_ref(), request, patience).map_err(Failure::failed)
    }

    /// Sends one request and reads the JSON in its answer.
    pub(super) fn tell(&self, request: Request<'_>, patience: Duration) -> Result<Value, Failure> {
        let token = token(self.admin_token_file.as_deref())?;
        client::ask(&self.admin, token.as_ref(), request, patience).map_err(Failure::failed)
    }
}

/// The admin token of this process, if there is one.
pub(super) fn token(file: Option<&Path>) -> Result<Option<Token>, Failure> {
    Token::find(file, std::env::var(admin::TOKEN_VARIABLE).ok()).map_err(Failure::refused)
}
