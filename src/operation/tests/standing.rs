//! How the operator stands to a cluster, and what that means for each order.

use super::*;

fn detached(objects: &mut Objects) {
    objects.annotations.insert("acid.zalan.do/controller".into(), "pgdeck-detached".into());
}

fn considered(id: &str, args: &[(&str, &str)], change: fn(&mut Objects)) -> Deal {
    let mut looked = looked(0, json!({}), |objects| {
        objects.pods = [0, 1, 2].map(|n| (format!("shop-{n}").into(), format!("u-{n}").into())).into();
        objects.cluster.workload.as_mut().unwrap().archive_env = [("WAL_S3_BUCKET".into(), "b".into())].into();
        change(objects);
    });
    looked.push((Probe::Backups(id_of_shop()), Ok(Answer::Backups(Box::default()))));
    looked.extend((0..3).map(|n| sampled(&format!("shop-{n}"), |_| ())));
    (operation(id).unwrap().consider)(&aim(args), &looked).unwrap()
}

fn id_of_shop() -> ClusterId {
    super::id()
}

/// What only the operator brings about is red on a cluster that no operator acts on, and nothing else is.
#[test]
fn a_detached_cluster_is_red_for_what_the_operator_would_do() {
    let check = |id: &str, args: &[(&str, &str)], expected: bool| {
        let deal = considered(id, args, detached);
        let is_red = red(&deal).iter().any(|text| text.starts_with("detached") && text.ends_with("attach it first"));
        assert_eq!(is_red, expected, "{id} {args:?}: {:?}", deal.lights);
        assert!(deal.lights.iter().any(|light| light.text.starts_with("detached")) || id == "attach", "{id}");
        let attached =
            considered(if id == "attach" { "detach" } else { id }, if id == "attach" { &[] } else { args }, |_| ());
        assert!(!attached.lights.iter().any(|light| light.text.starts_with("detached")), "{id}");
    };
    check("scale", &[("instances", "5")], true);
    check("scale", &[("instances", "0")], true);
    check("wal-archiving", &[("to", "off")], true);
    check("logical-backup", &[("do", "on")], true);
    check("restart", &[("what", "pods")], true);
    check("reconcile", &[], true);
    check("delete", &[], true);
    check("restart", &[], false);
    check("switchover", &[], false);
    check("failover", &[("to", "shop-1")], false);
    check("patroni-pause", &[], false);
    check("attach", &[], false);
}

/// What each number of members means for commits that wait for a standby.
#[test]
fn commits_that_would_hang_or_wait_for_nobody_are_said_for_every_number_of_members() {
    let check = |strict: bool, count: &str, expected: &str| {
        let config = json!({"synchronous_mode": true, "synchronous_mode_strict": strict});
        let deal = scale(count, &looked(0, config, |_| ())).unwrap();
        let said = told(deal.lights).into_iter().filter(|line| line.contains("synchronous")).collect::<Vec<_>>();
        assert_eq!(said, [expected], "{strict} {count}");
    };
    check(true, "0", "Green: synchronous mode is strict: without a member there is nothing to commit");
    check(true, "1", "Red: synchronous_mode_strict is on: with one member every commit would hang");
    check(true, "2", "Green: synchronous mode is strict: 1 standby(s) can be synchronous then");
    check(true, "5", "Green: synchronous mode is strict: 4 standby(s) can be synchronous then");
    check(false, "0", "Green: synchronous mode is on: without a member there is nothing to commit");
    check(false, "1", "Amber: synchronous mode is on: with one member commits wait for nobody");
    check(false, "2", "Green: synchronous mode is on: 1 standby(s) can be synchronous then");

    let with = |strict: bool, one: serde_json::Value, two: serde_json::Value| {
        let config = json!({"synchronous_mode": true, "synchronous_mode_strict": strict});
        let mut members = json!([
            {"name": "shop-0", "role": "leader", "state": "running", "timeline": 1},
            {"name": "shop-1", "role": "replica", "state": "running", "timeline": 1, "tags": one},
            {"name": "shop-2", "role": two, "state": "running", "timeline": 1},
        ]);
        let view = PatroniView::read(&json!({"members": members.take()}), config.clone());
        let mut looked = looked(0, config, |_| ());
        looked[1].1 = Ok(Answer::Patroni(Box::new(view)));
        told(scale("2", &looked).unwrap().lights)
    };
    let nosync = json!({"nosync": true});
    says(
        &with(true, nosync.clone(), "replica".into()),
        "Red: synchronous_mode_strict is on, and none of the 2 members could",
    );
    says(&with(false, nosync, "replica".into()), "Amber: synchronous mode is on, and none of the 2 members could");
    let goes = "is synchronous and goes: commits hang until Patroni has chosen another";
    says(&with(true, json!({}), "sync_standby".into()), &format!("Amber: synchronous mode is strict: shop-2 {goes}"));

    // Nobody answers, since there is no member: the CR tells.
    let mut hibernating = looked(0, json!({}), |objects| {
        objects.cluster.spec.instances = Some(0);
        objects.cluster.workload.as_mut().unwrap().replicas = 0;
        (objects.cluster.spec.synchronous, objects.cluster.spec.synchronous_strict) = (true, true);
    });
    drop(hibernating.remove(1));
    assert!(red(&scale("1", &hibernating).unwrap())[0].contains("every commit would hang"));
    assert!(red(&scale("2", &hibernating).unwrap()).is_empty());
}

/// What a standby that is copied anew takes along.
#[test]
fn a_standby_is_copied_anew_only_after_who_waits_for_it_and_what_goes_with_it_was_said() {
    let said = |config: serde_json::Value, role: &str, slots: Vec<Slot>, backends: Vec<Backend>| {
        let members = json!([
            {"name": "shop-0", "role": "leader", "state": "running", "timeline": 1},
            {"name": "shop-1", "role": role, "state": "streaming", "timeline": 1, "lag": 0},
        ]);
        let mut looked = looked(0, json!({}), |_| ());
        let view = PatroniView::read(&json!({"members": members}), config);
        looked[1].1 = Ok(Answer::Patroni(Box::new(view)));
        looked.push(sampled("shop-1", |sample| (sample.slots, sample.backends) = (slots, backends)));
        let aim = Aim { member: Some("shop-1".into()), ..aim(&[]) };
        told((member::REINITIALIZE.consider)(&aim, &looked).unwrap().lights)
    };
    let none = said(json!({}), "replica", vec![logical("shop_0")], Vec::new());
    for line in
        ["no commit waits for shop-1", "no slot goes with the data of shop-1", "no base backup runs from shop-1"]
    {
        says(&none, &format!("Green: {line}"));
    }
    let config = json!({"synchronous_mode": true, "slots": {"cdc": {}}});
    let long = vec![backend(1, "", Some(900.0))];
    let some = said(config, "sync_standby", vec![logical("cdc"), logical("stray")], long);
    says(&some, "Amber: shop-1 is synchronous: commits wait until Patroni has chosen another");
    says(&some, "Amber: slots that go with the data of shop-1: cdc (Patroni makes it anew), stray");
    says(&some, "Amber: 1 transaction(s) on shop-1 are open for more than 300 s");
}

#[test]
fn another_operator_that_can_be_seen_acts_on_what_names_it() {
    let deal = considered("reconcile", &[], |objects| {
        objects.annotations.insert("acid.zalan.do/controller".into(), "team-a".into());
        objects.rules.controllers = vec!["team-a".into()];
    });
    assert!(red(&deal).is_empty(), "{:?}", deal.lights);
    says(&told(deal.lights), "Green: the operator team-a acts on it");
    let unseen = considered("reconcile", &[], |objects| {
        objects.annotations.insert("acid.zalan.do/controller".into(), "team-a".into());
    });
    assert!(red(&unseen)[0].contains("acid.zalan.do/controller is team-a"));
}

#[test]
fn what_the_operator_is_at_and_has_not_taken_up_is_said_by_every_order_that_it_matters_for() {
    let lagging = |objects: &mut Objects| objects.cluster.workload.as_mut().unwrap().replicas = 2;
    for (id, args) in
        [("scale", ("instances", "5")), ("wal-archiving", ("to", "off")), ("logical-backup", ("do", "on"))]
    {
        assert!(red(&considered(id, &[args], lagging))[0].contains("not taken up yet"), "{id}");
        let said = told(considered(id, &[args], |_| ()).lights);
        says(&said, "Green: the operator has taken up the last change of its size: 3 members");
        says(&said, "Green: no rolling update is pending");
        let said = told(considered(id, &[args], |objects| objects.cluster.status = Some("Updating".into())).lights);
        says(&said, "Amber: the operator says Updating");
    }
    // What was not taken up is what it is poked for.
    let poked = considered("reconcile", &[], lagging);
    assert!(red(&poked).is_empty());
    says(&told(poked.lights), "Amber: an earlier change is not taken up yet");
    let unknown = (succession::SWITCHOVER.consider)(&aim(&[]), &[patroni(0, json!({}))]).unwrap();
    says(&told(unknown.lights), "Amber: what the operator is at is not known");
}
