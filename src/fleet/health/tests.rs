//! Every rule on a healthy cluster with one thing changed.

mod hearing;
mod leading;
mod members;
mod operator;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::*;
use crate::fault::Fault;
use crate::fleet::Move;
use crate::fleet::cluster::{
    Cluster, Dcs, DcsConfig, Lease, Member, Origin, PatroniMember, Pod, Role, Switchover, Waiting, Warning, Workload,
};
use crate::fleet::instance::Instance;
use crate::fleet::surroundings::{BackupJob, Surroundings};
use crate::id::{ClusterId, PlaneId};
use crate::metric::archiver::Archiver;
use crate::metric::lsn::{Bytes, Lsn};
use crate::metric::slots::Slot;
use crate::metric::storage::Storage;
use crate::metric::vitals::{Replay, Vitals};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub(crate) fn vitals(in_recovery: bool) -> Vitals {
    Vitals {
        version: 150_018,
        system: Some(7),
        in_recovery,
        timeline: Some(3),
        started: ago(5000),
        loaded: ago(5000),
        remote_apply: false,
        clock: now(),
        written: (!in_recovery).then_some(Lsn(1 << 30)),
        received: in_recovery.then_some(Lsn(1 << 30)),
        replayed: in_recovery.then_some(Lsn(1 << 30)),
        replayed_commit: None,
        replay: if in_recovery { Replay::Running } else { Replay::NotApplicable },
        receiver: None,
        connections: 10,
        max_connections: 100,
        oldest_transaction: None,
        xid_age: 1000,
        pending_restart: Vec::new(),
        synchronous_standby_names: "".into(),
        writable: !in_recovery,
    }
}

fn member(name: &str, role: Role) -> Member {
    let patroni = PatroniMember {
        state: "running".into(),
        role,
        version: Some("3.0.2".into()),
        timeline: Some(3),
        position: Some(Lsn(1 << 30)),
        received: None,
        replayed: None,
        replication_state: None,
        pending_restart: false,
        pending_reason: BTreeMap::new(),
        pause: false,
        tags: BTreeMap::new(),
    };
    let pod = Pod { phase: "Running".into(), ready: true, created: Some(ago(5000)), ..Pod::default() };
    Member { name: name.into(), uid: None, pod: Some(pod), patroni: Some(patroni), label_role: role, address: None }
}

/// A healthy cluster of two, sampled a second ago.
fn healthy() -> Entry {
    let id = ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: "shop".into() };
    let mut cluster = Cluster::named(id, Origin::Resource);
    cluster.created = Some(ago(5000));
    cluster.status = Some("Running".into());
    cluster.spec.instances = Some(2);
    cluster.spec.volume = Some(Bytes(1 << 30));
    cluster.spec.changed = Some(ago(4000));
    cluster.workload = Some(Workload {
        uid: "w".into(),
        replicas: 2,
        ready: 2,
        image: None,
        update_revision: None,
        archive_env: BTreeMap::new(),
    });
    cluster.members = vec![member("shop-0", Role::Primary).into(), member("shop-1", Role::Standby).into()];
    let lease = Lease {
        renewed: Some(ago(4)),
        acquired: None,
        ttl: 30,
        transitions: None,
        seen: ago(4),
        age_at_first_sight: None,
    };
    cluster.dcs = Some(Dcs {
        leader: Some("shop-0".into()),
        lease: Some(lease),
        optime: Some(Lsn(1 << 30)),
        config: Some(Arc::default()),
        ..Dcs::default()
    });
    let mut entry = Entry {
        cluster,
        seen: ago(1),
        moves: VecDeque::new(),
        instances: BTreeMap::new(),
        events: VecDeque::new(),
        health: Health::default(),
        changed: 0,
        stale: false,
    };
    for (name, in_recovery) in [("shop-0", false), ("shop-1", true)] {
        let instance = Instance {
            vitals: Known::Seen { value: Box::new(vitals(in_recovery)), at: ago(1) },
            slots: Known::Seen { value: Vec::new(), at: ago(1) },
            ..Instance::default()
        };
        entry.instances.insert(name.into(), instance);
    }
    entry
}

fn set_vitals(entry: &mut Entry, name: &str, change: impl FnOnce(&mut Vitals)) {
    let mut changed = vitals(name != "shop-0");
    change(&mut changed);
    entry.instances.get_mut(name).unwrap().vitals = Known::Seen { value: Box::new(changed), at: ago(1) };
}

fn dcs(entry: &mut Entry) -> &mut Dcs {
    entry.cluster.dcs.as_mut().unwrap()
}

fn config(entry: &mut Entry) -> &mut DcsConfig {
    Arc::make_mut(dcs(entry).config.as_mut().unwrap())
}

fn judged(entry: &Entry) -> Health {
    judge(&Scene { entry, now: now(), hearing: None }, &Health::default())
}

/// After `change` exactly these verdicts hold, and the first one's evidence holds `part`.
fn check(change: impl FnOnce(&mut Entry), expected: &[&str], part: &str) {
    let mut entry = healthy();
    change(&mut entry);
    let health = judged(&entry);
    let ids: Vec<_> = health.verdicts.iter().map(|verdict| verdict.id).collect();
    assert_eq!(ids, expected, "{:?}", health.verdicts);
    let evidence = health.verdicts.first().map(|verdict| verdict.evidence.join("; ")).unwrap_or_default();
    assert!(evidence.contains(part), "{evidence:?} does not hold {part:?}");
}

#[test]
fn a_healthy_cluster_is_ok_and_says_what_it_could_not_judge() {
    let health = judged(&healthy());
    assert_eq!((health.severity, health.verdicts.len()), (Severity::Ok, 0));
    assert_eq!(health.not_sampled, ["archiver_failing", "volume_full"]);
    assert!(health.recheck.is_some_and(|at| at > now()));
}

#[test]
fn a_cluster_without_samples_is_judged_by_its_objects_alone() {
    let mut entry = healthy();
    entry.instances.clear();
    let health = judged(&entry);
    assert_eq!(health.severity, Severity::Ok);
    assert!(health.not_sampled.contains(&"slot_lost") && health.not_sampled.contains(&"replay_paused"));
}

#[test]
fn samples_of_a_while_ago_are_none() {
    check(
        |entry| {
            set_vitals(entry, "shop-1", |vitals| vitals.replay = Replay::Paused);
            let instance = entry.instances.get_mut("shop-1").unwrap();
            let Known::Seen { value, .. } = instance.vitals.clone() else { panic!("it was just set") };
            instance.vitals = Known::Seen { value, at: ago(10) };
        },
        &[],
        "",
    );
}

#[test]
fn a_cluster_whose_pods_are_still_being_listed_is_unknown_and_not_without_a_primary() {
    let mut coming = healthy();
    coming.cluster.coming = true;
    coming.instances.clear();
    coming.cluster.members.clear();
    coming.cluster.dcs = None;
    let health = judged(&coming);
    assert_eq!((ids(&health), health.severity), (vec!["not_listed"], Severity::Unknown));
}

#[test]
fn plain_hosts_are_judged_by_sql() {
    let hosts = |entry: &mut Entry| {
        entry.cluster.origin = Origin::Hosts;
        entry.cluster.dcs = None;
    };
    check(hosts, &[], "");
    check(
        |entry| {
            hosts(entry);
            set_vitals(entry, "shop-0", |vitals| vitals.in_recovery = true);
        },
        &["no_primary"],
        "every member is in recovery",
    );
    check(
        |entry| {
            hosts(entry);
            set_vitals(entry, "shop-1", |vitals| vitals.system = Some(8));
        },
        &["mixed_systems"],
        "shop-0 is system 7; shop-1 is system 8",
    );
    check(
        |entry| {
            hosts(entry);
            entry.instances.clear();
        },
        &["not_asked"],
        "no host has answered",
    );
}

#[test]
fn since_is_kept_from_when_it_was_first_seen() {
    let mut entry = healthy();
    config(&mut entry).pause = true;
    let first = judge(&Scene { entry: &entry, now: ago(100), hearing: None }, &Health::default());
    let again = judge(&Scene { entry: &entry, now: now(), hearing: None }, &first);
    let paused = again.verdicts.iter().find(|verdict| verdict.id == "patroni_paused").unwrap();
    assert_eq!((paused.since, paused.since_first_seen), (ago(100), true));
}

/// Heard from `since` seconds ago until `until` seconds ago.
#[test]
fn rules_are_named_once_documented_and_worst_first() {
    let ids: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
    assert!(RULES.iter().all(|rule| rule.doc.ends_with('.') && rule.doc.len() > 30));
    assert!(RULES.windows(2).all(|pair| pair[0].severity >= pair[1].severity));
    assert_eq!(table().lines().count(), RULES.len() + 2);
}

fn ids(health: &Health) -> Vec<&str> {
    health.verdicts.iter().map(|verdict| verdict.id).collect()
}
