//! Sources that are silent, and what time alone does.

use super::*;

#[test]
fn while_its_plane_is_silent_time_alone_makes_a_young_cluster_no_worse() {
    let mut young = healthy();
    (young.cluster.created, young.cluster.status) = (Some(ago(70)), None);
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
