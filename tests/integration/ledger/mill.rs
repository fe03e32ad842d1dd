//! The engine of the ledger. The `tidemill` program brings no function that gives back what it gets, and a binary with a
//! function of its own is what the library is for; the binary that runs these tests is one, when it is told to.

use std::process::ExitCode;
use std::time::Duration;

use testkit::tidemill::Tidemill as Program;
use tidemill::Tidemill;
use tidemill::event::Event;
use tidemill::native::{Error, stateless};
use tidemill::port::Call;
use tokio::time::Instant;

/// What tells this binary to be an engine.
const WISH: &str = "TIDEMILL_LEDGER_ENGINE";

/// The longest that an event takes. Long enough that a kill always meets some, which end in another order than they began.
const LONGEST: u64 = 200;

/// Gives back the event, after a time that follows from its id.
async fn grind(event: Event, _call: Call) -> Result<Event, Error> {
    let time = event.id().bytes().fold(0_u64, |sum, byte| (sum * 31 + u64::from(byte)) % (LONGEST + 1));
    tokio::time::sleep(Duration::from_millis(time)).await;
    Ok(event)
}

/// An engine that carries events from a source through the mill to an output.
pub(super) fn engine(instance: &str, source: &str, output: &str, seats: usize) -> Program {
    let yaml = format!(
        "sources:
  from:
    {source}
    event: {{ type: entry, source: /ledger, id: id }}
    seats: {seats}
functions:
  mill: {{ native: mill, workers: {{ max: 4, concurrency: 64 }} }}
outputs:
  to: {{ {output} }}
triggers:
  ledger:
    source: from
    rules:
      grind: {{ function: mill, output: to, retry: {{ hold: source, maxAttempts: 1000, backoffDelay: 100ms, maxDelay: 200ms }} }}
"
    );
    let this = std::env::current_exe().expect("a running program has a path");
    Program::new(&this.display().to_string(), &yaml)
        .words(&["ledger::mill::a_mill_gives_back_what_it_is_given", "--exact", "--nocapture", "--test-threads=1"])
        .variable(WISH, "yes")
        .variable("TIDEMILL_INSTANCE", instance)
}

#[test]
fn a_mill_gives_back_what_it_is_given() {
    let binary = Tidemill::builtin().native("mill", stateless(grind));
    if std::env::var_os(WISH).is_some() {
        let words = ["tidemill"].into_iter().chain(Program::RUN).map(Into::into);
        let ended = tidemill::cli::main(words, &binary.into_registry(), &[]);
        assert_eq!(ended, ExitCode::SUCCESS, "the engine ended well");
        return;
    }
    let event = Event::new("e-1".into(), "/s".into(), "t".into()).expect("an event").with_data("x".into(), None);
    let (runtime, same) = (tokio::runtime::Builder::new_current_thread().enable_time().build(), event.clone());
    let ground = runtime
        .expect("a runtime")
        .block_on(grind(event, Call { rule: "r".into(), attempt: 1, deadline: Instant::now() }));
    assert_eq!(ground.expect("it is given back"), same);
}
