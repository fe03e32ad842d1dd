//! What a figure is made of: CPU time from `/proc`, instructions from callgrind, memory, and the table of it all.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;

/// What one run cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    /// CPU time of the process under test, in microseconds per event.
    pub(crate) cpu_us: f64,
    /// Events per second of wall time.
    pub(crate) per_second: f64,
    /// Events per second of CPU time of the process under test, which is what one core could do.
    pub(crate) per_core_second: f64,
}

impl Cost {
    /// From two readings of [`cpu`].
    pub(crate) fn between(before: Duration, after: Duration, events: u64, wall: Duration) -> Cost {
        let used = (after - before).as_secs_f64();
        let events = events as f64;
        Cost { cpu_us: used * 1e6 / events, per_second: events / wall.as_secs_f64(), per_core_second: events / used }
    }

    /// The run whose CPU time is the median.
    pub(crate) fn median(mut runs: Vec<Cost>) -> Cost {
        runs.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
        runs[runs.len() / 2]
    }
}

/// User and system time of a process so far, to the clock tick of 10 ms.
pub(crate) fn cpu(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // The name in parentheses may hold anything; fields are counted behind it.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory of a process in bytes.
pub(crate) fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB");
    kib * 1024
}

/// The program that is measured instead of the one that is built, to compare two builds.
const PROGRAM: &str = "TIDEMILL_FIGURES_PROGRAM";

/// The lean release binary, built at the first call.
pub(crate) fn program() -> &'static str {
    static PROGRAM_PATH: OnceLock<String> = OnceLock::new();
    PROGRAM_PATH.get_or_init(|| {
        if let Ok(given) = std::env::var(PROGRAM) {
            return given;
        }
        let lean = ["build", "--release", "--bin", "tidemill", "--no-default-features", "--features", "mqtt"];
        let mut build = cargo(&lean, &[]);
        let built = build.status().expect("cargo runs");
        assert!(built.success(), "the release binary was not built");
        // It is built beside this one.
        let here = std::env::current_exe().expect("this program has a path");
        here.with_file_name("tidemill").to_str().expect("a path in UTF-8").to_owned()
    })
}

/// Cargo in the project's folder, as if it had not started this program.
pub(crate) fn cargo(arguments: &[&str], more: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(arguments).args(more).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // What cargo tells the program that it runs would make build scripts think that something has changed.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_TARGET_DIR") {
        command.env_remove(name);
    }
    command
}

/// Instructions that this program executes with these arguments, counted by callgrind in a fixed environment.
pub(crate) fn instructions(arguments: &[&str]) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=out"])
        .arg(std::env::current_exe().expect("this program has a path"))
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/")
        .output()
        .expect("valgrind is installed (apt-get install valgrind)");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "callgrind failed:\n{text}");
    let profile = std::fs::read_to_string(folder.path().join("out")).expect("a profile");
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: ")).expect("totals in the profile");
    totals.trim().parse().expect("a number of instructions")
}
