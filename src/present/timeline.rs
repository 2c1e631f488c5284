//! One timeline of a cluster: Kubernetes events, the operator's status words, failovers, verdicts.

use jiff::Timestamp;

use super::page::{GridRow, Line, grid, left};
use super::{Cell, Tone};
use crate::fleet::Entry;
use crate::fleet::health::Severity;
use crate::fleet::seen::Event;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// None where the source does not tell.
    pub at: Option<Timestamp>,
    /// `event`, `status`, `failover`, `verdict`.
    pub kind: &'static str,
    pub tone: Tone,
    pub about: String,
    pub text: String,
}

/// Everything that is known to have happened, oldest first; what has no time comes first.
pub fn happenings(entry: &Entry) -> Vec<Happening> {
    let mut all: Vec<Happening> = entry.events.iter().map(event).collect();
    all.extend(entry.moves.iter().map(|word| Happening {
        at: Some(word.at),
        kind: "status",
        tone: if word.to.as_deref().is_some_and(|word| word.ends_with("Failed")) { Tone::Bad } else { Tone::Normal },
        about: entry.cluster.id.name.to_string(),
        text: format!("the operator's status was seen as {}", word.to.as_deref().unwrap_or("(none)")),
    }));
    let history = entry.cluster.dcs.iter().flat_map(|dcs| dcs.history.iter());
    all.extend(history.map(|change| Happening {
        at: change.at,
        kind: "failover",
        tone: Tone::Warn,
        about: change.new_leader.as_deref().unwrap_or("–").to_owned(),
        text: format!(
            "timeline {} ended at {}: {}{}",
            change.timeline,
            change.lsn,
            change.reason,
            change.new_leader.as_ref().map(|leader| format!("; new leader {leader}")).unwrap_or_default()
        ),
    }));
    all.extend(entry.health.verdicts.iter().map(|verdict| Happening {
        at: Some(verdict.since),
        kind: "verdict",
        tone: if verdict.severity == Severity::Critical { Tone::Bad } else { Tone::Warn },
        about: verdict.severity.word().to_owned(),
        text: format!(
            "{}{}: {}",
            verdict.id,
            if verdict.since_first_seen { " (first seen)" } else { "" },
            verdict.evidence.join("; ")
        ),
    }));
    all.sort_by_key(|happening| happening.at);
    all
}

fn event(event: &Event) -> Happening {
    let times = if event.count > 1 { format!(" (×{})", event.count) } else { String::new() };
    Happening {
        at: event.last.or(event.first),
        kind: "event",
        tone: if event.warning { Tone::Warn } else { Tone::Normal },
        about: event.about.to_string(),
        text: format!("{}{times}: {}", event.reason, event.message),
    }
}

/// The names that a filter `column:value` knows.
pub const NAMES: [&str; 4] = ["kind", "about", "what", "when"];

/// The timeline as lines; times as wall time in UTC, with the day where it changes.
pub fn page(entry: &Entry, keep: impl Fn(&[(&str, &str)]) -> bool) -> Vec<Line<()>> {
    let mut day = String::new();
    let rows: Vec<GridRow<()>> = happenings(entry)
        .iter()
        .filter_map(|happening| {
            let when = happening.at.map_or_else(|| "–".to_owned(), |at| at.strftime("%H:%M:%S").to_string());
            let row =
                [("kind", happening.kind), ("about", &*happening.about), ("what", &*happening.text), ("when", &*when)];
            if !keep(&row) {
                return None;
            }
            let today = happening.at.map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
            let shown = if today == day { Cell::new("", Tone::Dim) } else { Cell::own(today.clone(), Tone::Title) };
            day = today;
            let cells = vec![
                shown,
                Cell::own(when, Tone::Dim),
                Cell::new(happening.kind, Tone::Accent),
                Cell::outside(&happening.about, Tone::Normal),
                Cell::outside(&happening.text, happening.tone),
            ];
            Some((None, cells))
        })
        .collect();
    let columns = [left("DAY (UTC)", 10), left("TIME", 8), left("KIND", 8), left("ABOUT", 30), left("WHAT", 2000)];
    grid(&columns, rows, 1)
}
