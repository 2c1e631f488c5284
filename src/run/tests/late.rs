//! What came too late, and what is cut short.

use super::steps::{in_two, objects_of};
use super::*;

/// A patch of the CR alone; amber while Patroni is paused.
fn patched(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut deal = in_two(aim, looked)?;
    deal.steps.remove(0);
    if let (Order::Patch { version, .. }, Some((_, Ok(Answer::Objects(objects))))) =
        (&mut deal.steps[0].order, looked.last())
    {
        version.clone_from(&objects.version);
    }
    Ok(deal)
}

/// The operator writes to the CR all the time: what it refused since is looked at once more as a whole, and sent only as it was
/// confirmed.
#[test]
fn a_patch_that_came_too_late_is_looked_at_anew_as_a_whole_before_it_is_sent_again() {
    let past = || Event::Recalled(Ok(Past::default()));
    let recorded = || Event::Recorded(Ok(()));
    let seen = |pause: bool, version: &str| {
        let Event::Looked(mut looked) = view(pause) else { unreachable!("it is") };
        looked.push(objects_of(version, 3));
        Event::Looked(looked)
    };
    let conflict = || Fault::Conflict { what: "the CR".into(), why: "it is newer".into() };
    for (pause, expected) in [(false, None), (true, Some(Outcome::Refused))] {
        let aim = offered().aim;
        let (mut run, _) = Run::new("r".into(), "scale", aim, vec![Probe::Patroni(instance())], patched, at(0));
        for event in [past(), seen(false, "1"), confirmed(), past(), seen(false, "1"), recorded(), recorded()] {
            run.advance(at(1), event);
        }
        assert_eq!(kinds(&run.advance(at(2), Event::Sent(Err(conflict())))), ["note", "settle", "recall", "look"]);
        assert!(run.is_under_way() && !run.has_sent());
        run.advance(at(2), past());
        let outs = run.advance(at(3), seen(pause, "2"));
        assert_eq!(run.outcome(), expected, "{:?}", run.lines);
        if expected.is_some() {
            // The journal has what was asked for already.
            assert_eq!(kinds(&outs), ["note"]);
            continue;
        }
        assert!(matches!(&outs[..], [Out::Record(Entry { what: What::Sending { step: 0, .. }, .. })]), "{outs:?}");
        let outs = run.advance(at(3), recorded());
        assert!(matches!(&outs[..], [Out::Send(Order::Patch { version, .. }, _)] if &**version == "2"), "{outs:?}");
    }
}

/// Whoever sees to it ends, at any moment: what is out is waited for, and nothing else is sent.
#[test]
fn what_is_cut_short_sends_nothing_more_and_says_what_it_did_not_send() {
    let past = || Event::Recalled(Ok(Past::default()));
    let recorded = || Event::Recorded(Ok(()));
    let seen = |pause: bool| {
        let Event::Looked(mut looked) = view(pause) else { unreachable!("it is") };
        looked.push(objects_of("1", 3));
        Event::Looked(looked)
    };
    let both = "not sent: PATCH /config on shop-0, patch postgresql d/shop";
    let second = "not sent: patch postgresql d/shop";
    let sent = || Event::Sent(Ok(String::new()));
    let late = || Event::Looked(vec![objects_of("1", 3)]);
    let events = || {
        let first = [past(), seen(false), confirmed(), past(), seen(false), recorded(), recorded()];
        first.into_iter().chain([sent(), view(true), late()])
    };
    // Cut short before the event of that number: looked at once more, asked, recorded, sent, proved.
    let cases = [
        (4, true, Outcome::Refused, both),
        (5, false, Outcome::Refused, both),
        (6, false, Outcome::Refused, both),
        (7, false, Outcome::Failed, second),
        (8, false, Outcome::Failed, second),
        (9, true, Outcome::Failed, second),
    ];
    for (moment, ends_at_once, expected, why) in cases {
        let aim = offered().aim;
        let (mut run, _) = Run::new("r".into(), "scale", aim, vec![Probe::Patroni(instance())], in_two, at(0));
        for (n, event) in events().enumerate() {
            if n == moment {
                let outs = run.cut_short(at(1));
                assert_eq!(kinds(&outs).is_empty(), !ends_at_once, "{outs:?}");
            }
            let outs = run.advance(at(1), event);
            assert!(n < moment || !kinds(&outs).contains(&"send"), "{moment}: {outs:?}");
            // Nothing else is looked at for it.
            assert!(n < 8 || moment > 8 || run.outcome().is_some(), "{moment}: {:?}", run.phase);
        }
        assert_eq!((run.outcome(), run.was_cut_short()), (Some(expected), true), "{moment}: {:?}", run.lines);
        assert!(run.lines.iter().any(|line| line.text.ends_with(why)), "{moment}: {:?}", run.lines);
        let goes_back = run.lines.iter().any(|line| line.text == "to go back: resume");
        assert_eq!(goes_back, expected == Outcome::Failed, "{:?}", run.lines);
    }

    // So does what comes too late by then.
    let (mut run, _) = Run::new("r".into(), "scale", offered().aim, vec![Probe::Patroni(instance())], patched, at(0));
    for event in [past(), seen(false), confirmed(), past(), seen(false), recorded(), recorded()] {
        run.advance(at(1), event);
    }
    run.cut_short(at(1));
    let conflict = Fault::Conflict { what: "the CR".into(), why: "it is newer".into() };
    assert_eq!(kinds(&run.advance(at(2), Event::Sent(Err(conflict)))), ["note", "note"]);
    assert_eq!((run.outcome(), run.was_cut_short()), (Some(Outcome::Refused), true), "{:?}", run.lines);

    // What takes something back goes on.
    let aim = offered().aim;
    let (mut run, _) = Run::new("r".into(), "resume", aim, vec![Probe::Patroni(instance())], in_two, at(0));
    run.takes_back = Some("an older one".into());
    assert_eq!(run.cut_short(at(1)), []);
    let sends = events().flat_map(|event| run.advance(at(1), event)).collect::<Vec<_>>();
    assert!(kinds(&sends).contains(&"send") && !run.was_cut_short(), "{sends:?}");
}
