//! Broken configurations and what is said about them.
//!
//! - `config/*.yaml`: one case per file, `config/NAME/*.yaml` one case of several files; beside each stands the exact
//!   output as `*.txt`: every problem, or the guarantees when there is none that stops the engine. `TIDEMILL_BLESS=1`
//!   writes what comes out now.
//! - [`golden`]: all of them; [`budget`]: what is refused before it costs anything; [`chaos`]: whatever
//!   else is written; [`schema`]: the JSON Schema; [`plan`]: what sound configurations mean.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

#[path = "config/budget.rs"]
mod budget;
#[path = "config/chaos.rs"]
mod chaos;
#[path = "config/golden.rs"]
mod golden;
#[path = "config/kinds.rs"]
mod kinds;
#[path = "config/plan.rs"]
mod plan;
#[path = "config/schema.rs"]
mod schema;
