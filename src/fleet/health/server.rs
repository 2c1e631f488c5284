//! Verdicts that only SQL can tell: slots, archiver, space, transaction ids, connections.

use std::collections::BTreeMap;

use super::{Judged, Needs, Rule, Scene, Severity, fresh, holds, holds_all};
use crate::fleet::cluster::Origin;
use crate::fleet::instance::Instance;
use crate::metric::archiver::Archiving;

pub(super) const SLOT_LOST: Rule = Rule {
    id: "slot_lost",
    severity: Severity::Critical,
    doc: "A replication slot is lost or invalidated: its consumer cannot go on and must be set up anew.",
    needs: Needs::Sql,
    judge: slot_lost,
};

pub(super) const ARCHIVER: Rule = Rule {
    id: "archiver_failing",
    severity: Severity::Warning,
    doc: "The last attempt to archive a WAL segment failed: point-in-time recovery stops there, and WAL piles up.",
    needs: Needs::Sql,
    judge: archiver,
};

pub(super) const VOLUME: Rule = Rule {
    id: "volume_full",
    severity: Severity::Warning,
    doc: "Databases and WAL take more than 85 % of the volume (the PVC's capacity where its view is open, else the size asked \
          for). On plain hosts the size of the disk is not known.",
    needs: Needs::Sql,
    judge: volume,
};

pub(super) const XID_AGE: Rule = Rule {
    id: "xid_age",
    severity: Severity::Warning,
    doc: "A database's oldest transaction id is over a billion transactions old: vacuum does not keep up; at two billion \
          Postgres stops writes.",
    needs: Needs::Sql,
    judge: xid_age,
};

pub(super) const CONNECTIONS: Rule = Rule {
    id: "connections",
    severity: Severity::Warning,
    doc: "More than 90 % of max_connections are in use.",
    needs: Needs::Sql,
    judge: connections,
};

pub(super) const MIXED: Rule = Rule {
    id: "mixed_systems",
    severity: Severity::Critical,
    doc: "Hosts under one name belong to different clusters (their system identifiers differ): correct the hosts file.",
    needs: Needs::Sql,
    judge: mixed,
};

/// What `find` says of each instance that was sampled a moment ago; not sampled where none was.
fn of_each(scene: &Scene<'_>, find: impl Fn(&str, &Instance) -> Option<Option<String>>) -> Judged {
    let found: Vec<Option<String>> =
        scene.entry.instances.iter().filter_map(|(name, instance)| find(name, instance)).collect();
    if found.is_empty() { Judged::NotSampled } else { holds_all(found.into_iter().flatten().collect()) }
}

fn slot_lost(scene: &Scene<'_>) -> Judged {
    of_each(scene, |name, instance| {
        let slots = fresh(&instance.slots, 2, scene.now)?;
        let lost: Vec<String> = slots
            .iter()
            .filter(|slot| slot.is_lost())
            .map(|slot| format!("{} ({})", slot.name, slot.invalidation.as_deref().unwrap_or("its WAL is gone")))
            .collect();
        Some((!lost.is_empty()).then(|| format!("slot lost on {name}: {}", lost.join(", "))))
    })
}

fn archiver(scene: &Scene<'_>) -> Judged {
    of_each(scene, |name, instance| {
        let archiver = fresh(&instance.archiver, 2, scene.now)?;
        let failing = archiver.archiving() == Archiving::Failing;
        let wal = archiver.last_failed_wal.as_deref().unwrap_or("a segment");
        Some(failing.then(|| format!("{name} cannot archive {wal} ({} failures)", archiver.failed)))
    })
}

fn volume(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    if cluster.origin == Origin::Hosts {
        return Judged::Fine;
    }
    of_each(scene, |name, instance| {
        let storage = fresh(&instance.storage, 300, scene.now)?;
        let claim = format!("pgdata-{name}");
        let volumes = cluster.surroundings.iter().flat_map(|around| &around.volumes);
        let measured = volumes.filter(|volume| *volume.name == *claim).find_map(|volume| volume.capacity);
        let size = measured.or(cluster.spec.volume).filter(|size| size.0 > 0)?;
        let share = storage.total().0.saturating_mul(100) / size.0;
        let (used, of) = (storage.total().0 >> 20, size.0 >> 20);
        Some((share > 85).then(|| format!("databases and WAL of {name} take {used} MiB, {share} % of {of} MiB")))
    })
}

fn xid_age(scene: &Scene<'_>) -> Judged {
    of_each(scene, |name, instance| {
        let vitals = fresh(&instance.vitals, 2, scene.now)?;
        let millions = vitals.xid_age / 1_000_000;
        let old = vitals.xid_age > 1_000_000_000;
        Some(old.then(|| format!("{name}: the oldest transaction id is {millions} million transactions old")))
    })
}

fn connections(scene: &Scene<'_>) -> Judged {
    of_each(scene, |name, instance| {
        let vitals = fresh(&instance.vitals, 2, scene.now)?;
        let (used, most) = (vitals.connections, vitals.max_connections);
        let full = u64::from(used) * 10 > u64::from(most) * 9;
        Some(full.then(|| format!("{name}: {used} of {most} connections are in use")))
    })
}

fn mixed(scene: &Scene<'_>) -> Judged {
    if scene.entry.cluster.origin != Origin::Hosts {
        return Judged::Fine;
    }
    let mut systems: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for (name, instance) in &scene.entry.instances {
        if let Some(system) = instance.vitals.last().and_then(|(vitals, _)| vitals.system) {
            systems.entry(system).or_default().push(name);
        }
    }
    if systems.len() < 2 {
        return if systems.is_empty() { Judged::NotSampled } else { Judged::Fine };
    }
    let groups: Vec<String> =
        systems.iter().map(|(system, names)| format!("{} is system {system}", names.join(", "))).collect();
    holds(format!("these hosts are not one cluster: {}; correct the hosts file", groups.join("; ")))
}
