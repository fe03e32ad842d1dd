//! The vehicle domain: the function `telemetry-to-metrics`, from a vehicle's sample to a fleet's metrics.
//!
//! Decision: the centre is a [`Tally`], plain values in and metric samples out, with the time of arrival as an argument.
//! The function around it only unpacks events. All workers share one tally, so that neither their number nor their
//! restarts change what a fleet has driven.
//!
//! Decision: **no total depends on the order, or on how often a sample arrives.** Sequence numbers that were seen are
//! remembered per start of a vehicle in a bounded window ([`REMEMBERED`]), and distance is the span between the lowest and the
//! highest odometer of a start, so that neither duplicates nor reordering nor back-fill can move it.
//!
//! Decision: **no series per vehicle.** Metrics are labelled with the fleet and a closed set of words; fleets are bounded
//! too. Vehicles are remembered up to [`MAX_VEHICLES`], beyond which the longest silent are forgotten, and counted.
//!
//! # The metrics
//!
//! | family | kind | labels besides `fleet` |
//! |---|---|---|
//! | `fleet_samples_total` | counter | `result`: `ok`, `late`, `out_of_order`, `duplicate`, `stale`, `invalid` |
//! | `fleet_driving_samples_total` | counter, every sample once | `state`: `idle`, `moving` |
//! | `fleet_distance_meters_total` | counter | |
//! | `fleet_trips_total` | counter | |
//! | `fleet_speed_meters_per_second` | histogram, every sample once | |
//! | `fleet_event_delay_seconds` | histogram, arrival less sample time | |
//! | `fleet_speed_max_meters_per_second` | gauge, merged by `max` | |
//! | `fleet_vehicles_online`, `fleet_vehicles_moving` | gauge, heard of within [`ONLINE_FOR`] | |
//! | `fleet_vehicles_forgotten_total` | counter | |
//!
//! The highest speed in km/h is 3.6 times the gauge; the idle share is `idle` over `idle` plus `moving`. Both are the same
//! whatever happened on the way.

mod fleet;
mod function;
mod number;
mod record;
mod report;
mod roster;
mod seen;
mod tally;
mod telemetry;

pub use fleet::MAX_FLEETS;
pub use function::TelemetryToMetrics;
pub use record::{BOOTS, LATE_AFTER};
pub use roster::{MAX_VEHICLES, ONLINE_FOR};
pub use seen::REMEMBERED;
pub use tally::{Observation, Tally};
pub use telemetry::Refused;
