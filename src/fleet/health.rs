//! The verdict table: what is wrong with a cluster, with evidence and since when. One row per verdict.

mod leader;
mod members;
mod operator;
mod patroni;
mod server;
mod source;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Entry;
use super::hearing::Hearing;
use super::instance::Instance;
use super::known::Known;
use crate::id::Text;
use crate::metric::vitals::Vitals;
pub use members::is_about_member;

/// How bad it is; the greater needs you first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Ok,
    Unknown,
    Warning,
    Critical,
}

impl Severity {
    /// As in JSON and on screen.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Unknown => "unknown",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// One row of the table: how a problem is named, how bad it is, and how it is found.
#[derive(Debug)]
pub struct Rule {
    pub id: &'static str,
    pub severity: Severity,
    /// For README and help: when it holds, and what to do.
    pub doc: &'static str,
    pub needs: Needs,
    pub judge: fn(&Scene<'_>) -> Judged,
}

/// What a rule needs to be able to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Objects of the plane suffice.
    Objects,
    /// Without samples it reads `not sampled`, never ok.
    Sql,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub entry: &'a Entry,
    pub now: Timestamp,
    /// How the cluster's plane is heard; none where nothing tells.
    pub hearing: Option<&'a Hearing>,
}

impl<'a> Scene<'a> {
    /// What one member said of itself a moment ago.
    fn vitals(&self, member: &str) -> Option<&'a Vitals> {
        let instance = self.entry.instances.get(member)?;
        fresh(&instance.vitals, 2, self.now).map(|vitals| &**vitals)
    }

    /// Up to when objects are known: while their plane is silent, time alone makes nothing of them worse.
    fn known_until(&self) -> Timestamp {
        let silent = self.hearing.filter(|hearing| hearing.silent().is_some());
        silent.and_then(Hearing::stretch).map_or(self.now, |stretch| stretch.until)
    }

    /// Whether the plane does not answer now: what should have been told may be missing.
    fn is_deaf(&self) -> bool {
        self.hearing.is_some_and(Hearing::is_lost)
    }
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// It does not hold.
    Fine,
    /// It may hold from that time on unless something changes.
    FineUntil(Timestamp),
    /// It holds; each evidence is one sentence. `since` where something older than this pgdeck tells.
    Holds { evidence: Vec<String>, since: Option<Timestamp> },
    /// Nothing was sampled that could tell.
    NotSampled,
}

/// A verdict that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    pub id: &'static str,
    pub severity: Severity,
    pub evidence: Vec<String>,
    /// When it began; first seen by this pgdeck where nothing older tells.
    pub since: Timestamp,
    /// `since` is only when this pgdeck first saw it.
    pub since_first_seen: bool,
}

/// The verdict on a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    pub severity: Severity,
    /// Worst first.
    pub verdicts: Vec<Verdict>,
    /// Rules that could not tell because nothing was sampled.
    pub not_sampled: Vec<&'static str>,
    /// When a rule may change its mind without anything being seen.
    #[serde(skip)]
    pub recheck: Option<Timestamp>,
}

impl Default for Health {
    fn default() -> Self {
        Health { severity: Severity::Unknown, verdicts: Vec::new(), not_sampled: Vec::new(), recheck: None }
    }
}

/// All rules, worst first.
pub static RULES: &[Rule] = &[
    leader::NO_PRIMARY,
    leader::TWO_PRIMARIES,
    leader::LEADER_OVERDUE,
    server::SLOT_LOST,
    operator::FAILED,
    operator::UPDATE_FAILED,
    members::UNREACHABLE,
    server::MIXED,
    leader::STARTING,
    members::SILENT_MEMBER,
    members::NOT_READY,
    members::POD_TROUBLE,
    leader::TIMELINES,
    patroni::PAUSED,
    patroni::HELD,
    patroni::FAILSAFE,
    patroni::SWITCHOVER,
    members::REPLAY_PAUSED,
    members::NOT_STREAMING,
    members::PENDING_RESTART,
    members::LAGGING,
    operator::NOT_TAKEN_UP,
    operator::ORPHAN,
    server::ARCHIVER,
    server::VOLUME,
    server::XID_AGE,
    server::CONNECTIONS,
    source::SILENT,
    source::NOT_ASKED,
    source::COMING,
];

/// A sample older than three of its intervals is none.
const INTERVALS: i64 = 3;

/// The value, if it was sampled within three of its intervals of `every` seconds.
fn fresh<T>(known: &Known<T>, every: i64, now: Timestamp) -> Option<&T> {
    match known {
        Known::Seen { value, at } if now.duration_since(*at) <= SignedDuration::from_secs(every * INTERVALS) => {
            Some(value)
        }
        Known::Seen { .. } | Known::Past { .. } | Known::Lost { .. } | Known::Never(_) => None,
    }
}

/// It holds by one piece of evidence.
fn holds(evidence: impl Into<String>) -> Judged {
    Judged::Holds { evidence: vec![evidence.into()], since: None }
}

/// It holds if there is any evidence.
fn holds_all(evidence: Vec<String>) -> Judged {
    if evidence.is_empty() { Judged::Fine } else { Judged::Holds { evidence, since: None } }
}

/// When something that was believed, or that held, is over by time alone; only what is still to come.
fn next_end(scene: &Scene<'_>) -> Option<Timestamp> {
    let Entry { cluster, instances, .. } = scene.entry;
    let samples = instances.values().filter_map(Instance::next_past);
    let faults = instances.values().filter_map(|instance| match &instance.vitals {
        Known::Lost { why, at, .. } if is_about_member(why) => Some(*at + members::BELIEVED),
        Known::Lost { .. } | Known::Seen { .. } | Known::Past { .. } | Known::Never(_) => None,
    });
    let ended = cluster.members.iter().filter_map(|member| Some(member.pod.as_ref()?.last_ended? + members::RECENT));
    let grown = leader::grown(cluster);
    samples.chain(faults).chain(ended).chain(grown).filter(|at| *at > scene.now).min()
}

/// A moment as evidence names it.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The rules as a table for the README.
pub fn table() -> String {
    let mut table = String::from("| verdict | severity | from | holds when |\n|---|---|---|---|\n");
    for rule in RULES {
        let from = match rule.needs {
            Needs::Objects => "objects",
            Needs::Sql => "SQL",
        };
        let doc = rule.doc.replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{}` | {} | {from} | {doc} |", rule.id, rule.severity.word());
    }
    table
}

/// Judges a cluster by every rule. `before` keeps "since" of verdicts that held already.
pub fn judge(scene: &Scene<'_>, before: &Health) -> Health {
    let mut health = Health { severity: Severity::Ok, verdicts: Vec::new(), not_sampled: Vec::new(), recheck: None };
    for rule in RULES {
        match (rule.judge)(scene) {
            Judged::Fine => {}
            Judged::FineUntil(at) => {
                health.recheck = Some(health.recheck.map_or(at, |earlier| earlier.min(at)));
            }
            Judged::NotSampled => health.not_sampled.push(rule.id),
            Judged::Holds { evidence, since } => {
                let first_seen = before.verdicts.iter().find(|verdict| verdict.id == rule.id).map(|held| held.since);
                health.severity = health.severity.max(rule.severity);
                health.verdicts.push(Verdict {
                    id: rule.id,
                    severity: rule.severity,
                    evidence,
                    since: since.or(first_seen).unwrap_or(scene.now),
                    since_first_seen: since.is_none(),
                });
            }
        }
    }
    // Never at once again: a rule that named a time gone by would be asked without end.
    let soonest = scene.now + SignedDuration::from_secs(1);
    let asked = health.recheck.map(|at| at.max(soonest));
    health.recheck = [asked, next_end(scene)].into_iter().flatten().min();
    health.verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.severity));
    health
}

/// A verdict's short reason for one line: its first evidence.
pub fn reason(verdict: &Verdict) -> Text {
    verdict.evidence.first().map_or_else(|| Text::from(verdict.id), |first| Text::from(first.as_str()))
}
