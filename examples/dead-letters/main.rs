//! A binary of one's own for the story of the dead letters, which `story.sh` beside this file tells from start to end:
//!
//! ```sh
//! examples/dead-letters/story.sh
//! ```

use std::process::ExitCode;

use serde::Deserialize;
use tidemill::Tidemill;
use tidemill::event::Event;
use tidemill::native::{Error, stateless};
use tidemill::port::Call;

/// What a battery of 12 V must have.
const LOW: f64 = 12.0;

fn main() -> ExitCode {
    Tidemill::builtin()
        .native("check-vin", stateless(check_vin))
        .native("watch-battery", stateless(watch_battery))
        .main()
}

/// Passes on what names a vehicle that can be; the rest can never be put right by trying again.
async fn check_vin(event: Event, _call: Call) -> Result<Event, Error> {
    let vin = event.subject().ok_or_else(|| Error::reject("the event names no vehicle"))?;
    if vin.len() != 17 {
        return Err(Error::reject(format!("VIN '{vin}' has {} characters instead of 17", vin.len())));
    }
    // ISO 3779: neither I nor O nor Q, which look like digits.
    let is_legal = |sign: char| sign.is_ascii_digit() || (sign.is_ascii_uppercase() && !"IOQ".contains(sign));
    match vin.chars().find(|sign| !is_legal(*sign)) {
        Some(sign) => Err(Error::reject(format!("VIN '{vin}' has a '{sign}', which no VIN has"))),
        None => Ok(event),
    }
}

#[derive(Deserialize)]
struct Reading {
    voltage: f64,
}

/// An alert for the workshop where the voltage is low.
async fn watch_battery(event: Event, _call: Call) -> Result<Vec<Event>, Error> {
    let data = event.data().ok_or_else(|| Error::reject("the event has no data"))?;
    let Reading { voltage } = serde_json::from_slice(data).map_err(Error::reject)?;
    if voltage >= LOW {
        return Ok(vec![]);
    }
    let alert = Event::new(event.id().clone(), event.source().clone(), "com.example.battery.low".into())?;
    let alert = event.subject().cloned().into_iter().fold(alert, Event::with_subject);
    Ok(vec![alert.with_data(data.clone(), Some("application/json".into()))])
}
