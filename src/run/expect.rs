//! What proves an order: which question is asked, and what its answer means.

mod backup;
mod leader;
mod left;
mod members;
mod session;
mod streams;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Looked;
use crate::id::{ClusterId, InstanceId, Text};
use crate::metric::vitals::{Replay, Vitals};
use crate::metric::{Rows, SurveyId};
use crate::work::order::Order;
use crate::work::probe::{Answer, Objects, Probe};

/// An effect to be seen. The journal keeps it, so that what was cut off can still be proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// So many members, each of them running by Patroni's word, and all but the primary streaming from it by its own.
    Members { cluster: ClusterId, count: u32, primary: Option<InstanceId> },
    /// That member leads, on a timeline after `timeline`, and those that ran before stream from it, by its own word.
    /// Then it is looked for a while whether it has these slots, and whether they are read again; where else they are is told.
    Leader {
        instance: InstanceId,
        timeline: Option<u32>,
        followers: Vec<Text>,
        #[serde(default)]
        slots: Vec<Kept>,
    },
    /// Every member obeys the pause, or its end, by its own word.
    Pause { cluster: ClusterId, paused: bool },
    /// A switchover waits, or none.
    Scheduled { instance: InstanceId, waits: bool },
    /// The member's Postgres began after that moment, and leads or streams.
    /// `standby`: it must be one, and stream; `recovers`: it leads a standby cluster, and may get its WAL from an archive;
    /// `followers`: these must stream from it.
    Restarted {
        instance: InstanceId,
        after: Timestamp,
        standby: bool,
        #[serde(default)]
        recovers: bool,
        #[serde(default)]
        followers: Vec<Text>,
    },
    /// The member has read its configuration after that moment.
    Reloaded { instance: InstanceId, after: Timestamp },
    /// The CR carries the annotation, or none.
    Annotated { cluster: ClusterId, key: Text, value: Option<Text> },
    /// The operator has written to the CR after our patch made `version` of it.
    Reconciled { cluster: ClusterId, version: Option<Text> },
    /// CR, StatefulSet and pods are gone.
    Deleted { cluster: ClusterId },
    /// That pod is gone.
    Removed { cluster: ClusterId, pod: Text, uid: Text },
    /// The primary archives by its own settings, or not; `env`: every pod was made for it.
    Archiving { cluster: ClusterId, on: bool, env: bool },
    /// A segment was archived since the primary's Postgres began.
    Archived { cluster: ClusterId },
    /// A base backup is listed that was not before.
    BaseBackup { cluster: ClusterId, known: Vec<Text> },
    /// The logical backup's objects are so.
    Logical { cluster: ClusterId, logical: Logical },
    /// Those pods (name and uid) are others by now, run and stream; `flagged`: or carry the operator's flag at least.
    Recreated { cluster: ClusterId, before: BTreeMap<Text, Text>, flagged: bool },
    /// Whatever was handed over is back: there is nothing else to see.
    Over,
    /// The standby's replay is paused, not only asked to be; or goes on.
    Replay { instance: InstanceId, paused: bool },
    /// The query that the backend ran when it was looked at is over.
    Cancelled { instance: InstanceId, pid: i32, started: Timestamp, query_started: Timestamp },
    /// The backend is gone.
    Terminated { instance: InstanceId, pid: i32, started: Timestamp },
}

/// A logical slot that a new leader should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub name: Text,
    /// A consumer read it before.
    pub read: bool,
    /// It was not to be expected there: its consumer was said to lose its place.
    #[serde(default)]
    pub lost: bool,
}

/// How the objects of the logical backup should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Logical {
    Scheduled,
    Gone,
    Suspended(bool),
    /// The Job of that name is complete.
    Dumped(Text),
}

/// What an answer says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// The evidence.
    Proved(String),
    /// What proves it is seen, with this evidence; what else should come is looked for a while longer.
    Nearly(String),
    /// What is seen instead.
    NotYet(String),
    /// It will not come any more.
    Failed(String),
}

impl Judged {
    /// The same, with what was seen before it.
    fn after(self, said: &str) -> Judged {
        let both = |then: &str| format!("{said}; {then}");
        match self {
            Judged::Proved(then) => Judged::Proved(both(&then)),
            Judged::Nearly(then) => Judged::Nearly(both(&then)),
            Judged::NotYet(then) => Judged::NotYet(both(&then)),
            Judged::Failed(then) => Judged::Failed(both(&then)),
        }
    }
}

impl Expect {
    /// What is asked, the most telling first.
    pub fn probes(&self) -> Vec<Probe> {
        let sample =
            |instance: &InstanceId, survey| Probe::Sample { instance: instance.clone(), surveys: vec![survey] };
        let probe = match self {
            Expect::Members { cluster, primary, .. } => {
                let sampled = primary.iter().map(|primary| streams::probe(primary, &[]));
                return std::iter::once(Probe::Objects(cluster.clone())).chain(sampled).collect();
            }
            Expect::Recreated { cluster, flagged: false, .. } => {
                let primary = InstanceId::whoever_leads(cluster);
                return vec![Probe::Objects(cluster.clone()), streams::probe(&primary, &[])];
            }
            Expect::Recreated { cluster, .. }
            | Expect::Pause { cluster, .. }
            | Expect::Annotated { cluster, .. }
            | Expect::Reconciled { cluster, .. } => Probe::Objects(cluster.clone()),
            Expect::Archiving { cluster, .. } | Expect::Archived { cluster } => {
                let primary = InstanceId::whoever_leads(cluster);
                let surveys = vec![SurveyId::Vitals, SurveyId::Archiver];
                return vec![Probe::Sample { instance: primary, surveys }, Probe::Objects(cluster.clone())];
            }
            Expect::BaseBackup { cluster, .. } => Probe::BaseBackups(InstanceId::whoever_leads(cluster)),
            Expect::Over => return Vec::new(),
            Expect::Logical { cluster, .. } => Probe::Backups(cluster.clone()),
            Expect::Deleted { cluster } | Expect::Removed { cluster, .. } => Probe::Remains(cluster.clone()),
            Expect::Leader { instance, slots, followers, .. } => {
                return leader::probes(instance, followers, !slots.is_empty());
            }
            Expect::Scheduled { instance, .. } => Probe::Patroni(instance.clone()),
            Expect::Restarted { instance, followers, .. } if !followers.is_empty() => {
                return vec![streams::probe(instance, &[SurveyId::Vitals]), Probe::Patroni(instance.clone())];
            }
            Expect::Restarted { instance, .. }
            | Expect::Reloaded { instance, .. }
            | Expect::Replay { instance, .. } => sample(instance, SurveyId::Vitals),
            Expect::Cancelled { instance, .. } | Expect::Terminated { instance, .. } => {
                sample(instance, SurveyId::Activity)
            }
        };
        vec![probe]
    }

    /// In words, for the offer: what will be waited for.
    pub fn awaited(&self) -> String {
        match self {
            Expect::Members { count, .. } => {
                format!("{count} members run by Patroni's word, and stream by the primary's (pg_stat_replication)")
            }
            Expect::Leader { instance, timeline, .. } => {
                let on = if timeline.is_some() { " on a new timeline" } else { "" };
                format!("{} leads{on}, and those that ran stream from it (pg_stat_replication)", instance.member)
            }
            Expect::Pause { paused: true, .. } => "every member says that it is paused".into(),
            Expect::Pause { paused: false, .. } => "no member says that it is paused any more".into(),
            Expect::Scheduled { waits: true, .. } => "Patroni lists the switchover".into(),
            Expect::Scheduled { waits: false, .. } => "Patroni lists no switchover any more".into(),
            Expect::Restarted { instance, standby: true, .. } => {
                format!("Postgres of {} says that it has just started, and streams", instance.member)
            }
            Expect::Restarted { instance, .. } => format!(
                "Postgres of {} says that it has just started, and the standbys stream from it (pg_stat_replication)",
                instance.member
            ),
            Expect::Reloaded { instance, .. } => {
                format!("Postgres of {} says that it has just read its configuration", instance.member)
            }
            Expect::BaseBackup { .. } => {
                "the primary's own tool lists a base backup that it did not list before".into()
            }
            Expect::Over => "its end".into(),
            Expect::Recreated { flagged: true, .. } => "the pod carries the operator's flag".into(),
            Expect::Recreated { before, .. } => {
                format!("the {} pod(s) are others by then, run, and stream by the primary's word", before.len())
            }
            Expect::Replay { instance, paused: true } => format!("{} says that its replay is paused", instance.member),
            Expect::Replay { instance, paused: false } => format!("{} replays, or leads", instance.member),
            Expect::Annotated { key, value: Some(value), .. } => format!("the CR carries {key}={value}"),
            Expect::Annotated { key, value: None, .. } => format!("the CR carries no {key}"),
            Expect::Reconciled { .. } => "the operator writes the CR's status".into(),
            Expect::Archiving { on: true, .. } => "archive_command in force on the primary archives".into(),
            Expect::Archiving { on: false, .. } => "the primary archives no more, and no pod was made to".into(),
            Expect::Archived { .. } => "the primary has archived a segment".into(),
            Expect::Logical { logical, .. } => match logical {
                Logical::Scheduled => "the CronJob is there".into(),
                Logical::Gone => "the CronJob is gone".into(),
                Logical::Suspended(true) => "the CronJob is suspended".into(),
                Logical::Suspended(false) => "the CronJob is suspended no more".into(),
                Logical::Dumped(name) => format!("Job {name} is complete"),
            },
            Expect::Deleted { .. } => "the CR, its StatefulSet and its pods are gone".into(),
            Expect::Removed { pod, .. } => format!("pod {pod} is gone"),
            Expect::Cancelled { pid, .. } => format!("backend {pid} runs that query no more"),
            Expect::Terminated { pid, .. } => format!("backend {pid} is gone"),
        }
    }

    /// Whether the same is waited for; who reads a slot, where it is already, and who runs beside a primary that restarts, may
    /// change at any time.
    pub fn is_same(&self, other: &Expect) -> bool {
        let plain = |expect: &Expect| {
            let mut expect = expect.clone();
            match &mut expect {
                Expect::Leader { slots, .. } => {
                    for slot in slots {
                        (slot.read, slot.lost) = (false, false);
                    }
                }
                Expect::Restarted { followers, .. } => followers.clear(),
                _ => {}
            }
            expect
        };
        plain(self) == plain(other)
    }

    /// Whether it is the effect of something done to whichever member leads: its part moves, or its Postgres starts anew.
    pub(super) fn is_about_leader(&self) -> bool {
        matches!(
            self,
            Expect::Leader { .. } | Expect::Scheduled { waits: true, .. } | Expect::Restarted { standby: false, .. }
        )
    }

    /// Takes in what was answered to the order, where the proof needs it.
    pub fn told(&mut self, answer: &str) {
        if let (Expect::Reconciled { version, .. }, Some(ours)) = (self, answer.strip_prefix("resourceVersion ")) {
            *version = Some(ours.into());
        }
    }

    /// What the answers say of it after that order. A patch may be on its way though its answer was lost: while the CR is in the
    /// very version that it was made for, nothing has failed.
    pub fn judge(&self, sent: &Order, looked: &[Looked]) -> Judged {
        let is_untouched = match sent {
            Order::Patch { version, .. } => looked
                .iter()
                .any(|(_, answer)| matches!(answer, Ok(Answer::Objects(objects)) if objects.version == *version)),
            _ => false,
        };
        match self.judge_as_seen(looked) {
            Judged::Failed(_) if is_untouched => Judged::NotYet("the CR is as it was before the order".into()),
            judged => judged,
        }
    }

    fn judge_as_seen(&self, looked: &[Looked]) -> Judged {
        if *self == Expect::Over {
            return Judged::Proved(String::new());
        }
        let answer = match looked.first() {
            Some((_, Ok(answer))) => answer,
            Some((_, Err(fault))) => return Judged::NotYet(fault.to_string()),
            None => return Judged::NotYet("nothing was answered".into()),
        };
        match (self, answer) {
            (Expect::Members { count, primary, .. }, Answer::Objects(objects)) => match members::run(objects, *count) {
                Judged::Proved(said) if primary.is_some() => members::stream(&said, objects, looked.get(1)),
                judged => judged,
            },
            (Expect::Leader { instance, timeline, followers, slots }, Answer::Patroni(view)) => {
                let led = leader::leads(view, &instance.member, *timeline, followers, looked.get(1));
                leader::has_slots(led, slots, looked.get(1..).unwrap_or_default())
            }
            (Expect::Pause { paused, .. }, Answer::Objects(objects)) => pause(objects, *paused),
            (Expect::Scheduled { waits, .. }, Answer::Patroni(view)) => match &view.switchover {
                Some(switchover) => when(*waits, format!("Patroni lists a switchover at {}", switchover.at)),
                None => when(!waits, "Patroni lists no switchover"),
            },
            (Expect::Restarted { instance, after, standby, recovers, followers }, Answer::Sample(rows)) => {
                match of_vitals(rows, |vitals| members::restarted(vitals, *after, *standby, *recovers)) {
                    Judged::Proved(said) if !followers.is_empty() => {
                        leader::streamed_from(&said, &instance.member, followers, looked)
                    }
                    judged => judged,
                }
            }
            (Expect::Reloaded { after, .. }, Answer::Sample(rows)) => of_vitals(rows, |vitals| {
                when(vitals.loaded > *after, format!("it read its configuration at {}", vitals.loaded))
            }),
            (Expect::Recreated { before, flagged, .. }, Answer::Objects(objects)) => {
                members::recreated(objects, before, *flagged, looked.get(1))
            }
            (Expect::Replay { paused, .. }, Answer::Sample(rows)) => {
                of_vitals(rows, |vitals| replay(vitals.replay, *paused))
            }
            (Expect::Annotated { key, value, .. }, Answer::Objects(objects)) => {
                let found = objects.annotations.get(key);
                let said =
                    found.map_or_else(|| format!("it carries no {key}"), |found| format!("it carries {key}={found}"));
                when(found == value.as_ref(), said)
            }
            (Expect::Reconciled { version, .. }, Answer::Objects(objects)) => reconciled(objects, version.as_ref()),
            (Expect::Archiving { on, env, .. }, Answer::Sample(rows)) => {
                backup::archiving(rows, looked.get(1), *on, *env)
            }
            (Expect::Archived { .. }, Answer::Sample(rows)) => backup::archived(rows),
            (Expect::BaseBackup { known, .. }, Answer::BaseBackups(listed)) => backup::base(listed, known),
            (Expect::Logical { logical, .. }, Answer::Backups(backups)) => backup::logical(backups, logical),
            (Expect::Deleted { .. }, Answer::Remains(remains)) => left::deleted(remains),
            (Expect::Removed { pod, uid, .. }, Answer::Remains(remains)) => left::removed(remains, pod, uid),
            (Expect::Cancelled { pid, started, query_started, .. }, Answer::Sample(rows)) => {
                session::cancelled(rows, *pid, *started, *query_started)
            }
            (Expect::Terminated { pid, started, .. }, Answer::Sample(rows)) => session::ended(rows, *pid, *started),
            _ => Judged::NotYet("something else was answered".into()),
        }
    }
}

fn replay(replay: Replay, paused: bool) -> Judged {
    let said = match replay {
        Replay::NotApplicable => "it leads",
        Replay::Running => "replay goes on",
        Replay::PauseRequested => "a pause is requested, and not yet there",
        Replay::Paused => "replay is paused",
    };
    let is_over = !matches!(replay, Replay::Paused | Replay::PauseRequested);
    when(if paused { replay == Replay::Paused } else { is_over }, said)
}

fn when(holds: bool, said: impl Into<String>) -> Judged {
    if holds { Judged::Proved(said.into()) } else { Judged::NotYet(said.into()) }
}

fn pause(objects: &Objects, paused: bool) -> Judged {
    let said =
        |member: &std::sync::Arc<crate::fleet::cluster::Member>| member.patroni.as_ref().map(|patroni| patroni.pause);
    let members = &objects.cluster.members;
    let obey = members.iter().filter(|member| said(member) == Some(paused)).count();
    let word = if paused { "paused" } else { "not paused" };
    when(obey == members.len() && obey > 0, format!("{obey} of {} members say that they are {word}", members.len()))
}

fn reconciled(objects: &Objects, ours: Option<&Text>) -> Judged {
    let word = objects.cluster.status.as_deref().unwrap_or("nothing");
    match ours {
        None => Judged::NotYet(format!("the operator says {word}; whether after ours is not known")),
        Some(ours) if *ours == objects.version => Judged::NotYet("nobody has written to the CR since".into()),
        // Failed stays failed until the operator has tried again: its word is told, whatever it is.
        Some(_) if word == "Updating" => Judged::NotYet("the operator is at it: Updating".into()),
        Some(_) => Judged::Proved(format!("the operator has looked at it, and says {word}")),
    }
}

type Sample = [(SurveyId, Result<Rows, crate::fault::Fault>)];

fn of_vitals(sample: &Sample, judge: impl Fn(&Vitals) -> Judged) -> Judged {
    match sample.first() {
        Some((_, Ok(Rows::Vitals(vitals)))) => judge(vitals),
        Some((_, Err(fault))) => Judged::NotYet(fault.to_string()),
        _ => Judged::NotYet("nothing was answered".into()),
    }
}
