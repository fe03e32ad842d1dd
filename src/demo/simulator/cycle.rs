//! Driving cycles: a speed for every second, and the distance and work that follow from it.
//!
//! Decision: the tables are the published ones, kept as files beside their provenance (`cycles/README.md`), and everything
//! else is integrated from them, so an outside script can compute the same totals from the same rows.

/// One driving cycle, with the integrals that a vehicle needs at any moment of it.
#[derive(Clone, Debug)]
pub struct Cycle {
    /// Metres per second, one for each whole second.
    speeds: Vec<f64>,
    /// Metres driven up to each whole second.
    distances: Vec<f64>,
    /// Joules taken from the battery up to each whole second.
    work: Vec<f64>,
}

/// A cycle table that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cycle table, line {line}: {problem}; expected `time_s,speed_mps` with one row per second from 0")]
pub struct Malformed {
    line: usize,
    problem: &'static str,
}

/// Kilograms of the simulated car.
const MASS: f64 = 1_800.0;
/// Half of air density times drag area, in kilograms per metre.
const DRAG: f64 = 0.5 * 1.2 * 0.62;
/// Newtons of rolling resistance.
const ROLLING: f64 = 0.010 * MASS * 9.81;
/// The share of braking power that comes back into the battery.
const REGENERATION: f64 = 0.6;
/// Watts that lights, pumps and the cabin take, also at rest.
const AUXILIARY: f64 = 400.0;

impl Cycle {
    /// The city cycle: 1,370 s, 11,990 m.
    pub fn udds() -> Result<Cycle, Malformed> {
        Cycle::parse(include_str!("cycles/udds.csv"))
    }

    /// The highway cycle: 766 s, 16,507 m.
    pub fn hwfet() -> Result<Cycle, Malformed> {
        Cycle::parse(include_str!("cycles/hwfet.csv"))
    }

    /// Reads a table of `time_s,speed_mps` rows, one per second from zero, at least two of them.
    pub fn parse(table: &str) -> Result<Cycle, Malformed> {
        let mut speeds = Vec::new();
        for (index, row) in table.lines().enumerate().skip(1) {
            let malformed = |problem| Malformed { line: index + 1, problem };
            let (second, speed) = row.split_once(',').ok_or_else(|| malformed("no comma"))?;
            if second.parse() != Ok(speeds.len()) {
                return Err(malformed("the time is not the next whole second"));
            }
            let speed: f64 = speed.parse().map_err(|_| malformed("the speed is not a number"))?;
            if !(0.0..200.0).contains(&speed) {
                return Err(malformed("the speed is not within 0 to 200 m/s"));
            }
            speeds.push(speed);
        }
        if speeds.len() < 2 {
            return Err(Malformed { line: 1, problem: "fewer than two rows" });
        }
        Ok(Cycle::integrate(speeds))
    }

    /// Seconds from the first row to the last.
    pub fn length(&self) -> f64 {
        (self.speeds.len() - 1) as f64
    }

    /// Metres per second at a moment of the cycle, straight between the rows; the last row's from the end on.
    pub fn speed(&self, second: f64) -> f64 {
        let (row, part) = self.row(second);
        self.speeds[row] + self.acceleration(second) * part
    }

    /// Metres per second squared at a moment of the cycle.
    pub fn acceleration(&self, second: f64) -> f64 {
        let (row, _) = self.row(second);
        self.speeds.get(row + 1).map_or(0.0, |next| next - self.speeds[row])
    }

    /// Metres driven from the start of the cycle to a moment of it.
    pub fn distance(&self, second: f64) -> f64 {
        let (row, part) = self.row(second);
        self.distances[row] + part * (self.speeds[row] + self.speed(second)) / 2.0
    }

    /// Joules taken from the battery from the start of the cycle to a moment of it.
    pub fn work(&self, second: f64) -> f64 {
        let (row, part) = self.row(second);
        self.work[row] + part * power(self.speeds[row], self.acceleration(second))
    }

    fn row(&self, second: f64) -> (usize, f64) {
        let within = second.clamp(0.0, self.length());
        (within as usize, within.fract())
    }

    fn integrate(speeds: Vec<f64>) -> Cycle {
        let (mut driven, mut used) = (0.0, 0.0);
        let mut distances = vec![driven];
        let mut work = vec![used];
        for pair in speeds.windows(2) {
            driven += (pair[0] + pair[1]) / 2.0;
            used += power(pair[0], pair[1] - pair[0]);
            distances.push(driven);
            work.push(used);
        }
        Cycle { speeds, distances, work }
    }
}

/// Watts taken from the battery (negative while braking charges it) at a speed and an acceleration.
pub(super) fn power(speed: f64, acceleration: f64) -> f64 {
    let rolling = if speed > 0.0 { ROLLING } else { 0.0 };
    let traction = (MASS * acceleration + DRAG * speed * speed + rolling) * speed;
    AUXILIARY + if traction < 0.0 { traction * REGENERATION } else { traction }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn highest(cycle: &Cycle) -> f64 {
        cycle.speeds.iter().copied().fold(0.0, f64::max) * 3.6
    }

    fn idle(cycle: &Cycle) -> f64 {
        cycle.speeds.iter().filter(|speed| **speed == 0.0).count() as f64 / cycle.speeds.len() as f64
    }

    #[test]
    fn udds_has_its_published_figures() {
        let udds = Cycle::udds().unwrap();
        assert_eq!(udds.speeds.len(), 1_370);
        assert!((udds.distance(udds.length()) - 11_990.0).abs() < 1.0);
        assert!((highest(&udds) - 91.3).abs() < 0.1);
        assert!((idle(&udds) - 0.189).abs() < 0.001);
    }

    #[test]
    fn hwfet_has_its_published_figures() {
        let hwfet = Cycle::hwfet().unwrap();
        assert_eq!(hwfet.speeds.len(), 766);
        assert!((hwfet.distance(hwfet.length()) - 16_507.0).abs() < 1.0);
        assert!((highest(&hwfet) - 96.4).abs() < 0.1);
    }

    #[test]
    fn the_sum_at_one_hertz_is_the_integral() {
        for cycle in [Cycle::udds().unwrap(), Cycle::hwfet().unwrap()] {
            let sum: f64 = cycle.speeds.iter().sum();
            assert!((sum - cycle.distance(cycle.length())).abs() < 1e-6);
        }
    }

    #[test]
    fn between_rows_speed_is_straight_and_distance_its_integral() {
        let cycle = Cycle::parse("time_s,speed_mps\n0,0\n1,4\n2,4\n3,0\n").unwrap();
        assert_eq!(cycle.speed(0.5), 2.0);
        assert_eq!(cycle.distance(0.5), 0.5);
        assert_eq!(cycle.distance(1.5), 4.0);
        assert_eq!(cycle.distance(2.5), 7.5);
        assert_eq!(cycle.acceleration(2.25), -4.0);
        assert_eq!((cycle.speed(99.0), cycle.distance(99.0), cycle.acceleration(99.0)), (0.0, 8.0, 0.0));
    }

    #[test]
    fn driving_takes_energy_and_braking_gives_some_back() {
        let udds = Cycle::udds().unwrap();
        assert!(power(20.0, 0.0) > power(10.0, 0.0) && power(10.0, 0.0) > power(0.0, 0.0));
        assert!(power(15.0, -2.0) < 0.0);
        let per_100_km = udds.work(udds.length()) / 3.6e6 / 11.99 * 100.0;
        assert!((8.0..25.0).contains(&per_100_km), "{per_100_km} kWh per 100 km");
    }

    #[test]
    fn a_broken_table_is_refused_with_its_line() {
        for (table, line) in [
            ("time_s,speed_mps\n0,0\n1;2\n", 3),
            ("time_s,speed_mps\n0,0\n2,1\n", 3),
            ("time_s,speed_mps\n0,fast\n", 2),
            ("time_s,speed_mps\n0,NaN\n", 2),
            ("time_s,speed_mps\n0,-1\n", 2),
            ("time_s,speed_mps\n0,0\n", 1),
            ("", 1),
        ] {
            assert_eq!(Cycle::parse(table).unwrap_err().line, line, "{table:?}");
        }
    }
}
