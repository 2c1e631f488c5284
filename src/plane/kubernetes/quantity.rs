//! Kubernetes quantities: `1Gi`, `500M`, `1e9`.

use crate::metric::lsn::Bytes;

const UNITS: [(&str, f64); 13] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("m", 1e-3),
];

/// Reads a quantity as bytes; none if it is none.
pub fn bytes(text: &str) -> Option<Bytes> {
    let text = text.trim();
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1.0));
    let value = number.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0)? * factor;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and clamped by the cast"
    )]
    let whole = value as u64;
    Some(Bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_nonsense_is_not() {
        for (text, expected) in
            [("1Gi", 1 << 30), ("500M", 500_000_000), ("1024", 1024), ("1e3", 1000), ("1.5Ki", 1536)]
        {
            assert_eq!(bytes(text), Some(Bytes(expected)), "{text}");
        }
        for text in ["", "Gi", "lots", "-1Gi", "NaN"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
