//! What proves orders about backups.

use super::members::is_running;
use super::{Judged, Logical, when};
use crate::fault::Fault;
use crate::fleet::cluster::{Cluster, Member};
use crate::id::Text;
use crate::metric::archiver::{Archiver, Archiving};
use crate::metric::vitals::Vitals;
use crate::metric::{Rows, SurveyId};
use crate::run::Looked;
use crate::work::probe::{Answer, Backups, BaseBackups};

type Sample = [(SurveyId, Result<Rows, Fault>)];

/// The primary's vitals and archiver, or what is in the way.
fn read(sample: &Sample) -> Result<(&Vitals, &Archiver), Judged> {
    match sample {
        [(_, Ok(Rows::Vitals(vitals))), (_, Ok(Rows::Archiver(archiver)))] => Ok((vitals, archiver)),
        [(_, Err(fault)), ..] | [_, (_, Err(fault)), ..] => Err(Judged::NotYet(fault.to_string())),
        _ => Err(Judged::NotYet("the primary answered nothing".into())),
    }
}

/// Whether the primary archives by its own settings, and every pod was made for that.
pub(super) fn archiving(sample: &Sample, objects: Option<&Looked>, on: bool, env: bool) -> Judged {
    let archiver = match read(sample) {
        Ok((_, archiver)) => archiver,
        Err(judged) => return judged,
    };
    let archives = archiver.archiving() != Archiving::Off;
    let said = format!("archive_mode {}, archive_command {:?}", archiver.mode, archiver.command);
    if archives != on {
        return Judged::NotYet(said);
    }
    if !env {
        return Judged::Proved(said);
    }
    match objects {
        Some((_, Ok(Answer::Objects(objects)))) => pods(&objects.cluster, on, &said),
        Some((_, Err(fault))) => Judged::NotYet(format!("{said}; the pods cannot be read: {fault}")),
        _ => Judged::NotYet(said),
    }
}

fn pods(cluster: &Cluster, on: bool, said: &str) -> Judged {
    let is_so = |pod: &crate::fleet::cluster::Pod| {
        pod.archive_env.values().any(|value| !value.is_empty()) == on
            && pod.ready
            && !pod.deleting
            && !pod.rolling_update
    };
    let members = &cluster.members;
    // A pod may be called ready before its Postgres runs: Patroni's word counts too.
    let runs = |member: &Member| member.patroni.as_ref().is_some_and(|patroni| is_running(&patroni.state));
    let so = members.iter().filter(|member| member.pod.as_ref().is_some_and(is_so) && runs(member)).count();
    let wanted = cluster.spec.instances.unwrap_or(0) as usize;
    when(so == members.len() && so >= wanted, format!("{said}; {so} of {wanted} pods are made so and run"))
}

/// Whether a segment was archived by the settings that are in force now: those that the server began with.
pub(super) fn archived(sample: &Sample) -> Judged {
    let (vitals, archiver) = match read(sample) {
        Ok(read) => read,
        Err(judged) => return judged,
    };
    let wal = archiver.last_archived_wal.as_deref().unwrap_or("none");
    match archiver.last_archived {
        Some(at) if at > vitals.started && archiver.archiving() == Archiving::On => {
            Judged::Proved(format!("{wal} was archived at {at}"))
        }
        _ if archiver.archiving() == Archiving::Failing => {
            let failed = archiver.last_failed_wal.as_deref().unwrap_or("a segment");
            Judged::NotYet(format!("archiving fails: {failed}"))
        }
        _ => Judged::NotYet(format!("nothing was archived since Postgres began; before: {wal}")),
    }
}

/// Whether one is listed that was not known; if it ended otherwise, it will not be.
pub(super) fn base(backups: &BaseBackups, known: &[Text]) -> Judged {
    let listed = &backups.listed;
    match (listed.iter().find(|(name, _)| !known.contains(name)), &backups.ended) {
        (Some((name, at)), _) => Judged::Proved(format!("{name} was made at {at}")),
        (None, Some((status, words))) if *status != 0 => Judged::Failed(format!(
            "the script ended with status {status}: {words} (/tmp/pgdeck-base-backup.log there)"
        )),
        (None, _) => Judged::NotYet(format!("{} base backup(s) are listed, none is new", listed.len())),
    }
}

/// Whether the logical backup's objects are so.
pub(super) fn logical(backups: &Backups, wanted: &Logical) -> Judged {
    let job = backups.job.as_ref();
    let said = job.map_or("there is no CronJob".to_owned(), |job| {
        format!("CronJob {} is {}", job.name, if job.suspended { "suspended" } else { "active" })
    });
    match wanted {
        Logical::Scheduled => when(job.is_some(), said),
        Logical::Gone => when(job.is_none(), said),
        Logical::Suspended(suspended) => when(job.is_some_and(|job| job.suspended == *suspended), said),
        Logical::Dumped(name) => match backups.runs.iter().find(|run| run.name == *name) {
            Some(run) if run.succeeded => Judged::Proved(format!("Job {name} is complete")),
            Some(run) => match &run.failed {
                Some(why) => Judged::Failed(format!("Job {name} failed: {why}")),
                None => Judged::NotYet(format!("Job {name} is {}", if run.active { "at it" } else { "waiting" })),
            },
            None => Judged::NotYet(format!("there is no Job {name}")),
        },
    }
}
