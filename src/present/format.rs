//! Numbers as text: bytes, durations, counts. Nowhere else are numbers formatted for people.

use jiff::SignedDuration;

use crate::metric::lsn::Bytes;

/// Bytes in binary units with at most one decimal: `0 B`, `912 B`, `48.0 MiB`, `1.2 TiB`.
pub fn bytes(bytes: Bytes) -> String {
    bytes.to_string()
}

/// A duration in its two greatest units: `0s`, `42s`, `3m10s`, `2h05m`, `4d03h`; below a second `250ms`.
pub fn duration(duration: SignedDuration) -> String {
    let millis = duration.as_millis().max(0);
    let seconds = millis / 1000;
    match seconds {
        0 if millis > 0 => format!("{millis}ms"),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// An age in whole seconds and up, in one or two units: what is younger than a second is `0s`.
pub fn age(age: SignedDuration) -> String {
    duration(SignedDuration::from_secs(age.as_secs().max(0)))
}

/// How long an age may stand as it is written: until its smaller unit moves.
pub fn stands(age: SignedDuration) -> SignedDuration {
    match age.as_secs() {
        ..3600 => SignedDuration::from_secs(1),
        3600..86_400 => SignedDuration::from_secs(60),
        _ => SignedDuration::from_secs(3600),
    }
}

/// A count with thin groups: `1 234 567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_with_one_decimal_and_a_binary_unit() {
        for (value, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (50_331_648, "48.0 MiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(Bytes(value)), text);
        }
    }

    #[test]
    fn durations_read_in_their_two_greatest_units() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (42_900, "42s"),
            (190_000, "3m10s"),
            (7_500_000, "2h05m"),
            (356_400_000, "4d03h"),
        ] {
            assert_eq!(duration(SignedDuration::from_millis(millis)), text);
        }
        assert_eq!(age(SignedDuration::from_millis(-5)), "0s");
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!((count(7), count(1_234_567), count(123_456)), ("7".into(), "1 234 567".into(), "123 456".into()));
    }
}
