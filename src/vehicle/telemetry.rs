//! One sample of one vehicle, read from JSON.
//!
//! Decision: read typed and borrowed, only what the metrics need; everything else in the payload is skipped. Numbers are
//! accepted as JSON numbers and as text, because one field is a number in one firmware and a string in another. Whatever
//! is not a sample is refused with a reason, before anything of it is remembered.

use std::borrow::Cow;

use chrono::DateTime;
use engine::json::Scanner;
use serde::Deserialize;

use super::number::{Number, Whole};

/// The payload version that is understood.
const VERSION: u64 = 1;
/// The greatest whole number that every JSON implementation carries exactly.
const GREATEST: u64 = 1 << 53;
/// Plausible speeds in km/h; reversing is negative.
const SPEEDS: (f64, f64) = (-100.0, 500.0);

/// A sample that has been judged plausible by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Which start of the vehicle; zero where a vehicle does not say.
    pub(super) boot: u64,
    /// The number of the sample since that start.
    pub(super) seq: u64,
    /// When it was taken, milliseconds since the Unix epoch, if it says so.
    pub(super) time: Option<i64>,
    /// Metres per second, never negative.
    pub(super) speed: Option<f64>,
    /// Metres.
    pub(super) odometer: Option<u32>,
}

/// Why a payload is no sample; the text is the reason under which the event is put aside.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not even text.
    #[error("the payload is not UTF-8 text")]
    NoText(#[source] std::str::Utf8Error),
    /// Not JSON, or not of the shape of a sample.
    #[error("the payload is not vehicle telemetry")]
    Shape(#[source] serde_json::Error),
    /// A payload version from the future.
    #[error("payload version {0} is not understood; send version 1")]
    Version(u64),
    /// The payload speaks for another vehicle than its event.
    #[error("the payload is of vehicle '{payload}', but the event is of '{event}'")]
    OtherVehicle {
        /// Whom the payload names.
        payload: String,
        /// Whom the event names.
        event: String,
    },
    /// A time that is not RFC 3339.
    #[error("the sample's time '{0}' is not an RFC 3339 timestamp such as 2026-11-21T06:58:00Z")]
    Time(String),
    /// A value that no vehicle can show.
    #[error("{signal} is {value}, which is not between {low} and {high}")]
    OutOfRange {
        /// The signal or field.
        signal: &'static str,
        /// What was sent.
        value: f64,
        /// The least that is plausible.
        low: f64,
        /// The most that is plausible.
        high: f64,
    },
    /// An odometer that cannot belong to the same start of the vehicle.
    #[error(
        "Vehicle.TraveledDistance is {metres} m, too far from the {low} to {high} m of the same start of the vehicle"
    )]
    OtherOdometer {
        /// What was sent.
        metres: u32,
        /// The lowest so far.
        low: u32,
        /// The highest so far.
        high: u32,
    },
    /// A name too long to be remembered.
    #[error("the event's source has {0} bytes; a vehicle is remembered by at most 256")]
    LongName(usize),
    /// Neither of the two signals that metrics are made of.
    #[error("the payload has neither Vehicle.Speed nor Vehicle.TraveledDistance")]
    NoSignals,
}

#[derive(Deserialize)]
struct Payload<'a> {
    v: Whole,
    #[serde(borrow)]
    vehicle: Cow<'a, str>,
    #[serde(default)]
    boot: Whole,
    seq: Whole,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    signals: Signals,
}

#[derive(Deserialize)]
struct Signals {
    #[serde(rename = "Vehicle.Speed")]
    speed: Option<Number>,
    #[serde(rename = "Vehicle.TraveledDistance")]
    odometer: Option<Number>,
}

impl<'a> Payload<'a> {
    /// Reads what vehicles usually send; `None` for everything else, wrong or not.
    fn usual(text: &'a str) -> Option<Payload<'a>> {
        let (mut v, mut vehicle, mut boot, mut seq, mut time, mut signals) = (None, None, None, None, None, None);
        let mut scanner = Scanner::new(text);
        scanner.eat(b'{')?;
        loop {
            let key = scanner.string()?;
            scanner.eat(b':')?;
            let twice = match key {
                "v" => v.replace(whole(&mut scanner)?).is_some(),
                "vehicle" => vehicle.replace(scanner.string()?).is_some(),
                "boot" => boot.replace(whole(&mut scanner)?).is_some(),
                "seq" => seq.replace(whole(&mut scanner)?).is_some(),
                "time" => time.replace(scanner.string()?).is_some(),
                "signals" => signals.replace(Signals::usual(&mut scanner)?).is_some(),
                _ => scanner.skip_scalar().is_none(),
            };
            if twice {
                return None;
            }
            if !scanner.more(b'}')? {
                break;
            }
        }
        scanner.end().then_some(())?;
        Some(Payload {
            v: v?,
            vehicle: Cow::Borrowed(vehicle?),
            boot: boot.unwrap_or_default(),
            seq: seq?,
            time: Cow::Borrowed(time.unwrap_or_default()),
            signals: signals?,
        })
    }
}

impl Signals {
    fn usual(scanner: &mut Scanner<'_>) -> Option<Signals> {
        let (mut speed, mut odometer) = (None, None);
        scanner.eat(b'{')?;
        loop {
            let key = scanner.string()?;
            scanner.eat(b':')?;
            let twice = match key {
                "Vehicle.Speed" => speed.replace(number(scanner)?).is_some(),
                "Vehicle.TraveledDistance" => odometer.replace(number(scanner)?).is_some(),
                _ => scanner.skip_scalar().is_none(),
            };
            if twice {
                return None;
            }
            if !scanner.more(b'}')? {
                return Some(Signals { speed, odometer });
            }
        }
    }
}

fn whole(scanner: &mut Scanner<'_>) -> Option<Whole> {
    scanner.number()?.parse().ok().map(Whole)
}

fn number(scanner: &mut Scanner<'_>) -> Option<Number> {
    scanner.number()?.parse().ok().filter(|value: &f64| value.is_finite()).map(Number)
}

impl Sample {
    /// Reads a payload. `vehicle` is whom the event is about, if it says so.
    pub(super) fn read(payload: &[u8], vehicle: Option<&str>) -> Result<Sample, Refused> {
        // Checked as a whole once, no string in it has to be checked again.
        let payload = std::str::from_utf8(payload).map_err(Refused::NoText)?;
        let payload = match Payload::usual(payload) {
            Some(payload) => payload,
            None => serde_json::from_str(payload).map_err(Refused::Shape)?,
        };
        if payload.v.0 != VERSION {
            return Err(Refused::Version(payload.v.0));
        }
        if let Some(vehicle) = vehicle.filter(|vehicle| *vehicle != payload.vehicle) {
            return Err(Refused::OtherVehicle { payload: payload.vehicle.into_owned(), event: vehicle.to_owned() });
        }
        let signals = payload.signals;
        if signals.speed.is_none() && signals.odometer.is_none() {
            return Err(Refused::NoSignals);
        }
        let speed = signals.speed.map(|speed| speed.within("Vehicle.Speed", SPEEDS)).transpose()?;
        let metres = (0.0, f64::from(u32::MAX));
        let odometer = signals.odometer.map(|metre| metre.within("Vehicle.TraveledDistance", metres)).transpose()?;
        Ok(Sample {
            boot: payload.boot.within("boot")?,
            seq: payload.seq.within("seq")?,
            time: read_time(&payload.time)?,
            speed: speed.map(|kilometres_per_hour| kilometres_per_hour.abs() / 3.6),
            odometer: odometer.map(|metres| metres as u32),
        })
    }
}

fn read_time(text: &str) -> Result<Option<i64>, Refused> {
    if text.is_empty() {
        return Ok(None);
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Some(time.timestamp_millis())),
        Err(_) => Err(Refused::Time(text.to_owned())),
    }
}

impl Number {
    fn within(self, signal: &'static str, (low, high): (f64, f64)) -> Result<f64, Refused> {
        let Number(value) = self;
        if (low..=high).contains(&value) { Ok(value) } else { Err(Refused::OutOfRange { signal, value, low, high }) }
    }
}

impl Whole {
    fn within(self, field: &'static str) -> Result<u64, Refused> {
        let Whole(value) = self;
        let (low, high) = (0.0, GREATEST as f64);
        if value <= GREATEST {
            Ok(value)
        } else {
            Err(Refused::OutOfRange { signal: field, value: value as f64, low, high })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"v":1,"id":"veh-1-3-7","vehicle":"veh-1","boot":3,"seq":7,"trip":"t","time":"2026-11-21T06:58:00.250Z",
        "signals":{"Vehicle.Speed":36.0,"Vehicle.TraveledDistance":48213950,"Vehicle.IsMoving":true}}"#;

    fn read(payload: &str) -> Result<Sample, Refused> {
        Sample::read(payload.as_bytes(), Some("veh-1"))
    }

    fn refused(payload: &str) -> String {
        let error = read(payload).unwrap_err();
        let source = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", source.unwrap_or_default())
    }

    #[test]
    fn a_sample_is_read_in_base_units() {
        let expected =
            Sample { boot: 3, seq: 7, time: Some(1_795_244_280_250), speed: Some(10.0), odometer: Some(48_213_950) };
        assert_eq!(read(GOOD).unwrap(), expected);
        let text = GOOD.replace("36.0", "\"36.0\"").replace("48213950", "\" 48213950.0 \"").replace(":7,", ":\"7\",");
        assert_eq!(read(&text).unwrap(), expected);
        assert_eq!(read(&GOOD.replace("36.0", "-36")).unwrap().speed, Some(10.0));
    }

    #[test]
    fn what_a_vehicle_does_not_say_is_left_out() {
        let sample =
            read(r#"{"v":1,"vehicle":"veh-1","seq":0,"signals":{"Vehicle.Speed":null,"Vehicle.TraveledDistance":5}}"#);
        let expected = Sample { boot: 0, seq: 0, time: None, speed: None, odometer: Some(5) };
        assert_eq!(sample.unwrap(), expected);
    }

    #[test]
    fn a_payload_is_held_against_its_event_only_if_the_event_names_a_vehicle() {
        assert!(Sample::read(GOOD.as_bytes(), None).is_ok());
        assert_eq!(
            refused(&GOOD.replace(r#""veh-1""#, r#""veh-2""#)),
            "the payload is of vehicle 'veh-2', but the event is of 'veh-1'"
        );
    }

    #[test]
    fn what_is_no_sample_is_refused_with_its_reason() {
        let cases = [
            (String::new(), "the payload is not vehicle telemetry: EOF"),
            ("[1,2,3]".to_owned(), "the payload is not vehicle telemetry: "),
            (GOOD[..60].to_owned(), "the payload is not vehicle telemetry: EOF"),
            (GOOD.replace(r#""seq":7,"#, ""), "the payload is not vehicle telemetry: missing field `seq`"),
            (GOOD.replace(r#""seq":7"#, r#""seq":7,"seq":8"#), "the payload is not vehicle telemetry: duplicate field"),
            (
                GOOD.replace(r#""seq":7"#, r#""seq":-7"#),
                "the payload is not vehicle telemetry: invalid type: integer `-7`",
            ),
            (GOOD.replace("36.0", "\"fast\""), "the payload is not vehicle telemetry: invalid value: string \"fast\""),
            (GOOD.replace("36.0", "\"NaN\""), "the payload is not vehicle telemetry: invalid value: string \"NaN\""),
            (GOOD.replace("36.0", "true"), "the payload is not vehicle telemetry: invalid type: boolean `true`"),
            (GOOD.replace("36.0", "1e999"), "the payload is not vehicle telemetry: number out of range"),
            (GOOD.replace("36.0", "12000"), "Vehicle.Speed is 12000, which is not between -100 and 500"),
            (GOOD.replace("48213950", "-1"), "Vehicle.TraveledDistance is -1, which is not between 0 and 4294967295"),
            (GOOD.replace(r#""v":1"#, r#""v":99"#), "payload version 99 is not understood; send version 1"),
            (
                GOOD.replace("2026-11-21T", "yesterday "),
                "the sample's time 'yesterday 06:58:00.250Z' is not an RFC 3339",
            ),
            (GOOD.replace(r#""seq":7"#, r#""seq":9007199254740993"#), "seq is 9007199254740992, which is not between"),
            (
                GOOD.replace("Vehicle.Speed", "a").replace("Vehicle.Tr", "b"),
                "the payload has neither Vehicle.Speed nor",
            ),
        ];
        for (payload, reason) in cases {
            assert!(refused(&payload).starts_with(reason), "{payload} was refused with: {}", refused(&payload));
        }
        assert!(matches!(Sample::read(b"\xff\xfe\x00", None), Err(Refused::NoText(_))));
    }

    #[test]
    fn what_vehicles_usually_send_takes_the_quick_road() {
        assert!(Payload::usual(GOOD).is_some());
        for other in [GOOD.replace("36.0", "\"36.0\""), GOOD.replace("veh-1\"", "veh\\u002d1\"")] {
            assert!(Payload::usual(&other).is_none(), "{other}");
        }
    }

    proptest::proptest! {
        /// Whatever the quick road accepts, the other accepts, too, and reads the same.
        #[test]
        fn both_roads_lead_to_the_same_end(
            edits in proptest::collection::vec((0..GOOD.len(), "[-0-9.eE\",:{} a-z\\\\]{0,3}", 0..4_usize), 0..3),
        ) {
            let mut text = GOOD.to_owned();
            for (at, new, drop) in edits {
                let at = at.min(text.len());
                text.replace_range(at..(at + drop).min(text.len()), &new);
            }
            if let Some(quick) = Payload::usual(&text) {
                let read: Result<Payload<'_>, _> = serde_json::from_str(&text);
                proptest::prop_assert!(read.is_ok(), "{}: {:?}", text, read.err());
                let shown = |payload: &Payload<'_>| {
                    let value = |number: &Option<Number>| number.map(|number| number.0 as f32);
                    let Payload { v, vehicle, boot, seq, time, signals } = payload;
                    let signals = (value(&signals.speed), value(&signals.odometer));
                    (v.0, vehicle.to_string(), boot.0, seq.0, time.to_string(), signals)
                };
                proptest::prop_assert_eq!(read.ok().as_ref().map(shown), Some(shown(&quick)));
            }
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1_000_000);
        assert!(refused(&format!(r#"{{"v":1,"x":{deep}"#)).contains("EOF"));
        assert!(refused(&format!(r#"{{"v":{deep}"#)).contains("invalid type: sequence"));
    }
}
