//! How long to wait before trying again: pure functions of the attempt.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(500);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// The wait before attempt `attempt` (0 is the first repetition): doubled each time up to 30 s, then spread over the upper
/// half by `spread` (0 to 1), so that many clients do not come back at once.
pub fn wait(attempt: u32, spread: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << attempt.min(10)).min(LONGEST);
    doubled.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0)
}

/// A number from 0 to 1 that differs between moments and names: good enough to spread retries, no more.
pub fn spread(name: &str, nanos: i128) -> f64 {
    let seed =
        name.bytes().fold(nanos.unsigned_abs(), |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (seed % 1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_are_spread_over_the_upper_half() {
        let millis: Vec<_> = (0..8).map(|attempt| wait(attempt, 1.0).as_millis()).collect();
        assert_eq!(millis, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(wait(1, 0.0).as_millis(), 500);
        assert_eq!(wait(u32::MAX, 2.0), LONGEST);
    }

    #[test]
    fn the_spread_stays_between_zero_and_one() {
        assert!((0..100).map(|nanos| spread("pods", nanos)).all(|spread| (0.0..1.0).contains(&spread)));
    }
}
