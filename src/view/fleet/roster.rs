//! The fleet in order: filtered, sorted, and kept so by looking at nothing but what changed.

use std::cmp::Reverse;
use std::collections::HashMap;

use jiff::Timestamp;

use crate::fleet::health::Severity;
use crate::fleet::{Changes, Entry, Fleet};
use crate::id::{ClusterId, Text};
use crate::present::columns::{COLUMNS, Key};
use crate::view::filter::Filter;
use crate::widget::cursor::Keyed;
use crate::widget::table::Order;

/// Clusters in the order of the screen.
#[derive(Debug)]
pub struct Roster {
    rows: Vec<Rank>,
    /// The rank each row was put in by: what finds it again.
    ranks: HashMap<ClusterId, Rank>,
    /// The fleet's generation that the rows stand for; none if they must be made anew.
    generation: Option<u64>,
    rule: Rule,
}

/// Which rows stay, and in what order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The number of the column.
    pub column: usize,
    pub order: Order,
    pub filter: Filter,
    pub problems_only: bool,
}

/// Where a row stands: by the column, then by who needs somebody, then by name. Rows of which parts are still being listed
/// come last: nobody can act on them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    coming: bool,
    by: Directed,
    severity: Reverse<Severity>,
    since: Timestamp,
    name: Text,
    id: ClusterId,
}

/// One roster sorts one way; what is unknown stands last in both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Directed {
    Up(Key),
    Down(Reverse<Key>),
    Unknown,
}

impl Default for Roster {
    fn default() -> Self {
        let rule = Rule { order: Order::Descending, ..Rule::default() };
        Roster { rows: Vec::new(), ranks: HashMap::new(), generation: None, rule }
    }
}

impl Roster {
    /// The rule in force.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Changes the rule; the rows follow at the next look.
    pub fn set(&mut self, change: impl FnOnce(&mut Rule)) {
        let before = self.rule.clone();
        change(&mut self.rule);
        if self.rule != before {
            self.generation = None;
        }
    }

    /// Takes in what changed since the last look. Returns how many clusters it had to look at.
    pub fn catch_up(&mut self, fleet: &Fleet, now: Timestamp) -> usize {
        let changes = self.generation.map_or(Changes::All, |generation| fleet.changed_since(generation));
        self.generation = Some(fleet.generation());
        match changes {
            // Each move costs a search and a shift of the vector; beyond a share of the fleet one sort is cheaper.
            Changes::Some(ids) if ids.len() * 8 <= self.rows.len().max(64) => {
                for id in &ids {
                    self.renew(fleet, id, now);
                }
                ids.len()
            }
            Changes::Some(_) | Changes::All => self.start_over(fleet, now),
        }
    }

    fn start_over(&mut self, fleet: &Fleet, now: Timestamp) -> usize {
        let kept = fleet.clusters().filter(|(_, entry)| self.keeps(entry, now));
        self.rows = kept.map(|(_, entry)| self.rank(entry)).collect();
        self.rows.sort_unstable();
        self.ranks = self.rows.iter().map(|rank| (rank.id.clone(), rank.clone())).collect();
        fleet.len()
    }

    fn renew(&mut self, fleet: &Fleet, id: &ClusterId, now: Timestamp) {
        let rank = fleet.get(id).filter(|entry| self.keeps(entry, now)).map(|entry| self.rank(entry));
        if self.ranks.get(id) == rank.as_ref() {
            return;
        }
        if let Some(Ok(at)) = self.ranks.remove(id).map(|old| self.rows.binary_search(&old)) {
            self.rows.remove(at);
        }
        if let Some(rank) = rank {
            let at = self.rows.binary_search(&rank).unwrap_or_else(|at| at);
            self.rows.insert(at, rank.clone());
            self.ranks.insert(id.clone(), rank);
        }
    }

    fn rank(&self, entry: &Entry) -> Rank {
        let by = match ((COLUMNS[self.rule.column].key)(entry), self.rule.order) {
            (Key::Unknown, _) => Directed::Unknown,
            (key, Order::Ascending) => Directed::Up(key),
            (key, Order::Descending) => Directed::Down(Reverse(key)),
        };
        Rank {
            coming: entry.cluster.coming,
            by,
            severity: Reverse(entry.health.severity),
            since: entry.health.verdicts.first().map_or(Timestamp::MIN, |held| held.since),
            name: entry.cluster.id.name.clone(),
            id: entry.cluster.id.clone(),
        }
    }

    fn keeps(&self, entry: &Entry, now: Timestamp) -> bool {
        if self.rule.problems_only && entry.health.severity == Severity::Ok {
            return false;
        }
        if self.rule.filter.is_empty() {
            return true;
        }
        let cells: Vec<_> = COLUMNS.iter().map(|column| (column.id, (column.cell)(entry, now))).collect();
        let row: Vec<(&str, &str)> = cells.iter().map(|(id, cell)| (*id, &*cell.text)).collect();
        self.rule.filter.keeps(&row)
    }

    /// The clusters of those rows.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> impl Iterator<Item = &ClusterId> {
        self.rows.get(rows).unwrap_or_default().iter().map(|rank| &rank.id)
    }
}

impl Keyed<ClusterId> for Roster {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn key(&self, idx: usize) -> ClusterId {
        self.rows[idx].id.clone()
    }

    fn position(&self, id: &ClusterId) -> Option<usize> {
        self.rows.binary_search(self.ranks.get(id)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::cluster::{Cluster, Origin};
    use crate::fleet::seen::Seen;
    use crate::id::PlaneId;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn id(n: usize) -> ClusterId {
        let name = format!("c{n:04}");
        ClusterId { plane: PlaneId::Kubernetes("demo".into()), namespace: "apps".into(), name: name.as_str().into() }
    }

    fn seen(n: usize, status: &str) -> Seen {
        let mut cluster = Cluster::named(id(n), Origin::Resource);
        cluster.status = Some(status.into());
        Seen::Cluster { cluster: Box::new(cluster), at: NOW }
    }

    fn fleet(statuses: &[&str]) -> Fleet {
        let mut fleet = Fleet::default();
        for (n, status) in statuses.iter().enumerate() {
            fleet.apply(seen(n, status), NOW);
        }
        fleet
    }

    fn by_status(order: Order) -> Roster {
        let mut roster = Roster::default();
        let column = COLUMNS.iter().position(|column| column.id == "status").unwrap();
        roster.set(|rule| (rule.column, rule.order) = (column, order));
        roster
    }

    fn names(roster: &Roster) -> Vec<String> {
        roster.slice(0..roster.len()).map(|id| id.name.to_string()).collect()
    }

    #[test]
    fn a_change_moves_its_own_row_and_looks_at_no_other() {
        let mut fleet = fleet(&["Running"; 500]);
        let mut roster = by_status(Order::Ascending);
        assert_eq!(roster.catch_up(&fleet, NOW), 500);
        fleet.apply(seen(321, "CreateFailed"), NOW);
        assert_eq!(roster.catch_up(&fleet, NOW), 1);
        assert_eq!((names(&roster)[0].as_str(), roster.len()), ("c0321", 500));
        fleet.apply(Seen::Gone(id(321)), NOW);
        roster.catch_up(&fleet, NOW);
        assert_eq!((names(&roster)[0].as_str(), roster.len()), ("c0000", 499));
        assert_eq!(roster.catch_up(&fleet, NOW), 0);
    }

    #[test]
    fn after_many_single_changes_the_order_is_what_one_sort_makes_of_it() {
        let words = ["Running", "Updating", "SyncFailed", "Creating"];
        let mut fleet = fleet(&["Running"; 100]);
        let mut roster = by_status(Order::Descending);
        roster.catch_up(&fleet, NOW);
        for step in 0..400 {
            fleet.apply(seen(step * 37 % 100, words[step * 7 % 4]), NOW);
            roster.catch_up(&fleet, NOW);
        }
        let mut anew = by_status(Order::Descending);
        anew.catch_up(&fleet, NOW);
        assert_eq!(names(&roster), names(&anew));
        assert!((0..roster.len()).all(|idx| roster.position(&roster.key(idx)) == Some(idx)));
    }

    #[test]
    fn a_filter_takes_rows_out_and_lets_them_back_in_as_they_change() {
        let mut fleet = fleet(&["Running", "Running", "SyncFailed"]);
        let mut roster = Roster::default();
        roster.set(|rule| rule.filter = Filter::parse("!status:running", &["status"]).unwrap());
        roster.catch_up(&fleet, NOW);
        assert_eq!(names(&roster), ["c0002"]);
        fleet.apply(seen(1, "Updating"), NOW);
        fleet.apply(seen(2, "Running"), NOW);
        roster.catch_up(&fleet, NOW);
        assert_eq!(names(&roster), ["c0001"]);
    }

    #[test]
    fn what_is_unknown_stands_last_whichever_way_it_is_sorted() {
        let mut fleet = fleet(&["b", "a"]);
        fleet.apply(Seen::Cluster { cluster: Box::new(Cluster::named(id(7), Origin::Resource)), at: NOW }, NOW);
        for (order, expected) in
            [(Order::Ascending, ["c0001", "c0000", "c0007"]), (Order::Descending, ["c0000", "c0001", "c0007"])]
        {
            let mut roster = by_status(order);
            roster.catch_up(&fleet, NOW);
            assert_eq!(names(&roster), expected);
        }
    }
}
