//! One run from the first message to the last settlement: watched, shown, and ended when nothing is left to wait for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use engine::supervisor::Engine;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::driver::Progress;
use super::figures::{Reading, quantile};
use super::history::{History, Point};
use super::screen::Screen;
use super::simulator::{Choice, Options, tide};
use super::view::{Phase, Scene, draw, line, span};
use crate::cli::note;
use crate::run::Signals;

/// How often the engine is read.
const TICK: Duration = Duration::from_millis(250);
/// Over how many readings "of late" goes.
const LATELY: usize = 8;
/// A line is written every so many readings where no picture can be drawn.
const LINE: u64 = 4;
/// How long nothing may happen while something is owed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a run is shown.
pub(super) enum Stage {
    /// As a picture.
    Screen(Screen),
    /// As a line a second.
    Lines,
}

/// What a run consists of for those who watch it.
pub(super) struct Session {
    pub(super) options: Options,
    pub(super) title: String,
    pub(super) places: String,
    pub(super) stage: Stage,
    pub(super) engine: Arc<Engine>,
    pub(super) progress: Arc<Mutex<Progress>>,
    /// How many messages the engine has received, for the driver.
    pub(super) received: watch::Sender<u64>,
    pub(super) signals: Signals,
}

/// What was seen of a run.
pub(super) struct Seen {
    pub(super) elapsed: Duration,
    pub(super) interrupted: bool,
    pub(super) last: Reading,
    pub(super) peak_workers: usize,
    pub(super) history: History,
}

/// What is remembered from one reading to the next.
struct Memory {
    began: Instant,
    lately: VecDeque<(Instant, Reading)>,
    history: History,
    peak_workers: usize,
    /// Received, handled and confirmed, and when one of them last changed.
    moved: ((u64, u64, u64), Instant),
}

impl Session {
    /// Watches until everything that was sent has been settled, nothing moves any more, or a second signal comes.
    pub(super) async fn watch(self) -> Seen {
        let began = Instant::now();
        let mut memory = Memory {
            began,
            lately: VecDeque::from([(began, Reading::of(&self.engine))]),
            history: History::default(),
            peak_workers: 0,
            moved: ((0, 0, 0), began),
        };
        let mut interrupted = false;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick of an interval comes at once.
        ticks.tick().await;
        for tick in 1.. {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.signals.reached(1), if !interrupted => interrupted = true,
                () = self.signals.reached(2) => break,
            }
            let reading = Reading::of(&self.engine);
            let progress = self.progress.lock().clone();
            self.received.send_replace(reading.received);
            let over = is_settled(&progress, &reading) || memory.is_stuck(&progress, &reading, interrupted);
            memory.note(reading);
            self.show(tick, &memory, &progress, interrupted);
            if over {
                break;
            }
        }
        let last = Reading::of(&self.engine);
        Seen { elapsed: began.elapsed(), interrupted, last, peak_workers: memory.peak_workers, history: memory.history }
    }

    fn show(&self, tick: u64, memory: &Memory, progress: &Progress, interrupted: bool) {
        let Some((_, reading)) = memory.lately.back() else { return };
        let elapsed = memory.began.elapsed();
        let scene = Scene {
            title: &self.title,
            places: &self.places,
            elapsed,
            clock: &clock(&self.options, elapsed),
            phase: if progress.finished || interrupted { Phase::Settling } else { Phase::Driving },
            progress,
            reading,
            rate: memory.rate(),
            delay: memory.delay(),
            history: memory.history.points(),
        };
        match &self.stage {
            Stage::Screen(screen) => {
                let (width, height) = screen.size();
                screen.show(&draw(&scene, width, height));
            }
            Stage::Lines if tick.is_multiple_of(LINE) => note(&line(&scene)),
            Stage::Lines => {}
        }
    }
}

/// Whether everything that was sent has come to its end in the engine.
fn is_settled(progress: &Progress, reading: &Reading) -> bool {
    progress.finished
        && reading.in_flight == 0
        && reading.received >= progress.confirmed
        && reading.fleet.counted() >= progress.ledger.samples
        && reading.given_up >= progress.ledger.malformed
}

impl Memory {
    fn note(&mut self, reading: Reading) {
        let now = Instant::now();
        if let Some((then, before)) = self.lately.back() {
            let events = reading.handled().saturating_sub(before.handled());
            self.history.note(Point {
                at_s: (now - self.began).as_secs_f64(),
                events_per_second: events as f64 / (now - *then).as_secs_f64().max(0.001),
                workers: reading.workers,
                in_flight: reading.in_flight,
            });
        }
        self.peak_workers = self.peak_workers.max(reading.workers);
        self.lately.push_back((now, reading));
        if self.lately.len() > LATELY {
            self.lately.pop_front();
        }
    }

    /// Whether something is owed and nothing has moved for a while.
    fn is_stuck(&mut self, progress: &Progress, reading: &Reading, interrupted: bool) -> bool {
        let now = (reading.received, reading.handled(), progress.confirmed);
        if now != self.moved.0 {
            self.moved = (now, Instant::now());
        }
        let owed = progress.finished || interrupted || progress.confirmed < progress.ledger.messages;
        owed && self.moved.1.elapsed() > PATIENCE
    }

    fn rate(&self) -> f64 {
        let (Some((then, before)), Some((now, after))) = (self.lately.front(), self.lately.back()) else { return 0.0 };
        after.handled().saturating_sub(before.handled()) as f64 / (*now - *then).as_secs_f64().max(0.001)
    }

    fn delay(&self) -> [Option<f64>; 2] {
        let (Some((_, before)), Some((_, after))) = (self.lately.front(), self.lately.back()) else {
            return [None, None];
        };
        [0.5, 0.99].map(|share| quantile(share, &before.fleet.delays, &after.fleet.delays))
    }
}

/// The simulated time: of the day for the tide, else since the start.
fn clock(options: &Options, elapsed: Duration) -> String {
    let simulated = elapsed.mul_f64(options.speed_up);
    if options.cycle != Choice::Tide {
        return span(simulated);
    }
    let minutes = (tide::START + simulated).as_secs() / 60;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests;
