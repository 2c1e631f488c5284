mod late;
mod steps;

use jiff::SignedDuration;
use serde_json::json;

use std::collections::BTreeMap;

use super::expect::{Expect, Kept};
use super::*;
use crate::id::ClusterId;
use crate::id::InstanceId;
use crate::id::PlaneId;
use crate::metric::slots::Slot;
use crate::metric::slots::tests::logical;
use crate::metric::{Rows, SurveyId};
use crate::work::entry::{Colour, Light};
use crate::work::order::{Method, Statement};
use crate::work::past::{Open, Past};
use crate::work::patroni::{PatroniView, Scheduled};
use crate::work::probe::{Objects, Rules};

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn instance() -> InstanceId {
    let cluster = ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: "shop".into() };
    InstanceId { cluster, member: "shop-0".into() }
}

/// A pause of Patroni; amber while Patroni is paused already, refused where it does not answer.
fn consider(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let Some((_, Ok(Answer::Patroni(view)))) = looked.first() else { return Err("Patroni does not answer".into()) };
    let light = if view.pause { Light::amber("paused already") } else { Light::green("not paused") };
    let body = json!({"pause": true, "by": aim.args.get("by").map(ToString::to_string)});
    let order = Order::Patroni { instance: instance(), method: Method::Patch, path: "/config".into(), body };
    let expect = Expect::Scheduled { instance: instance(), waits: true };
    let steps = vec![Step { order, expect, within_s: 10 }];
    Ok(Deal {
        lights: vec![light],
        steps,
        undo: "resume".into(),
        downtime: "none".into(),
        by_name: false,
        ..Deal::default()
    })
}

fn view(pause: bool) -> Event {
    let switchover = pause.then(|| Scheduled { at: "noon".into(), from: None, to: None });
    let view = PatroniView { pause, switchover, ..PatroniView::default() };
    Event::Looked(vec![(Probe::Patroni(instance()), Ok(Answer::Patroni(Box::new(view))))])
}

/// The same, asked before it is sent.
fn before(pause: bool) -> Event {
    let Event::Looked(mut looked) = view(pause) else { unreachable!("it is") };
    looked.push(is("u"));
    Event::Looked(looked)
}

/// What is there under that name.
fn is(uid: &str) -> Looked {
    let cluster = InstanceId::whoever_leads(&instance().cluster);
    (Probe::Identity(cluster), Ok(Answer::Identity(Some(uid.into()))))
}

fn lost() -> Event {
    let fault = Fault::Unreachable { what: "Patroni".into(), why: "refused".into() };
    Event::Looked(vec![(Probe::Patroni(instance()), Err(fault))])
}

/// The cluster was deleted and made anew.
fn anew() -> Event {
    let mut cluster =
        crate::fleet::cluster::Cluster::named(instance().cluster, crate::fleet::cluster::Origin::Resource);
    cluster.uid = Some("another".into());
    let objects = Objects {
        cluster,
        version: "1".into(),
        resource: json!({}),
        annotations: BTreeMap::new(),
        finalizers: Vec::new(),
        pods: BTreeMap::new(),
        rules: Rules::default(),
    };
    let Event::Looked(mut looked) = view(false) else { unreachable!("it is") };
    looked.push((Probe::Objects(instance().cluster), Ok(Answer::Objects(Box::new(objects)))));
    Event::Looked(looked)
}

/// The same, where nothing but the uid was asked.
fn another() -> Event {
    let Event::Looked(mut looked) = view(false) else { unreachable!("it is") };
    looked.push(is("another"));
    Event::Looked(looked)
}

fn confirmed() -> Event {
    Event::Confirmed { how: "y".into(), who: "me".into(), reason: None }
}

fn offered() -> Run {
    let aim = Aim {
        cluster: instance().cluster,
        uid: Some("u".into()),
        member: None,
        args: BTreeMap::new(),
        at: Timestamp::UNIX_EPOCH,
        who: "me".into(),
    };
    let (mut run, _) = Run::new("r".into(), "pause", aim, vec![Probe::Patroni(instance())], consider, at(0));
    run.advance(at(0), Event::Recalled(Ok(Past::default())));
    run.advance(at(0), before(false));
    assert_eq!((&run.phase, run.deal.as_ref().unwrap().colour()), (&Phase::Offered, Colour::Green));
    run
}

/// Up to where the order is on its way.
fn sending() -> Run {
    let mut run = offered();
    run.advance(at(1), confirmed());
    run.advance(at(1), Event::Recalled(Ok(Past::default())));
    run.advance(at(1), before(false));
    run.advance(at(1), Event::Recorded(Ok(())));
    run.advance(at(1), Event::Recorded(Ok(())));
    assert_eq!(run.phase, Phase::Sending { step: 0 });
    run
}

fn kinds(outs: &[Out]) -> Vec<&'static str> {
    let kind = |out: &Out| match out {
        Out::Settle(_) => "settle",
        Out::Recall(_) => "recall",
        Out::Look { .. } => "look",
        Out::Record(_) => "record",
        Out::Note(_) => "note",
        Out::Send(..) => "send",
        Out::Try(_) => "try",
        Out::Tell(_) => "tell",
    };
    outs.iter().map(kind).collect()
}

#[test]
fn it_is_recorded_before_it_is_sent_and_done_only_when_its_effect_is_seen() {
    let mut run = offered();
    assert_eq!(kinds(&run.advance(at(1), confirmed())), ["settle", "recall", "look"]);
    run.advance(at(1), Event::Recalled(Ok(Past::default())));
    assert_eq!(kinds(&run.advance(at(1), before(false))), ["record"]);
    assert_eq!(kinds(&run.advance(at(1), Event::Recorded(Ok(())))), ["record"]);
    assert_eq!(kinds(&run.advance(at(1), Event::Recorded(Ok(())))), ["send"]);
    assert_eq!(kinds(&run.advance(at(2), Event::Sent(Ok("taken".into())))), ["note", "look"]);
    assert_eq!(kinds(&run.advance(at(2), view(false))), ["look"]);
    assert_eq!(run.outcome(), None);
    assert_eq!(kinds(&run.advance(at(3), view(true))), ["note"]);
    assert_eq!(run.outcome(), Some(Outcome::Proved));
}

#[test]
fn nothing_is_sent_that_the_journal_cannot_keep() {
    let mut run = offered();
    run.advance(at(1), confirmed());
    run.advance(at(1), Event::Recalled(Ok(Past::default())));
    run.advance(at(1), before(false));
    let outs = run.advance(at(1), Event::Recorded(Err(Unkept::Broken("disk full".into()))));
    assert_eq!((kinds(&outs), run.outcome()), (vec!["note"], Some(Outcome::Refused)));
}

#[test]
fn what_has_changed_since_it_was_shown_is_not_sent() {
    for changed in [before(true), lost(), anew(), another()] {
        let mut run = offered();
        run.advance(at(1), confirmed());
        run.advance(at(1), Event::Recalled(Ok(Past::default())));
        let outs = run.advance(at(1), changed);
        assert!(!kinds(&outs).contains(&"record"), "{outs:?}");
        assert_eq!(run.outcome(), Some(Outcome::Refused));
    }
    let mut run = offered();
    run.advance(at(1), confirmed());
    run.aim.args.insert("by".into(), "another".into());
    run.advance(at(1), Event::Recalled(Ok(Past::default())));
    run.advance(at(1), before(false));
    assert_eq!(run.outcome(), Some(Outcome::Refused));
    assert!(run.lines.last().unwrap().text.contains("has changed since it was shown"));
}

/// What came before is part of the preflight: told, and looked at once more before anything is sent.
#[test]
fn what_came_before_unproved_needs_a_yes_and_what_comes_meanwhile_is_not_overlooked() {
    let unproved = Past { last: Some(("scale".into(), "UNPROVEN".into())), ..Past::default() };
    let lost = Err("the journal cannot be read".to_owned());
    for (past, word) in [(Ok(unproved), "scale, ended UNPROVEN"), (lost, "cannot be read")] {
        let aim = offered().aim;
        let (mut run, outs) = Run::new("r".into(), "pause", aim, vec![Probe::Patroni(instance())], consider, at(0));
        assert_eq!(kinds(&outs), ["settle", "recall", "look"]);
        run.advance(at(0), Event::Recalled(past.clone()));
        run.advance(at(0), before(false));
        let worst = run.deal.as_ref().unwrap().lights.last().cloned().unwrap();
        assert!(worst.colour == Colour::Amber && worst.text.contains(word), "{worst:?}");

        let mut run = offered();
        run.advance(at(1), confirmed());
        run.advance(at(1), Event::Recalled(past));
        assert!(!kinds(&run.advance(at(1), before(false))).contains(&"record"));
        assert_eq!(run.outcome(), Some(Outcome::Refused));
        assert!(run.lines.last().unwrap().text.contains(word), "{:?}", run.lines);
    }
}

/// Nobody has seen the lines of what confirms itself: another green one changes nothing, and a question stops it, whatever colour
/// the lines had before.
#[test]
fn what_nobody_attends_to_is_judged_anew_before_it_is_sent() {
    fn asks(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
        let asks = looked.iter().any(|(_, answer)| matches!(answer, Ok(Answer::Patroni(view)) if view.pause));
        let lights = vec![Light::amber("it was amber before")];
        Ok(Deal { lights, asks: asks.then(|| "slots are not known".into()), ..consider(aim, looked)? })
    }
    let once = |judged: Consider, again: Past, paused: bool| {
        let (mut run, _) =
            Run::new("r".into(), "resume", offered().aim, vec![Probe::Patroni(instance())], judged, at(0));
        run.unattended = Some("me".into());
        run.advance(at(0), Event::Recalled(Ok(Past::default())));
        run.advance(at(0), before(false));
        assert_eq!(run.phase, Phase::Again, "{:?}", run.lines);
        run.advance(at(0), Event::Recalled(Ok(again)));
        run.advance(at(0), before(paused));
        (run.outcome(), run.lines.last().unwrap().text.clone())
    };
    let other = Past { last: Some(("switchover-cancel".into(), "UNPROVEN".into())), ..Past::default() };
    assert_eq!(once(consider, other, false).0, None, "a line that is amber now");
    let (outcome, why) = once(asks, Past::default(), true);
    assert!(outcome == Some(Outcome::Refused) && why.contains("slots are not known"), "{why}");
}

#[test]
fn a_refusal_is_a_failure_and_a_lost_answer_is_not() {
    let mut run = sending();
    let refused = Fault::Refused { what: "Patroni".into(), why: "no".into() };
    run.advance(at(2), Event::Sent(Err(refused)));
    assert_eq!(run.outcome(), Some(Outcome::Failed));

    // What was not touched needs no way back.
    let mut run = sending();
    let conflict = Fault::Conflict { what: "the CR".into(), why: "it is newer".into() };
    run.advance(at(2), Event::Sent(Err(conflict)));
    assert_eq!(run.outcome(), Some(Outcome::Refused));
    assert!(!run.lines.iter().any(|line| line.text.starts_with("to go back")));

    let mut run = sending();
    let lost = Fault::TimedOut { what: "Patroni".into(), after: std::time::Duration::from_secs(1) };
    assert_eq!(kinds(&run.advance(at(2), Event::Sent(Err(lost)))), ["note", "look"]);
    run.advance(at(3), view(true));
    assert_eq!(run.outcome(), Some(Outcome::Proved));
}

#[test]
fn what_is_not_seen_in_time_is_unproven_and_says_how_to_go_back() {
    let mut run = sending();
    run.advance(at(2), Event::Sent(Ok(String::new())));
    assert_eq!(kinds(&run.advance(at(11), lost())), ["look"]);
    run.advance(at(12), view(false));
    assert_eq!(run.outcome(), Some(Outcome::Unproven));
    let said: Vec<_> = run.lines.iter().map(|line| &*line.text).collect();
    assert!(said.iter().any(|line| line.contains("Patroni lists no switchover")), "{said:?}");
    assert_eq!(said.last(), Some(&"to go back: resume"));
}

#[test]
fn what_is_late_means_nothing_and_what_was_never_confirmed_is_not_journaled() {
    let mut run = offered();
    assert_eq!(run.advance(at(1), Event::Sent(Ok(String::new()))), []);
    assert_eq!(run.phase, Phase::Offered);

    let aim = run.aim.clone();
    let (mut run, _) = Run::new("r".into(), "pause", aim, vec![Probe::Patroni(instance())], consider, at(0));
    assert_eq!((run.advance(at(0), lost()), run.outcome()), (vec![], Some(Outcome::Refused)));
}
