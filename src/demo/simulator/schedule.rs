//! The schedule: a heap of what happens next, from which messages come out in order of due time.
//!
//! Decision: each vehicle has one entry for its next sample, and each held-back message one small entry of its own, so
//! the next message costs a heap step and one payload, with one vehicle as with a hundred thousand.
//!
//! Decision: driving and faults have separate dice for every vehicle. The true samples of a run are the same under every
//! fault profile, which is what makes the run without faults the oracle of the others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::DateTime;

use super::cycle::Cycle;
use super::drive::{SECOND, Start, Trip, Vehicle};
use super::fault::{BACKFILL_SPEED, Fate, Journey, Rates};
use super::options::{Choice, Error, Options};
use super::parcel::{Entry, Kind, Parcel, What};
use super::payload::{self, Label};
use super::random::Random;
use super::{Ledger, tide};

/// Simulated seconds that a vehicle of a fleet stands between two trips.
const STOP: (f64, f64) = (30.0, 180.0);
/// Simulated seconds between two looks at the tide, and the most that a vehicle hesitates when it may leave.
const LOOK: f64 = 300.0;
/// Simulated seconds after which every run ends: the reach of a clock in nanoseconds, some 95 years.
const LAST_SECOND: f64 = 3.0e9;
/// A delay shrinks in proportion when less than this many simulated seconds of the run are left.
const CLOSING: f64 = 1_800.0;

/// One message, as it goes to the broker with QoS 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When to publish it, from the start of the run.
    pub due: Duration,
    /// Where to publish it.
    pub topic: Arc<str>,
    /// What to publish: a sample in JSON, or something broken on purpose.
    pub payload: Vec<u8>,
}

/// A fleet on the road: an iterator over the messages of a run, in order of due time.
///
/// ```
/// use tidemill::demo::simulator::{Options, Simulator};
///
/// let mut fleet = Simulator::new(&Options { speed_up: 200.0, ..Options::default() })?;
/// let first = fleet.next().map(|message| message.topic);
/// assert_eq!(first.as_deref(), Some("v1/demo/veh-000001/telemetry"));
/// assert_eq!(fleet.count(), 1_369);
/// # Ok::<(), tidemill::demo::simulator::Error>(())
/// ```
#[derive(Debug)]
pub struct Simulator {
    cycle: Cycle,
    rates: Rates,
    vehicles: Vec<OnTheRoad>,
    queue: BinaryHeap<Reverse<Entry>>,
    entered: u64,
    ledger: Ledger,
    follows: Choice,
    lone: bool,
    speed_up: f64,
    /// Milliseconds since the Unix epoch.
    start: i64,
    /// Simulated nanoseconds.
    period: u64,
    end: u64,
}

/// A vehicle and where it has got to; times in simulated nanoseconds.
#[derive(Debug)]
struct OnTheRoad {
    vehicle: Vehicle,
    trip: Arc<Trip>,
    next: u32,
    silent_until: u64,
    backfilled_until: u64,
    route: Random,
    dice: Random,
}

impl Simulator {
    /// Puts a fleet on the road. Fails when the options are out of range.
    pub fn new(options: &Options) -> Result<Simulator, Error> {
        options.validate()?;
        let cycle = match options.cycle {
            Choice::Hwfet => Cycle::hwfet()?,
            Choice::Udds | Choice::Tide => Cycle::udds()?,
        };
        let length = options.duration.map_or(LAST_SECOND, |run| run.as_secs_f64() * options.speed_up);
        let mut simulator = Simulator {
            cycle,
            rates: options.faults.rates(),
            vehicles: Vec::new(),
            queue: BinaryHeap::new(),
            entered: 0,
            ledger: Ledger::default(),
            follows: options.cycle,
            lone: options.vehicles == 1 && options.cycle != Choice::Tide,
            speed_up: options.speed_up,
            start: milliseconds(options.start),
            period: (SECOND / options.rate) as u64,
            end: (length.min(LAST_SECOND) * SECOND) as u64,
        };
        for number in 0..options.vehicles {
            simulator.put_on_the_road(options, number);
        }
        Ok(simulator)
    }

    /// What has been handed out so far.
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// The simulated time at a moment of the run: since the first midnight under the tide, else since the run's start.
    pub fn simulated(&self, due: Duration) -> Duration {
        let since_start = due.mul_f64(self.speed_up);
        if self.follows == Choice::Tide { tide::START + since_start } else { since_start }
    }

    fn put_on_the_road(&mut self, options: &Options, number: u32) {
        let stream = u64::from(number) * 2;
        let mut route = Random::new(options.seed, stream);
        let vehicle = Vehicle::new(&options.fleet, number, self.lone, &mut route);
        let cycle_length = (self.cycle.length() * SECOND) as u64;
        let start = Start {
            vehicle: number,
            begin: route.below(self.period),
            offset: route.below(cycle_length),
            period: self.period,
            odometer: route.between(1_000_000.0, 90_000_000.0).floor(),
            charge: route.between(0.4, 0.95),
        };
        let start = if self.lone { Start { begin: 0, offset: 0, ..start } } else { start };
        let start = match self.departure(number, start.begin, &mut route) {
            // Already under way when the run begins.
            at if at == start.begin => start,
            at => Start { begin: at, offset: 0, ..start },
        };
        let trip = Arc::new(vehicle.trip(&self.cycle, &start, None));
        self.vehicles.push(OnTheRoad {
            vehicle,
            trip,
            next: 0,
            silent_until: 0,
            backfilled_until: 0,
            route,
            dice: Random::new(options.seed, stream + 1),
        });
        if start.begin <= self.end {
            self.enter(start.begin, What::Sample(number));
        }
    }

    /// When a vehicle that is ready at `ready` leaves: at once on a cycle, with its share of the load on the tide.
    fn departure(&self, number: u32, ready: u64, route: &mut Random) -> u64 {
        if self.follows != Choice::Tide {
            return ready;
        }
        let carries = |at| tide::carries(number, Duration::from_nanos(at), self.cycle.length());
        let hesitation = (route.between(0.0, LOOK) * SECOND) as u64;
        let mut look = ready;
        while look <= self.end {
            if carries(look) {
                let leave = if look == ready { look } else { look + hesitation };
                if carries(leave) {
                    return leave;
                }
            }
            look += (LOOK * SECOND) as u64;
        }
        look
    }

    fn enter(&mut self, due: u64, what: What) {
        self.entered += 1;
        self.queue.push(Reverse(Entry { due, entered: self.entered, what }));
    }

    /// Takes a vehicle's next sample and decides how it travels; the message, if it travels at once.
    fn sample(&mut self, now: u64, number: u32) -> Option<Message> {
        let road = self.vehicles.get_mut(number as usize)?;
        let (trip, seq) = (Arc::clone(&road.trip), road.next);
        road.next += 1;
        let period = self.period as f64 / SECOND;
        let fate = self.rates.draw(&mut road.dice, period);
        if let Journey::Silence(length) = fate.journey {
            road.silent_until = road.silent_until.max(now + hold(length, now, self.end));
        }
        let (kind, delivered) = match fate.journey {
            _ if now < road.silent_until => {
                road.backfilled_until = road.backfilled_until.max(road.silent_until);
                road.backfilled_until += (self.period as f64 / BACKFILL_SPEED) as u64;
                (Kind::Backfill, road.backfilled_until.min(self.end))
            }
            // A silence of no length is left when the run is about to end.
            Journey::Direct | Journey::Silence(_) => (Kind::Direct, now),
            Journey::Late(held) => (Kind::Late, now + hold(held, now, self.end)),
            Journey::Overtaken(held) => (Kind::Overtaken, now + hold(held, now, self.end)),
        };
        self.plan_next(&trip, seq);
        self.send(now, delivered, &Parcel { trip, seq, as_text: fate.as_text, kind }, &fate)
    }

    /// Enters the vehicle's next sample, on this trip or the next one.
    fn plan_next(&mut self, trip: &Trip, seq: u32) {
        let number = trip.vehicle;
        let due = if !trip.ends_with(seq) {
            trip.time(seq + 1)
        } else if self.lone {
            return;
        } else {
            self.next_trip(trip, seq)
        };
        if due <= self.end {
            self.enter(due, What::Sample(number));
        }
    }

    fn next_trip(&mut self, last: &Trip, seq: u32) -> u64 {
        let index = last.vehicle as usize;
        let mut route = self.vehicles[index].route.clone();
        let ready = last.time(seq) + (route.between(STOP.0, STOP.1) * SECOND) as u64;
        let begin = self.departure(last.vehicle, ready, &mut route);
        let start = Start { vehicle: last.vehicle, begin, offset: 0, period: self.period, odometer: 0.0, charge: 0.0 };
        let road = &mut self.vehicles[index];
        road.route = route;
        road.trip = Arc::new(road.vehicle.trip(&self.cycle, &start, Some(last)));
        road.next = 0;
        begin
    }

    /// Enters a sample's journey and what its faults add to it; the message, if it travels at once.
    fn send(&mut self, now: u64, delivered: u64, sample: &Parcel, fate: &Fate) -> Option<Message> {
        if let Some(broken) = fate.malformed {
            self.enter(now, What::Send(sample.sent_as(Kind::Malformed(broken))));
        }
        if let Some(after) = fate.duplicate {
            let copy = sample.sent_as(Kind::Duplicate { backfill: sample.kind == Kind::Backfill });
            self.enter(delivered + hold(after, delivered, self.end), What::Send(copy));
        }
        if sample.kind == Kind::Direct {
            return self.write(now, sample);
        }
        self.enter(delivered, What::Send(sample.sent_as(sample.kind)));
        None
    }

    /// Writes a message and counts it.
    fn write(&mut self, now: u64, parcel: &Parcel) -> Option<Message> {
        let Parcel { trip, seq, as_text, kind } = parcel;
        let vehicle = &self.vehicles.get(trip.vehicle as usize)?.vehicle;
        let taken = self.start.saturating_add(self.due(trip.time(*seq)).as_millis() as i64);
        let label = Label {
            vehicle: &vehicle.id,
            boot: trip.boot,
            seq: *seq,
            time: DateTime::from_timestamp_millis(taken).unwrap_or_default(),
        };
        let reading = vehicle.reading(&self.cycle, trip, *seq);
        let payload = match kind {
            Kind::Malformed(broken) => payload::write_malformed(*broken, &label, &reading),
            _ => payload::write(&label, &reading, *as_text),
        };
        let topic = match kind {
            Kind::Backfill | Kind::Duplicate { backfill: true } => &vehicle.backfill,
            _ => &vehicle.telemetry,
        };
        let topic = Arc::clone(topic);
        self.ledger.count(*kind, *seq, *as_text, payload.len());
        Some(Message { due: self.due(now), topic, payload })
    }

    fn due(&self, simulated: u64) -> Duration {
        Duration::from_nanos((simulated as f64 / self.speed_up) as u64)
    }
}

impl Iterator for Simulator {
    type Item = Message;

    /// The next message; `None` when the run is over.
    fn next(&mut self) -> Option<Message> {
        while let Some(Reverse(entry)) = self.queue.pop() {
            let message = match entry.what {
                What::Sample(number) => self.sample(entry.due, number),
                What::Send(parcel) => self.write(entry.due, &parcel),
            };
            if message.is_some() {
                return message;
            }
        }
        None
    }
}

/// Nanoseconds for a delay of `seconds`, shortened so that what is held back near the run's end is sent before it.
fn hold(seconds: f64, now: u64, end: u64) -> u64 {
    let left = end.saturating_sub(now) as f64 / SECOND;
    (seconds.min(left * seconds / CLOSING) * SECOND) as u64
}

/// Milliseconds since the Unix epoch.
fn milliseconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}
