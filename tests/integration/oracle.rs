//! The cycle oracle against the simulator and the function: a script that shares no code with them must agree with what
//! they make of a cycle, and must say so when a figure is off.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use engine::metric::sample::{Merge, Samples};
use serde_json::json;
use tidemill::demo::simulator::{Choice, Options, Profile, Simulator};
use tidemill::vehicle::{Observation, Tally};

/// The three figures as anybody can read them off `/metrics`.
#[derive(Clone, Copy)]
struct Figures {
    distance_m: f64,
    max_speed_kmh: f64,
    idle_share: f64,
}

/// Drives one vehicle through a cycle and sums up what the function reports.
fn drive(cycle: Choice, faults: Profile) -> Figures {
    let (tally, mut shown) = (Tally::default(), BTreeMap::<String, f64>::new());
    for message in Simulator::new(&Options { cycle, faults, speed_up: 200.0, ..Options::default() }).unwrap() {
        let (vehicle, payload) = (message.topic.split('/').nth(2), &message.payload);
        let observation = Observation { identity: "veh-000001", fleet: "demo", vehicle, payload, arrived: 0 };
        let Ok(report) = tally.observe(&observation) else { continue };
        for sample in serde_json::from_slice::<Samples<'_>>(&report).unwrap().samples {
            let state = sample.labels.get("state").map(|state| format!(" {state}")).unwrap_or_default();
            let series = shown.entry(format!("{}{state}", sample.name)).or_default();
            *series = if sample.merge == Merge::Max { series.max(sample.value) } else { *series + sample.value };
        }
    }
    let (idle, moving) = (shown["fleet_driving_samples_total idle"], shown["fleet_driving_samples_total moving"]);
    Figures {
        distance_m: shown["fleet_distance_meters_total"],
        max_speed_kmh: shown["fleet_speed_max_meters_per_second"] * 3.6,
        idle_share: idle / (idle + moving),
    }
}

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder for reports, and the script's judgement of them.
struct Court(tempfile::TempDir);

impl Court {
    fn report(&self, name: &str, figures: Figures) -> PathBuf {
        let Figures { distance_m, max_speed_kmh, idle_share } = figures;
        let report = json!({ "distance_m": distance_m, "max_speed_kmh": max_speed_kmh, "idle_share": idle_share });
        self.write(name, &report.to_string())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn judge(&self, cycle: &str, report: &Path, equal_to: Option<&Path>) -> Output {
        let mut script = Command::new("python3");
        script.arg(in_project("tests/oracle/cycle_totals.py"));
        script.arg(in_project(&format!("src/demo/simulator/cycles/{cycle}.csv"))).arg(report);
        if let Some(other) = equal_to {
            script.arg("--equal-to").arg(other);
        }
        script.output().expect("the oracle needs python3; install it with `apt-get install python3`")
    }
}

fn court() -> Court {
    Court(tempfile::tempdir().unwrap())
}

fn verdict(judgement: &Output) -> (Option<i32>, String) {
    let text = [judgement.stdout.as_slice(), judgement.stderr.as_slice()].concat();
    (judgement.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn the_oracle_agrees_with_and_without_faults() {
    let court = court();
    for (name, cycle) in [("udds", Choice::Udds), ("hwfet", Choice::Hwfet)] {
        let calm = court.report("none.json", drive(cycle, Profile::None));
        let harsh = court.report("harsh.json", drive(cycle, Profile::Harsh));
        let (code, text) = verdict(&court.judge(name, &harsh, Some(&calm)));
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(text.matches("ok ").count(), 6, "{text}");
    }
}

#[test]
fn the_oracle_names_every_figure_that_is_off() {
    let court = court();
    let well = drive(Choice::Udds, Profile::None);
    let wrong = [
        ("distance_m", Figures { distance_m: well.distance_m - 25.0, ..well }),
        ("max_speed_kmh", Figures { max_speed_kmh: well.max_speed_kmh + 0.3, ..well }),
        ("idle_share", Figures { idle_share: well.idle_share + 0.006, ..well }),
    ];
    for (name, figures) in wrong {
        let (code, text) = verdict(&court.judge("udds", &court.report("report.json", figures), None));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(&format!("OFF {name}: ")) && text.matches("OFF").count() == 1, "{text}");
    }
    let (code, text) = verdict(&court.judge("hwfet", &court.report("report.json", well), None));
    assert_eq!((code, text.matches("OFF").count()), (Some(1), 3), "{text}");
}

#[test]
fn the_oracle_wants_the_very_figures_of_the_other_run() {
    let court = court();
    let well = drive(Choice::Udds, Profile::None);
    let calm = court.report("none.json", well);
    let other = court.report("other.json", Figures { distance_m: well.distance_m + 1.0, ..well });
    let (code, text) = verdict(&court.judge("udds", &other, Some(&calm)));
    assert_eq!((code, text.matches("OFF").count()), (Some(1), 1), "{text}");
}

#[test]
fn the_oracle_refuses_what_is_no_report() {
    let court = court();
    for text in ["", "no json", "[]", r#"{"distance_m": 1}"#, r#"{"distance_m":"1","max_speed_kmh":1,"idle_share":1}"#]
    {
        let (code, said) = verdict(&court.judge("udds", &court.write("report.json", text), None));
        assert_eq!(code, Some(2), "{text:?} gave {said}");
        assert!(said.starts_with("cannot judge: "), "{said}");
    }
}
