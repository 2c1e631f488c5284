//! Puts a cluster together from its parts. Pure.

use super::Parts;
use crate::fleet::cluster::{Cluster, Dcs, Lease, Origin, Unreadable};
use crate::id::ClusterId;

/// A cluster as its parts stand. `blind`: its CR may not be read, so that none does not mean that there is none.
pub(super) fn cluster(id: &ClusterId, parts: &Parts, blind: bool) -> Cluster {
    let origin = if parts.resource.is_some() || blind { Origin::Resource } else { Origin::Orphan };
    let mut cluster = Cluster::named(id.clone(), origin);
    if blind && parts.resource.is_none() {
        let object = format!("postgresql {}/{}", id.namespace, id.name).into();
        let why = "the right to list postgresqls.acid.zalan.do is missing".into();
        cluster.unreadable.push(Unreadable { object, place: "the object".into(), why });
    }
    if let Some(resource) = &parts.resource {
        cluster.uid = Some(resource.uid.clone());
        cluster.created = resource.created;
        cluster.spec = resource.spec.clone();
        cluster.status.clone_from(&resource.status);
        cluster.controller.clone_from(&resource.controller);
        cluster.unreadable.extend_from_slice(&resource.unreadable);
    }
    cluster.workload.clone_from(&parts.workload);
    cluster.dcs = dcs(parts, &mut cluster.unreadable);
    cluster.members = parts.members.iter().map(|(member, _)| member.clone()).collect();
    cluster.members.sort_by(|one, other| ordinal(&one.name).cmp(&ordinal(&other.name)));
    cluster.unreadable.extend(parts.members.iter().filter_map(|(_, unreadable)| unreadable.as_deref().cloned()));
    cluster.unreadable.extend(parts.unreadable.values().cloned());
    cluster.warning.clone_from(&parts.warning);
    cluster.surroundings.clone_from(&parts.surroundings);
    cluster
}

/// `acid-shop-10` after `acid-shop-9`.
fn ordinal(name: &str) -> (&str, u64) {
    let (stem, number) = name.rsplit_once('-').unwrap_or((name, ""));
    (stem, number.parse().unwrap_or(u64::MAX))
}

/// Patroni's state: of two stores (a migration leaves both), the one whose leader was renewed last.
fn dcs(parts: &Parts, unreadable: &mut Vec<Unreadable>) -> Option<Dcs> {
    let stores = [false, true];
    let renewed = |store: bool| parts.leaders.get(store).and_then(|leader| leader.renewed);
    let present = |store: &bool| parts.leaders.get(*store).is_some() || parts.configs.get(*store).is_some();
    let store = stores.into_iter().filter(present).max_by_key(|store| renewed(*store))?;
    let leader = parts.leaders.get(store).cloned().unwrap_or_default();
    let config = parts.configs.get(store).cloned().unwrap_or_default();
    for (place, why) in &config.unreadable {
        let place = format!("metadata.annotations.{place}").into();
        unreadable.push(Unreadable { object: "Patroni's config object".into(), place, why: why.clone() });
    }
    let (sync_leader, sync_standbys) = parts.syncs.get(store).cloned().unwrap_or_default();
    let lease = parts.lease.filter(|_| leader.name.is_some()).map(|(renewed, seen, age_at_first_sight)| Lease {
        renewed,
        acquired: leader.acquired,
        ttl: leader.ttl.or(config.config.as_ref().and_then(|config| config.ttl)).unwrap_or(30),
        transitions: leader.transitions,
        seen,
        age_at_first_sight,
    });
    Some(Dcs {
        leader: leader.name,
        lease,
        optime: leader.optime,
        slots: leader.slots,
        // Patroni writes `failsafe` whenever the mode is enabled; that it is active cannot be written to a lost store.
        failsafe_active: false,
        config: config.config,
        system: config.system,
        history: config.history,
        sync_standbys,
        sync_leader,
        switchover: parts.failovers.get(store).cloned().flatten(),
    })
}
