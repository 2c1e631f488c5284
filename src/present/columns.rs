//! The columns of the fleet: what each says of a cluster, how it is sorted, and how much room it needs.

use jiff::Timestamp;

use super::known::or_unknown;
use super::topology::lag_cell;
use super::{Align, Cell, Cut, Tone, cluster, format};
use crate::fleet::Entry;
use crate::fleet::cluster::{Dcs, DcsConfig, Origin, Role};
use crate::fleet::health::{self, Verdict};
use crate::fleet::topology;
use crate::id::{PlaneId, Text};
use crate::metric::archiver::Archiving;

/// One column.
#[derive(Debug)]
pub struct Column {
    /// As filters name it: `status:running`.
    pub id: &'static str,
    pub title: &'static str,
    /// One sentence for help and README.
    pub doc: &'static str,
    /// Cells it needs, and can use.
    pub width: u16,
    pub most: u16,
    /// Lower stands first where not all fit.
    pub priority: u8,
    pub align: Align,
    pub cut: Cut,
    /// The greater value is the worse one: sorted downwards at first.
    pub greater_is_worse: bool,
    pub cell: fn(&Entry, Timestamp) -> Cell,
    pub key: fn(&Entry) -> Key,
}

/// What rows are sorted by. It does not depend on the time, so that no row moves unless it changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Number(u64),
    Word(Text),
    /// Sorts last, whichever way.
    Unknown,
}

/// All columns, in the order they stand in. The first two never scroll away.
pub static COLUMNS: &[Column] = &[
    Column {
        id: "health",
        title: "HEALTH",
        doc: "The worst verdict that holds; sorted by it, what needs you stands first.",
        width: 10,
        greater_is_worse: true,
        key: |entry| Key::Number(entry.health.severity as u64),
        ..text(0, |entry, _| cluster::health(entry.health.severity))
    },
    Column {
        id: "name",
        title: "NAME",
        doc: "The cluster's name.",
        width: 18,
        most: 30,
        key: |entry| Key::Word(entry.cluster.id.name.clone()),
        ..text(0, |entry, _| Cell::outside(&entry.cluster.id.name, Tone::Accent))
    },
    Column {
        id: "context",
        title: "CONTEXT",
        doc: "The Kubernetes context that it is operated from; `hosts` for plain hosts.",
        width: 8,
        most: 20,
        key: |entry| Key::Word(entry.cluster.id.plane.context().into()),
        ..text(60, |entry, _| Cell::outside(entry.cluster.id.plane.context(), Tone::Normal))
    },
    Column {
        id: "namespace",
        title: "NAMESPACE",
        doc: "The Kubernetes namespace.",
        width: 10,
        most: 20,
        key: |entry| Key::Word(entry.cluster.id.namespace.clone()),
        ..text(40, |entry, _| match entry.cluster.id.plane {
            PlaneId::Kubernetes(_) => Cell::outside(&entry.cluster.id.namespace, Tone::Normal),
            PlaneId::Hosts => not_applicable(),
        })
    },
    Column {
        id: "team",
        title: "TEAM",
        doc: "The team that owns it, from the object.",
        width: 6,
        most: 12,
        key: |entry| word(entry.cluster.spec.team.as_ref()),
        ..text(90, |entry, _| or_unknown(entry.cluster.spec.team.as_ref(), |team| Cell::outside(team, Tone::Normal)))
    },
    Column {
        id: "pg",
        title: "PG",
        doc: "The server's version where it was sampled, else the major version that was asked for.",
        width: 5,
        key: version_key,
        ..text(50, |entry, _| version(entry))
    },
    Column {
        id: "ready",
        title: "READY",
        doc: "Members that are ready, of those that there should be.",
        width: 5,
        align: Align::Right,
        key: |entry| topology::n_ready(entry).map_or(Key::Unknown, |n| Key::Number(n as u64)),
        ..text(10, |entry, _| ready(entry))
    },
    Column {
        id: "primary",
        title: "PRIMARY",
        doc: "The member that takes writes: by SQL, else by Patroni's leader object, else by label.",
        width: 14,
        most: 24,
        cut: Cut::Start,
        key: |entry| word(topology::primary(entry)),
        ..text(15, |entry, _| match topology::primary(entry) {
            Some(name) => Cell::outside(name, Tone::Normal),
            None => Cell::new("none", Tone::Bad),
        })
    },
    Column {
        id: "sync",
        title: "SYNC",
        doc: "Synchronous replication as Patroni applies it: off, on, strict; `alone` where no standby is synchronous.",
        width: 6,
        key: |entry| Key::Word((&*synchronous(entry).text).into()),
        ..text(55, |entry, _| synchronous(entry))
    },
    Column {
        id: "lag",
        title: "LAG",
        doc: "How far the slowest standby's replay trails; `~` where it comes from Patroni's positions, not from SQL.",
        width: 10,
        align: Align::Right,
        greater_is_worse: true,
        key: |entry| topology::worst_lag(entry).map_or(Key::Unknown, |(_, lag)| Key::Number(lag.bytes.0)),
        ..text(20, |entry, _| lag(entry))
    },
    Column {
        id: "wal",
        title: "WAL",
        doc: "WAL archiving as it works, not as it is configured: on, off, FAILING.",
        width: 7,
        key: |entry| Key::Word((&*archiving(entry).text).into()),
        ..text(45, |entry, _| archiving(entry))
    },
    Column {
        id: "status",
        title: "STATUS",
        doc: "The operator's status word, which is not the truth.",
        width: 12,
        key: |entry| word(entry.cluster.status.as_ref()),
        ..text(18, |entry, _| status(entry))
    },
    Column {
        id: "patroni",
        title: "PATRONI",
        doc: "Whether Patroni would fail over: active, PAUSED, failsafe.",
        width: 8,
        key: |entry| Key::Word((&*patroni(entry).text).into()),
        ..text(65, |entry, _| patroni(entry))
    },
    Column {
        id: "since",
        title: "SINCE",
        doc: "How long the worst verdict has held; `>` where that is only when this pgdeck first saw it.",
        width: 7,
        align: Align::Right,
        key: |entry| worst(entry).map_or(Key::Unknown, |held| moment(held.since)),
        ..text(70, since)
    },
    Column {
        id: "age",
        title: "AGE",
        doc: "How old the row is: the newest sample's age, `live` where a watch would tell of changes, else `stale`.",
        width: 8,
        align: Align::Right,
        key: |entry| moment(sampled(entry).unwrap_or(entry.seen)),
        ..text(75, age)
    },
    Column {
        id: "why",
        title: "WHY",
        doc: "The worst verdict's first evidence.",
        width: 38,
        most: 200,
        key: |entry| worst(entry).map_or(Key::Unknown, |held| Key::Word(health::reason(held))),
        ..text(80, |entry, _| match worst(entry) {
            Some(held) => Cell::outside(&health::reason(held), Tone::Normal),
            None => Cell::new("", Tone::Normal),
        })
    },
];

/// How many columns never scroll away.
pub const FROZEN: usize = 2;

const fn text(priority: u8, cell: fn(&Entry, Timestamp) -> Cell) -> Column {
    let key = |_: &Entry| Key::Unknown;
    Column {
        id: "",
        title: "",
        doc: "",
        width: 0,
        most: 0,
        priority,
        align: Align::Left,
        cut: Cut::End,
        greater_is_worse: false,
        cell,
        key,
    }
}

/// The columns of those names, in that order; all of them for none. An error names what is unknown, and what there is.
pub fn chosen(names: &[String]) -> Result<Vec<usize>, String> {
    if names.is_empty() {
        return Ok((0..COLUMNS.len()).collect());
    }
    let find = |name: &String| {
        let at = COLUMNS.iter().position(|column| column.id == name);
        at.ok_or_else(|| format!("columns: {name:?} is no column; there are {}", self::names().join(", ")))
    };
    names.iter().map(find).collect()
}

/// Names that filters know.
pub fn names() -> Vec<&'static str> {
    COLUMNS.iter().map(|column| column.id).collect()
}

/// The columns as a table for the README.
pub fn table() -> String {
    let rows = COLUMNS.iter().map(|column| format!("| {} | `{}` | {} |\n", column.title, column.id, column.doc));
    std::iter::once("| column | in filters | what it says |\n|---|---|---|\n".to_owned()).chain(rows).collect()
}

fn word(text: Option<&Text>) -> Key {
    text.map_or(Key::Unknown, |text| Key::Word(text.clone()))
}

/// Older sorts first.
fn moment(at: Timestamp) -> Key {
    Key::Number(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

fn not_applicable() -> Cell {
    Cell::new("n/a", Tone::Dim)
}

fn worst(entry: &Entry) -> Option<&Verdict> {
    entry.health.verdicts.first()
}

fn version_number(entry: &Entry) -> Option<u32> {
    let sampled = entry.instances.values().filter_map(|instance| instance.vitals.last());
    sampled.map(|(vitals, _)| vitals.version).max()
}

fn version(entry: &Entry) -> Cell {
    match (version_number(entry), &entry.cluster.spec.version) {
        (Some(number), _) => Cell::own(format!("{}.{}", number / 10_000, number % 10_000), Tone::Normal),
        (None, Some(asked)) => Cell::outside(asked, Tone::Dim),
        (None, None) => Cell::unknown(),
    }
}

fn version_key(entry: &Entry) -> Key {
    let asked = || entry.cluster.spec.version.as_ref()?.parse::<u32>().ok().map(|major| major * 10_000);
    version_number(entry).or_else(asked).map_or(Key::Unknown, |number| Key::Number(number.into()))
}

fn ready(entry: &Entry) -> Cell {
    let (ready, desired) = (topology::n_ready(entry), entry.cluster.n_desired());
    let shown = |n: Option<usize>| n.map_or_else(|| "–".to_owned(), |n| n.to_string());
    let tone = match (ready, desired) {
        (Some(0), Some(1..)) => Tone::Bad,
        (Some(ready), Some(desired)) if ready < desired => Tone::Warn,
        (Some(_), Some(_)) => Tone::Normal,
        (None, _) | (_, None) => Tone::Unknown,
    };
    Cell::own(format!("{}/{}", shown(ready), shown(desired)), tone)
}

fn config(entry: &Entry) -> Option<&DcsConfig> {
    entry.cluster.dcs.as_ref()?.config.as_deref()
}

fn synchronous(entry: &Entry) -> Cell {
    if entry.cluster.origin == Origin::Hosts {
        let primary = topology::primary(entry).and_then(|name| entry.instances.get(name)?.vitals.last());
        return or_unknown(primary, |(vitals, _)| {
            Cell::new(if vitals.synchronous_standby_names.is_empty() { "off" } else { "on" }, Tone::Normal)
        });
    }
    let asked = config(entry).map(|config| (config.synchronous, config.synchronous_strict));
    let alone = entry.cluster.dcs.as_ref().is_none_or(|dcs: &Dcs| dcs.sync_standbys.is_empty());
    let standbys = entry.cluster.members.iter().any(|member| member.role() == Role::Standby);
    match asked {
        None => Cell::unknown(),
        Some((false, _)) => Cell::new("off", Tone::Normal),
        Some((true, _)) if alone && standbys => Cell::new("alone", Tone::Warn),
        Some((true, false)) => Cell::new("on", Tone::Normal),
        Some((true, true)) => Cell::new("strict", Tone::Normal),
    }
}

fn lag(entry: &Entry) -> Cell {
    match topology::worst_lag(entry) {
        Some((_, lag)) => lag_cell(lag),
        None if entry.cluster.members.len() == 1 => not_applicable(),
        None => Cell::unknown(),
    }
}

fn archiving(entry: &Entry) -> Cell {
    let primary = topology::primary(entry).and_then(|name| entry.instances.get(name));
    let last = primary.and_then(|instance| instance.archiver.last());
    or_unknown(last, |(archiver, _)| match archiver.archiving() {
        Archiving::On => Cell::new("on", Tone::Normal),
        Archiving::Off => Cell::new("off", Tone::Dim),
        Archiving::Failing => Cell::new("FAILING", Tone::Bad),
    })
}

fn status(entry: &Entry) -> Cell {
    match (&entry.cluster.status, entry.cluster.origin) {
        (Some(word), _) => {
            let tone = if word.ends_with("Failed") || &**word == "Invalid" { Tone::Bad } else { Tone::Normal };
            Cell::outside(word, tone)
        }
        (None, Origin::Resource) => Cell::unknown(),
        (None, Origin::Orphan) => Cell::new("no object", Tone::Warn),
        (None, Origin::Hosts) => not_applicable(),
    }
}

fn patroni(entry: &Entry) -> Cell {
    let failsafe = entry.cluster.dcs.as_ref().is_some_and(|dcs| dcs.failsafe_active);
    match (config(entry), entry.cluster.origin) {
        (Some(config), _) if config.pause => Cell::new("PAUSED", Tone::Warn),
        (Some(_), _) if failsafe => Cell::new("failsafe", Tone::Warn),
        (Some(_), _) => Cell::new("active", Tone::Normal),
        (None, Origin::Hosts) => not_applicable(),
        (None, Origin::Resource | Origin::Orphan) => Cell::unknown(),
    }
}

fn since(entry: &Entry, now: Timestamp) -> Cell {
    worst(entry).map_or_else(
        || Cell::new("", Tone::Normal),
        |held| {
            let mark = if held.since_first_seen { ">" } else { "" };
            Cell::own(format!("{mark}{}", format::age(now.duration_since(held.since))), Tone::Normal)
        },
    )
}

/// When SQL last answered for any member.
fn sampled(entry: &Entry) -> Option<Timestamp> {
    entry.instances.values().filter_map(|instance| instance.vitals.last()).map(|(_, at)| at).max()
}

/// When an age in the row will read differently; none if the row shows none.
pub fn next_change(entry: &Entry, now: Timestamp) -> Option<Timestamp> {
    let verdict = worst(entry).map(|held| held.since);
    let sampled = sampled(entry).or_else(|| entry.stale.then_some(entry.seen));
    [verdict, sampled].into_iter().flatten().map(|at| now + format::stands(now.duration_since(at))).min()
}

fn age(entry: &Entry, now: Timestamp) -> Cell {
    let since = |at: Timestamp| format::age(now.duration_since(at));
    let answers = entry.instances.values().any(|instance| instance.vitals.fresh().is_some());
    match (entry.stale, sampled(entry), entry.cluster.origin) {
        (true, at, _) => {
            let newest = at.map_or(entry.seen, |at| at.max(entry.seen));
            Cell::own(format!("!{}", since(newest)), Tone::Warn)
        }
        (false, Some(at), _) if answers => Cell::own(since(at), Tone::Dim),
        (false, Some(at), _) => Cell::own(format!("!{}", since(at)), Tone::Warn),
        (false, None, Origin::Hosts) => Cell::unknown(),
        (false, None, Origin::Resource | Origin::Orphan) => Cell::new("live", Tone::Dim),
    }
}
