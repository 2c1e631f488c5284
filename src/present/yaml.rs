//! YAML in tones: keys, strings, numbers, comments. A line lexer, not a parser: it never fails.

use super::Tone;
use super::page::Line;

/// One line of YAML, cleaned and toned.
pub fn line<K>(text: &str) -> Line<K> {
    let indent = text.len() - text.trim_start_matches([' ', '-']).len();
    let (lead, rest) = text.split_at(indent);
    let lead = Line::blank().outside(lead, Tone::Dim);
    if rest.starts_with('#') {
        return lead.outside(rest, Tone::Dim);
    }
    match key_end(rest) {
        Some(end) => {
            let (key, value) = rest.split_at(end);
            lead.outside(key, Tone::Key).with(":", Tone::Dim).outside(&value[1..], tone_of(value[1..].trim()))
        }
        None => lead.outside(rest, tone_of(rest.trim())),
    }
}

/// Where the key ends: a colon before a space or the end, outside of quotes.
fn key_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    for (idx, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            (None, b':') if bytes.get(idx + 1).is_none_or(|next| *next == b' ') => return Some(idx),
            _ => {}
        }
    }
    None
}

fn tone_of(value: &str) -> Tone {
    match value {
        "" => Tone::Normal,
        "true" | "false" | "null" | "~" => Tone::Accent,
        value if value.parse::<f64>().is_ok() => Tone::Accent,
        value if value.starts_with(['"', '\'']) => Tone::Good,
        _ => Tone::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Tone)]) {
        let line: Line<()> = line(text);
        let spans: Vec<_> =
            line.spans.iter().filter(|span| !span.text.is_empty()).map(|span| (&*span.text, span.tone)).collect();
        assert_eq!(spans, expected, "{text}");
    }

    #[test]
    fn keys_values_and_lists_are_told_apart() {
        check("replicas: 3", &[("replicas", Tone::Key), (":", Tone::Dim), (" 3", Tone::Accent)]);
        check(
            "  - name: \"a: b\"",
            &[("  - ", Tone::Dim), ("name", Tone::Key), (":", Tone::Dim), (" \"a: b\"", Tone::Good)],
        );
        check("\"a: b\": x", &[("\"a: b\"", Tone::Key), (":", Tone::Dim), (" x", Tone::Normal)]);
        check("http://x", &[("http://x", Tone::Normal)]);
        check("# note", &[("# note", Tone::Dim)]);
        check("k:", &[("k", Tone::Key), (":", Tone::Dim)]);
    }
}
