//! A binary of one's own: everything that `tidemill` can do, and three functions in Rust that a configuration can name.
//!
//! With a broker at localhost:1883, in two terminals:
//!
//! ```sh
//! cargo run --example custom-function -- run examples/custom-function/tidemill.yaml
//! mosquitto_pub -V 5 -q 1 -t words/ann -m hello
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill::Tidemill;
use tidemill::event::{Event, Name, Value};
use tidemill::native::{Error, Worker, stateful, stateless};
use tidemill::port::Call;
use tidemill::registry::Setup;

fn main() -> ExitCode {
    Tidemill::builtin()
        .native("shout", stateless(shout))
        .native("changes", stateful(Changes::default))
        .native("count", |_setup: Setup| {
            // Made once for each function of the configuration, and shared by its workers.
            let total = Arc::new(AtomicU64::new(0));
            Ok(stateless(move |event, _call| count(event, Arc::clone(&total))))
        })
        .main()
}

/// Keeps nothing: each event is answered with itself in capitals. What is not text can never be shouted.
async fn shout(event: Event, _call: Call) -> Result<Event, Error> {
    let data = event.data().ok_or_else(|| Error::reject("the event has no data"))?;
    let text = std::str::from_utf8(data).map_err(Error::reject)?.to_uppercase();
    let shouted = Event::new(event.id().clone(), event.source().clone(), "com.example.shouted".into())?;
    Ok(shouted.with_data(text.into(), Some("text/plain".into())))
}

/// Keeps state of its own: passes on what differs from the word before it.
#[derive(Default)]
struct Changes {
    last: Option<Event>,
}

impl Worker for Changes {
    async fn call(&mut self, event: Event, _call: &Call) -> Result<Vec<Event>, Error> {
        let before = self.last.replace(event.clone());
        let changed = before.is_none_or(|before| before.data() != event.data());
        Ok(if changed { vec![event] } else { vec![] })
    }
}

/// Shares state with the other workers: numbers the words across all of them.
async fn count(event: Event, total: Arc<AtomicU64>) -> Result<Event, Error> {
    let number = i64::try_from(total.fetch_add(1, Ordering::Relaxed) + 1).map_err(Error::reject)?;
    let counted = Event::new(event.id().clone(), event.source().clone(), "com.example.counted".into())?;
    Ok(counted.with_extension(Name::new("number").map_err(Error::reject)?, Value::Integer(number)))
}
