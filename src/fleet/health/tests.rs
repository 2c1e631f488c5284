//! Every rule on a healthy cluster with one thing changed.

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
    let pod = Pod {
        phase: "Running".into(),
        ready: true,
        restarts: 0,
        last_ended: None,
        waiting: None,
        node: None,
        image: None,
        created: Some(ago(5000)),
        deleting: false,
        revision: None,
        rolling_update: false,
        archive_env: BTreeMap::new(),
        containers: Vec::new(),
    };
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
fn who_leads() {
    let nobody = |entry: &mut Entry| {
        dcs(entry).leader = None;
        entry.instances.clear();
    };
    check(nobody, &["no_primary"], "no member leads: shop-0 is running");
    check(
        |entry| {
            nobody(entry);
            entry.cluster.created = Some(ago(10));
        },
        &["starting"],
        "being created",
    );
    check(
        |entry| {
            nobody(entry);
            entry.cluster.spec.instances = Some(0);
            entry.cluster.workload.as_mut().unwrap().replicas = 0;
        },
        &[],
        "",
    );
    check(
        |entry| set_vitals(entry, "shop-1", |vitals| vitals.in_recovery = false),
        &["two_primaries"],
        "shop-0 and shop-1",
    );
    check(
        |entry| {
            entry.instances.clear();
            Arc::make_mut(&mut entry.cluster.members[1]).label_role = Role::Primary;
        },
        &["two_primaries"],
        "labelled as primary",
    );
    check(|entry| Arc::make_mut(&mut entry.cluster.members[1]).label_role = Role::Primary, &[], "");
    check(
        |entry| set_vitals(entry, "shop-1", |vitals| vitals.timeline = Some(2)),
        &["timelines_differ"],
        "shop-1 on 2",
    );
}

#[test]
fn a_lease_is_overdue_when_it_was_not_seen_to_change_for_its_ttl() {
    let lease = |seen: i64, age: Option<i64>| {
        move |entry: &mut Entry| {
            let lease = dcs(entry).lease.as_mut().unwrap();
            lease.seen = ago(seen);
            lease.age_at_first_sight = age;
        }
    };
    check(lease(29, None), &[], "");
    check(lease(30, None), &["leader_overdue"], "shop-0 last renewed");
    check(lease(1, Some(31)), &["leader_overdue"], "it must every 30 s");
    check(lease(1, Some(29)), &[], "");

    let mut entry = healthy();
    lease(4, None)(&mut entry);
    entry.instances.clear();
    assert_eq!(judged(&entry).recheck, Some(now() + SignedDuration::from_secs(26)));
}

#[test]
fn failsafe_keeps_a_leader_without_a_lease() {
    check(
        |entry| {
            config(entry).failsafe = Some(true);
            dcs(entry).lease.as_mut().unwrap().seen = ago(40);
        },
        &["leader_overdue", "failsafe"],
        "last renewed",
    );
}

#[test]
fn the_operators_words() {
    let status = |word: &'static str| move |entry: &mut Entry| entry.cluster.status = Some(word.into());
    check(
        |entry| {
            status("SyncFailed")(entry);
            let warning = Warning { reason: "Sync".into(), message: "name too long".into(), at: Some(ago(50)) };
            entry.cluster.warning = Some(warning);
        },
        &["operator_failed"],
        "SyncFailed: name too long",
    );
    check(status("CreateFailed"), &["operator_failed"], "no event tells why");
    check(status("UpdateFailed"), &["update_failed"], "writes no event");
    check(|entry| entry.cluster.origin = Origin::Orphan, &["orphan"], "pods shop-0, shop-1");
}

#[test]
fn a_patch_is_not_taken_up_after_a_minute() {
    let scaled = |changed: i64| {
        move |entry: &mut Entry| {
            entry.cluster.workload.as_mut().unwrap().replicas = 3;
            entry.cluster.spec.changed = Some(ago(changed));
        }
    };
    check(scaled(59), &[], "");
    check(scaled(61), &["not_taken_up"], "2 instances are asked for, the StatefulSet has 3");
    check(|entry| entry.cluster.spec.synchronous = true, &["not_taken_up"], "synchronous_mode true is asked for");
    check(
        |entry| {
            entry.cluster.spec.parameters.insert("max_connections".into(), "200".into());
            config(entry).parameters.insert("max_connections".into(), "100".into());
        },
        &["not_taken_up"],
        "parameter max_connections 200",
    );
    check(
        |entry| drop(entry.cluster.spec.archive_env.insert("WAL_S3_BUCKET".into(), "".into())),
        &["not_taken_up"],
        "env WAL_S3_BUCKET",
    );
    check(
        |entry| {
            entry.cluster.spec.docker_image = Some("spilo:2".into());
            entry.cluster.workload.as_mut().unwrap().image = Some("spilo:1".into());
        },
        &["not_taken_up"],
        "image spilo:2 is asked for, the StatefulSet has spilo:1",
    );
    check(
        |entry| config(entry).standby_cluster = true,
        &["not_taken_up"],
        "standby cluster false is asked for, Patroni has true",
    );
    check(
        |entry| {
            let job = BackupJob {
                name: "logical-backup-shop".into(),
                schedule: "30 00 * * *".into(),
                suspended: false,
                last_scheduled: None,
                last_successful: None,
            };
            entry.cluster.surroundings = Some(Box::new(Surroundings { backups: vec![job], ..Surroundings::default() }));
        },
        &["not_taken_up"],
        "CronJob logical-backup-shop still runs",
    );
}

#[test]
fn patronis_own_state() {
    check(|entry| config(entry).pause = true, &["patroni_paused"], "no automatic failover");
    let switchover = Switchover { from: Some("shop-0".into()), to: None, at: Some("2026-12-01T02:00".into()) };
    check(|entry| dcs(entry).switchover = Some(switchover), &["switchover_scheduled"], "from shop-0 to any standby");
    check(
        |entry| Arc::make_mut(&mut entry.cluster.members[1]).patroni.as_mut().unwrap().pending_restart = true,
        &["pending_restart"],
        "shop-1 waits for a restart",
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
fn while_its_plane_is_silent_time_alone_makes_a_young_cluster_no_worse() {
    let mut young = healthy();
    young.cluster.created = Some(ago(70));
    dcs(&mut young).leader = None;
    young.instances.clear();
    for member in &mut young.cluster.members {
        let member = Arc::make_mut(member);
        (member.label_role, member.patroni) = (Role::Unknown, None);
    }
    assert!(ids(&judged(&young)).contains(&"no_primary"));
    let mut hearing = heard(100, 35);
    hearing.lose(ago(35));
    hearing.fall_silent("the API server cannot be reached");
    let verdicts = judged_through(&young, &hearing);
    assert!(ids(&verdicts).contains(&"starting") && !ids(&verdicts).contains(&"no_primary"), "{verdicts:?}");
}

#[test]
fn pods_and_members() {
    let pod = |change: fn(&mut Pod)| {
        move |entry: &mut Entry| change(Arc::make_mut(&mut entry.cluster.members[1]).pod.as_mut().unwrap())
    };
    check(
        pod(|pod| {
            pod.ready = false;
            let reason = "ImagePullBackOff".into();
            pod.waiting = Some(Waiting { container: "postgres".into(), reason, message: Some("no such image".into()) });
        }),
        &["not_ready", "pod_trouble"],
        "1 of 2 members are ready: shop-1 (ImagePullBackOff)",
    );
    check(pod(|pod| pod.last_ended = Some(ago(30))), &["pod_trouble"], "shop-1 restarted after 1970-01-12");
    check(pod(|pod| pod.last_ended = Some(ago(700))), &[], "");
    check(
        pod(|pod| {
            pod.created = Some(ago(5));
            pod.waiting = Some(Waiting { container: "".into(), reason: "ContainerCreating".into(), message: None });
        }),
        &[],
        "",
    );
}

#[test]
fn lag_and_replay() {
    let lagging = |vitals: &mut Vitals| vitals.replayed = Some(Lsn((1 << 30) - (40 << 20)));
    check(|entry| set_vitals(entry, "shop-1", lagging), &["lagging"], "shop-1 trails by 40 MiB; 32 MiB are allowed");
    check(
        |entry| {
            entry.instances.clear();
            Arc::make_mut(&mut entry.cluster.members[1]).patroni.as_mut().unwrap().position = Some(Lsn(1));
        },
        &["lagging"],
        "by Patroni's positions",
    );
    check(
        |entry| set_vitals(entry, "shop-1", |vitals| vitals.replay = Replay::Paused),
        &["replay_paused"],
        "shop-1 does not replay WAL",
    );
}

#[test]
fn a_standby_without_a_receiver_does_not_stream_after_half_a_minute() {
    let unfed =
        |seconds: i64| move |entry: &mut Entry| entry.instances.get_mut("shop-1").unwrap().unfed = Some(ago(seconds));
    check(
        unfed(31),
        &["not_streaming"],
        "shop-1 does not stream: it has no WAL receiver, its replay stands at 0/40000000",
    );
    check(unfed(29), &[], "");
    check(
        |entry| {
            set_vitals(entry, "shop-1", |vitals| vitals.received = None);
            unfed(31)(entry);
        },
        &[],
        "",
    );
    let mut entry = healthy();
    unfed(31)(&mut entry);
    assert_eq!(judged(&entry).verdicts[0].since, ago(31));
}

#[test]
fn nobody_answers() {
    let lost = |at: Timestamp| Known::Lost {
        last: None,
        why: Fault::Unreachable { what: "shop-0".into(), why: "connection refused".into() },
        at,
    };
    check(
        |entry| entry.instances.values_mut().for_each(|instance| instance.vitals = lost(ago(1))),
        &["unreachable"],
        "connection refused",
    );
    let just_now = |entry: &mut Entry| {
        for (name, instance) in &mut entry.instances {
            let Known::Lost { why, at, .. } = lost(ago(1)) else { panic!("it is lost") };
            let last = Some((Box::new(vitals(&**name != "shop-0")), ago(5)));
            instance.vitals = Known::Lost { last, why, at };
        }
    };
    check(just_now, &["not_answering"], "the primary does not answer");
    check(
        |entry| entry.instances.get_mut("shop-0").unwrap().vitals = lost(ago(1)),
        &["not_answering"],
        "the primary does not answer: shop-0 cannot be reached",
    );
    check(|entry| entry.instances.get_mut("shop-0").unwrap().vitals = lost(ago(200)), &[], "");
    let forbidden = Fault::Forbidden { what: "secrets".into(), needs: "get secrets".into() };
    check(
        |entry| {
            for instance in entry.instances.values_mut() {
                instance.vitals = Known::Lost { last: None, why: forbidden.clone(), at: ago(1) };
            }
        },
        &[],
        "",
    );
}

#[test]
fn what_only_sql_tells() {
    let slot = Slot {
        name: "sub".into(),
        logical: true,
        plugin: None,
        database: None,
        active: false,
        temporary: false,
        restart: None,
        confirmed_flush: None,
        wal_status: Some("lost".into()),
        safe_wal: None,
        retained: None,
        inactive_since: None,
        invalidation: None,
        failover: None,
        synced: None,
    };
    let primary =
        |entry: &mut Entry, change: &dyn Fn(&mut Instance)| change(entry.instances.get_mut("shop-0").unwrap());
    check(
        |entry| primary(entry, &|instance| instance.slots = Known::Seen { value: vec![slot.clone()], at: ago(1) }),
        &["slot_lost"],
        "slot lost on shop-0: sub",
    );
    let archiver = Archiver {
        mode: "on".into(),
        command: "wal-g wal-push %p".into(),
        library: None,
        archived: 1,
        last_archived_wal: None,
        last_archived: Some(ago(100)),
        failed: 3,
        last_failed_wal: Some("00000001".into()),
        last_failed: Some(ago(10)),
    };
    check(
        |entry| primary(entry, &|instance| instance.archiver = Known::Seen { value: archiver.clone(), at: ago(1) }),
        &["archiver_failing"],
        "shop-0 cannot archive 00000001",
    );
    let storage = |used: u64| Storage { databases: vec![("a".into(), Bytes(used))], n_hidden: 0, wal: Some(Bytes(0)) };
    let full = |used: u64| {
        move |entry: &mut Entry| {
            let value = storage(used);
            entry.instances.get_mut("shop-0").unwrap().storage = Known::Seen { value, at: ago(1) };
        }
    };
    check(full(900 << 20), &["volume_full"], "87 % of 1024 MiB");
    check(full(800 << 20), &[], "");
    check(|entry| set_vitals(entry, "shop-0", |vitals| vitals.xid_age = 1_200_000_000), &["xid_age"], "1200 million");
    check(|entry| set_vitals(entry, "shop-0", |vitals| vitals.connections = 91), &["connections"], "91 of 100");
    check(|entry| set_vitals(entry, "shop-0", |vitals| vitals.connections = 90), &[], "");
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
fn heard(since: i64, until: i64) -> Hearing {
    let mut hearing = Hearing::default();
    for second in (until..=since).rev() {
        hearing.hear(ago(second));
    }
    hearing
}

fn judged_through(entry: &Entry, hearing: &Hearing) -> Health {
    judge(&Scene { entry, now: now(), hearing: Some(hearing) }, &Health::default())
}

fn ids(health: &Health) -> Vec<&str> {
    health.verdicts.iter().map(|verdict| verdict.id).collect()
}

#[test]
fn a_silent_source_makes_unknown_and_hides_no_older_trouble() {
    let mut hearing = heard(100, 31);
    hearing.lose(ago(30));
    hearing.fall_silent("the API server cannot be reached");
    let health = judged_through(&healthy(), &hearing);
    assert_eq!(health.severity, Severity::Unknown);
    assert!(health.verdicts[0].evidence[0].starts_with("nothing was heard since 1970-01-12"), "{health:?}");

    let mut paused = healthy();
    config(&mut paused).pause = true;
    assert_eq!(ids(&judged_through(&paused, &hearing)), ["patroni_paused", "source_silent"]);
}

#[test]
fn a_lease_is_overdue_only_if_its_plane_could_be_heard_for_its_ttl() {
    let mut entry = healthy();
    dcs(&mut entry).lease.as_mut().unwrap().seen = ago(40);
    entry.instances.clear();
    let expect = |hearing: &Hearing, expected: &[&str]| assert_eq!(ids(&judged_through(&entry, hearing)), expected);
    // Heard all the time, to the end; heard all the time, but not near the end; back after a gap; lost now.
    expect(&heard(100, 0), &["leader_overdue"]);
    expect(&heard(100, 25), &[]);
    expect(&heard(20, 0), &[]);
    let mut lost = heard(100, 0);
    lost.lose(now());
    expect(&lost, &[]);
    assert!(judged_through(&entry, &heard(100, 25)).recheck.unwrap() > now());
}

#[test]
fn while_the_api_server_does_not_answer_no_member_is_called_unreachable() {
    let mut entry = healthy();
    let why = Fault::Unreachable { what: "shop-0".into(), why: "no port-forward".into() };
    for instance in entry.instances.values_mut() {
        instance.vitals = Known::Lost { last: None, why: why.clone(), at: ago(1) };
    }
    let mut hearing = heard(100, 3);
    assert_eq!(ids(&judged_through(&entry, &hearing)), ["unreachable"]);
    hearing.lose(ago(2));
    assert_eq!(ids(&judged_through(&entry, &hearing)), [""; 0]);
}

#[test]
fn a_switchover_is_no_split_brain() {
    let lead = |entry: &mut Entry, name: &str, from: i64, until: i64| {
        let instance = entry.instances.get_mut(name).unwrap();
        instance.vitals = Known::Seen { value: Box::new(vitals(false)), at: ago(until) };
        instance.leading = Some(ago(from));
    };
    // The old primary's last sample is fresh still, the new one's first came after it.
    check(
        |entry| {
            lead(entry, "shop-0", 500, 4);
            lead(entry, "shop-1", 2, 0);
        },
        &[],
        "",
    );
    check(
        |entry| {
            lead(entry, "shop-0", 500, 1);
            lead(entry, "shop-1", 2, 0);
        },
        &["two_primaries"],
        "shop-0 and shop-1 take writes",
    );
}

#[test]
fn a_leader_that_is_in_recovery_does_not_lead_but_in_a_standby_cluster() {
    let recovering = |entry: &mut Entry| set_vitals(entry, "shop-0", |vitals| vitals.in_recovery = true);
    check(recovering, &["no_primary"], "shop-0 is");
    check(
        |entry| {
            recovering(entry);
            entry.cluster.spec.standby = true;
            config(entry).standby_cluster = true;
        },
        &[],
        "",
    );
}

#[test]
fn creating_is_an_excuse_for_ten_minutes() {
    let creating = |age: i64| {
        move |entry: &mut Entry| {
            entry.cluster.created = Some(ago(age));
            entry.cluster.status = Some("Creating".into());
            dcs(entry).leader = None;
            entry.instances.clear();
        }
    };
    check(creating(120), &["starting"], "being created");
    check(creating(601), &["no_primary"], "no member leads");
    let mut entry = healthy();
    creating(120)(&mut entry);
    assert_eq!(judged(&entry).recheck, Some(ago(120) + SignedDuration::from_secs(600)));
}

#[test]
fn a_hibernating_cluster_needs_no_leader() {
    check(
        |entry| {
            entry.cluster.spec.instances = Some(0);
            entry.cluster.workload.as_mut().unwrap().replicas = 0;
            entry.cluster.members.clear();
            entry.instances.clear();
            dcs(entry).lease.as_mut().unwrap().seen = ago(5000);
        },
        &[],
        "",
    );
}

#[test]
fn nothing_is_judged_again_at_once() {
    let mut entry = healthy();
    dcs(&mut entry).lease.as_mut().unwrap().seen = ago(3000);
    entry.cluster.created = Some(ago(10));
    Arc::make_mut(&mut entry.cluster.members[0]).pod.as_mut().unwrap().last_ended = Some(ago(599));
    for health in [judged(&entry), judged_through(&entry, &heard(4000, 100))] {
        assert!(health.recheck.is_none_or(|at| at > now()), "{:?}", health.recheck);
    }
}

#[test]
fn what_holds_for_a_time_is_judged_again_at_its_end() {
    let mut entry = healthy();
    entry.instances.clear();
    dcs(&mut entry).lease = None;
    Arc::make_mut(&mut entry.cluster.members[1]).pod.as_mut().unwrap().last_ended = Some(ago(500));
    let health = judged(&entry);
    assert_eq!((ids(&health), health.recheck), (vec!["pod_trouble"], Some(now() + SignedDuration::from_secs(100))));
    assert_eq!(health.verdicts[0].since, ago(500));
}

#[test]
fn rules_are_named_once_documented_and_worst_first() {
    let ids: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
    assert!(RULES.iter().all(|rule| rule.doc.ends_with('.') && rule.doc.len() > 30));
    assert!(RULES.windows(2).all(|pair| pair[0].severity >= pair[1].severity));
    assert_eq!(table().lines().count(), RULES.len() + 2);
}

#[test]
fn moves_tell_since_when_the_operator_failed() {
    let mut entry = healthy();
    entry.cluster.status = Some("SyncFailed".into());
    entry.moves = VecDeque::from([
        Move { at: ago(500), to: Some("Running".into()) },
        Move { at: ago(90), to: Some("SyncFailed".into()) },
    ]);
    assert_eq!(judged(&entry).verdicts[0].since, ago(90));
}
