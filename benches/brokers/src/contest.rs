//! Engine and raw loop in turn over the same backlog: CPU time of each process and of the broker, and events per second.

use std::time::Duration;

use serde::Serialize;
use testkit::process::Process;
use testkit::tidemill::Tidemill;
use tokio::time::Instant;

/// Who works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Engine,
    Raw,
}

/// What one run cost.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cost {
    /// CPU time of the process, in microseconds per event, its start included.
    cpu_us: f64,
    /// CPU time of the broker meanwhile, in microseconds per event.
    broker_us: f64,
    /// Events per second of wall time, from the first event to the last.
    per_second: f64,
}

/// One line of the table: medians of three runs of each side.
#[derive(Debug, Serialize)]
pub(crate) struct Contest {
    work: String,
    events: u64,
    engine: Cost,
    raw: Cost,
}

/// One process over one backlog.
pub(crate) enum Run {
    /// A configuration whose only source is called `in`.
    Engine(String),
    /// Arguments of this program.
    Raw(Vec<String>),
}

impl Contest {
    /// The table's first lines.
    pub(crate) fn heading() {
        println!(
            "| work | engine/raw, CPU per event | engine/raw, events/s | engine: us (broker), events/s | raw: us (broker), events/s |"
        );
        println!("|---|---|---|---|---|");
    }

    /// Both sides three times in turn; `run` prepares a run, `check` looks at what it left.
    pub(crate) async fn hold<P, C>(work: &str, events: u64, broker: u32, mut run: P, mut check: C) -> Contest
    where
        P: AsyncFnMut(Side, u32) -> Run,
        C: AsyncFnMut(Side),
    {
        let (mut engine, mut raw) = (Vec::new(), Vec::new());
        for round in 0..3 {
            for (side, costs) in [(Side::Engine, &mut engine), (Side::Raw, &mut raw)] {
                let cost = measure(run(side, round).await, events, broker).await;
                check(side).await;
                // The table shows medians; who compares two builds wants to see how they scatter.
                eprintln!("{work}: {side:?} {cost:?}");
                costs.push(cost);
            }
        }
        let contest = Contest { work: work.to_owned(), events, engine: median(engine), raw: median(raw) };
        contest.print();
        contest
    }

    fn print(&self) {
        let (engine, raw) = (&self.engine, &self.raw);
        let side = |cost: &Cost| format!("{:.2} ({:.2}), {:.0}", cost.cpu_us, cost.broker_us, cost.per_second);
        // A share of the raw loop's speed, in both columns: more is better.
        println!(
            "| {} | {:.0} % | {:.0} % | {} | {} |",
            self.work,
            100.0 * raw.cpu_us / engine.cpu_us,
            100.0 * engine.per_second / raw.per_second,
            side(engine),
            side(raw)
        );
    }
}

/// The run whose CPU time is the median.
fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
    costs[costs.len() / 2]
}

async fn measure(run: Run, events: u64, broker: u32) -> Cost {
    let before = cpu(broker);
    let program = std::env::current_exe().expect("this program has a path");
    let program = program.to_str().expect("a path in UTF-8");
    let (used, counted, took) = match run {
        Run::Engine(yaml) => {
            let mut engine = Tidemill::new(program, &yaml);
            engine.start_degraded().await;
            let settled = |status: &serde_json::Value| status["sources"]["in"]["settled"].as_u64().unwrap_or_default();
            let first = engine.status_where("the first event", |status| settled(status) > 0).await;
            let began = Instant::now();
            engine.status_where("every event to be acknowledged", |status| settled(status) >= events).await;
            let took = began.elapsed();
            let used = cpu(engine.process().id().expect("it runs"));
            assert!(engine.terminate().await.success(), "the engine ended well");
            (used, events - settled(&first), took)
        }
        Run::Raw(arguments) => {
            let mut process = Process::start("raw loop", tokio::process::Command::new(program).args(arguments));
            process.line("the first event", |line| line == "first").await;
            let began = Instant::now();
            process.line("the last acknowledgement", |line| line == "finished").await;
            (cpu(process.id().expect("it runs")), events, began.elapsed())
        }
    };
    let each = |used: Duration| used.as_secs_f64() * 1e6 / events as f64;
    Cost { cpu_us: each(used), broker_us: each(cpu(broker) - before), per_second: counted as f64 / took.as_secs_f64() }
}

/// User and system time of a process so far, to the clock tick of 10 ms.
fn cpu(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // The name in parentheses may hold anything; fields are counted behind it.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

/// What a raw loop prints, and how it ends: its CPU time is read before it goes.
pub(crate) fn say(word: &str) {
    println!("{word}");
}
