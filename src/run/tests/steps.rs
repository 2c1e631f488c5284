//! What comes before an order, between its steps and after the last.

use super::*;
use crate::metric::vitals::Vitals;

/// A hand-over, then a patch of the CR.
pub(super) fn in_two(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut deal = consider(aim, looked)?;
    let (uid, version) = ("u".into(), "1".into());
    let order = Order::Patch { cluster: instance().cluster, uid, version, patch: json!({"spec": {}}) };
    let expect = Expect::Members { cluster: instance().cluster, count: 1, primary: None };
    deal.steps.push(Step { order, expect, within_s: 10 });
    Ok(deal)
}

/// The CR in that version, asking for so many members.
pub(super) fn objects_of(version: &str, instances: u32) -> Looked {
    let mut cluster =
        crate::fleet::cluster::Cluster::named(instance().cluster, crate::fleet::cluster::Origin::Resource);
    cluster.uid = Some("u".into());
    cluster.spec.instances = Some(instances);
    let objects = Objects {
        cluster,
        version: version.into(),
        resource: json!({}),
        annotations: BTreeMap::new(),
        finalizers: Vec::new(),
        pods: BTreeMap::new(),
        rules: Rules::default(),
    };
    (Probe::Objects(instance().cluster), Ok(Answer::Objects(Box::new(objects))))
}

#[test]
fn a_patch_after_a_hand_over_is_aimed_anew_and_never_over_somebody_elses() {
    let seen = |pause: bool, instances: u32| {
        let Event::Looked(mut looked) = view(pause) else { unreachable!("it is") };
        looked.push(objects_of("1", instances));
        Event::Looked(looked)
    };
    for (instances, expected) in [(3, None), (5, Some(Outcome::Failed))] {
        let aim = offered().aim;
        let (mut run, _) = Run::new("r".into(), "scale", aim, vec![Probe::Patroni(instance())], in_two, at(0));
        let past = || Event::Recalled(Ok(Past::default()));
        let recorded = || Event::Recorded(Ok(()));
        for event in [past(), seen(false, 3), confirmed(), past(), seen(false, 3), recorded(), recorded()] {
            run.advance(at(1), event);
        }
        run.advance(at(2), Event::Sent(Ok(String::new())));
        assert_eq!(kinds(&run.advance(at(3), view(true))), ["look"]);
        let outs = run.advance(at(4), Event::Looked(vec![objects_of("9", instances)]));
        assert_eq!(run.outcome(), expected);
        if expected.is_none() {
            let [Out::Record(Entry { what: What::Sending { order: Order::Patch { version, .. }, .. }, .. })] =
                &outs[..]
            else {
                panic!("{outs:?}")
            };
            assert_eq!(&**version, "9");

            // Somebody wrote to it in between, and changed nothing that is wanted: the operator, its status.
            run.advance(at(5), Event::Recorded(Ok(())));
            let conflict = Fault::Conflict { what: "the CR".into(), why: "it is newer".into() };
            assert_eq!(kinds(&run.advance(at(5), Event::Sent(Err(conflict)))), ["note", "look"]);
            let outs = run.advance(at(5), Event::Looked(vec![objects_of("9b", 3)]));
            assert!(format!("{outs:?}").contains("\"9b\"") && run.outcome().is_none(), "{outs:?}");

            // A patch whose answer is lost may yet arrive, as long as the CR is what it was made for.
            run.advance(at(5), Event::Recorded(Ok(())));
            let lost = Fault::Unreachable { what: "the API".into(), why: "closed".into() };
            run.advance(at(6), Event::Sent(Err(lost)));
            let seen = |version| Event::Looked(vec![objects_of(version, 3)]);
            assert_eq!((kinds(&run.advance(at(7), seen("9b"))), run.outcome()), (vec!["look"], None));
            run.advance(at(8), seen("10"));
            assert_eq!(run.outcome(), Some(Outcome::Failed));
        }
    }
}

#[test]
fn a_change_of_the_resource_waits_for_the_one_before_it_whoever_gave_it() {
    let open = Open {
        run: "other".into(),
        action: "wal-archiving".into(),
        patches: true,
        despite: None,
        at: None,
        host: None,
    };
    let past = || Event::Recalled(Ok(Past { open: vec![open.clone()], last: None }));
    let free = || Event::Recalled(Ok(Past::default()));
    let seen = || {
        let Event::Looked(mut looked) = view(false) else { unreachable!("it is") };
        looked.push(objects_of("1", 3));
        Event::Looked(looked)
    };
    let aim = offered().aim;
    let (mut run, _) = Run::new("r".into(), "scale", aim, vec![Probe::Patroni(instance())], in_two, at(0));
    run.advance(at(1), past());
    run.advance(at(1), seen());
    assert!(run.why_it_waits().unwrap().starts_with("wal-archiving changes this cluster's CR"));
    // It has ended when this one is confirmed; or the other way round.
    run.advance(at(2), confirmed());
    run.advance(at(2), free());
    assert_eq!(kinds(&run.advance(at(2), seen())), ["record"]);

    let aim = offered().aim;
    let (mut run, _) = Run::new("r".into(), "scale", aim, vec![Probe::Patroni(instance())], in_two, at(0));
    for event in [free(), seen(), confirmed(), past(), seen()] {
        run.advance(at(1), event);
    }
    assert_eq!(
        (run.outcome(), run.lines.last().unwrap().text.contains("has not ended")),
        (Some(Outcome::Refused), true)
    );
}

#[test]
fn an_order_that_cannot_be_told_to_be_for_the_same_cluster_is_refused_but_where_a_right_is_missing() {
    let forbidden = Fault::Forbidden { what: "the CR".into(), needs: "get postgresqls".into() };
    let lost = Fault::Unreachable { what: "the API".into(), why: "refused".into() };
    for (fault, colour) in [(lost, Colour::Red), (forbidden, Colour::Amber)] {
        let aim = offered().aim;
        let (mut run, outs) = Run::new("r".into(), "pause", aim, vec![Probe::Patroni(instance())], consider, at(0));
        let [_, _, Out::Look { probes, .. }] = &outs[..] else { panic!("{outs:?}") };
        assert!(matches!(probes[..], [Probe::Patroni(_), Probe::Identity(_)]), "{probes:?}");
        let Event::Looked(mut looked) = view(false) else { unreachable!("it is") };
        looked.push((probes[1].clone(), Err(fault)));
        run.advance(at(0), Event::Recalled(Ok(Past::default())));
        run.advance(at(0), Event::Looked(looked));
        let deal = run.deal.as_ref().unwrap();
        assert!(deal.colour() == colour && deal.lights.iter().any(|light| light.text.contains("cannot be told")));
    }
}

/// Nobody has sampled the host before: its identity is the one of the first look.
#[test]
fn a_host_that_is_another_database_by_now_gets_no_order() {
    let cluster = ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "old".into() };
    let aim = Aim { cluster, uid: None, member: Some("h:5432".into()), ..offered().aim };
    let (mut run, _) = Run::new("r".into(), "terminate", aim, vec![Probe::Patroni(instance())], consider, at(0));
    for event in [Event::Recalled(Ok(Past::default())), before(false), confirmed()] {
        run.advance(at(0), event);
    }
    assert_eq!((&run.phase, run.aim.uid.as_deref()), (&Phase::Again, Some("u")));
    run.advance(at(1), another());
    assert_eq!(run.outcome(), Some(Outcome::Refused));
    assert!(run.lines.last().unwrap().text.contains("another database"), "{:?}", run.lines);
}

/// A run whose first of two steps is proved, and what it asks for before the second.
fn between_two(twice: Consider) -> (Run, Vec<Out>) {
    let aim = offered().aim;
    let (mut run, _) = Run::new("r".into(), "restart", aim, vec![Probe::Patroni(instance())], twice, at(0));
    let past = || Event::Recalled(Ok(Past::default()));
    let recorded = || Event::Recorded(Ok(()));
    for event in [past(), before(false), confirmed(), past(), before(false), recorded(), recorded()] {
        run.advance(at(1), event);
    }
    run.advance(at(2), Event::Sent(Ok(String::new())));
    let outs = run.advance(at(3), view(true));
    (run, outs)
}

/// Two calls: the cluster is made anew between them.
#[test]
fn a_later_step_is_for_the_same_cluster_or_not_sent() {
    fn twice(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
        let mut deal = consider(aim, looked)?;
        deal.steps.push(deal.steps[0].clone());
        Ok(deal)
    }
    for (uid, outcome) in [("u", None), ("another", Some(Outcome::Failed))] {
        let (mut run, outs) = between_two(twice);
        assert!(
            matches!(&outs[..], [Out::Look { probes, .. }] if matches!(probes[..], [Probe::Identity(_)])),
            "{outs:?}"
        );
        let outs = run.advance(at(3), Event::Looked(vec![is(uid)]));
        assert_eq!((run.outcome(), kinds(&outs)[0]), (outcome, if outcome.is_none() { "record" } else { "note" }));
    }
}

/// Two calls that are for a cluster which shop-0 leads: another one leads between them, or nobody for a while.
#[test]
fn a_later_step_is_not_sent_once_another_member_leads() {
    fn twice(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
        let deal = consider(aim, looked)?;
        let steps = vec![deal.steps[0].clone(), deal.steps[0].clone()];
        Ok(Deal { steps, led_by: Some("shop-0".into()), ..deal })
    }
    let led_by = |leader: Option<&str>| {
        let members: Vec<_> = leader.iter().map(|name| json!({"name": name, "role": "leader"})).collect();
        let view = PatroniView::read(&json!({"members": members}), json!({}));
        Event::Looked(vec![is("u"), (Probe::Patroni(instance()), Ok(Answer::Patroni(Box::new(view))))])
    };
    let silent = || {
        let Event::Looked(looked) = lost() else { unreachable!("it is") };
        Event::Looked([vec![is("u")], looked].concat())
    };
    let between = || {
        let (run, outs) = between_two(twice);
        let [Out::Look { probes, .. }] = &outs[..] else { panic!("{outs:?}") };
        assert!(matches!(probes[..], [Probe::Identity(_), Probe::Patroni(_)]), "{probes:?}");
        run
    };
    let mut run = between();
    assert_eq!(kinds(&run.advance(at(3), led_by(Some("shop-0")))), ["record"]);

    let mut run = between();
    run.advance(at(3), led_by(Some("shop-1")));
    assert_eq!(run.outcome(), Some(Outcome::Failed));
    let said: Vec<_> = run.lines.iter().map(|line| &*line.text).collect();
    let told = "the leader changed: shop-1 leads now, not shop-0; 1 of 2 steps are done, not sent: PATCH /config on shop-0; look \
                again";
    assert_eq!(said[said.len() - 2..], [told, "to go back: resume"]);

    // A leader that is being elected, and a Patroni that does not answer, are waited for; not for ever.
    for quiet in [led_by(None), silent()] {
        let mut run = between();
        assert_eq!((kinds(&run.advance(at(4), quiet.clone())), run.outcome()), (vec!["look"], None));
        assert_eq!(kinds(&run.advance(at(5), led_by(Some("shop-0")))), ["record"]);
        let mut run = between();
        run.advance(at(63), quiet);
        assert_eq!(run.outcome(), Some(Outcome::Failed), "{:?}", run.lines);
    }
}

/// The screen showed shop-0 on timeline 3.
#[test]
fn another_leader_than_the_screen_showed_is_told_and_stands_against_what_is_done_to_it() {
    fn restarts(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
        let order =
            Order::Patroni { instance: instance(), method: Method::Post, path: "/restart".into(), body: json!({}) };
        let expect = Expect::Restarted {
            instance: instance(),
            after: at(0),
            standby: false,
            recovers: false,
            followers: Vec::new(),
        };
        Ok(Deal { steps: vec![Step { order, expect, within_s: 10 }], ..consider(aim, looked)? })
    }
    fn pauses(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
        let mut deal = restarts(aim, looked)?;
        deal.steps[0].expect = Expect::Pause { cluster: instance().cluster, paused: true };
        Ok(deal)
    }
    let lights = |consider: Consider, leader: (&str, u32), shown: (Option<&str>, Option<u32>)| {
        let aim = offered().aim;
        let (mut run, _) = Run::new("r".into(), "x", aim, vec![Probe::Patroni(instance())], consider, at(0));
        run.shown = Shown { primary: shown.0.map(Text::from), timeline: shown.1, spec: None };
        let members = json!({"members": [{"name": leader.0, "role": "leader", "timeline": leader.1}]});
        let view = PatroniView::read(&members, json!({}));
        let seen = vec![(Probe::Patroni(instance()), Ok(Answer::Patroni(Box::new(view)))), is("u")];
        run.advance(at(0), Event::Recalled(Ok(Past::default())));
        run.advance(at(0), Event::Looked(seen));
        let lights = run.deal.unwrap().lights.into_iter().filter(|light| light.text.starts_with("the screen showed"));
        lights.collect::<Vec<_>>()
    };
    let screen = (Some("shop-0"), Some(3));
    let moved = "the screen showed shop-0 as primary on timeline 3 when the key was pressed; now shop-1 leads on timeline 4: look \
                 again";
    assert_eq!(lights(pauses, ("shop-1", 4), screen), [Light::amber(moved)]);
    assert_eq!(lights(restarts, ("shop-1", 4), screen), [Light::red(moved)]);
    assert_eq!(lights(restarts, ("shop-0", 5), screen)[0].colour, Colour::Red);
    for (leader, shown) in
        [(("shop-0", 3), screen), (("shop-0", 5), (Some("shop-0"), None)), (("shop-1", 4), (None, None))]
    {
        assert_eq!(lights(restarts, leader, shown), [], "{leader:?} {shown:?}");
    }
}

#[test]
fn a_resource_that_asks_for_something_else_than_the_screen_knew_is_told_where_it_is_to_be_changed() {
    let lights = |order: Order, shown: Option<u32>| {
        let (aim, probes) = (offered().aim, vec![Probe::Objects(instance().cluster)]);
        let (mut run, _) = Run::new("r".into(), "x", aim, probes, consider, at(0));
        run.shown.spec = shown.map(|instances| Spec { instances: Some(instances), ..Spec::default() });
        let looked = [objects_of("7", 3)];
        let step = Step { order, expect: Expect::Over, within_s: 10 };
        run.rewritten(&Deal { steps: vec![step], ..Deal::default() }, &looked)
    };
    let patch = |cluster| Order::Patch { cluster, uid: "u".into(), version: "7".into(), patch: json!({}) };
    let poke = Order::Patroni { instance: instance(), method: Method::Post, path: "/restart".into(), body: json!({}) };
    let told = Light::amber("the CR has been changed since the key was pressed: look again");
    assert_eq!(lights(patch(instance().cluster), Some(2)), Some(told));
    assert_eq!(lights(patch(instance().cluster), Some(3)), None);
    assert_eq!(lights(patch(instance().cluster), None), None, "a command has no screen");
    assert_eq!(lights(poke, Some(2)), None);
}

/// Two sessions are ended: the second is gone when its turn comes.
#[test]
fn a_later_session_that_has_ended_by_itself_is_no_failure_and_the_first_one_is() {
    fn two(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
        let step = |pid| Step {
            order: Order::Sql { instance: instance(), statement: Statement::Terminate { pid, started: at(0) } },
            expect: Expect::Terminated { instance: instance(), pid, started: at(0) },
            within_s: 10,
        };
        Ok(Deal { steps: vec![step(1), step(2)], ..consider(aim, looked)? })
    }
    let gone = || Event::Sent(Err(Fault::Gone { what: "backend 2".into() }));
    let nobody = || {
        let probe = Probe::Sample { instance: instance(), surveys: vec![SurveyId::Activity] };
        let rows = vec![(SurveyId::Activity, Ok(Rows::Activity(Vec::new())))];
        Event::Looked(vec![(probe, Ok(Answer::Sample(rows)))])
    };
    let begun = || {
        let (mut run, _) = Run::new("r".into(), "end", offered().aim, vec![Probe::Patroni(instance())], two, at(0));
        let past = || Event::Recalled(Ok(Past::default()));
        let recorded = || Event::Recorded(Ok(()));
        for event in [past(), before(false), confirmed(), past(), before(false), recorded(), recorded()] {
            run.advance(at(1), event);
        }
        run
    };
    let mut run = begun();
    for event in [Event::Sent(Ok(String::new())), nobody(), Event::Looked(vec![is("u")]), Event::Recorded(Ok(()))] {
        run.advance(at(2), event);
    }
    for event in [gone(), nobody()] {
        run.advance(at(3), event);
    }
    assert_eq!(run.outcome(), Some(Outcome::Proved), "{:?}", run.lines);

    let mut run = begun();
    run.advance(at(2), gone());
    assert_eq!(run.outcome(), Some(Outcome::Refused), "{:?}", run.lines);
}

#[test]
fn a_leader_without_its_consumer_is_waited_for_a_while_and_then_proved_as_it_is() {
    let mut run = sending();
    let slots = vec![Kept { name: "cdc".into(), read: true, lost: false }];
    let expect = Expect::Leader { instance: instance(), timeline: None, followers: Vec::new(), slots };
    let step = &mut run.deal.as_mut().unwrap().steps[0];
    (step.expect, step.within_s) = (expect.clone(), 120);
    let seen = |is_read: bool| {
        let leader = json!({"members": [{"name": "shop-0", "role": "leader", "state": "running", "timeline": 2}]});
        let slot = Slot { active: is_read, ..logical("cdc") };
        let vitals = Vitals { timeline: Some(2), ..crate::fleet::health::tests::vitals(false) };
        let rows = vec![
            (SurveyId::Vitals, Ok(Rows::Vitals(Box::new(vitals)))),
            (SurveyId::Slots, Ok(Rows::Slots(vec![slot]))),
            (SurveyId::Replication, Ok(Rows::Replication(Vec::new()))),
        ];
        let answers = [Answer::Patroni(Box::new(PatroniView::read(&leader, json!({})))), Answer::Sample(rows)];
        Event::Looked(expect.probes().into_iter().zip(answers.map(Ok)).collect())
    };
    run.advance(at(2), Event::Sent(Ok("taken".into())));
    assert_eq!(kinds(&run.advance(at(31), seen(false))), ["look"]);
    let last = |run: &Run| run.lines.last().unwrap().text.clone();
    assert!(last(&run).starts_with("waiting: shop-0 leads") && last(&run).contains("nobody reads it yet"));
    run.advance(at(32), seen(false));
    assert_eq!(run.outcome(), Some(Outcome::Proved));
    assert!(last(&run).ends_with("slot cdc is there, and nobody reads it yet"), "{:?}", run.lines);
}

#[test]
fn a_second_red_line_was_not_overridden() {
    let offer = |lights: &[Light]| Deal { lights: lights.to_vec(), ..Deal::default() };
    let (one, other) = (Light::red("replay is paused"), Light::red("a backup runs"));
    let before = offer(&[one.clone(), Light::amber("it lags")]);
    assert_eq!(super::deal::changed(&before, &before), None);
    assert_eq!(super::deal::changed(&before, &offer(&[Light::red("replay is still paused")])), None);
    let told = super::deal::changed(&before, &offer(&[one, other])).unwrap();
    assert!(told.contains("a backup runs"), "{told}");
}
