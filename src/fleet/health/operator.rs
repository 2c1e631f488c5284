//! Verdicts on the operator: its status words, and patches that it has not taken up.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Judged, Needs, Rule, Scene, Severity, holds, leader};
use crate::fleet::cluster::{Cluster, DcsConfig, Member, Origin, Spec, Warning, Workload};
use crate::fleet::surroundings::Surroundings;
use crate::metric::lsn::Bytes;

/// A patch that is not taken up after this is worth a word.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// Where Patroni's configuration stands, in evidence.
const PATRONI: &str = "Patroni";

pub(super) const FAILED: Rule = Rule {
    id: "operator_failed",
    severity: Severity::Critical,
    doc: "The operator says CreateFailed, SyncFailed or Invalid; the reason is its newest Warning event on the cluster.",
    needs: Needs::Objects,
    judge: failed,
};

pub(super) const UPDATE_FAILED: Rule = Rule {
    id: "update_failed",
    severity: Severity::Critical,
    doc: "The operator says UpdateFailed. Where a switchover failed, an event tells why; else its reason is only in the operator's \
          own log. Its next sync tries again.",
    needs: Needs::Objects,
    judge: update_failed,
};

pub(super) const NOT_TAKEN_UP: Rule = Rule {
    id: "not_taken_up",
    severity: Severity::Warning,
    doc: "A minute after a change of the postgresql object, its StatefulSet or Patroni's configuration still differs: the \
          operator waits, has lost the patch, or clamps it.",
    needs: Needs::Objects,
    judge: not_taken_up,
};

pub(super) const ORPHAN: Rule = Rule {
    id: "orphan",
    severity: Severity::Warning,
    doc: "There are pods but no postgresql object: the cluster is being deleted, or was orphaned.",
    needs: Needs::Objects,
    judge: orphan,
};

/// What the operator failed at, and when, if it says so.
pub(super) fn failure(cluster: &Cluster) -> Option<(String, Option<Timestamp>)> {
    let word = cluster.status.as_deref().filter(|word| matches!(*word, "CreateFailed" | "SyncFailed" | "Invalid"))?;
    Some(match &cluster.warning {
        Some(warning) => (format!("{word}: {}", warning.message), warning.at),
        None => (format!("{word}: no event tells why; look into the operator's log"), None),
    })
}

fn failed(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    let Some((reason, at)) = failure(cluster) else { return Judged::Fine };
    let changed = scene.entry.moves.back().map(|last| last.at).filter(|_| scene.entry.moves.len() > 1);
    // Seen with 2.0.1: the word stood on a cluster that was whole, for the operator had failed to write a better one.
    let ready = cluster.n_ready();
    let is_whole = leader::leads(scene) && cluster.n_desired() == Some(ready);
    let yet = is_whole.then(|| {
        format!(
            "yet a member leads and {ready} of {ready} are ready: its word may be old, `reconcile` makes it look again"
        )
    });
    Judged::Holds { evidence: std::iter::once(reason).chain(yet).collect(), since: changed.or(at) }
}

fn update_failed(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    if cluster.status.as_deref() != Some("UpdateFailed") {
        return Judged::Fine;
    }
    // A warning from before the change is about something else.
    let is_about_it = |warning: &&Warning| warning.at.is_some() && warning.at >= cluster.spec.changed;
    let evidence = match cluster.warning.as_ref().filter(is_about_it) {
        Some(warning) => format!("UpdateFailed: {}", warning.message),
        None => {
            "UpdateFailed: no event tells why; the operator's log does (kubectl logs deploy/postgres-operator)".into()
        }
    };
    Judged::Holds { evidence: vec![evidence], since: scene.entry.moves.back().map(|last| last.at) }
}

fn not_taken_up(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    if cluster.origin != Origin::Resource {
        return Judged::Fine;
    }
    let differences = differences(cluster);
    if differences.is_empty() {
        return Judged::Fine;
    }
    let changed = cluster.spec.changed.or(cluster.created);
    match changed {
        Some(changed) if scene.known_until() < changed + PATIENCE => Judged::FineUntil(changed + PATIENCE),
        changed => Judged::Holds { evidence: differences, since: changed },
    }
}

/// Where what is asked for and what is in force differ.
fn differences(cluster: &Cluster) -> Vec<String> {
    let workload = cluster.workload.iter().flat_map(|workload| workload_differences(&cluster.spec, workload));
    let config = cluster.dcs.as_ref().and_then(|dcs| dcs.config.as_ref());
    let patroni = config.into_iter().flat_map(|config| patroni_differences(&cluster.spec, config));
    let around = cluster.surroundings.iter().filter_map(|around| backup_difference(cluster, around));
    workload.chain(patroni).chain(around).collect()
}

fn workload_differences(spec: &Spec, workload: &Workload) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(wanted) = spec.instances.filter(|wanted| *wanted != workload.replicas) {
        let replicas = workload.replicas;
        found.push(format!(
            "{wanted} instances are asked for, the StatefulSet has {replicas} (the operator waits, or clamps to its limits)"
        ));
    }
    let differs = spec.archive_env.iter().find(|(name, value)| workload.archive_env.get(*name) != Some(*value));
    if let Some((name, value)) = differs {
        found.push(format!("env {name}={value:?} is asked for, the StatefulSet does not have it"));
    }
    found.extend(differ("image", spec.docker_image.as_ref(), workload.image.as_ref(), "the StatefulSet"));
    found
}

fn patroni_differences(spec: &Spec, config: &DcsConfig) -> Vec<String> {
    let wanted = &spec.patroni;
    let bytes = |size: Option<Bytes>| size.map(|size| size.0);
    let named = [
        differ("synchronous_mode", Some(spec.synchronous), Some(config.synchronous), PATRONI),
        differ("synchronous_mode_strict", Some(spec.synchronous_strict), Some(config.synchronous_strict), PATRONI),
        differ("standby cluster", Some(spec.standby), Some(config.standby_cluster), PATRONI),
        differ("ttl", wanted.ttl, config.ttl, PATRONI),
        differ("loop_wait", wanted.loop_wait, config.loop_wait, PATRONI),
        differ(
            "maximum_lag_on_failover",
            bytes(wanted.maximum_lag_on_failover),
            bytes(config.maximum_lag_on_failover),
            PATRONI,
        ),
        differ("failsafe_mode", wanted.failsafe, config.failsafe, PATRONI),
    ];
    // Parameters that only a pod's own configuration holds are not in Patroni's.
    let parameters = spec.parameters.iter().filter_map(|(name, value)| {
        let stands = config.parameters.get(name).filter(|stands| *stands != value)?;
        differ(&format!("parameter {name}"), Some(value), Some(stands), PATRONI)
    });
    let slots = wanted.slots.iter().filter(|slot| !config.slots.contains(slot));
    let slots = slots.map(|slot| format!("slot {slot} is asked for, Patroni does not have it"));
    named.into_iter().flatten().chain(parameters).chain(slots).collect()
}

/// The operator deletes a backup's `CronJob` only while it updates; a patch that it lost leaves one behind for good.
fn backup_difference(cluster: &Cluster, around: &Surroundings) -> Option<String> {
    let runs = around.backups.iter().find(|job| !job.suspended)?;
    let unwanted = !cluster.spec.logical_backup;
    unwanted.then(|| format!("no logical backup is asked for, CronJob {} still runs: delete or suspend it", runs.name))
}

/// Says how what is asked for differs from what stands at `place`; nothing where either is not told.
fn differ<T: PartialEq + fmt::Display>(
    what: &str,
    wanted: Option<T>,
    stands: Option<T>,
    place: &str,
) -> Option<String> {
    let (wanted, stands) = (wanted?, stands?);
    (wanted != stands).then(|| format!("{what} {wanted} is asked for, {place} has {stands}"))
}

fn orphan(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    if cluster.origin != Origin::Orphan {
        return Judged::Fine;
    }
    let names: Vec<&str> = cluster.members.iter().map(|member| &*member.name).collect();
    let is_going = |member: &Arc<Member>| member.pod.as_ref().is_some_and(|pod| pod.deleting);
    let pods = names.join(", ");
    holds(match (names.is_empty(), &cluster.workload) {
        (true, _) => "no postgresql object, but only its StatefulSet is left: being deleted, or orphaned".to_owned(),
        // An operator that was busy when the object went deletes the StatefulSet and forgets whose the pods are.
        (false, None) if !cluster.members.iter().all(is_going) => {
            format!(
                "no postgresql object and no StatefulSet is seen, but pods {pods}: left behind, and only another delete ends them"
            )
        }
        (false, _) => format!("no postgresql object, but pods {pods}: being deleted, or orphaned"),
    })
}
