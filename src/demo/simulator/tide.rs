//! The tide: how much of a fleet is on the road at each hour of a weekday.
//!
//! Decision: the load is one closed curve (two rush hours over a floor and a midday hump), cut to nothing from two to four
//! in the morning, so that one simulated day shows scaling up, scaling down and scaling to zero.

use std::time::Duration;

/// A day has as many seconds.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// No vehicle drives from here ...
pub const SILENCE_FROM: Duration = Duration::from_secs(2 * 3600);
/// ... to here.
pub const SILENCE_TO: Duration = Duration::from_secs(4 * 3600);
/// The time of day at which a run begins: half an hour later the morning is in full swing.
pub const START: Duration = Duration::from_secs(6 * 3600);

/// The share of the fleet that drives at any hour outside the silence.
const FLOOR: f64 = 0.08;
/// What either rush hour adds at its height; floor, rush and what midday adds by then make the whole fleet.
const RUSH: f64 = 0.86;
/// What midday adds at its height.
const MIDDAY: f64 = 0.45;

/// The share of the fleet that is on the road, 0.0 to 1.0, at a time since the midnight that began the first day.
pub fn load(time: Duration) -> f64 {
    let of_day = of_day(time);
    if (SILENCE_FROM..SILENCE_TO).contains(&of_day) {
        return 0.0;
    }
    let hour = of_day.as_secs_f64() / 3600.0;
    let load = FLOOR + RUSH * bell(hour, 7.5, 1.0) + MIDDAY * bell(hour, 12.5, 2.5) + RUSH * bell(hour, 17.5, 1.4);
    load.min(1.0)
}

/// Whether the tide carries vehicle number `number` at `since_start` of a run: whether the load of the hour includes it,
/// and a trip of so many seconds ends before the silence.
pub(super) fn carries(number: u32, since_start: Duration, trip: f64) -> bool {
    let time = START + since_start;
    let day = time.as_secs() / DAY.as_secs();
    // Multiples of the golden ratio spread evenly over 0..1: the numbers of a fleet on a day, and the days of a vehicle.
    let rank = (f64::from(number) + day as f64 * 0.37).mul_add(0.618_033_988_749_895, 0.5).fract();
    load(time) > rank && until_silence(time).as_secs_f64() > trip
}

/// How long after `time` the next silence begins; zero within one.
fn until_silence(time: Duration) -> Duration {
    let of_day = of_day(time);
    if of_day < SILENCE_FROM {
        SILENCE_FROM - of_day
    } else if of_day < SILENCE_TO {
        Duration::ZERO
    } else {
        DAY + SILENCE_FROM - of_day
    }
}

fn of_day(time: Duration) -> Duration {
    Duration::from_nanos((time.as_nanos() % DAY.as_nanos()) as u64)
}

fn bell(hour: f64, height_at: f64, width: f64) -> f64 {
    let away = (hour - height_at) / width;
    (-away * away / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: f64) -> f64 {
        load(Duration::from_secs_f64(hour * 3600.0))
    }

    #[test]
    fn two_rush_hours_stand_above_midday_and_night() {
        assert!((at(7.5) - 1.0).abs() < 0.01 && (at(17.5) - 1.0).abs() < 0.01);
        assert!(at(6.0) < at(7.5) && at(9.5) < at(7.5));
        assert!((0.50..0.56).contains(&at(12.5)), "{}", at(12.5));
        assert!((FLOOR..0.09).contains(&at(0.0)) && (FLOOR..0.11).contains(&at(4.0)));
    }

    #[test]
    fn two_to_four_is_silent_every_day() {
        for day in 0..3 {
            let midnight = f64::from(day) * 24.0;
            assert!(at(midnight + 1.999) >= FLOOR && at(midnight + 4.0) >= FLOOR);
            assert!([2.0, 3.0, 3.999].iter().all(|hour| at(midnight + hour) == 0.0));
        }
    }

    #[test]
    fn the_load_is_a_share_at_every_minute() {
        assert!((0..3 * 1440).all(|minute| (0.0..=1.0).contains(&at(f64::from(minute) / 60.0))));
    }

    #[test]
    fn as_many_vehicles_are_carried_as_the_load_says_and_not_always_the_same() {
        let carried = |hour: f64| -> Vec<u32> {
            let since_start = Duration::from_secs_f64(hour * 3600.0) - START;
            (0..1_000).filter(|number| carries(*number, since_start, 1_369.0)).collect()
        };
        for hour in [6.0, 7.5, 10.0, 12.5, 17.5, 23.0] {
            assert!((carried(hour).len() as f64 / 1_000.0 - at(hour)).abs() < 0.01, "at {hour}");
        }
        assert_ne!(carried(12.5), carried(36.5));
        assert!(!carried(25.5).is_empty());
        // A trip that would not end before two does not begin.
        assert!(carried(25.7).is_empty() && carried(27.0).is_empty());
    }

    #[test]
    fn the_next_silence_is_counted_down() {
        let until = |hour: u64| until_silence(Duration::from_secs(hour * 3600)).as_secs() / 3600;
        assert_eq!((until(0), until(2), until(3), until(4), until(6), until(30)), (2, 0, 0, 22, 20, 20));
    }
}
