//! Members: pods, lag, replay, receivers, and what only SQL tells.

use super::*;
use crate::fleet::seen::Event;
use crate::metric::slots::tests::logical;

#[test]
fn a_pod_that_cannot_be_made_is_told_by_its_stateful_set() {
    let told = |seconds: i64| {
        move |entry: &mut Entry| {
            entry.cluster.spec.instances = Some(entry.cluster.spec.instances.unwrap() + 1);
            entry.cluster.workload.as_mut().unwrap().replicas += 1;
            entry.events.push_back(Event {
                cluster: entry.cluster.id.clone(),
                uid: "e".into(),
                about: "StatefulSet shop".into(),
                warning: true,
                reason: "FailedCreate".into(),
                message: "create Pod shop-2 failed".into(),
                count: 3,
                first: None,
                last: Some(ago(seconds)),
                from: "statefulset-controller".into(),
            });
        }
    };
    check(told(60), &["not_ready"], "ready: the others do not exist: create Pod shop-2 failed");
    check(told(4000), &["not_ready"], "ready: the others do not exist");
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
    let slot = Slot { wal_status: Some("lost".into()), ..logical("sub") };
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
        segment_size: 16 << 20,
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
