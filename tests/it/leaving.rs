//! The end that a signal asks for: what it takes back by itself, and what it leaves to be told.

use std::sync::Arc;

use pgdeck::app::{self, Effect, Msg};
use pgdeck::fault::Fault;
use pgdeck::fleet::cluster::{DcsConfig, Switchover};
use pgdeck::fleet::seen::{Seen, Source, SourceState};
use pgdeck::run::{Out, Outcome, Phase, Run};
use pgdeck::work::patroni::PatroniView;
use pgdeck::work::probe::{Answer, Probe};
use serde_json::json;

use crate::rig::{Rig, fleets, world};

const AT: &str = "2099-01-01T03:00:00+00:00";

/// A console where that was ordered for `acid-shop`, and proved.
fn ordered(keys: &str) -> Rig {
    let mut rig = Rig::new(fleets::busy());
    rig.model.state.settings.read_only = false;
    rig.asks("/ a c i d - s h o p enter W");
    rig.asks(keys);
    let id = rig.model.state.ledger.all().next().unwrap().id.clone();
    let run = rig.model.state.ledger.get_mut(&id).unwrap();
    assert!(run.leaves);
    run.phase = Phase::Ended(Outcome::Proved);
    rig.keys("esc");
    rig
}

fn scheduled() -> Rig {
    let key = |c| if c == ' ' { "space".into() } else { String::from(c) };
    let keys: Vec<String> = format!(":switchover at={AT}").chars().map(key).collect();
    ordered(&format!("{} enter", keys.join(" ")))
}

/// Asks it to end, and gives the run that takes something back by itself, if there is one.
fn interrupted(rig: &mut Rig) -> Option<Run> {
    let effects = app::update(&mut rig.model, rig.now, vec![Msg::Interrupt]);
    let run = rig.model.state.ledger.all().find(|run| run.unattended.is_some()).cloned();
    let looks = |outs: &[Out]| outs.iter().any(|out| matches!(out, Out::Look { .. }));
    let begins = effects.iter().any(|effect| matches!(effect, Effect::Run(_, outs) if looks(outs)));
    let ends = effects.contains(&Effect::Exit(pgdeck::app::Outcome::Interrupted));
    // It ends at once where there is nothing to take back.
    assert_eq!((begins, ends), (run.is_some(), run.is_none()), "{effects:?}");
    run
}

/// The plane is lost for a moment.
fn blink(rig: &mut Rig) {
    let source = Source::Plane { plane: fleets::id("acid-shop").plane };
    let why = Fault::Unreachable { what: "the API".into(), why: "refused".into() };
    for state in [SourceState::Lost { why }, SourceState::Live { polled: false }] {
        rig.see(vec![Seen::Source { source: source.clone(), state, at: rig.now }]);
    }
}

/// What Patroni says: paused, in that version of its configuration.
fn paused(rig: &mut Rig, version: &str) {
    let (pause, version) = (true, Some(version.into()));
    rig.sees(|dcs| {
        dcs.config = Some(Arc::new(DcsConfig { pause, version, ..(**dcs.config.as_ref().unwrap()).clone() }));
    });
}

/// Not every change is seen as it comes: while psql has the terminal, or the API is away, several come as one.
#[test]
fn a_pause_that_may_be_somebody_elses_by_now_is_left_and_told() {
    for (version, is_ours) in [("7", true), ("9", false)] {
        let mut rig = ordered("x p");
        paused(&mut rig, "7");
        blink(&mut rig);
        paused(&mut rig, version);
        let run = interrupted(&mut rig);
        assert_eq!(run.map(|run| run.action), is_ours.then_some("patroni-resume"));
        let words = rig.model.state.ledger.last_words();
        assert!(words[0].starts_with("patroni-pause of demo//production/acid-shop stays, since "), "{words:?}");
    }
    // It was not seen at all, or only long after it was made.
    assert!(interrupted(&mut ordered("x p")).is_none());
    let mut rig = ordered("x p");
    rig.now += jiff::SignedDuration::from_secs(60);
    paused(&mut rig, "7");
    assert!(interrupted(&mut rig).is_none());
}

#[test]
fn what_the_user_is_taking_back_already_is_not_taken_back_beside() {
    let mut rig = ordered("x p");
    paused(&mut rig, "7");
    let todo = rig.keys("x P");
    rig.answered(todo, |probe| match probe {
        Probe::Patroni(_) => {
            let leader = json!({"name": "acid-shop-0", "role": "leader", "state": "running"});
            let cluster = json!({"members": [leader], "pause": true});
            Ok(Answer::Patroni(Box::new(PatroniView::read(&cluster, json!({"pause": true})))))
        }
        probe => world::answer(probe),
    });
    rig.keys("y");
    app::update(&mut rig.model, rig.now, vec![Msg::Interrupt]);
    let ends: Vec<&Run> = rig.model.state.ledger.all().filter(|run| run.action == "patroni-resume").collect();
    assert!(ends.len() == 1 && ends[0].is_under_way() && ends[0].unattended.is_none(), "{ends:?}");
}

#[test]
fn what_was_confirmed_and_not_sent_is_ended_and_told_and_what_was_only_offered_is_not() {
    let mut rig = ordered("x p");
    rig.asks("x r");
    rig.keys("y");
    rig.keys("esc");
    rig.asks("x o");
    let effects = app::update(&mut rig.model, rig.now, vec![Msg::Interrupt]);
    let notes = effects.iter().flat_map(|effect| if let Effect::Run(_, outs) = effect { &outs[..] } else { &[] });
    assert_eq!(notes.filter(|out| matches!(out, Out::Note(_))).count(), 2, "asked, and ended: {effects:?}");
    let words = rig.model.state.ledger.last_words();
    let told = |action: &str| words.iter().filter(|words| words.starts_with(action)).count();
    assert_eq!((told("restart of"), told("reconcile of")), (1, 0), "{words:?}");
}

#[test]
fn only_the_switchover_that_was_scheduled_here_is_cancelled_and_only_while_it_waits() {
    let waits = |rig: &mut Rig, at: Option<&str>| {
        let switchover = |at: &str| Switchover { from: None, to: None, at: Some(at.into()) };
        rig.sees(|dcs| dcs.switchover = at.map(switchover));
    };
    let mut rig = scheduled();
    // The same moment in another offset.
    waits(&mut rig, Some("2099-01-01T04:00:00+01:00"));
    let run = interrupted(&mut rig).unwrap();
    assert_eq!((run.action, run.aim.args.get("at").map(|at| &**at)), ("switchover-cancel", Some(AT)));

    let mut rig = scheduled();
    waits(&mut rig, Some(AT));
    waits(&mut rig, Some("2099-01-01T05:00:00+00:00"));
    assert!(interrupted(&mut rig).is_none() && rig.model.state.ledger.last_words().is_empty());

    // Its time has come, though nobody saw it wait.
    let mut rig = scheduled();
    rig.now = "2099-01-01T03:00:01Z".parse().unwrap();
    assert!(interrupted(&mut rig).is_none() && rig.model.state.ledger.last_words().is_empty());

    // It waits all the same: the clock over there is behind.
    let mut rig = scheduled();
    rig.now = "2099-01-01T03:00:01Z".parse().unwrap();
    waits(&mut rig, Some(AT));
    assert!(interrupted(&mut rig).is_some());
}

#[test]
fn whoever_was_asked_to_end_takes_no_keys_any_more() {
    let mut rig = ordered("x p");
    rig.sees_pause(true);
    assert!(interrupted(&mut rig).is_some());
    let before = rig.model.state.ledger.all().count();
    assert!(rig.keys("q").is_empty() && rig.asks("x s").is_empty() && rig.keys("ctrl-c").is_empty());
    assert_eq!(rig.model.state.ledger.all().count(), before);
}

#[test]
fn what_is_on_its_way_is_told_as_not_seen_to_its_end_and_what_was_not_sent_is_not() {
    let mut rig = ordered("x p");
    rig.sees_pause(true);
    let resume = interrupted(&mut rig).unwrap();
    let stays =
        |words: &[String]| words.iter().any(|words| words.contains("patroni-pause of") && words.contains("stays"));
    // It is looked at once more: nothing is out.
    rig.model.state.ledger.get_mut(&resume.id).unwrap().phase = Phase::Again;
    let words = rig.model.state.ledger.last_words();
    assert!(stays(&words) && words.len() == 1, "{words:?}");
    rig.model.state.ledger.get_mut(&resume.id).unwrap().phase = Phase::Sending { step: 0 };
    let words = rig.model.state.ledger.last_words();
    assert!(
        !stays(&words) && words[0].contains("patroni-resume of demo//production/acid-shop was not seen to its end"),
        "{words:?}"
    );
}
