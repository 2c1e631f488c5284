//! Activity of one server: who runs, who waits for whom, who sits idle in a transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::known::{or_unknown, seconds};
use super::page::{GridRow, Line, grid, left, right};
use super::{Cell, Tone};
use crate::metric::activity::{Backend, Progress};

/// Backends in the order of a tree: each with its depth below the root blocker.
///
/// Roots that block somebody come first, their waiters below them; then everyone else, the oldest transaction first.
/// Every backend stands once, whatever cycles the waits form.
pub fn tree(backends: &[Backend]) -> Vec<(usize, &Backend)> {
    let by_pid: BTreeMap<i32, &Backend> = backends.iter().map(|backend| (backend.pid, backend)).collect();
    let mut waiters: BTreeMap<i32, Vec<&Backend>> = BTreeMap::new();
    for backend in backends {
        for blocker in backend.blocked_by.iter().filter(|pid| by_pid.contains_key(pid)) {
            waiters.entry(*blocker).or_default().push(backend);
        }
    }
    let mut order: Vec<&Backend> = backends.iter().collect();
    let age = |backend: &Backend| backend.transaction_age.or(backend.query_age).unwrap_or(-1.0);
    order.sort_by(|one, other| age(other).total_cmp(&age(one)).then(one.pid.cmp(&other.pid)));

    let is_root = |backend: &&Backend| {
        waiters.contains_key(&backend.pid) && !backend.blocked_by.iter().any(|pid| by_pid.contains_key(pid))
    };
    let mut placed = BTreeSet::new();
    let mut rows = Vec::with_capacity(backends.len());
    for root in order.iter().copied().filter(is_root) {
        place(root, 0, &waiters, &mut placed, &mut rows);
    }
    // A cycle of waits has no root: whoever is oldest stands for it.
    for blocked in order.iter().copied().filter(|backend| !backend.blocked_by.is_empty()) {
        place(blocked, 0, &waiters, &mut placed, &mut rows);
    }
    for other in order {
        place(other, 0, &waiters, &mut placed, &mut rows);
    }
    rows
}

fn place<'a>(
    backend: &'a Backend,
    depth: usize,
    waiters: &BTreeMap<i32, Vec<&'a Backend>>,
    placed: &mut BTreeSet<i32>,
    rows: &mut Vec<(usize, &'a Backend)>,
) {
    if !placed.insert(backend.pid) {
        return;
    }
    rows.push((depth, backend));
    for waiter in waiters.get(&backend.pid).into_iter().flatten() {
        place(waiter, depth + 1, waiters, placed, rows);
    }
}

/// What one backend does, in a word that says what needs attention.
fn doing(backend: &Backend, blocks: bool) -> Cell {
    let state = backend.state.as_deref().unwrap_or("");
    match (backend.blocked_by.is_empty(), blocks, state) {
        (false, ..) => Cell::new("BLOCKED", Tone::Bad),
        (true, true, _) => Cell::new("BLOCKS", Tone::Bad),
        (true, false, "active") if backend.wait.is_some() => Cell::new("waiting", Tone::Warn),
        (true, false, "active") => Cell::new("running", Tone::Good),
        (true, false, state) if state.starts_with("idle in transaction") => Cell::outside(state, Tone::Warn),
        (true, false, "") => Cell::outside(&backend.kind, Tone::Dim),
        (true, false, state) => Cell::outside(state, Tone::Dim),
    }
}

/// The grid of backends, blockers first. `keep` filters on the text of a row.
pub fn backends(backends: &[Backend], keep: impl Fn(&[(&str, &str)]) -> bool) -> Vec<Line<i32>> {
    let blockers: BTreeSet<i32> = backends.iter().flat_map(|backend| backend.blocked_by.iter().copied()).collect();
    let rows: Vec<GridRow<i32>> = tree(backends)
        .into_iter()
        .map(|(depth, backend)| (Some(backend.pid), cells(depth, backend, blockers.contains(&backend.pid))))
        .filter(|(_, cells)| {
            let named: Vec<(&str, &str)> = NAMES.iter().copied().zip(cells.iter().map(|cell| &*cell.text)).collect();
            keep(&named)
        })
        .collect();
    let columns = [
        left("PID", 16),
        left("DOES", 24),
        left("WAITS FOR", 24),
        right("XACT", 8),
        right("QUERY", 8),
        left("DATABASE", 16),
        left("USER", 16),
        left("APPLICATION", 20),
        left("CLIENT", 20),
        left("QUERY TEXT", 400),
    ];
    grid(&columns, rows, 0)
}

/// The names that a filter `column:value` knows, in the order of the columns.
pub const NAMES: [&str; 10] =
    ["pid", "does", "wait", "xact", "query_age", "database", "user", "application", "client", "query"];

fn cells(depth: usize, backend: &Backend, blocks: bool) -> Vec<Cell> {
    let outside =
        |text: Option<&str>| text.map_or_else(|| Cell::new("", Tone::Dim), |text| Cell::outside(text, Tone::Normal));
    let age = |age: Option<f64>| or_unknown(age, |age| Cell::own(seconds(age), Tone::Normal));
    let branch = if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(depth - 1)) };
    let query = backend.query.split_whitespace().collect::<Vec<_>>().join(" ");
    vec![
        Cell::own(format!("{branch}{}", backend.pid), Tone::Accent),
        doing(backend, blocks),
        outside(backend.wait.as_deref()),
        age(backend.transaction_age),
        age(backend.query_age),
        outside(backend.database.as_deref()),
        outside(backend.user.as_deref()),
        Cell::outside(&backend.application_name, Tone::Normal),
        outside(backend.client.as_deref()),
        Cell::outside(&query, Tone::Normal),
    ]
}

/// One line per long command under way, with a bar.
pub fn progress(rows: &[Progress]) -> Vec<Line<i32>> {
    const BAR: usize = 20;
    let rows: Vec<GridRow<i32>> = rows
        .iter()
        .map(|row| {
            let share = match (row.done, row.total) {
                (Some(done), Some(total)) if total > 0 => Some((done as f64 / total as f64).clamp(0.0, 1.0)),
                _ => None,
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share between 0 and 1")]
            let filled = share.map(|share| (share * BAR as f64) as usize);
            let bar = filled.map(|n| format!("{}{}", "█".repeat(n), "·".repeat(BAR - n)));
            let count = |count: Option<i64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
            let counts = format!("{} of {} {}", count(row.done), count(row.total), row.counted);
            let cells = vec![
                Cell::own(row.pid.to_string(), Tone::Accent),
                Cell::outside(&row.command, Tone::Normal),
                or_unknown(row.target.as_deref(), |target| Cell::outside(target, Tone::Normal)),
                Cell::outside(&row.phase, Tone::Normal),
                or_unknown(bar, |bar| Cell::own(bar, Tone::Good)),
                or_unknown(share, |share| Cell::own(format!("{:.0} %", share * 100.0), Tone::Normal)),
                Cell::outside(&counts, Tone::Dim),
            ];
            (Some(row.pid), cells)
        })
        .collect();
    let columns = [
        left("PID", 8),
        left("COMMAND", 14),
        left("ON", 30),
        left("PHASE", 30),
        left("PROGRESS", BAR),
        right("", 5),
        left("COUNT", 60),
    ];
    grid(&columns, rows, 0)
}

/// How many run, wait, block, and sit idle in a transaction.
pub fn summary(backends: &[Backend]) -> Line<i32> {
    let count = |keep: &dyn Fn(&&Backend) -> bool| backends.iter().filter(|backend| keep(backend)).count();
    let state = |word: &'static str| move |backend: &&Backend| backend.state.as_deref() == Some(word);
    let blocked = count(&|backend| !backend.blocked_by.is_empty());
    let in_transaction =
        count(&|backend| backend.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction")));
    let tone = |count: usize, tone: Tone| if count > 0 { tone } else { Tone::Normal };
    Line::blank()
        .with(format!("{} active", count(&state("active"))), Tone::Normal)
        .with("  ", Tone::Normal)
        .with(format!("{blocked} blocked"), tone(blocked, Tone::Bad))
        .with("  ", Tone::Normal)
        .with(format!("{in_transaction} idle in transaction"), tone(in_transaction, Tone::Warn))
        .with("  ", Tone::Normal)
        .with(format!("{} idle", count(&state("idle"))), Tone::Dim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(pid: i32, blocked_by: &[i32], age: f64) -> Backend {
        Backend {
            pid,
            kind: "client backend".into(),
            database: None,
            user: None,
            application_name: "app\u{1b}[31m".into(),
            client: None,
            state: Some("active".into()),
            wait: None,
            state_age: None,
            transaction_age: Some(age),
            query_age: None,
            blocked_by: blocked_by.to_vec(),
            query: "select\n 1".into(),
            started: None,
            query_started: None,
        }
    }

    fn check(backends: &[Backend], expected: &[(usize, i32)]) {
        let placed: Vec<_> = tree(backends).into_iter().map(|(depth, backend)| (depth, backend.pid)).collect();
        assert_eq!(placed, expected);
    }

    #[test]
    fn root_blockers_come_first_with_their_waiters_below() {
        let all = [backend(1, &[], 50.0), backend(2, &[3], 9.0), backend(3, &[], 10.0), backend(4, &[2], 5.0)];
        check(&all, &[(0, 3), (1, 2), (2, 4), (0, 1)]);
    }

    #[test]
    fn a_cycle_of_waits_stands_once_each() {
        check(&[backend(1, &[2], 1.0), backend(2, &[1], 2.0)], &[(0, 2), (1, 1)]);
        check(&[backend(1, &[1], 1.0)], &[(0, 1)]);
    }

    #[test]
    fn a_blocker_that_is_not_listed_leaves_its_waiter_at_the_root() {
        check(&[backend(1, &[99], 1.0)], &[(0, 1)]);
    }

    #[test]
    fn rows_are_cleaned_and_the_query_is_one_line() {
        let lines = backends(&[backend(7, &[], 65.0)], |_| true);
        let text = lines[1].text();
        assert!(text.contains("app·[31m") && text.contains("select 1") && text.contains("1m05s"), "{text}");
    }
}
