//! Positions in the write-ahead log and distances between them.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A position in the write-ahead log, in bytes since its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// A size or distance in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Lsn {
    /// How far this position trails `ahead`; zero if it does not.
    pub fn behind(self, ahead: Lsn) -> Bytes {
        Bytes(ahead.0.saturating_sub(self.0))
    }
}

impl fmt::Display for Bytes {
    /// In binary units with at most one decimal: `0 B`, `912 B`, `48.0 MiB`, `1.2 TiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64;
        let mut unit = "B";
        for next in UNITS {
            if value < 1023.95 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        write!(f, "{value:.1} {unit}")
    }
}

impl fmt::Display for Lsn {
    /// As Postgres writes it: `0/3000060`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is not two hexadecimal numbers around a slash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a WAL position: expected two hexadecimal numbers around a slash, as in 0/3000060")]
pub struct NotAnLsn(pub String);

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || -> Option<Lsn> {
            let (high, low) = text.split_once('/')?;
            let (high, low) = (u32::from_str_radix(high, 16).ok()?, u32::from_str_radix(low, 16).ok()?);
            Some(Lsn((u64::from(high) << 32) | u64::from(low)))
        };
        parse().ok_or_else(|| NotAnLsn(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_it_was_written() {
        for text in ["0/0", "0/3000060", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in ["", "3000060", "0/", "/1", "0/100000000", "0/xyz"] {
            assert!(text.parse::<Lsn>().unwrap_err().to_string().contains("WAL position"), "{text}");
        }
    }

    #[test]
    fn a_position_ahead_is_zero_behind() {
        assert_eq!(Lsn(10).behind(Lsn(4)), Bytes(0));
        assert_eq!(Lsn(4).behind(Lsn(10)), Bytes(6));
    }
}
