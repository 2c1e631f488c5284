//! The fleet takes in what is seen: what changes, what stands, and what it costs.

use std::sync::Arc;

use jiff::SignedDuration;

use super::*;
use crate::fault::Fault;
use crate::fleet::cluster::{Dcs, Lease, Member, Origin, Role};
use crate::fleet::known::Known;
use crate::metric::vitals::{Replay, Vitals};
use crate::metric::{Rows, SurveyId};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn plane() -> PlaneId {
    PlaneId::Kubernetes("t".into())
}

fn id(name: &str) -> ClusterId {
    ClusterId { plane: plane(), namespace: "d".into(), name: name.into() }
}

fn member(name: &str, role: Role) -> Member {
    Member { name: name.into(), uid: None, pod: None, patroni: None, label_role: role, address: None }
}

/// Two members, led by the first, its lease renewed at that second.
fn cluster(name: &str, renewed: i64) -> Cluster {
    let mut cluster = Cluster::named(id(name), Origin::Resource);
    cluster.uid = Some("u1".into());
    cluster.created = Some(at(-9000));
    cluster.status = Some("Running".into());
    let (first, second) = (format!("{name}-0"), format!("{name}-1"));
    cluster.members = vec![member(&first, Role::Primary).into(), member(&second, Role::Standby).into()];
    let lease = Lease {
        renewed: Some(at(renewed)),
        acquired: None,
        ttl: 30,
        transitions: None,
        seen: at(renewed),
        age_at_first_sight: None,
    };
    let config = Some(Arc::default());
    cluster.dcs = Some(Dcs { leader: Some(first.as_str().into()), lease: Some(lease), config, ..Dcs::default() });
    cluster
}

fn told(cluster: Cluster, second: i64) -> Seen {
    Seen::Cluster { cluster: Box::new(cluster), at: at(second) }
}

fn state(state: SourceState, second: i64) -> Seen {
    Seen::Source { source: Source::Plane { plane: plane() }, state, at: at(second) }
}

fn live(second: i64) -> Seen {
    state(SourceState::Live { polled: false }, second)
}

fn lost(second: i64) -> Seen {
    let why = Fault::TimedOut { what: "the API server of t".into(), after: std::time::Duration::from_secs(10) };
    state(SourceState::Lost { why }, second)
}

fn census(names: &[&str], second: i64) -> Seen {
    let clusters = names.iter().map(|name| id(name)).collect();
    Seen::Census { plane: plane(), clusters, at: at(second) }
}

fn sample(member: &str, in_recovery: bool, second: i64) -> Seen {
    let vitals = Vitals {
        version: 170_006,
        system: Some(7),
        in_recovery,
        timeline: Some(1),
        started: at(-5000),
        loaded: at(-5000),
        remote_apply: false,
        clock: at(second),
        written: None,
        received: None,
        replayed: None,
        replayed_commit: None,
        replay: if in_recovery { Replay::Running } else { Replay::NotApplicable },
        receiver: None,
        connections: 1,
        max_connections: 100,
        oldest_transaction: None,
        xid_age: 1,
        pending_restart: Vec::new(),
        synchronous_standby_names: "".into(),
        writable: !in_recovery,
    };
    Seen::Rows {
        instance: InstanceId { cluster: id("shop"), member: member.into() },
        database: None,
        survey: SurveyId::Vitals,
        at: at(second),
        took_ms: 2,
        rows: Ok(Rows::Vitals(Box::new(vitals))),
    }
}

fn event(uid: &str, count: u32) -> Seen {
    Seen::Event(Event {
        cluster: id("shop"),
        uid: uid.into(),
        about: "postgresql shop".into(),
        warning: true,
        reason: "Sync".into(),
        message: "could not sync".into(),
        count,
        first: None,
        last: None,
        from: "postgres-operator".into(),
    })
}

/// Takes in each thing at its second, ticking before it.
fn fleet(seen: impl IntoIterator<Item = (i64, Seen)>) -> Fleet {
    let mut fleet = Fleet::default();
    for (second, seen) in seen {
        fleet.tick(at(second));
        fleet.apply(seen, at(second));
    }
    fleet
}

fn verdicts(fleet: &Fleet, name: &str) -> Vec<&'static str> {
    fleet.get(&id(name)).unwrap().health.verdicts.iter().map(|verdict| verdict.id).collect()
}

#[test]
fn status_moves_are_kept_in_order() {
    let word = |word: &str, second| {
        let mut cluster = cluster("shop", second);
        cluster.status = Some(word.into());
        (second, told(cluster, second))
    };
    let fleet = fleet([word("Running", 0), word("Updating", 1), word("Running", 2)]);
    let moves: Vec<_> = fleet.get(&id("shop")).unwrap().moves.iter().map(|step| step.to.as_deref().unwrap()).collect();
    assert_eq!(moves, ["Running", "Updating", "Running"]);
}

#[test]
fn a_cluster_made_anew_under_its_old_name_starts_from_nothing() {
    let mut anew = cluster("shop", 2);
    anew.uid = Some("u2".into());
    let fleet = fleet([(0, told(cluster("shop", 0), 0)), (1, event("e", 1)), (2, told(anew, 2))]);
    let entry = fleet.get(&id("shop")).unwrap();
    assert_eq!((entry.moves.len(), entry.events.len()), (1, 0));
}

#[test]
fn an_orphan_that_gets_its_resource_back_keeps_its_history() {
    let mut orphan = cluster("shop", 1);
    orphan.origin = Origin::Orphan;
    orphan.status = None;
    let back = cluster("shop", 2);
    let fleet = fleet([(0, told(cluster("shop", 0), 0)), (1, told(orphan, 1)), (2, told(back, 2))]);
    assert_eq!(fleet.get(&id("shop")).unwrap().moves.len(), 3);
}

#[test]
fn an_event_told_again_is_the_same_event() {
    let fleet = fleet([(0, told(cluster("shop", 0), 0)), (1, event("a", 1)), (2, event("b", 1)), (3, event("a", 2))]);
    let counts: Vec<_> = fleet.get(&id("shop")).unwrap().events.iter().map(|event| event.count).collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn a_member_that_went_takes_its_samples_along() {
    let mut smaller = cluster("shop", 2);
    smaller.members.pop();
    let fleet = fleet([
        (0, told(cluster("shop", 0), 0)),
        (1, sample("shop-1", true, 1)),
        (2, told(smaller, 2)),
        (3, sample("shop-1", true, 3)),
    ]);
    assert!(fleet.get(&id("shop")).unwrap().instances.is_empty());
}

#[test]
fn a_sample_that_is_not_renewed_is_past_and_leads_nobody_astray() {
    let mut fleet = fleet([(0, told(cluster("shop", 0), 0)), (1, sample("shop-1", false, 1))]);
    let primary = |fleet: &Fleet| topology::primary(fleet.get(&id("shop")).unwrap()).map(ToString::to_string);
    assert_eq!(primary(&fleet).as_deref(), Some("shop-1"));

    assert_eq!(fleet.next_recheck(), Some(at(7)));
    assert!(fleet.tick(at(7)), "a cell reads differently");
    assert_eq!(primary(&fleet).as_deref(), Some("shop-0"));
    let entry = fleet.get(&id("shop")).unwrap();
    assert!(matches!(entry.instances["shop-1"].vitals, Known::Past { .. }));
    assert!(entry.health.not_sampled.contains(&"connections"));
}

#[test]
fn since_when_a_member_leads_or_is_unfed_is_kept_over_its_samples() {
    let of = |fleet: &Fleet| {
        let instance = &fleet.get(&id("shop")).unwrap().instances["shop-1"];
        (instance.leading, instance.unfed)
    };
    let mut fleet = fleet([(0, told(cluster("shop", 0), 0)), (1, sample("shop-1", true, 1))]);
    fleet.apply(sample("shop-1", true, 3), at(3));
    assert_eq!(of(&fleet), (None, Some(at(1))));
    fleet.apply(sample("shop-1", false, 5), at(5));
    fleet.apply(sample("shop-1", false, 7), at(7));
    assert_eq!(of(&fleet), (Some(at(5)), None));
}

#[test]
fn a_relist_marks_rows_until_its_census_confirms_them() {
    let mut fleet = fleet([(0, told(cluster("shop", 0), 0)), (0, told(cluster("gone", 0), 0)), (1, live(1))]);
    let before = fleet.generation();
    fleet.apply(state(SourceState::Relisting, 2), at(2));
    assert!(fleet.clusters().all(|(_, entry)| entry.stale));
    assert_eq!(fleet.changed_since(before), Changes::All);

    let before = fleet.generation();
    fleet.apply(census(&["shop"], 3), at(3));
    assert_eq!(fleet.len(), 1);
    assert!(!fleet.get(&id("shop")).unwrap().stale);
    assert_eq!(fleet.changed_since(before), Changes::Some(vec![id("gone"), id("shop")]));
}

#[test]
fn a_watch_that_goes_on_confirms_what_stood() {
    let fleet = fleet([(0, told(cluster("shop", 0), 0)), (1, lost(1)), (2, live(2))]);
    assert!(!fleet.get(&id("shop")).unwrap().stale);
}

#[test]
fn a_plane_is_silent_after_three_intervals_and_known_again_at_its_first_word() {
    let mut fleet = fleet([(0, told(cluster("shop", 0), 0)), (5, live(5)), (10, lost(10))]);
    fleet.tick(at(34));
    assert_eq!(verdicts(&fleet, "shop"), [""; 0]);
    fleet.tick(at(35));
    assert_eq!(verdicts(&fleet, "shop"), ["source_silent"]);
    assert_eq!(fleet.get(&id("shop")).unwrap().health.severity, Severity::Unknown);

    // Nobody's lease is called overdue for the time in which nothing could be heard.
    fleet.apply(live(200), at(200));
    assert_eq!(verdicts(&fleet, "shop"), [""; 0]);
    for second in [210, 220, 230] {
        fleet.apply(live(second), at(second));
    }
    fleet.tick(at(230));
    assert_eq!(verdicts(&fleet, "shop"), ["leader_overdue"]);
}

#[test]
fn an_operator_that_creates_forever_does_not_hold_up_the_clock() {
    let mut creating = cluster("shop", 0);
    creating.status = Some("Creating".into());
    creating.dcs = None;
    creating.members.clear();
    let mut fleet = fleet([(0, told(creating, 0))]);
    fleet.tick(at(100_000));
    assert_eq!(verdicts(&fleet, "shop"), ["no_primary"]);
}

#[test]
fn ten_thousand_heartbeats_paint_nothing_and_leave_one_recheck_a_cluster() {
    let names: Vec<String> = (0..2000).map(|n| format!("c{n}")).collect();
    let mut fleet = fleet(names.iter().map(|name| (0, told(cluster(name, 0), 0))));
    let before = fleet.generation();
    for beat in 1..=5 {
        for name in &names {
            fleet.apply(told(cluster(name, beat * 10), beat * 10), at(beat * 10));
        }
        fleet.tick(at(beat * 10));
    }
    assert_eq!(fleet.generation(), before);
    assert_eq!(fleet.rechecks.len(), 2000);

    // At rest a tick looks at nothing until something is due.
    assert_eq!(fleet.next_recheck(), Some(at(80)));
    assert!(!fleet.tick(at(80) - SignedDuration::from_millis(1)));
}

#[test]
fn a_fault_told_again_is_no_change_until_it_is_another_one() {
    let refused = |needs: &str, second: i64| Seen::Rows {
        instance: InstanceId { cluster: id("shop"), member: "shop-0".into() },
        database: None,
        survey: SurveyId::Vitals,
        at: at(second),
        took_ms: 0,
        rows: Err(Fault::Forbidden { what: "a secret".into(), needs: needs.into() }),
    };
    let mut fleet = fleet([(0, told(cluster("shop", 0), 0)), (1, refused("a right", 1))]);
    let before = fleet.generation();
    fleet.apply(refused("a right", 9), at(9));
    assert_eq!(fleet.generation(), before);
    let vitals = &fleet.get(&id("shop")).unwrap().instances["shop-0"].vitals;
    assert!(matches!(vitals, Known::Lost { at: told, .. } if *told == at(9)), "{vitals:?}");

    fleet.apply(refused("another right", 10), at(10));
    assert!(fleet.generation() > before);
    // Where there is a history each gap is one more.
    fleet.apply(sample("shop-0", false, 11), at(11));
    for second in 12..14 {
        let before = fleet.generation();
        fleet.apply(refused("a right", second), at(second));
        assert!(fleet.generation() > before);
    }
}

#[test]
fn a_member_that_still_does_not_answer_is_judged_again() {
    let silent = |second: i64| Seen::Rows {
        instance: InstanceId { cluster: id("shop"), member: "shop-1".into() },
        database: None,
        survey: SurveyId::Vitals,
        at: at(second),
        took_ms: 0,
        rows: Err(Fault::Unreachable { what: "shop-1".into(), why: "refused".into() }),
    };
    let mut fleet = fleet([(0, told(cluster("shop", 0), 0)), (1, silent(1))]);
    let holds = |fleet: &Fleet| verdicts(fleet, "shop").contains(&"not_answering");
    assert!(holds(&fleet));
    // Nobody asked for long: it is not believed any more, until the same fault is told anew.
    fleet.tick(at(152));
    assert!(!holds(&fleet));
    fleet.apply(silent(153), at(153));
    assert!(holds(&fleet));
}

#[test]
fn a_heartbeat_that_moves_the_approximate_lag_is_a_change() {
    use crate::metric::lsn::Lsn;
    let with = |renewed: i64, optime: u64| {
        let mut cluster = cluster("shop", renewed);
        cluster.dcs.as_mut().unwrap().optime = Some(Lsn(optime));
        Arc::make_mut(&mut cluster.members[1]).patroni = Some(crate::fleet::cluster::PatroniMember {
            state: "running".into(),
            role: Role::Standby,
            version: None,
            timeline: Some(1),
            position: Some(Lsn(0)),
            received: None,
            replayed: None,
            replication_state: None,
            pending_restart: false,
            pending_reason: BTreeMap::new(),
            pause: false,
            tags: BTreeMap::new(),
        });
        told(cluster, renewed)
    };
    let mut fleet = fleet([(0, with(0, 100))]);
    let generation = fleet.generation();
    fleet.apply(with(10, 200), at(10));
    assert_eq!(fleet.generation(), generation, "a hundred bytes are not worth a frame");
    fleet.apply(with(20, 5 << 20), at(20));
    assert!(fleet.generation() > generation, "five megabytes are");
}
