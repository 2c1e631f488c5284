//! The operator's words, and what it has not taken up.

use super::*;

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
    check(status("UpdateFailed"), &["update_failed"], "no event tells why");
    let failed = |at: i64| {
        move |entry: &mut Entry| {
            status("UpdateFailed")(entry);
            let warning = Warning { reason: "Switchover".into(), message: "no candidate".into(), at: Some(ago(at)) };
            entry.cluster.warning = Some(warning);
        }
    };
    check(failed(4001), &["update_failed"], "no event tells why");
    check(failed(4000), &["update_failed"], "UpdateFailed: no candidate");
}

#[test]
fn a_cluster_that_was_never_made_has_no_leader_for_the_operators_reason() {
    let unmade = |entry: &mut Entry| {
        let cluster = &mut entry.cluster;
        cluster.status = Some("SyncFailed".into());
        cluster.warning = Some(Warning { reason: "Sync".into(), message: "name too long".into(), at: Some(ago(50)) });
        (cluster.members, cluster.dcs, cluster.created) = (Vec::new(), None, Some(ago(700)));
    };
    let why = "no member leads: there are no pods: SyncFailed: name too long";
    check(unmade, &["no_primary", "operator_failed", "not_ready"], why);
}

#[test]
fn pods_without_an_object() {
    let orphan = |entry: &mut Entry| entry.cluster.origin = Origin::Orphan;
    check(orphan, &["orphan"], "pods shop-0, shop-1: being deleted, or orphaned");
    let left = |entry: &mut Entry| {
        orphan(entry);
        entry.cluster.workload = None;
    };
    check(left, &["orphan"], "no StatefulSet is seen, but pods shop-0, shop-1: left behind");
    check(
        |entry| {
            left(entry);
            for member in &mut entry.cluster.members {
                Arc::make_mut(member).pod.as_mut().unwrap().deleting = true;
            }
        },
        &["orphan"],
        "being deleted, or orphaned",
    );
}

#[test]
fn a_patroni_whose_postgres_never_ran_leads_nothing() {
    let mut entry = healthy();
    entry.cluster.dcs = None;
    entry.cluster.created = Some(ago(30));
    entry.cluster.status = Some("Creating".into());
    entry.instances.clear();
    for member in &mut entry.cluster.members {
        let member = Arc::make_mut(member);
        member.label_role = Role::Unknown;
        let patroni = member.patroni.as_mut().unwrap();
        (patroni.role, patroni.state) = (Role::Primary, "stopped".into());
    }
    assert_eq!(entry.cluster.members[0].role(), Role::Unknown);
    assert_eq!(ids(&judged(&entry)), ["starting"]);
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
fn moves_tell_since_when_the_operator_failed() {
    let mut entry = healthy();
    entry.cluster.status = Some("SyncFailed".into());
    entry.moves = VecDeque::from([
        Move { at: ago(500), to: Some("Running".into()) },
        Move { at: ago(90), to: Some("SyncFailed".into()) },
    ]);
    assert_eq!(judged(&entry).verdicts[0].since, ago(90));
}
