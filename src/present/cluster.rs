//! One cluster as a page: what is wrong first, then its members, history and surroundings.

use jiff::Timestamp;

use super::known::{ago, or_unknown, since};
use super::page::{GridRow, Line, fact, grid, left, right};
use super::{Cell, Tone, format};
use crate::fleet::Entry;
use crate::fleet::cluster::{Cluster, Member, Origin};
use crate::fleet::health::{Severity, Verdict};
use crate::fleet::surroundings::Surroundings;
use crate::id::Text;
use crate::metric::archiver::Archiving;

/// Width of the labels.
const LABEL: usize = 24;

/// The name and state of the cluster in a few lines.
pub fn facts(entry: &Entry, now: Timestamp) -> Vec<Line<Text>> {
    let cluster = &entry.cluster;
    let outside = |text: Option<&str>| or_unknown(text, |text| Cell::outside(text, Tone::Normal));
    let origin = match cluster.origin {
        Origin::Resource => Cell::new("postgresql object", Tone::Normal),
        Origin::Orphan => Cell::new("pods without a postgresql object: being deleted, or orphaned", Tone::Warn),
        Origin::Hosts => Cell::new("plain hosts", Tone::Normal),
    };
    let mut lines = vec![
        fact(" health", LABEL, health(entry.health.severity)),
        fact(" what it is", LABEL, origin),
        fact(" team", LABEL, outside(cluster.spec.team.as_deref())),
        fact(" version", LABEL, version(entry)),
        fact(" synchronous", LABEL, synchronous(cluster)),
    ];
    if cluster.origin != Origin::Hosts {
        lines.push(fact(" operator's status", LABEL, status(entry, now)));
    }
    if let Some(dcs) = &cluster.dcs {
        let paused = dcs.config.as_ref().map(|config| config.pause);
        let pause = or_unknown(paused, |paused| {
            if paused {
                Cell::new("PAUSED: no automatic failover", Tone::Warn)
            } else {
                Cell::new("active", Tone::Normal)
            }
        });
        lines.push(fact(" automatic failover", LABEL, pause));
        lines.push(fact(" system identifier", LABEL, outside(dcs.system.as_deref())));
    }
    lines.push(fact(" objects seen", LABEL, Cell::own(ago(now.duration_since(entry.seen)), Tone::Dim)));
    lines
}

/// Mark and word of a severity.
pub fn health(severity: Severity) -> Cell {
    match severity {
        Severity::Critical => Cell::new("● critical", Tone::Bad),
        Severity::Warning => Cell::new("▲ warning", Tone::Warn),
        Severity::Unknown => Cell::new("? unknown", Tone::Unknown),
        Severity::Ok => Cell::new("○ ok", Tone::Good),
    }
}

fn version(entry: &Entry) -> Cell {
    let asked = entry.cluster.spec.version.as_deref();
    let running: Option<String> = entry
        .instances
        .values()
        .filter_map(|instance| instance.vitals.last())
        .map(|(vitals, _)| vitals.version_text())
        .max();
    match (asked, running) {
        (Some(asked), Some(running)) => Cell::outside(&format!("{running} running, {asked} asked for"), Tone::Normal),
        (None, Some(running)) => Cell::own(running, Tone::Normal),
        (Some(asked), None) => Cell::outside(&format!("{asked} asked for; running: – not sampled"), Tone::Normal),
        (None, None) => Cell::unknown(),
    }
}

fn synchronous(cluster: &Cluster) -> Cell {
    let asked = match (cluster.spec.synchronous, cluster.spec.synchronous_strict) {
        (true, true) => "strict",
        (true, false) => "on",
        (false, _) => "off",
    };
    let Some(dcs) = &cluster.dcs else { return Cell::new(asked, Tone::Normal) };
    let standbys: Vec<&str> = dcs.sync_standbys.iter().map(|name| &**name).collect();
    let text = match (asked, standbys.is_empty()) {
        ("off", true) => "off".to_owned(),
        (asked, true) => format!("{asked}, no synchronous standby"),
        (asked, false) => format!("{asked}: {}", standbys.join(", ")),
    };
    let tone = if asked != "off" && standbys.is_empty() { Tone::Warn } else { Tone::Normal };
    Cell::outside(&text, tone)
}

fn status(entry: &Entry, now: Timestamp) -> Cell {
    let word = entry.cluster.status.as_deref().unwrap_or("(none)");
    let tone = if word.ends_with("Failed") || word == "Invalid" { Tone::Bad } else { Tone::Normal };
    let mut before: Vec<String> = entry
        .moves
        .iter()
        .rev()
        .skip(1)
        .take(3)
        .map(|word| format!("{} {}", word.to.as_deref().unwrap_or("(none)"), ago(now.duration_since(word.at))))
        .collect();
    before.reverse();
    let trail = if before.is_empty() { String::new() } else { format!("  (before: {})", before.join(", ")) };
    Cell::outside(&format!("{word}{trail}"), tone)
}

/// What is wrong, worst first, with evidence; then what could not be judged.
pub fn verdicts(entry: &Entry, now: Timestamp) -> Vec<Line<Text>> {
    let mut lines = vec![Line::title("VERDICTS")];
    if entry.health.verdicts.is_empty() {
        let (text, tone) = match entry.health.severity {
            Severity::Ok => (" nothing is wrong", Tone::Good),
            Severity::Unknown | Severity::Warning | Severity::Critical => {
                (" nothing could be judged yet", Tone::Unknown)
            }
        };
        lines.push(Line::blank().with(text, tone));
    }
    lines.extend(entry.health.verdicts.iter().flat_map(|held| verdict(held, now)));
    if !entry.health.not_sampled.is_empty() {
        let names = entry.health.not_sampled.join(", ");
        lines.push(Line::blank().with(" not sampled, so not judged: ", Tone::Dim).with(names, Tone::Dim));
    }
    lines
}

fn verdict(verdict: &Verdict, now: Timestamp) -> Vec<Line<Text>> {
    let mark = health(verdict.severity);
    let tone = mark.tone;
    let first_seen = if verdict.since_first_seen { ", first seen by pgdeck" } else { "" };
    let age = format!("  {}{first_seen}", ago(now.duration_since(verdict.since)));
    let head =
        Line::blank().with(" ", Tone::Normal).cell(mark).with(format!("  {}", verdict.id), tone).with(age, Tone::Dim);
    let evidence =
        verdict.evidence.iter().map(|text| Line::blank().with("     ", Tone::Normal).outside(text, Tone::Normal));
    std::iter::once(head).chain(evidence).collect()
}

/// The pods: phase, readiness, restarts, why they wait, where they run.
pub fn pods(cluster: &Cluster, now: Timestamp) -> Vec<Line<Text>> {
    let rows: Vec<GridRow<Text>> =
        cluster.members.iter().filter(|member| member.pod.is_some()).map(|member| pod(member, now)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let columns = [
        left("POD", 40),
        left("PHASE", 12),
        left("READY", 6),
        right("RESTARTS", 8),
        left("WAITS FOR", 40),
        left("NODE", 20),
        right("AGE", 7),
        left("PENDING RESTART", 40),
        left("IMAGE", 60),
    ];
    std::iter::once(Line::title("PODS")).chain(grid(&columns, rows, 0)).collect()
}

fn pod(member: &Member, now: Timestamp) -> GridRow<Text> {
    let Some(pod) = &member.pod else { return (None, Vec::new()) };
    let outside = |text: Option<&str>| or_unknown(text, |text| Cell::outside(text, Tone::Normal));
    let waiting = match (&pod.waiting, pod.deleting) {
        (_, true) => Cell::new("being deleted", Tone::Warn),
        (Some(waiting), false) => {
            let message = waiting.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
            Cell::outside(&format!("{}{message}", waiting.reason), Tone::Bad)
        }
        (None, false) if pod.rolling_update => Cell::new("rolling update", Tone::Warn),
        (None, false) => Cell::new("", Tone::Normal),
    };
    let pending = member.patroni.as_ref().filter(|patroni| patroni.pending_restart).map(|patroni| {
        let reasons: Vec<String> =
            patroni.pending_reason.iter().map(|(name, (old, new))| format!("{name} {old} → {new}")).collect();
        if reasons.is_empty() { "yes".to_owned() } else { reasons.join(", ") }
    });
    let cells = vec![
        Cell::outside(&member.name, Tone::Accent),
        Cell::outside(&pod.phase, if &*pod.phase == "Running" { Tone::Normal } else { Tone::Warn }),
        if pod.ready { Cell::new("yes", Tone::Good) } else { Cell::new("NO", Tone::Bad) },
        Cell::own(pod.restarts.to_string(), if pod.restarts > 0 { Tone::Warn } else { Tone::Normal }),
        waiting,
        outside(pod.node.as_deref()),
        or_unknown(pod.created, |at| Cell::own(format::age(now.duration_since(at)), Tone::Normal)),
        pending.map_or_else(|| Cell::new("", Tone::Normal), |text| Cell::outside(&text, Tone::Warn)),
        outside(pod.image.as_deref()),
    ];
    (Some(member.name.clone()), cells)
}

/// Failovers: each end of a timeline, the newest first.
pub fn history(cluster: &Cluster, now: Timestamp) -> Vec<Line<Text>> {
    let entries = cluster.dcs.as_ref().map(|dcs| &*dcs.history).unwrap_or_default();
    if entries.is_empty() {
        return Vec::new();
    }
    let rows: Vec<GridRow<Text>> = entries
        .iter()
        .rev()
        .take(10)
        .map(|entry| {
            let cells = vec![
                Cell::own(entry.timeline.to_string(), Tone::Normal),
                since(entry.at, now),
                or_unknown(entry.new_leader.as_deref(), |leader| Cell::outside(leader, Tone::Accent)),
                Cell::own(entry.lsn.to_string(), Tone::Normal),
                Cell::outside(&entry.reason, Tone::Normal),
            ];
            (None, cells)
        })
        .collect();
    let columns =
        [right("TIMELINE", 8), left("ENDED", 12), left("NEW LEADER", 40), right("AT", 17), left("REASON", 60)];
    std::iter::once(Line::title("FAILOVERS")).chain(grid(&columns, rows, 1)).collect()
}

/// WAL archiving and logical backups, all layers side by side: where they disagree is the news.
pub fn backups(entry: &Entry) -> Vec<Line<Text>> {
    let cluster = &entry.cluster;
    let mut lines = vec![Line::title("BACKUPS")];
    let env = |env: &std::collections::BTreeMap<Text, Text>| {
        let set: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if set.is_empty() { "not set".to_owned() } else { set.join(", ") }
    };
    if cluster.origin != Origin::Hosts {
        let intent = env(&cluster.spec.archive_env);
        lines.push(fact(" archiving, object", LABEL, Cell::outside(&intent, Tone::Normal)));
        if let Some(workload) = &cluster.workload {
            let cell = Cell::outside(&env(&workload.archive_env), Tone::Normal);
            lines.push(fact(" archiving, StatefulSet", LABEL, cell));
        }
        for member in &cluster.members {
            if let Some(pod) = &member.pod {
                let text = format!("{}: {}", member.name, env(&pod.archive_env));
                lines.push(fact(" archiving, pod", LABEL, Cell::outside(&text, Tone::Normal)));
            }
        }
    }
    lines.push(fact(" archiving, in force", LABEL, in_force(entry)));
    if cluster.origin != Origin::Hosts {
        let logical = if cluster.spec.logical_backup { "on" } else { "off" };
        lines.push(fact(" logical backups", LABEL, Cell::new(logical, Tone::Normal)));
    }
    lines
}

fn in_force(entry: &Entry) -> Cell {
    let archiver = entry.instances.values().filter_map(|instance| instance.archiver.last()).max_by_key(|(_, at)| *at);
    or_unknown(archiver, |(archiver, _)| {
        let (word, tone) = match archiver.archiving() {
            Archiving::Off => ("off", Tone::Warn),
            Archiving::On => ("on", Tone::Good),
            Archiving::Failing => ("FAILING", Tone::Bad),
        };
        Cell::outside(&format!("{word}: {}", archiver.command), tone)
    })
}

/// Services, pooler, volumes, budgets and backup jobs; and what could not be read.
pub fn surroundings(around: &Surroundings, now: Timestamp) -> Vec<Line<Text>> {
    let mut lines = Vec::new();
    let mut part = |title: &'static str, grid: Vec<Line<Text>>| {
        if grid.len() > 1 {
            lines.push(Line::blank());
            lines.push(Line::title(title));
            lines.extend(grid);
        }
    };
    part("SERVICES", services(around));
    part("POOLERS", poolers(around));
    part("VOLUMES", volumes(around));
    part("DISRUPTION BUDGETS", budgets(around));
    part("BACKUP JOBS", jobs(around, now));
    for (kind, why) in &around.missing {
        lines.push(Line::blank().outside(&format!(" {kind}: – {why}; {}", why.remedy()), Tone::Warn));
    }
    lines
}

fn services(around: &Surroundings) -> Vec<Line<Text>> {
    let outside = |text: Option<&str>| or_unknown(text, |text| Cell::outside(text, Tone::Normal));
    let rows = around.services.iter().map(|service| {
        let ports: Vec<String> = service.ports.iter().map(ToString::to_string).collect();
        let cells = vec![
            Cell::outside(&service.name, Tone::Accent),
            Cell::outside(&service.kind, Tone::Normal),
            outside(service.address.as_deref()),
            Cell::own(ports.join(","), Tone::Normal),
            outside(service.role.as_deref()),
        ];
        (None, cells)
    });
    grid(
        &[left("NAME", 40), left("KIND", 14), left("ADDRESS", 40), left("PORTS", 12), left("ROLE", 12)],
        rows.collect(),
        1,
    )
}

fn poolers(around: &Surroundings) -> Vec<Line<Text>> {
    let rows = around.poolers.iter().map(|pooler| {
        let desired = pooler.desired.map_or_else(|| "–".to_owned(), |desired| desired.to_string());
        let whole = pooler.desired.is_none_or(|desired| pooler.ready >= desired);
        let tone = if whole { Tone::Normal } else { Tone::Warn };
        let cells = vec![
            Cell::outside(&pooler.name, Tone::Accent),
            Cell::own(format!("{}/{desired} ready", pooler.ready), tone),
        ];
        (None, cells)
    });
    grid(&[left("NAME", 40), left("PODS", 20)], rows.collect(), 1)
}

fn volumes(around: &Surroundings) -> Vec<Line<Text>> {
    let rows = around.volumes.iter().map(|volume| {
        let note = if volume.left_over { "left behind by a scale-down" } else { "" };
        let cells = vec![
            Cell::outside(&volume.name, Tone::Accent),
            Cell::outside(&volume.phase, if &*volume.phase == "Bound" { Tone::Normal } else { Tone::Warn }),
            or_unknown(volume.capacity, |bytes| Cell::own(format::bytes(bytes), Tone::Normal)),
            or_unknown(volume.storage_class.as_deref(), |class| Cell::outside(class, Tone::Normal)),
            Cell::new(note, Tone::Warn),
        ];
        (None, cells)
    });
    grid(
        &[left("NAME", 50), left("PHASE", 10), right("CAPACITY", 10), left("CLASS", 20), left("", 30)],
        rows.collect(),
        1,
    )
}

fn budgets(around: &Surroundings) -> Vec<Line<Text>> {
    let rows = around.budgets.iter().map(|budget| {
        let cells = vec![
            Cell::outside(&budget.name, Tone::Accent),
            Cell::outside(&budget.rule, Tone::Normal),
            or_unknown(budget.allowed, |allowed| Cell::own(format!("{allowed} may be disrupted"), Tone::Normal)),
        ];
        (None, cells)
    });
    grid(&[left("NAME", 50), left("RULE", 40), left("NOW", 30)], rows.collect(), 1)
}

fn jobs(around: &Surroundings, now: Timestamp) -> Vec<Line<Text>> {
    let rows = around.backups.iter().map(|job| {
        let state = if job.suspended { Cell::new("SUSPENDED", Tone::Warn) } else { Cell::new("active", Tone::Normal) };
        let cells = vec![
            Cell::outside(&job.name, Tone::Accent),
            Cell::outside(&job.schedule, Tone::Normal),
            state,
            since(job.last_scheduled, now),
            since(job.last_successful, now),
        ];
        (None, cells)
    });
    let columns = [
        left("NAME", 52),
        left("SCHEDULE (UTC)", 20),
        left("STATE", 10),
        left("LAST RUN", 12),
        left("LAST SUCCESS", 12),
    ];
    grid(&columns, rows.collect(), 1)
}
