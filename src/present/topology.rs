//! The tree of a cluster: who leads, who follows, who consumes, how far behind.

use jiff::Timestamp;

use super::known::{ago, or_unknown};
use super::page::{GridRow, Line, grid, left, right};
use super::{Cell, Tone, format, spark};
use crate::fleet::Entry;
use crate::fleet::topology::{self, Kind, Lag, Node};
use crate::id::Text;

/// The topology as lines: the primary, its standbys and consumers below it.
pub fn tree(entry: &Entry, now: Timestamp) -> Vec<Line<Text>> {
    let nodes = topology::tree(entry);
    if nodes.is_empty() {
        return vec![Line::title("TOPOLOGY"), Line::blank().with(" no member is known", Tone::Unknown)];
    }
    let rows: Vec<GridRow<Text>> = nodes.iter().map(|node| row(entry, node, now)).collect();
    let columns = [
        left("MEMBER", 44),
        left("ROLE", 18),
        left("STATE", 24),
        right("TL", 4),
        right("LAG", 12),
        left("LAST 40 SAMPLES", 40),
        right("POSITION", 17),
        right("SAMPLED", 10),
    ];
    let offers = nodes.iter().filter(|node| node.kind == Kind::Unlisted).map(|node| offer(entry, node));
    std::iter::once(Line::title("TOPOLOGY")).chain(grid(&columns, rows, 0)).chain(offers).collect()
}

/// What to write into the hosts file, so that a standby that was found becomes a member.
fn offer(entry: &Entry, node: &Node) -> Line<Text> {
    let line = match &node.client {
        // Where it listens is not told, only where it connects from.
        Some(client) if client.contains(':') => format!("\"[{client}]:5432\" (or its own port)"),
        Some(client) => format!("\"{client}:5432\" (or its own port)"),
        None => "it".to_owned(),
    };
    let cluster = &entry.cluster.id.name;
    let text = format!(" {} is not in the hosts file: add {line} to the hosts of \"{cluster}\"", node.name);
    Line::blank().outside(&text, Tone::Warn)
}

fn row(entry: &Entry, node: &Node, now: Timestamp) -> GridRow<Text> {
    let branch = if node.depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(node.depth - 1)) };
    let is_member = !matches!(node.kind, Kind::Consumer | Kind::Unlisted);
    let tone = match node.kind {
        Kind::Primary | Kind::StandbyLeader => Tone::Title,
        Kind::Synchronous | Kind::Asynchronous | Kind::Consumer => Tone::Normal,
        Kind::Unlisted => Tone::Warn,
        Kind::Unknown => Tone::Unknown,
    };
    let client = node.client.as_ref().map(|client| format!(" ({client})")).unwrap_or_default();
    let cells = vec![
        Cell::outside(&format!("{branch}{}{client}", node.name), Tone::Accent),
        Cell::new(node.kind.word(), tone),
        Cell::outside(&node.state, state_tone(&node.state)),
        or_unknown(node.timeline, |timeline| Cell::own(timeline.to_string(), Tone::Normal)),
        lag(node),
        Cell::own(history(entry, node), Tone::Accent),
        or_unknown(node.position, |lsn| Cell::own(lsn.to_string(), Tone::Normal)),
        node.sampled.map_or_else(
            || Cell::new("not sampled", Tone::Dim),
            |at| Cell::own(ago(now.duration_since(at)), Tone::Dim),
        ),
    ];
    (is_member.then(|| node.name.clone()), cells)
}

/// A state's tone, by its word.
pub fn state_tone(state: &str) -> Tone {
    match state {
        "running" | "streaming" => Tone::Good,
        "LOST" | "crashed" | "start failed" | "unreachable" | "stopped" => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// A node's lag: exact, or `~` where it comes from Patroni's own positions.
fn lag(node: &Node) -> Cell {
    if matches!(node.kind, Kind::Primary | Kind::StandbyLeader) {
        return Cell::new("", Tone::Normal);
    }
    or_unknown(node.lag, lag_cell)
}

/// A lag as a cell.
pub fn lag_cell(lag: Lag) -> Cell {
    let mark = if lag.exact { "" } else { "~" };
    let tone = if lag.bytes.0 >= 32 << 20 { Tone::Warn } else { Tone::Normal };
    Cell::own(format!("{mark}{}", format::bytes(lag.bytes)), tone)
}

/// The lag's history: as any server that it streams from reports it, else its own replay backlog.
fn history(entry: &Entry, node: &Node) -> String {
    const WIDTH: usize = 40;
    let reported = entry.instances.values().find_map(|instance| instance.series("replay_lag", &node.name));
    let own = || entry.instances.get(&node.name)?.series("replay_backlog", "");
    reported.or_else(own).map(|series| spark::values(series, WIDTH)).unwrap_or_default()
}
