//! Verdicts on the operator: its status words, and patches that it has not taken up.

use jiff::SignedDuration;

use super::{Judged, Needs, Rule, Scene, Severity, holds_all};
use crate::fleet::cluster::{Cluster, DcsConfig, Origin};

/// A patch that is not taken up after this is worth a word.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

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
    doc: "The operator says UpdateFailed. It writes no event for that: its reason is only in the operator's own log.",
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

fn failed(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    let Some(word @ ("CreateFailed" | "SyncFailed" | "Invalid")) = cluster.status.as_deref() else {
        return Judged::Fine;
    };
    let (reason, at) = match &cluster.warning {
        Some(warning) => (format!("{word}: {}", warning.message), warning.at),
        None => (format!("{word}: no event tells why; look into the operator's log"), None),
    };
    let changed = scene.entry.moves.back().map(|last| last.at).filter(|_| scene.entry.moves.len() > 1);
    Judged::Holds { evidence: vec![reason], since: changed.or(at) }
}

fn update_failed(scene: &Scene<'_>) -> Judged {
    if scene.entry.cluster.status.as_deref() != Some("UpdateFailed") {
        return Judged::Fine;
    }
    let evidence =
        "UpdateFailed: the operator writes no event for it; its log tells (kubectl logs deploy/postgres-operator)";
    Judged::Holds { evidence: vec![evidence.into()], since: scene.entry.moves.back().map(|last| last.at) }
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
        Some(changed) if scene.now < changed + PATIENCE => Judged::FineUntil(changed + PATIENCE),
        changed => Judged::Holds { evidence: differences, since: changed },
    }
}

/// Where what is asked for and what is in force differ.
fn differences(cluster: &Cluster) -> Vec<String> {
    let spec = &cluster.spec;
    let mut found = Vec::new();
    if let (Some(wanted), Some(workload)) = (spec.instances, &cluster.workload) {
        if wanted != workload.replicas {
            let replicas = workload.replicas;
            found.push(format!(
                "{wanted} instances are asked for, the StatefulSet has {replicas} (the operator waits, or clamps to its limits)"
            ));
        }
        let differs = spec.archive_env.iter().find(|(name, value)| workload.archive_env.get(*name) != Some(*value));
        if let Some((name, value)) = differs {
            found.push(format!("env {name}={value:?} is asked for, the StatefulSet does not have it"));
        }
    }
    if let Some(config) = cluster.dcs.as_ref().and_then(|dcs| dcs.config.as_ref()) {
        found.extend(patroni_differences(cluster, config));
    }
    found
}

fn patroni_differences(cluster: &Cluster, config: &DcsConfig) -> Vec<String> {
    let spec = &cluster.spec;
    let mut found = Vec::new();
    let mut compare = |what: &str, wanted: Option<String>, stands: Option<String>| {
        if let (Some(wanted), Some(stands)) = (wanted, stands)
            && wanted != stands
        {
            found.push(format!("{what} {wanted} is asked for, Patroni has {stands}"));
        }
    };
    let text = |number: Option<u32>| number.map(|number| number.to_string());
    compare("synchronous_mode", Some(spec.synchronous.to_string()), Some(config.synchronous.to_string()));
    compare("ttl", text(spec.patroni.ttl), text(config.ttl));
    compare("loop_wait", text(spec.patroni.loop_wait), text(config.loop_wait));
    for (name, wanted) in &spec.parameters {
        // Parameters that only a pod's own configuration holds are not in Patroni's.
        let stands = config.parameters.get(name).map(ToString::to_string);
        compare(&format!("parameter {name}"), Some(wanted.to_string()), stands);
    }
    for slot in spec.patroni.slots.iter().filter(|slot| !config.slots.contains(slot)) {
        found.push(format!("slot {slot} is asked for, Patroni does not have it"));
    }
    found
}

fn orphan(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    if cluster.origin != Origin::Orphan {
        return Judged::Fine;
    }
    let names: Vec<String> = cluster.members.iter().map(|member| member.name.to_string()).collect();
    let pods =
        if names.is_empty() { "only its StatefulSet is left".to_owned() } else { format!("pods {}", names.join(", ")) };
    holds_all(vec![format!("no postgresql object, but {pods}: being deleted, or orphaned")])
}
