//! How a reading is written: the JSON of a vehicle's gateway, and payloads that are broken on purpose.
//!
//! Decision: signals carry their names from the COVESA Vehicle Signal Specification, in its units. The identity of a
//! sample (`id`, made of vehicle, boot and sequence number) is part of the payload, so that a sample keeps it through
//! retransmission and back-fill, on any version of MQTT.

use std::fmt::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};

use super::drive::Reading;

/// The names and times that stand in a payload beside its signals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label<'a> {
    pub(super) vehicle: &'a str,
    pub(super) boot: u32,
    pub(super) seq: u32,
    /// When the sample was taken, in the run's wall time.
    pub(super) time: DateTime<Utc>,
}

/// Writes a sample. With `as_text` every number among the signals is a JSON string.
pub(super) fn write(label: &Label<'_>, reading: &Reading, as_text: bool) -> Vec<u8> {
    let mut out = String::with_capacity(820);
    // Writing into a string cannot fail.
    let _ = write_to(&mut out, label, reading, if as_text { "\"" } else { "" });
    out.into_bytes()
}

fn write_to(out: &mut String, label: &Label<'_>, reading: &Reading, q: &str) -> fmt::Result {
    let Label { vehicle, boot, seq, time } = label;
    let day = time.format("%Y%m%d");
    let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    write!(out, r#"{{"v":1,"id":"{vehicle}-{boot}-{seq}","vehicle":"{vehicle}","boot":{boot},"seq":{seq},"#)?;
    write!(out, r#""trip":"t-{day}-{boot}","time":"{time}","signals":{{"Vehicle.Speed":{q}"#)?;
    write!(out, r#"{:.2}{q},"Vehicle.TraveledDistance":{q}"#, reading.speed_kmh)?;
    write!(out, r#"{}{q},"Vehicle.CurrentLocation.Latitude":{q}"#, reading.odometer_m)?;
    write!(out, r#"{:.6}{q},"Vehicle.CurrentLocation.Longitude":{q}"#, reading.latitude)?;
    write!(out, r#"{:.6}{q},"Vehicle.Acceleration.Longitudinal":{q}"#, reading.longitude)?;
    write!(out, r#"{:.2}{q},"Vehicle.IsMoving":"#, reading.acceleration)?;
    write!(out, r#"{},"Vehicle.Powertrain.TractionBattery.StateOfCharge.Current":{q}"#, reading.speed_kmh > 0.0)?;
    write!(out, r#"{:.1}{q},"Vehicle.Powertrain.TractionBattery.CurrentPower":{q}"#, reading.charge_percent)?;
    write!(out, r#"{:.0}{q},"Vehicle.Powertrain.TractionBattery.Temperature.Average":{q}"#, reading.battery_power_w)?;
    write!(out, r#"{:.1}{q},"Vehicle.LowVoltageBattery.CurrentVoltage":{q}"#, reading.battery_celsius)?;
    write!(out, r#"{:.2}{q},"Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure":{q}"#, reading.low_voltage)?;
    write!(out, r#"{:.0}{q},"Vehicle.Diagnostics.DTCCount":{q}"#, reading.tyre_kpa)?;
    write!(out, r#"{}{q}}}}}"#, reading.trouble_codes)
}

/// How many kinds of broken payload there are.
pub(super) const KINDS: u64 = 8;

/// Writes the broken payload of `kind`, made to resemble the sample of `label`: it has that sample's boot and sequence
/// number, so a receiver that remembers them before it has judged the whole payload would lose the true sample.
pub(super) fn write_malformed(kind: u64, label: &Label<'_>, reading: &Reading) -> Vec<u8> {
    let whole = write(label, reading, false);
    let Label { vehicle, boot, seq, .. } = label;
    let time = label.time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let id = format!("{vehicle}-{boot}-{seq}-broken");
    let odometer = reading.odometer_m;
    let sample = |version: u32, vehicle: &str, signals: &str| {
        format!(
            r#"{{"v":{version},"id":"{id}","vehicle":"{vehicle}","boot":{boot},"seq":{seq},"time":"{time}","signals":{{{signals}}}}}"#
        )
        .into_bytes()
    };
    let good = format!(r#""Vehicle.Speed":10.00,"Vehicle.TraveledDistance":{odometer}"#);
    match kind % KINDS {
        0 => whole[..whole.len() / 2].to_vec(),
        1 => [b"\xff\xfe\x00AT+CSQ\r\n".as_slice(), &whole[..20]].concat(),
        2 => b"[1,2,3]".to_vec(),
        3 => format!(r#"{{"v":1,"id":"{id}","vehicle":"{vehicle}","boot":{boot},"signals":{{{good}}}}}"#).into_bytes(),
        4 => sample(1, vehicle, &format!(r#""Vehicle.Speed":"fast","Vehicle.TraveledDistance":{odometer}"#)),
        5 => sample(99, vehicle, &good),
        6 => sample(1, "veh-someone-else", &good),
        _ => sample(1, vehicle, r#""Vehicle.Speed":12000,"Vehicle.TraveledDistance":-1"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: Reading = Reading {
        speed_kmh: 87.4,
        odometer_m: 48_213_950,
        latitude: 48.137_154,
        longitude: 11.576_124,
        acceleration: -0.42,
        charge_percent: 63.5,
        battery_power_w: -18_250.0,
        battery_celsius: 31.2,
        low_voltage: 12.6,
        tyre_kpa: 245.0,
        trouble_codes: 0,
    };

    fn label() -> Label<'static> {
        Label {
            vehicle: "veh-000042",
            boot: 3,
            seq: 184_213,
            time: DateTime::from_timestamp_millis(1_792_558_680_123).unwrap(),
        }
    }

    #[test]
    fn a_sample_has_its_identity_time_and_twelve_signals() {
        let text = String::from_utf8(write(&label(), &READING, false)).unwrap();
        let expected = concat!(
            r#"{"v":1,"id":"veh-000042-3-184213","vehicle":"veh-000042","boot":3,"seq":184213,"#,
            r#""trip":"t-20261021-3","time":"2026-10-21T04:58:00.123Z","signals":{"Vehicle.Speed":87.40,"#,
            r#""Vehicle.TraveledDistance":48213950,"Vehicle.CurrentLocation.Latitude":48.137154,"#,
            r#""Vehicle.CurrentLocation.Longitude":11.576124,"Vehicle.Acceleration.Longitudinal":-0.42,"#,
            r#""Vehicle.IsMoving":true,"Vehicle.Powertrain.TractionBattery.StateOfCharge.Current":63.5,"#,
            r#""Vehicle.Powertrain.TractionBattery.CurrentPower":-18250,"#,
            r#""Vehicle.Powertrain.TractionBattery.Temperature.Average":31.2,"#,
            r#""Vehicle.LowVoltageBattery.CurrentVoltage":12.60,"#,
            r#""Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure":245,"Vehicle.Diagnostics.DTCCount":0}}"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn numbers_as_text_change_nothing_else() {
        let plain: serde_json::Value = serde_json::from_slice(&write(&label(), &READING, false)).unwrap();
        let text: serde_json::Value = serde_json::from_slice(&write(&label(), &READING, true)).unwrap();
        let (plain, text) = (plain["signals"].as_object().unwrap(), text["signals"].as_object().unwrap());
        assert_eq!(plain.len(), 12);
        for (name, value) in plain {
            let expected = value.as_f64();
            assert_eq!(text[name].as_str().map(|text| text.parse().unwrap()), expected, "{name}");
        }
    }

    #[test]
    fn broken_payloads_differ_from_each_other_and_from_the_sample() {
        let mut seen = vec![write(&label(), &READING, false)];
        for kind in 0..KINDS {
            let broken = write_malformed(kind, &label(), &READING);
            assert!(!broken.is_empty() && !seen.contains(&broken), "kind {kind}");
            seen.push(broken);
        }
    }
}
