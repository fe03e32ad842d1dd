//! The native function `telemetry-to-metrics`: events in, one event of metric samples each out.
//!
//! Decision: the function owns the tally and every worker shares it, so a pool may grow, shrink and restart its workers
//! without a vehicle being met for the first time again.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use engine::event::{Event, Invalid, Text};
use engine::metric::sample::EVENT_TYPE;
use engine::port::{BoxFuture, Call, Clock, Function, StartError, Verdict, Verdicts, Worker};
use engine::registry::{OpenError, Setup};

use super::tally::{Observation, Tally};

/// The fleet of events that do not name one in their attribute `fleet`.
const NAMELESS: &str = "unknown";

/// Bytes of the longest reason.
const LONGEST_REASON: usize = 400;

/// The function. Its events are about a vehicle: `source` identifies it, `subject` (where present) is what its payload
/// calls it, and the attribute `fleet`, as a capture of the source's topics adds it, labels its metrics.
#[derive(Debug)]
pub struct TelemetryToMetrics {
    shared: Arc<Shared>,
}

struct Shared {
    tally: Tally,
    clock: Arc<dyn Clock>,
}

struct Counter(Arc<Shared>);

impl TelemetryToMetrics {
    /// The name under which it is registered.
    pub const NAME: &'static str = "telemetry-to-metrics";

    /// The function with an empty memory. `clock` tells when an event arrives.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> TelemetryToMetrics {
        TelemetryToMetrics { shared: Arc::new(Shared { tally: Tally::default(), clock }) }
    }
}

impl TelemetryToMetrics {
    /// Makes the function as a registry of native functions wants it:
    /// `registry.with(TelemetryToMetrics::NAME, TelemetryToMetrics::open)`.
    ///
    /// # Errors
    /// None; the shape is the registry's.
    pub fn open(setup: Setup) -> Result<TelemetryToMetrics, OpenError> {
        Ok(TelemetryToMetrics::new(setup.clock))
    }
}

impl Function for TelemetryToMetrics {
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn Worker>, StartError>> {
        let worker: Box<dyn Worker> = Box::new(Counter(Arc::clone(&self.shared)));
        Box::pin(std::future::ready(Ok(worker)))
    }
}

impl Worker for Counter {
    fn call<'a>(&'a self, events: &'a [Event], _: &'a Call) -> BoxFuture<'a, Verdicts> {
        // Nothing here waits, so there is nothing to poll for.
        Box::pin(std::future::ready(events.iter().map(|event| self.0.judge(event)).collect()))
    }
}

impl Shared {
    fn judge(&self, event: &Event) -> Verdict {
        let since_epoch = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let fleet = event.extension("fleet").map(engine::event::Value::text);
        let observation = Observation {
            identity: event.source(),
            fleet: fleet.as_deref().unwrap_or(NAMELESS),
            vehicle: event.subject().map(Text::as_str),
            payload: event.data().map(|data| &data[..]).unwrap_or_default(),
            arrived: i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX),
        };
        match self.tally.observe(&observation) {
            Ok(report) => match result(event, report) {
                Ok(result) => Verdict::Done(vec![result]),
                Err(invalid) => Verdict::Reject { reason: invalid.to_string() },
            },
            Err(refused) => Verdict::Reject { reason: in_one_line(&refused) },
        }
    }
}

/// The event that carries a report: of the same source, with an id made of the input's.
fn result(input: &Event, report: Vec<u8>) -> Result<Event, Invalid> {
    let id = [input.id(), "-metrics"].concat();
    let result = Event::new(id.into(), input.source().clone(), Text::new_static(EVENT_TYPE))?;
    Ok(result.with_data(report.into(), Some(Text::new_static("application/json"))))
}

/// An error and its causes as a reason is kept. A payload is quoted in some of them, and may be long.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(because) = cause {
        line = format!("{line}: {because}");
        cause = because.source();
    }
    line.truncate(line.floor_char_boundary(LONGEST_REASON));
    line
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared").field("vehicles", &self.tally.vehicles()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use engine::event::Name;
    use engine::metric::sample::Samples;
    use tokio::time::Instant;

    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(12 * 3_600)
        }
    }

    fn event(payload: &str) -> Event {
        let event = Event::new("veh-1-1-0".into(), "/fleet/demo/veh-1".into(), "org.covesa.vss.telemetry.v1".into());
        let event = event.unwrap().with_subject("veh-1".into()).with_extension(Name::new("fleet").unwrap(), "demo");
        event.with_data(payload.to_owned().into(), None)
    }

    async fn call(worker: &dyn Worker, payload: &str) -> Verdict {
        let call = Call { rule: "telemetry/metrics".into(), attempt: 1, deadline: Instant::now() };
        let mut verdicts = worker.call(&[event(payload)], &call).await;
        assert_eq!(verdicts.len(), 1);
        verdicts.remove(0)
    }

    /// Series and values of the one result; the fleet's name is the only label left out.
    fn samples(verdict: &Verdict) -> Vec<(String, f64)> {
        let Verdict::Done(results) = verdict else { panic!("{verdict:?}") };
        let [result] = results.as_slice() else { panic!("{results:?}") };
        assert_eq!((result.id().as_str(), result.r#type().as_str()), ("veh-1-1-0-metrics", EVENT_TYPE));
        assert_eq!(
            (result.source().as_str(), result.datacontenttype().unwrap().as_str()),
            ("/fleet/demo/veh-1", "application/json")
        );
        let read: Samples<'_> = serde_json::from_slice(result.data().unwrap()).unwrap();
        let mut shown = Vec::new();
        for sample in read.samples {
            assert_eq!(sample.labels["fleet"], "demo");
            let word = sample.labels.iter().find(|(name, _)| *name != "fleet").map(|(_, word)| format!(":{word}"));
            shown.push((format!("{}{}", sample.name, word.unwrap_or_default()), sample.value));
        }
        shown
    }

    const FIRST: &str = r#"{"v":1,"vehicle":"veh-1","seq":0,"time":"1970-01-01T11:59:59.500Z",
        "signals":{"Vehicle.Speed":36,"Vehicle.TraveledDistance":100}}"#;
    const SECOND: &str = r#"{"v":1,"vehicle":"veh-1","seq":1,"time":"1970-01-01T11:59:59.500Z",
        "signals":{"Vehicle.Speed":18,"Vehicle.TraveledDistance":110}}"#;

    #[tokio::test]
    async fn a_sample_becomes_an_event_of_what_it_changes() {
        let function = TelemetryToMetrics::new(Arc::new(Noon));
        let worker = function.start().await.unwrap();
        samples(&call(&*worker, FIRST).await);
        let expected = [
            ("fleet_samples_total:ok", 1.0),
            ("fleet_distance_meters_total", 10.0),
            ("fleet_driving_samples_total:moving", 1.0),
            ("fleet_speed_meters_per_second", 5.0),
            ("fleet_event_delay_seconds", 0.5),
        ];
        assert_eq!(samples(&call(&*worker, SECOND).await), expected.map(|(series, value)| (series.to_owned(), value)));
    }

    #[tokio::test]
    async fn workers_share_what_they_know_and_a_restart_keeps_it() {
        let function = TelemetryToMetrics::new(Arc::new(Noon));
        let first = function.start().await.unwrap();
        call(&*first, FIRST).await;
        drop(first);
        let second = function.start().await.unwrap();
        let duplicate = [("fleet_samples_total:duplicate".to_owned(), 1.0)];
        assert_eq!(samples(&call(&*second, FIRST).await), duplicate);
    }

    #[tokio::test]
    async fn what_is_no_telemetry_is_rejected_with_its_reason_and_counted_with_the_next() {
        let function = TelemetryToMetrics::new(Arc::new(Noon));
        let worker = function.start().await.unwrap();
        call(&*worker, FIRST).await;
        let Verdict::Reject { reason } = call(&*worker, "[1,2,3]").await else { panic!("accepted") };
        assert!(reason.starts_with("the payload is not vehicle telemetry: invalid type"), "{reason}");
        let Verdict::Reject { reason } = call(&*worker, "").await else { panic!("accepted") };
        assert!(reason.contains("EOF"), "{reason}");
        let Verdict::Reject { reason } = call(&*worker, &SECOND.replace("veh-1", "veh-2")).await else {
            panic!("accepted")
        };
        assert_eq!(reason, "the payload is of vehicle 'veh-2', but the event is of 'veh-1'");
        let long = SECOND.replace("18", &format!("\"{}\"", "é".repeat(10_000)));
        let Verdict::Reject { reason } = call(&*worker, &long).await else { panic!("accepted") };
        assert!(reason.contains("invalid value: string \"éé") && reason.len() <= LONGEST_REASON, "{reason}");
        assert!(samples(&call(&*worker, SECOND).await).contains(&("fleet_samples_total:invalid".to_owned(), 4.0)));
    }

    #[test]
    fn it_is_a_native_function_by_its_name() {
        let registry = functions::native::Registry::default().with(TelemetryToMetrics::NAME, TelemetryToMetrics::open);
        assert_eq!(registry.names().collect::<Vec<_>>(), ["telemetry-to-metrics"]);
    }

    #[tokio::test]
    async fn an_event_without_a_fleet_is_counted_under_unknown() {
        let function = TelemetryToMetrics::new(Arc::new(Noon));
        let worker = function.start().await.unwrap();
        let nameless = Event::new("1".into(), "/cars/1".into(), "t".into()).unwrap().with_data(FIRST.into(), None);
        let call = Call { rule: "telemetry/metrics".into(), attempt: 1, deadline: Instant::now() };
        let verdicts = worker.call(&[nameless], &call).await;
        let Verdict::Done(results) = &verdicts[0] else { panic!("{verdicts:?}") };
        let text = String::from_utf8(results[0].data().unwrap().to_vec()).unwrap();
        assert!(text.contains(r#""labels":{"fleet":"unknown"}"#), "{text}");
    }
}
