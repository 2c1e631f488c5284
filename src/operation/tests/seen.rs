//! What is known before anybody is asked: whom to ask, and what would change nothing.

use std::sync::Arc;

use super::*;
use crate::fleet::cluster::{Dcs, DcsConfig, Held, Switchover};
use crate::fleet::health::{Severity, Verdict};
use crate::metric::vitals::Replay;

/// Three members that run, the first of which leads.
fn entry() -> Entry {
    let mut cluster = Cluster::named(id(), Origin::Resource);
    cluster.uid = Some("u".into());
    cluster.members = (0..3).map(|n| Arc::new(member(&format!("shop-{n}")))).collect();
    let config = Some(Arc::new(DcsConfig::default()));
    cluster.dcs = Some(Dcs { leader: Some("shop-0".into()), config, ..Dcs::default() });
    Entry::new(cluster, Timestamp::UNIX_EPOCH)
}

fn sample(entry: &mut Entry, member: &str, vitals: Result<Vitals, Fault>) {
    let rows = vitals.map(|vitals| Rows::Vitals(Box::new(vitals)));
    entry.instances.entry(member.into()).or_default().take(SurveyId::Vitals, Timestamp::UNIX_EPOCH, rows);
}

fn replaying(replay: Replay) -> Vitals {
    Vitals { replay, ..crate::fleet::health::tests::vitals(true) }
}

fn silent() -> Fault {
    Fault::Unreachable { what: "it".into(), why: "refused".into() }
}

#[test]
fn the_primary_is_asked_first_unless_it_is_known_not_to_answer() {
    let asked = |entry: &Entry| spokesmen(entry).unwrap().join(" ");
    assert_eq!(asked(&entry()), "shop-0 shop-1");

    let mut overdue = entry();
    let verdict = Verdict {
        id: "leader_overdue",
        severity: Severity::Critical,
        evidence: Vec::new(),
        since: Timestamp::UNIX_EPOCH,
        since_first_seen: false,
    };
    overdue.health.verdicts.push(verdict);
    assert_eq!(asked(&overdue), "shop-1 shop-2");

    let mut fails = entry();
    sample(&mut fails, "shop-0", Err(silent()));
    assert_eq!(asked(&fails), "shop-1 shop-2");
    // A right that is missing says nothing about the server.
    let mut hidden = entry();
    sample(&mut hidden, "shop-0", Err(Fault::Forbidden { what: "it".into(), needs: "pg_monitor".into() }));
    assert_eq!(asked(&hidden), "shop-0 shop-1");

    let mut other = entry();
    sample(&mut other, "shop-1", Err(silent()));
    assert_eq!(asked(&other), "shop-0 shop-2");
    other.cluster.members.truncate(2);
    assert_eq!(asked(&other), "shop-0");
    let mut alone = entry();
    alone.cluster.members.truncate(1);
    sample(&mut alone, "shop-0", Err(silent()));
    assert_eq!(asked(&alone), "shop-0");
    alone.cluster.members.clear();
    assert!(spokesmen(&alone).unwrap_err().contains("no Patroni to ask"));
}

/// Whoever answers is called: a primary that hangs holds nothing up.
#[test]
fn orders_go_to_the_member_that_has_answered() {
    let waits = |config: serde_json::Value| {
        let (probe, answer) = patroni_of("shop-1", 0, config);
        let Ok(Answer::Patroni(mut view)) = answer else { panic!("no view") };
        let at = "2099-01-01T00:00:00+00:00".into();
        view.switchover = Some(crate::work::patroni::Scheduled { at, from: None, to: None });
        let hangs = Probe::Patroni(InstanceId { cluster: id(), member: "shop-0".into() });
        [(hangs, Err(silent())), (probe, Ok(Answer::Patroni(view)))]
    };
    let check = |id: &str, looked: &[Looked], expected: &str| {
        let deal = (operation(id).unwrap().consider)(&aim(&[]), looked).unwrap();
        assert_eq!(deal.steps[0].order.title(), expected);
    };
    check("patroni-pause", &waits(json!({})), "PATCH /config on shop-1");
    check("patroni-resume", &waits(json!({"pause": true})), "PATCH /config on shop-1");
    check("switchover-cancel", &waits(json!({})), "DELETE /switchover on shop-1");

    // The standby is held by its own Patroni where that answers, else by another's.
    let held = |asked: &str| {
        let member = Probe::Patroni(InstanceId { cluster: id(), member: "shop-1".into() });
        let mut looked = vec![(member, Err(silent())), patroni_of(asked, 0, json!({}))];
        looked.extend([sampled("shop-1", |_| ()), sampled("shop-0", Sample::leads)]);
        let aim = Aim { member: Some("shop-1".into()), ..aim(&[]) };
        let deal = (replay::REPLAY_PAUSE.consider)(&aim, &looked).unwrap();
        (deal.steps[0].order.title(), deal.hold.unwrap().back[1].order.title())
    };
    assert_eq!(held("shop-2"), ("PATCH /config on shop-2".into(), "PATCH /config on shop-2".into()));

    // A switchover takes the leader itself.
    let [hangs, (probe, Ok(Answer::Patroni(mut view)))] = waits(json!({})) else { panic!("no view") };
    view.switchover = None;
    let deal = (succession::SWITCHOVER.consider)(&aim(&[]), &[hangs, (probe, Ok(Answer::Patroni(view)))]).unwrap();
    assert!(red(&deal)[0].starts_with("Patroni of shop-0 does not answer"), "{:?}", deal.lights);
}

#[test]
fn what_would_change_nothing_is_greyed_where_that_is_known() {
    let check = |id: &str, change: &dyn Fn(&mut Entry), expected: Option<&str>| {
        let mut entry = entry();
        change(&mut entry);
        let why = (operation(id).unwrap().moot)(&entry, Some(&"shop-1".into()));
        assert_eq!(why.as_deref(), expected, "{id}");
    };
    let config = |change: fn(&mut DcsConfig)| {
        move |entry: &mut Entry| {
            let mut config = DcsConfig::default();
            change(&mut config);
            entry.cluster.dcs.as_mut().unwrap().config = Some(Arc::new(config));
        }
    };
    let as_it_is = |_: &mut Entry| ();
    let paused = config(|config| config.pause = true);
    let unknown = |entry: &mut Entry| entry.cluster.dcs = None;
    let coming = |entry: &mut Entry| entry.cluster.coming = true;
    check("patroni-pause", &as_it_is, None);
    check("patroni-pause", &paused, Some("Patroni is paused already"));
    check("patroni-resume", &as_it_is, Some("Patroni is not paused"));
    check("patroni-resume", &paused, None);
    for change in [&unknown as &dyn Fn(&mut Entry), &coming] {
        for id in ["patroni-pause", "patroni-resume", "switchover-cancel"] {
            check(id, change, None);
        }
    }
    let waits = |entry: &mut Entry| {
        entry.cluster.dcs.as_mut().unwrap().switchover = Some(Switchover { from: None, to: None, at: None });
    };
    check("switchover-cancel", &as_it_is, Some("no switchover waits"));
    check("switchover-cancel", &waits, None);
    let detached = |entry: &mut Entry| entry.cluster.controller = Some("pgdeck-detached".into());
    check("attach", &as_it_is, Some("it is not detached"));
    check("attach", &|entry| entry.cluster.uid = None, None);
    check("attach", &detached, None);
    check("detach", &as_it_is, None);
    check("detach", &detached, Some("it is detached already (its controller is pgdeck-detached)"));
    check("switchover", &as_it_is, None);
    check("switchover", &|entry| entry.cluster.members.truncate(1), Some("there is no second member"));
    let leads = |entry: &mut Entry| entry.cluster.dcs.as_mut().unwrap().leader = Some("shop-1".into());
    check("reinitialize", &as_it_is, None);
    check("reinitialize", &leads, Some("shop-1 leads"));

    let replay = |replay| move |entry: &mut Entry| sample(entry, "shop-1", Ok(replaying(replay)));
    check("replay-pause", &as_it_is, None);
    check("replay-pause", &leads, Some("shop-1 leads"));
    check("replay-pause", &replay(Replay::Paused), Some("its replay is paused already"));
    check("replay-resume", &as_it_is, None);
    check("replay-resume", &replay(Replay::Running), Some("its replay is not paused"));
    check("replay-resume", &replay(Replay::Paused), None);
    let held = |entry: &mut Entry| {
        replay(Replay::Running)(entry);
        let held = Held { member: "shop-1".into(), who: "me".into(), since: None, for_s: 60 };
        let config = DcsConfig { held: Some(held), ..DcsConfig::default() };
        entry.cluster.dcs.as_mut().unwrap().config = Some(Arc::new(config));
    };
    check("replay-resume", &held, None);
}
