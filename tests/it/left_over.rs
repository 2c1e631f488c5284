//! A pause of replay that a pgdeck of somebody else, with a journal of its own, has left behind.

use std::sync::Arc;

use pgdeck::app::{self, Effect, Msg};
use pgdeck::fault::Fault;
use pgdeck::fleet::cluster::{DcsConfig, Held};
use pgdeck::fleet::seen::Seen;
use pgdeck::metric::SurveyId;
use pgdeck::run::{Out, Outcome, Phase};
use pgdeck::state::ledger::LeftOver;
use pgdeck::work::entry::What;
use pgdeck::work::patroni::PatroniView;
use pgdeck::work::probe::{Answer, Probe};
use serde_json::json;

use crate::rig::{Rig, fleets, world};

const SIZE: (u16, u16) = (120, 40);
const WHOSE: &str = "eve (uid 7) has paused replay of acid-shop-1";

/// The cluster whose Patroni says that a replay was paused a minute ago, for so long.
fn held(for_s: u32) -> Seen {
    let mut cluster = fleets::cluster("acid-shop", 3);
    let dcs = cluster.dcs.as_mut().unwrap();
    let since = Some(fleets::now() - jiff::SignedDuration::from_secs(60));
    let held = Held { member: "acid-shop-1".into(), who: "eve (uid 7)".into(), since, for_s };
    let config = DcsConfig { held: Some(held), pause: true, ..(**dcs.config.as_ref().unwrap()).clone() };
    dcs.config = Some(Arc::new(config));
    Seen::Cluster { cluster: Box::new(cluster), at: fleets::now() }
}

/// A console that may be armed.
fn console(for_s: u32) -> Rig {
    let mut rig = Rig::new(fleets::busy());
    rig.model.state.settings.read_only = false;
    rig.see(vec![held(for_s)]);
    rig
}

/// Lets time pass, answers what is asked then, and gives what else is asked of the world.
fn wait(rig: &mut Rig, seconds: i64) -> Vec<Effect> {
    rig.now += jiff::SignedDuration::from_secs(seconds);
    let todo = app::update(&mut rig.model, rig.now, vec![Msg::Tick]);
    rig.answered(todo, answer)
}

fn answer(probe: &Probe) -> Result<Answer, Fault> {
    match probe {
        Probe::Patroni(_) => {
            let member =
                |n: u32, role: &str| json!({"name": format!("acid-shop-{n}"), "role": role, "state": "running"});
            let cluster = json!({"members": [member(0, "leader"), member(1, "replica")], "pause": true});
            let held = json!({"member": "acid-shop-1", "who": "eve (uid 7)", "since": "then", "for_s": 60});
            let config = json!({"pause": true, "pgdeck": {"replay-pause": held}});
            Ok(Answer::Patroni(Box::new(PatroniView::read(&cluster, config))))
        }
        probe => world::answer(probe),
    }
}

#[test]
fn what_another_pgdeck_has_left_is_offered_when_its_time_is_over_and_takes_arming() {
    let mut rig = console(60);
    wait(&mut rig, 30);
    assert!(rig.model.screen.dialog.is_none(), "{}", rig.text(SIZE));
    wait(&mut rig, 120);
    let text = rig.text(SIZE);
    assert!(text.contains("replay-resume demo//production/acid-shop/acid-shop-1"), "{text}");
    assert!(text.contains("PATCH /config on") && text.contains("READ-ONLY"), "{text}");
    assert!(!rig.keys("y").iter().any(|effect| matches!(effect, Effect::Run(..))), "it was sent, though read-only");
    rig.keys("esc");
    assert!(rig.text(SIZE).contains(WHOSE), "{}", rig.text(SIZE));
    // Asked once.
    wait(&mut rig, 60);
    assert!(rig.model.screen.dialog.is_none());
    let run = rig.model.state.ledger.all().next();
    assert!(run.is_none(), "what was left is not offered any more");
}

#[test]
fn a_console_that_cannot_be_armed_is_told_and_not_asked() {
    let mut rig = console(60);
    rig.model.state.settings.read_only = true;
    wait(&mut rig, 200);
    assert!(rig.model.screen.dialog.is_none() && rig.text(SIZE).contains(WHOSE), "{}", rig.text(SIZE));
}

#[test]
fn what_is_still_held_is_nobody_elses_business() {
    let mut rig = console(3600);
    wait(&mut rig, 600);
    assert!(rig.model.screen.dialog.is_none() && !rig.text(SIZE).contains("did not end it"), "{}", rig.text(SIZE));
}

#[test]
fn a_pause_that_somebody_else_has_ended_and_made_anew_is_not_ours_to_end_unarmed() {
    for (is_made_anew, is_ours) in [(false, true), (true, false)] {
        let mut rig = Rig::new(fleets::busy());
        rig.model.state.settings.read_only = false;
        rig.asks("/ a c i d - s h o p enter W x p");
        let id = rig.model.state.ledger.all().next().unwrap().id.clone();
        assert!(rig.model.state.ledger.get(&id).unwrap().leaves);
        rig.model.state.ledger.get_mut(&id).unwrap().phase = Phase::Ended(Outcome::Proved);
        // What is known is from before the order at first: that ends nothing.
        rig.sees_pause(false);
        rig.sees_pause(true);
        if is_made_anew {
            rig.sees_pause(false);
            rig.sees_pause(true);
        }
        rig.asks("esc W x P");
        let run = rig.model.state.ledger.all().find(|run| run.action == "patroni-resume").unwrap();
        assert_eq!(run.takes_back.is_some(), is_ours, "made anew: {is_made_anew}");
    }
}

/// A console whose journal has a replay-pause that was cut off.
fn cut_off() -> Rig {
    let mut rig = console(3600);
    let cluster = fleets::id("acid-shop");
    let member = Some("acid-shop-1".into());
    let left = LeftOver { run: "old".into(), action: "replay-pause".into(), cluster, member, asked: false };
    rig.model.state.ledger.inherit(left);
    rig
}

fn ends_the_old_one(effects: &[Effect]) -> bool {
    let is_end = |out: &Out| matches!(out, Out::Note(entry) if &*entry.run == "old" && matches!(&entry.what, What::Ended { outcome: "UNPROVEN", .. }));
    effects.iter().any(|effect| matches!(effect, Effect::Run(_, outs) if outs.iter().any(is_end)))
}

#[test]
fn what_was_cut_off_stays_open_until_it_is_taken_back_or_is_there_no_more() {
    let mut rig = cut_off();
    assert!(!ends_the_old_one(&wait(&mut rig, 1)));
    assert!(rig.text(SIZE).contains("y do it"), "{}", rig.text(SIZE));
    rig.keys("esc");
    assert!(rig.model.state.ledger.was_cut_off("old"), "the next start asks again");

    let mut rig = cut_off();
    let todo = app::update(&mut rig.model, rig.now, vec![Msg::Tick]);
    // Patroni knows of no pause, and the standby replays.
    let others = rig.answered(todo, |probe| match probe {
        Probe::Sample { .. } => Ok(Answer::Sample(vec![(SurveyId::Vitals, Ok(fleets::vitals(false, 0x1600_0000)))])),
        probe => world::answer(probe),
    });
    assert!(ends_the_old_one(&others), "{others:?}");
    assert!(!rig.model.state.ledger.was_cut_off("old") && rig.model.screen.dialog.is_none());
}
