//! The admin API and the observe page, answered on a thread of their own.
//!
//! Decision: the thread has its own current-thread runtime and shares nothing with the engine but the figures that the
//! engine publishes, so an engine whose every thread is busy still answers. Decision: what can change or show anything is
//! reached over loopback or a unix socket; any other address is refused without a token, not warned about.
//!
//! | path | admin | observe | answer |
//! |---|---|---|---|
//! | `GET /healthz` | yes | yes | 200 while the process runs |
//! | `GET /readyz` | yes | yes | 200 when every source is connected, else 503 and the names of those that are not |
//! | `GET /metrics` | yes | yes | Prometheus' text format; `?engine=0` leaves the engine's own families out |
//! | `GET /v1/status` | yes | no | [`engine::supervisor::Status`] as JSON |
//! | `GET /v1/dead-letters` | yes | no | a page of [`engine::dead_letter`]s, or with `group` their counts |
//! | `GET /v1/dead-letters/{id}` | yes | no | one of them |
//! | `POST /v1/dead-letters/replay` | yes | no | when a piece of those that are meant has been settled by its rules again |
//! | `POST /v1/dead-letters/purge` | yes | no | when those that are meant are removed; how many |
//! | `POST /v1/sources/{name}/events` | yes | no | when every delivery of the CloudEvent in JSON that was sent has ended |
//! | `POST /v1/sources/{name}/fire` | yes | no | when the source has made one more event; its id |
//! | `POST /v1/sources/{name}/leave` | yes | no | when the source's session at its broker is ended |
//! | `POST /v1/sources/{name}/pause`, `/resume` | yes | no | once the source is kept from reading, or may read again |
//!
//! Every refusal is JSON with one sentence: `{"error": "..."}`.

mod address;
pub mod client;
mod dead_letters;
mod guard;
mod listener;
mod patience;
mod routes;
mod rules;
mod server;
#[cfg(test)]
mod tests;
mod token;

pub use address::{Address, DEFAULT};
pub use guard::{Guard, Refusal};
pub use listener::{BindError, Bound};
pub use server::Server;
pub use token::{Token, TokenError, VARIABLE as TOKEN_VARIABLE};
