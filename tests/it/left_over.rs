//! A pause of replay that a pgdeck of somebody else, with a journal of its own, has left behind.

use std::sync::Arc;

use pgdeck::app::{self, Effect, Msg};
use pgdeck::fault::Fault;
use pgdeck::fleet::cluster::{DcsConfig, Held};
use pgdeck::fleet::seen::Seen;
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
