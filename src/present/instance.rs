//! One instance as a page: everything sampled, with units and ages.

use jiff::Timestamp;

use super::known::{ago, or_unknown, seconds, section, since};
use super::page::{GridRow, Line, fact, grid, left, right};
use super::{Cell, Tone, format, spark};
use crate::fleet::instance::Instance;
use crate::metric::archiver::{Archiver, Archiving};
use crate::metric::lsn::{Bytes, Lsn};
use crate::metric::replication::WalSender;
use crate::metric::slots::Slot;
use crate::metric::storage::Storage;
use crate::metric::subscription::{Origin, Subscription};
use crate::metric::vitals::{Receiver, Replay, Vitals};

/// Width of the labels.
const LABEL: usize = 24;
/// Width of the sparklines.
const SPARK: usize = 40;

/// The whole page.
pub fn page(instance: &Instance, now: Timestamp) -> Vec<Line<()>> {
    let mut lines = section("SERVER", &instance.vitals, now, |vitals| server(vitals, now));
    lines.extend(trends(instance));
    let parts = [
        section("REPLICATION (who streams from here)", &instance.replication, now, |senders| replication(senders, now)),
        section("SLOTS", &instance.slots, now, |rows| slots(rows, now)),
        section("SUBSCRIPTIONS", &instance.subscriptions, now, |rows| subscriptions(rows, now)),
        section("ORIGINS", &instance.origins, now, |rows| origins(rows)),
        section("ARCHIVING", &instance.archiver, now, |archiver| archiving(archiver, now)),
        section("STORAGE", &instance.storage, now, storage),
    ];
    for part in parts {
        lines.push(Line::blank());
        lines.extend(part);
    }
    lines
}

fn server(vitals: &Vitals, now: Timestamp) -> Vec<Line<()>> {
    let plain = |text: String| Cell::own(text, Tone::Normal);
    let lsn = |lsn: Option<Lsn>| or_unknown(lsn, |lsn| plain(lsn.to_string()));
    let role = if vitals.in_recovery { "standby" } else { "primary" };
    let writable = match (vitals.in_recovery, vitals.writable) {
        (false, false) => ", read only",
        (true, _) | (false, true) => "",
    };
    let mut lines = vec![
        fact("  role", LABEL, plain(format!("{role}{writable}"))),
        fact("  version", LABEL, plain(vitals.version_text())),
        fact("  timeline", LABEL, or_unknown(vitals.timeline, |timeline| plain(timeline.to_string()))),
        fact("  system identifier", LABEL, or_unknown(vitals.system, |system| plain(system.to_string()))),
        fact("  up", LABEL, plain(format::age(now.duration_since(vitals.started)))),
    ];
    if vitals.in_recovery {
        lines.extend(standby(vitals, now));
    } else {
        lines.push(fact("  WAL written", LABEL, lsn(vitals.written)));
        lines.push(fact("  synchronous standbys", LABEL, synchronous(vitals)));
    }
    lines.push(fact("  connections", LABEL, connections(vitals)));
    let oldest =
        vitals.oldest_transaction.map_or_else(|| Cell::new("none open", Tone::Normal), |age| plain(seconds(age)));
    lines.push(fact("  oldest transaction", LABEL, oldest));
    let xid_tone = if vitals.xid_age > 1_000_000_000 { Tone::Warn } else { Tone::Normal };
    let xid = format!("{} transactions of 2 147 483 648", format::count(vitals.xid_age));
    lines.push(fact("  xid age", LABEL, Cell::own(xid, xid_tone)));
    if !vitals.pending_restart.is_empty() {
        let names: Vec<&str> = vitals.pending_restart.iter().map(|name| &**name).collect();
        lines.push(fact("  restart pending for", LABEL, Cell::outside(&names.join(", "), Tone::Warn)));
    }
    lines
}

fn standby(vitals: &Vitals, now: Timestamp) -> Vec<Line<()>> {
    let plain = |text: String| Cell::own(text, Tone::Normal);
    let lsn = |lsn: Option<Lsn>| or_unknown(lsn, |lsn| plain(lsn.to_string()));
    let replay = match vitals.replay {
        Replay::NotApplicable | Replay::Running => Cell::new("running", Tone::Normal),
        Replay::PauseRequested => Cell::new("PAUSE REQUESTED", Tone::Warn),
        Replay::Paused => Cell::new("PAUSED", Tone::Warn),
    };
    let backlog = or_unknown(vitals.replay_backlog(), |bytes| plain(format::bytes(bytes)));
    let mut lines = vec![
        fact("  replay", LABEL, replay),
        fact("  WAL received", LABEL, lsn(vitals.received)),
        fact("  WAL replayed", LABEL, lsn(vitals.replayed)),
        fact("  received, not replayed", LABEL, backlog),
        fact("  last replayed commit", LABEL, since(vitals.replayed_commit, now)),
    ];
    lines.push(match &vitals.receiver {
        Some(receiver) => fact("  receiver", LABEL, receiving(receiver, now)),
        None => fact("  receiver", LABEL, Cell::new("none runs: not streaming", Tone::Warn)),
    });
    lines
}

fn receiving(receiver: &Receiver, now: Timestamp) -> Cell {
    let from = match (&receiver.sender_host, receiver.sender_port) {
        (Some(host), Some(port)) => format!(" from {host}:{port}"),
        (Some(host), None) => format!(" from {host}"),
        (None, _) => String::new(),
    };
    let slot = receiver.slot.as_ref().map(|slot| format!(", slot {slot}")).unwrap_or_default();
    let heard = receiver.last_message.map(|at| format!(", heard {}", ago(now.duration_since(at)))).unwrap_or_default();
    Cell::outside(&format!("{}{from}{slot}{heard}", receiver.status), Tone::Normal)
}

fn synchronous(vitals: &Vitals) -> Cell {
    match &*vitals.synchronous_standby_names {
        "" => Cell::new("none (asynchronous)", Tone::Normal),
        names => Cell::outside(names, Tone::Normal),
    }
}

fn connections(vitals: &Vitals) -> Cell {
    let share = u64::from(vitals.connections) * 100 / u64::from(vitals.max_connections.max(1));
    let tone = if share > 90 { Tone::Warn } else { Tone::Normal };
    Cell::own(format!("{} of {} ({share} %)", vitals.connections, vitals.max_connections), tone)
}

/// Sparklines of what moves, each with its newest value.
fn trends(instance: &Instance) -> Vec<Line<()>> {
    let mut lines = Vec::new();
    if let Some(series) = instance.series("wal_position", "") {
        let rate =
            or_unknown(series.rate(), |rate| Cell::own(format!("{}/s", format::bytes(whole(rate))), Tone::Normal));
        lines.push(trend("  WAL rate", spark::rates(series, SPARK), rate));
    }
    if let Some(series) = instance.series("replay_backlog", "") {
        let value = or_unknown(series.latest(), |value| Cell::own(format::bytes(whole(value)), Tone::Normal));
        lines.push(trend("  replay backlog", spark::values(series, SPARK), value));
    }
    if let Some(series) = instance.series("connections", "") {
        let value = or_unknown(series.latest(), |value| Cell::own(format!("{value:.0}"), Tone::Normal));
        lines.push(trend("  connections", spark::values(series, SPARK), value));
    }
    lines
}

fn trend(label: &'static str, spark: String, value: Cell) -> Line<()> {
    fact(label, LABEL, Cell::own(spark, Tone::Accent)).with("  ", Tone::Normal).cell(value)
}

fn whole(value: f64) -> Bytes {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what a u64 holds")]
    let bytes = value.clamp(0.0, 1e18) as u64;
    Bytes(bytes)
}

fn empty(what: &'static str) -> Vec<Line<()>> {
    vec![Line::blank().with(what, Tone::Dim)]
}

fn replication(senders: &[WalSender], now: Timestamp) -> Vec<Line<()>> {
    if senders.is_empty() {
        return empty("  nobody streams from this server");
    }
    let rows: Vec<GridRow<()>> = senders
        .iter()
        .map(|sender| {
            let kind = if sender.logical { "logical" } else { "physical" };
            let state = sender.state.as_deref();
            let tone = if state == Some("streaming") { Tone::Good } else { Tone::Warn };
            let cells = vec![
                Cell::outside(&sender.application_name, Tone::Accent),
                Cell::new(kind, Tone::Normal),
                or_unknown(state, |state| Cell::outside(state, tone)),
                or_unknown(sender.sync_state.as_deref(), |sync| Cell::outside(sync, Tone::Normal)),
                lag(sender.lag()),
                or_unknown(sender.replay_lag, |lag| Cell::own(seconds(lag), Tone::Normal)),
                or_unknown(sender.replayed, |lsn| Cell::own(lsn.to_string(), Tone::Normal)),
                since(sender.reply, now),
                or_unknown(sender.slot.as_deref(), |slot| Cell::outside(slot, Tone::Normal)),
                or_unknown(sender.client.as_deref(), |client| Cell::outside(client, Tone::Normal)),
            ];
            (None, cells)
        })
        .collect();
    let columns = [
        left("NAME", 24),
        left("KIND", 8),
        left("STATE", 10),
        left("SYNC", 10),
        right("LAG", 10),
        right("DELAY", 8),
        right("REPLAYED", 17),
        right("REPORTED", 10),
        left("SLOT", 24),
        left("FROM", 40),
    ];
    grid(&columns, rows, 2)
}

/// A lag with a tone: none, some, much.
pub fn lag(lag: Option<Bytes>) -> Cell {
    const MUCH: u64 = 32 << 20;
    or_unknown(lag, |lag| {
        let tone = if lag.0 >= MUCH { Tone::Warn } else { Tone::Normal };
        Cell::own(format::bytes(lag), tone)
    })
}

fn slots(slots: &[Slot], now: Timestamp) -> Vec<Line<()>> {
    if slots.is_empty() {
        return empty("  none");
    }
    let rows: Vec<GridRow<()>> = slots
        .iter()
        .map(|slot| {
            let kind = if slot.logical { "logical" } else { "physical" };
            let usage = match (slot.active, slot.inactive_since) {
                (true, _) => Cell::new("in use", Tone::Good),
                (false, Some(at)) => Cell::own(format!("idle {}", format::age(now.duration_since(at))), Tone::Warn),
                (false, None) => Cell::new("idle", Tone::Warn),
            };
            let wal = match (&slot.invalidation, &slot.wal_status) {
                (Some(reason), _) => Cell::outside(&format!("LOST: {reason}"), Tone::Bad),
                (None, Some(status)) => Cell::outside(status, wal_tone(status)),
                (None, None) => Cell::unknown(),
            };
            let safe = slot.safe_wal.map_or_else(
                || Cell::new("no limit", Tone::Dim),
                |safe| Cell::own(format::bytes(Bytes(u64::try_from(safe).unwrap_or(0))), Tone::Normal),
            );
            let cells = vec![
                Cell::outside(&slot.name, Tone::Accent),
                Cell::new(kind, Tone::Normal),
                usage,
                wal,
                or_unknown(slot.retained, |bytes| Cell::own(format::bytes(bytes), Tone::Normal)),
                safe,
                or_unknown(slot.confirmed_flush, |lsn| Cell::own(lsn.to_string(), Tone::Normal)),
                or_unknown(slot.plugin.as_deref(), |plugin| Cell::outside(plugin, Tone::Normal)),
                or_unknown(slot.database.as_deref(), |database| Cell::outside(database, Tone::Normal)),
            ];
            (None, cells)
        })
        .collect();
    let columns = [
        left("SLOT", 30),
        left("KIND", 8),
        left("USE", 14),
        left("WAL", 24),
        right("RETAINED", 10),
        right("SAFE", 10),
        right("CONFIRMED", 17),
        left("PLUGIN", 12),
        left("DATABASE", 24),
    ];
    grid(&columns, rows, 2)
}

fn wal_tone(status: &str) -> Tone {
    match status {
        "reserved" => Tone::Good,
        "lost" => Tone::Bad,
        _ => Tone::Warn,
    }
}

fn subscriptions(subscriptions: &[Subscription], now: Timestamp) -> Vec<Line<()>> {
    if subscriptions.is_empty() {
        return empty("  none");
    }
    let count = |count: Option<i64>| or_unknown(count, |count| Cell::own(count.to_string(), Tone::Normal));
    let rows: Vec<GridRow<()>> = subscriptions
        .iter()
        .map(|subscription| {
            let worker = match (subscription.enabled, subscription.pid) {
                (Some(false), _) => Cell::new("disabled", Tone::Warn),
                (_, Some(pid)) => Cell::own(format!("pid {pid}"), Tone::Good),
                (_, None) => Cell::new("does not run", Tone::Bad),
            };
            let cells = vec![
                Cell::outside(&subscription.name, Tone::Accent),
                or_unknown(subscription.database.as_deref(), |database| Cell::outside(database, Tone::Normal)),
                worker,
                or_unknown(subscription.received, |lsn| Cell::own(lsn.to_string(), Tone::Normal)),
                since(subscription.last_message, now),
                Cell::own(subscription.n_syncing.to_string(), Tone::Normal),
                count(subscription.apply_errors),
                count(subscription.sync_errors),
            ];
            (None, cells)
        })
        .collect();
    let columns = [
        left("SUBSCRIPTION", 30),
        left("DATABASE", 24),
        left("WORKER", 14),
        right("RECEIVED", 17),
        right("HEARD", 10),
        right("SYNCING", 7),
        right("APPLY ERRORS", 12),
        right("SYNC ERRORS", 11),
    ];
    grid(&columns, rows, 2)
}

fn origins(origins: &[Origin]) -> Vec<Line<()>> {
    if origins.is_empty() {
        return empty("  none");
    }
    let rows: Vec<GridRow<()>> = origins
        .iter()
        .map(|origin| {
            let cells = vec![
                or_unknown(origin.name.as_deref(), |name| Cell::outside(name, Tone::Accent)),
                Cell::own(origin.remote.to_string(), Tone::Normal),
                Cell::own(origin.local.to_string(), Tone::Normal),
            ];
            (None, cells)
        })
        .collect();
    grid(&[left("ORIGIN", 30), right("REMOTE", 17), right("LOCAL", 17)], rows, 2)
}

fn archiving(archiver: &Archiver, now: Timestamp) -> Vec<Line<()>> {
    let state = match archiver.archiving() {
        Archiving::Off => Cell::new("OFF: nothing is archived", Tone::Warn),
        Archiving::On => Cell::new("on", Tone::Good),
        Archiving::Failing => Cell::new("FAILING", Tone::Bad),
    };
    let event = |at: Option<Timestamp>, wal: Option<&str>, tone: Tone| {
        at.map_or_else(
            || Cell::new("never", Tone::Normal),
            |at| Cell::outside(&format!("{} ({})", ago(now.duration_since(at)), wal.unwrap_or("–")), tone),
        )
    };
    let failed_tone = if archiver.archiving() == Archiving::Failing { Tone::Bad } else { Tone::Normal };
    let mut lines = vec![
        fact("  archiving", LABEL, state),
        fact("  archive_mode", LABEL, Cell::outside(&archiver.mode, Tone::Normal)),
        fact("  archive_command", LABEL, Cell::outside(&archiver.command, Tone::Normal)),
    ];
    if let Some(library) = archiver.library.as_deref().filter(|library| !library.is_empty()) {
        lines.push(fact("  archive_library", LABEL, Cell::outside(library, Tone::Normal)));
    }
    let counts = format!("{} archived, {} failed", archiver.archived, archiver.failed);
    lines.extend([
        fact("  segments", LABEL, Cell::own(counts, Tone::Normal)),
        fact(
            "  last archived",
            LABEL,
            event(archiver.last_archived, archiver.last_archived_wal.as_deref(), Tone::Normal),
        ),
        fact("  last failed", LABEL, event(archiver.last_failed, archiver.last_failed_wal.as_deref(), failed_tone)),
    ]);
    lines
}

fn storage(storage: &Storage) -> Vec<Line<()>> {
    let plain = |bytes: Bytes| Cell::own(format::bytes(bytes), Tone::Normal);
    let mut lines = vec![fact("  WAL directory", LABEL, or_unknown(storage.wal, plain))];
    let rows =
        storage.databases.iter().map(|(name, size)| (None, vec![Cell::outside(name, Tone::Accent), plain(*size)]));
    lines.extend(grid(&[left("DATABASE", 40), right("SIZE", 12)], rows.collect(), 2));
    if storage.n_hidden > 0 {
        let hidden = format!("  {} more without the right to look at their size", storage.n_hidden);
        lines.push(Line::blank().with(hidden, Tone::Dim));
    }
    lines
}
