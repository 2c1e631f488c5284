//! How knowledge reads: a section with its age, what is stale dimmed and marked, what is missing with its reason.

use jiff::{SignedDuration, Timestamp};

use super::format;
use super::page::{Line, Span};
use super::{Cell, Tone};
use crate::fault::Fault;
use crate::fleet::known::Known;

/// A section of a page: its title with the age of what follows, then the lines that `show` makes of the value.
///
/// Where the source answers with a fault now, the last value follows dimmed, and the title says why and what to do.
pub fn section<K, T>(
    title: &'static str,
    known: &Known<T>,
    now: Timestamp,
    show: impl FnOnce(&T) -> Vec<Line<K>>,
) -> Vec<Line<K>> {
    let head = Line::title(title);
    match known {
        Known::Seen { value, at } => {
            let mut lines = vec![head.with(format!("  {}", ago(now.duration_since(*at))), Tone::Dim)];
            lines.extend(show(value));
            lines
        }
        Known::Past { value, at } => {
            let age = format!("  stale: last seen {}", ago(now.duration_since(*at)));
            let mut lines = vec![head.with(age, Tone::Warn)];
            lines.extend(show(value).into_iter().map(dimmed));
            lines
        }
        Known::Lost { last, why, .. } => {
            let mut lines = vec![head];
            lines.extend(fault(why));
            if let Some((value, at)) = last {
                let age = format!("  stale: last seen {}", ago(now.duration_since(*at)));
                lines.push(Line::blank().with(age, Tone::Warn));
                lines.extend(show(value).into_iter().map(dimmed));
            }
            lines
        }
        Known::Never(why) => vec![head.with(format!("  – {}", why.word()), Tone::Unknown)],
    }
}

/// A fault with its remedy, as lines.
pub fn fault<K>(fault: &Fault) -> Vec<Line<K>> {
    vec![
        Line::blank().with("  – ", Tone::Unknown).outside(&fault.to_string(), Tone::Warn),
        Line::blank().with("    ", Tone::Normal).outside(&fault.remedy(), Tone::Dim),
    ]
}

/// A line that is not fresh.
pub fn dimmed<K>(mut line: Line<K>) -> Line<K> {
    for Span { tone, .. } in &mut line.spans {
        *tone = Tone::Dim;
    }
    line
}

/// `3s ago`; `just now` below a second.
pub fn ago(age: SignedDuration) -> String {
    if age.as_secs() <= 0 { "just now".into() } else { format!("{} ago", format::age(age)) }
}

/// A time as its age.
pub fn since(at: Option<Timestamp>, now: Timestamp) -> Cell {
    at.map_or_else(Cell::unknown, |at| Cell::own(ago(now.duration_since(at)), Tone::Normal))
}

/// A value that may not be known.
pub fn or_unknown<T>(value: Option<T>, show: impl FnOnce(T) -> Cell) -> Cell {
    value.map_or_else(Cell::unknown, show)
}

/// Seconds as a duration.
pub fn seconds(seconds: f64) -> String {
    format::duration(SignedDuration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(SignedDuration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::known::Why;

    fn check(known: &Known<u8>, expected: &[&str]) {
        let now = Timestamp::from_second(100).unwrap();
        let lines =
            section::<(), _>("SLOTS", known, now, |value| vec![Line::blank().with(format!("  {value}"), Tone::Normal)]);
        assert_eq!(lines.iter().map(Line::text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_section_tells_its_age_its_fault_and_its_absence() {
        let at = Timestamp::from_second(97).unwrap();
        check(&Known::Seen { value: 1, at }, &["SLOTS  3s ago", "  1"]);
        check(&Known::Never(Why::NotSampled), &["SLOTS  – not sampled"]);
        let why = Fault::Forbidden { what: "slots".into(), needs: "pg_monitor".into() };
        check(
            &Known::Lost { last: Some((1, at)), why, at },
            &[
                "SLOTS",
                "  – slots is forbidden: needs pg_monitor",
                "    ask whoever grants rights there for it",
                "  stale: last seen 3s ago",
                "  1",
            ],
        );
    }
}
