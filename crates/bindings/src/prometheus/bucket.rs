//! The upper bounds of a histogram's buckets: named in the file, or usual ones for the unit.
//!
//! Bounds are fixed when a family appears. They are never guessed from the data: a histogram whose buckets move cannot be
//! added up over time or over replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Usual bounds by base unit, which is also the suffix of a well-named family.
const BY_UNIT: [(&str, &[f64]); 8] = [
    ("seconds", &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0]),
    ("meters_per_second", &[0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0]),
    ("meters", &[1.0, 10.0, 100.0, 500.0, 1e3, 5e3, 1e4, 5e4, 1e5, 5e5]),
    ("celsius", &[-20.0, -10.0, 0.0, 10.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 60.0, 80.0]),
    ("ratio", &[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0]),
    ("bytes", &[64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0]),
    ("volts", &[1.0, 3.0, 6.0, 9.0, 11.0, 11.5, 12.0, 12.5, 13.0, 14.0, 15.0, 24.0, 28.0, 48.0, 400.0, 800.0]),
    ("joules", &[1e3, 1e4, 1e5, 1e6, 5e6, 1e7, 5e7, 1e8, 5e8]),
];

/// For anything else: powers of ten.
const PLAIN: &[f64] = &[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

/// More buckets than this cost more than they tell.
const BOUNDS_MAX: usize = 200;

/// The bounds of every histogram there may be.
#[derive(Clone, Debug, Default)]
pub(super) struct Buckets(pub(super) BTreeMap<String, Arc<[f64]>>);

impl Buckets {
    /// The bounds for the family `name`, ascending, without infinity.
    pub(super) fn of(&self, name: &str, unit: Option<&str>) -> Arc<[f64]> {
        if let Some(bounds) = self.0.get(name) {
            return Arc::clone(bounds);
        }
        let suffixed = |unit: &str| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
        let usual = BY_UNIT.iter().find(|(known, _)| unit.map_or_else(|| suffixed(known), |unit| unit == *known));
        usual.map_or(PLAIN, |(_, bounds)| bounds).into()
    }
}

/// Checks bounds that somebody wrote, and takes an infinity at their end for granted.
///
/// # Errors
/// What is wrong, lower case.
pub(super) fn checked(bounds: &[f64]) -> Result<Arc<[f64]>, String> {
    let bounds = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
    if bounds.is_empty() || bounds.len() > BOUNDS_MAX {
        return Err(format!("a histogram has between 1 and {BOUNDS_MAX} bounds, and {} are given", bounds.len()));
    }
    if bounds.iter().any(|bound| !bound.is_finite()) {
        return Err("a bound is not finite".to_owned());
    }
    match bounds.windows(2).find(|pair| !pair.is_sorted_by(|a, b| a < b)) {
        Some(pair) => Err(format!("the bounds do not ascend: {pair:?}")),
        None => Ok(bounds.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_wins_then_the_unit_then_the_suffix() {
        let buckets = Buckets([("a_seconds".to_owned(), checked(&[1.0, 2.0]).unwrap())].into());
        assert_eq!(*buckets.of("a_seconds", Some("ratio")), [1.0, 2.0]);
        assert_eq!(buckets.of("b_seconds", Some("ratio")).last(), Some(&1.0));
        assert_eq!(buckets.of("b_seconds", None).first(), Some(&0.005));
        assert_eq!(buckets.of("speed_meters_per_second", None).last(), Some(&50.0));
        assert_eq!(*buckets.of("seconds", None), *PLAIN);
    }

    #[test]
    fn the_usual_bounds_pass_the_check() {
        for (unit, bounds) in BY_UNIT.into_iter().chain([("", PLAIN)]) {
            assert!(checked(bounds).is_ok(), "{unit}");
        }
    }

    #[test]
    fn wrong_bounds_are_refused() {
        for bounds in [&[][..], &[f64::INFINITY], &[1.0, 1.0], &[2.0, 1.0], &[f64::NAN, 1.0], &[f64::NEG_INFINITY, 1.0]]
        {
            assert!(checked(bounds).is_err(), "{bounds:?}");
        }
        assert_eq!(checked(&[-1.0, f64::INFINITY]).as_deref(), Ok(&[-1.0][..]));
    }
}
