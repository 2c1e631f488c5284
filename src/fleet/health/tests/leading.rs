//! Who leads: the lease, failsafe, switchovers, what Patroni says of itself.

use super::*;
use crate::fleet::cluster::Held;

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
            (entry.cluster.created, entry.cluster.status) = (Some(ago(10)), None);
        },
        &["starting"],
        "being created",
    );
    // However new it is: the operator calls Running what was led.
    check(
        |entry| {
            nobody(entry);
            (entry.cluster.created, entry.cluster.status) = (Some(ago(10)), Some("Running".into()));
        },
        &["no_primary"],
        "no member leads: shop-0 is running",
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
fn a_replay_that_a_pgdeck_has_paused_is_told_and_so_is_one_whose_time_is_over() {
    let held = |since: i64| {
        let held = Held { member: "shop-1".into(), who: "ann".into(), since: Some(ago(since)), for_s: 600 };
        move |entry: &mut Entry| config(entry).held = Some(held)
    };
    check(held(60), &["replay_held"], "ann has paused replay of shop-1 since 1970-01-12 13:45:40 UTC, for 600 s");
    check(held(800), &["replay_held"], "its time is over");
}
