//! What a chart shows: the whole run in a bounded number of points, however long it lasts.
//!
//! Decision: when there is no more room, neighbours are joined and every point stands for twice the time. A chart that
//! scrolled would lose the morning by noon.

use serde::Serialize;

/// Points kept at most; half as many at least, once there have been as many.
const ROOM: usize = 240;

/// What happened in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Point {
    /// When it ended, in seconds since the start.
    pub(super) at_s: f64,
    /// Events that were done with, per second.
    pub(super) events_per_second: f64,
    /// The most workers.
    pub(super) workers: usize,
    /// The most messages in flight.
    pub(super) in_flight: u64,
}

impl Point {
    /// Two stretches that follow each other and last as long as each other.
    fn join(self, next: Point) -> Point {
        Point {
            at_s: next.at_s,
            events_per_second: f64::midpoint(self.events_per_second, next.events_per_second),
            workers: self.workers.max(next.workers),
            in_flight: self.in_flight.max(next.in_flight),
        }
    }
}

/// The points of a run.
#[derive(Clone, Debug)]
pub(super) struct History {
    points: Vec<Point>,
    /// What has been noted since the last point, by the place of its bit: a binary counter of halves to be joined.
    halves: Vec<Option<Point>>,
}

impl Default for History {
    fn default() -> History {
        History { points: Vec::with_capacity(ROOM), halves: Vec::new() }
    }
}

impl History {
    /// Notes the next stretch; all of them are to be of one length.
    pub(super) fn note(&mut self, point: Point) {
        let mut point = point;
        for half in &mut self.halves {
            match half.take() {
                Some(first) => point = first.join(point),
                None => return *half = Some(point),
            }
        }
        self.points.push(point);
        if self.points.len() == ROOM {
            self.points = self.points.chunks_exact(2).map(|pair| pair[0].join(pair[1])).collect();
            self.halves.push(None);
        }
    }

    /// All points, the oldest first.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(stretches: u32) -> History {
        let mut history = History::default();
        for at in 1..=stretches {
            let events_per_second = f64::from(at % 2) * 10.0;
            history.note(Point { at_s: f64::from(at), events_per_second, workers: at as usize, in_flight: 3 });
        }
        history
    }

    #[test]
    fn a_short_run_keeps_every_stretch() {
        let history = history(5);
        let at: Vec<f64> = history.points().iter().map(|point| point.at_s).collect();
        assert_eq!(at, [1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn a_long_run_is_kept_whole_in_the_same_room() {
        for stretches in [240, 241, 242, 479, 480, 1_000, 100_000] {
            let history = history(stretches);
            let points = history.points();
            assert!((ROOM / 2..ROOM).contains(&points.len()), "{} of {stretches}", points.len());
            let length = points[0].at_s;
            assert!(length >= 2.0 && points.windows(2).all(|pair| pair[1].at_s - pair[0].at_s == length));
            assert!(f64::from(stretches) - points[points.len() - 1].at_s < length);
            assert!(points.iter().all(|point| point.events_per_second == 5.0 && point.in_flight == 3));
            assert!(points.iter().all(|point| point.workers == point.at_s as usize));
        }
    }
}
