//! The end that a signal asks for: what it takes back by itself, and what it leaves to be told.

use pgdeck::app::{self, Effect, Msg};
use pgdeck::fault::Fault;
use pgdeck::fleet::cluster::Switchover;
use pgdeck::fleet::seen::{Seen, Source, SourceState};
use pgdeck::run::{Out, Outcome, Phase, Run};

use crate::rig::{Rig, fleets};

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
    let glances = |outs: &[Out]| outs.iter().any(|out| matches!(out, Out::Glance(_)));
    let begins = effects.iter().any(|effect| matches!(effect, Effect::Run(_, outs) if glances(outs)));
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

#[test]
fn what_was_out_of_sight_for_a_while_may_be_somebody_elses_and_is_told() {
    for blinks in [false, true] {
        let mut rig = ordered("x p");
        rig.sees_pause(true);
        if blinks {
            blink(&mut rig);
            rig.sees_pause(true);
        }
        let run = interrupted(&mut rig);
        assert_eq!(run.map(|run| run.action), (!blinks).then_some("patroni-resume"));
        let words = rig.model.state.ledger.last_words();
        assert!(words[0].starts_with("patroni-pause of demo//production/acid-shop stays, since "), "{words:?}");
    }
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
