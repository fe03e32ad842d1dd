//! What the program weighs when it does nothing: resident memory, and the time from start to ready.

use serde::Serialize;
use testkit::tidemill::Tidemill;
use tokio::time::Instant;

use crate::measure::resident;

/// Both, each the median of five starts.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Footprint {
    pub(crate) resident_mb: f64,
    pub(crate) ready_ms: f64,
}

/// A configuration without a broker, so that nothing but the engine is waited for.
const YAML: &str = "
functions: { telemetry-to-metrics: { native: telemetry-to-metrics } }
outputs: { metrics: { prometheus: {} } }
sources: { fleet: { mqtt: { url: 'mqtt://BROKER', topics: ['v1/{fleet}/{vehicle}/telemetry'] } } }
triggers: { telemetry: { source: fleet, rules: { metrics: { function: telemetry-to-metrics, output: metrics } } } }
";

/// Starts the program five times behind a mosquitto.
pub(crate) async fn take() -> Footprint {
    let broker = testkit::mosquitto::Mosquitto::start(testkit::mosquitto::Config::profile()).await;
    let (mut memory, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let yaml = YAML.replace("BROKER", &broker.address().to_string());
        let mut engine = Tidemill::new(crate::measure::program(), &yaml);
        let began = Instant::now();
        engine.start().await;
        ready.push(began.elapsed().as_secs_f64() * 1e3);
        memory.push(resident(engine.process().id().expect("it runs")) as f64 / 1e6);
        engine.terminate().await;
    }
    Footprint { resident_mb: median(memory), ready_ms: median(ready) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
