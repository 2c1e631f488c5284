//! Arming, and what can be done to an order before it is answered.

use jiff::SignedDuration;
use pgdeck::app::{self, Effect, Msg};
use pgdeck::fault::Fault;
use pgdeck::fleet::seen::Seen;
use pgdeck::id::{InstanceId, Text};
use pgdeck::metric::SurveyId;
use pgdeck::run::{Event, Out};
use pgdeck::screen::confirm::{Answerable, answerable};
use pgdeck::work::entry::{Light, What};
use pgdeck::work::past::{Open, Past};
use pgdeck::work::probe::Probe;

use crate::rig::{Rig, fleets, world};

const SIZE: (u16, u16) = (120, 40);

/// A console that may change things, with the cursor on acid-shop.
fn writable() -> Rig {
    let mut rig = Rig::new(fleets::busy());
    rig.model.state.settings.read_only = false;
    rig.keys("/ a c i d - s h o p enter");
    rig
}

fn armed(rig: &Rig) -> Vec<String> {
    rig.model.state.ledger.armed_now(rig.now).map(|(scope, _)| scope.to_string()).collect()
}

#[test]
fn each_context_and_each_group_of_hosts_is_armed_and_disarmed_on_its_own() {
    let mut rig = writable();
    rig.keys("W");
    assert_eq!(armed(&rig), ["demo"]);
    rig.keys("esc / o l d p r o d enter");
    let effects = rig.keys("W");
    assert!(matches!(&effects[..], [Effect::Arm(scope, _)] if &**scope == "hosts:oldprod"), "{effects:?}");
    assert_eq!(armed(&rig), ["demo", "hosts:oldprod"]);
    assert!(rig.text(SIZE).contains("ARMED demo +1"), "{}", rig.text(SIZE));
    assert_eq!(rig.keys("W"), [Effect::Disarm("hosts:oldprod".into())]);
    assert_eq!(armed(&rig), ["demo"]);
    rig.now += SignedDuration::from_mins(15);
    assert_eq!(armed(&rig), Vec::<String>::new());
}

#[test]
fn a_console_that_begins_armed_leaves_out_what_is_protected() {
    let mut rig = writable();
    rig.model.state.settings.protected = vec!["oldprod".into()];
    let effects = rig.model.begin_armed(rig.now, &["demo".into(), "hosts:oldprod".into()]);
    assert!(matches!(&effects[..], [Effect::Arm(scope, _)] if &**scope == "demo"), "{effects:?}");
    assert_eq!(armed(&rig), ["demo"]);
    let text = rig.text(SIZE);
    assert!(text.contains("protected, and READ-ONLY until its name is typed: hosts:oldprod"), "{text}");
}

#[test]
fn the_arguments_of_an_offer_are_typed_over_and_looked_at_anew() {
    let mut rig = writable();
    rig.asks("W x s");
    let text = rig.text(SIZE);
    assert!(text.contains("\"candidate\":\"acid-shop-1\"") && text.contains("a arguments"), "{text}");
    rig.keys("a");
    assert!(rig.text(SIZE).contains("the member that takes over"), "{}", rig.text(SIZE));
    rig.types("to=acid-shop-2 nonsense=1 more and more");
    rig.asks("enter");
    assert!(rig.text(SIZE).contains("takes no argument"), "{}", rig.text(SIZE));
    rig.keys("ctrl-u");
    rig.types("to=acid-shop-9");
    rig.asks("enter");
    rig.keys("a ctrl-u");
    rig.types("to=acid-shop-2");
    rig.asks("enter");
    let text = rig.text(SIZE);
    assert!(text.contains("\"candidate\":\"acid-shop-2\""), "{text}");
    let offered = rig.model.state.ledger.all().filter(|run| run.deal.is_some()).count();
    assert_eq!(offered, 1, "what was offered before is withdrawn");
}

#[test]
fn the_palette_takes_arguments_behind_an_id() {
    let mut rig = writable();
    rig.keys("W :");
    rig.types("switchover to=acid-shop-2");
    assert!(rig.text(SIZE).contains("switchover [to=…] [at=…]"), "{}", rig.text(SIZE));
    rig.asks("enter");
    assert!(rig.text(SIZE).contains("\"candidate\":\"acid-shop-2\""), "{}", rig.text(SIZE));
    rig.keys("esc :");
    rig.types("scale many");
    rig.asks("enter");
    assert!(rig.text(SIZE).contains("scale: "), "{}", rig.text(SIZE));
}

#[test]
fn a_reason_goes_with_the_order_into_the_journal() {
    let mut rig = writable();
    rig.asks("W x s r");
    rig.types("disk of node 7 y");
    rig.asks("enter");
    assert!(rig.text(SIZE).contains("reason disk of node 7 y"), "{}", rig.text(SIZE));
    let effects = rig.asks("y");
    let [Effect::Run(_, outs)] = &effects[..] else { panic!("{effects:?}") };
    let [Out::Record(entry)] = &outs[..] else { panic!("{outs:?}") };
    let What::Asked(asked) = &entry.what else { panic!("{entry:?}") };
    assert_eq!(asked.reason.as_deref(), Some("disk of node 7 y"));
}

#[test]
fn where_a_name_is_typed_letters_are_letters_and_the_rest_has_keys_of_its_own() {
    let mut rig = writable();
    rig.asks("W enter j x R");
    let text = rig.text(SIZE);
    assert!(text.contains("ctrl-y copy"), "{text}");
    let effects = rig.asks("c r a t");
    assert_eq!(effects, []);
    assert!(rig.text(SIZE).contains(": crat"), "{}", rig.text(SIZE));
    let effects = rig.asks("ctrl-y");
    assert!(matches!(&effects[..], [Effect::Yank(text)] if text.contains("reinitialize")), "{effects:?}");
}

#[test]
fn an_offer_is_tried_on_the_server_read_only_too() {
    let mut rig = writable();
    rig.asks("x n");
    rig.types("4");
    rig.asks("enter");
    let text = rig.text(SIZE);
    assert!(text.contains("-   numberOfInstances: 3") && text.contains("+   numberOfInstances: 4"), "{text}");
    let effects = rig.asks("t");
    let [Effect::Run(id, outs)] = &effects[..] else { panic!("{effects:?}") };
    let [Out::Try(order)] = &outs[..] else { panic!("{outs:?}") };
    let said = Event::Tried(order.clone(), Ok("200".into()));
    app::update(&mut rig.model, rig.now, vec![Msg::Run(id.clone(), Box::new(said))]);
    let text = rig.text(SIZE);
    assert!(text.contains("tried on the server: patch postgresql") && text.contains("READ-ONLY"), "{text}");
}

/// The primary's part moves between the first key and the second: what was on the screen then is what counts.
#[test]
fn another_leader_than_the_one_on_the_screen_is_a_red_line_until_it_is_looked_at_again() {
    let mut rig = writable();
    let led_by = |rig: &mut Rig, primary: &str| {
        let mut cluster = fleets::cluster("acid-shop", 3);
        cluster.dcs.as_mut().unwrap().leader = Some(primary.into());
        rig.see(vec![Seen::Cluster { cluster: Box::new(cluster), at: rig.now }]);
    };
    // What SQL says goes before Patroni's word on the screen: the members are not sampled.
    for n in 0..3 {
        let member: Text = format!("acid-shop-{n}").into();
        let cluster = fleets::cluster("acid-shop", 3).id;
        let lost = Fault::Unreachable { what: member.to_string(), why: "refused".into() };
        rig.see(vec![Seen::Rows {
            instance: InstanceId { cluster, member },
            database: None,
            survey: SurveyId::Vitals,
            at: rig.now,
            took_ms: 3,
            rows: Err(lost),
        }]);
    }
    led_by(&mut rig, "acid-shop-1");
    rig.asks("W x");
    led_by(&mut rig, "acid-shop-0");
    rig.asks("s");
    let shown = |rig: &Rig| {
        let lights = rig.model.state.ledger.all().filter_map(|run| run.deal.as_ref()).flat_map(|deal| &deal.lights);
        lights.filter(|light| light.text.starts_with("the screen showed")).cloned().collect::<Vec<_>>()
    };
    let told = "the screen showed acid-shop-1 as primary on timeline 3 when the key was pressed; now acid-shop-0 leads on \
                timeline 3: look again";
    assert_eq!(shown(&rig), [Light::red(told)]);
    assert!(rig.text(SIZE).contains("the screen showed acid-shop-1 as primary"), "{}", rig.text(SIZE));
    // The name is typed against a red line: letters are letters there.
    rig.asks("ctrl-g");
    assert_eq!(shown(&rig), []);
}

#[test]
fn an_order_is_for_what_the_cursor_was_on_when_its_first_key_was_pressed() {
    for keys in ["x s", ": s w i t c h o v e r enter"] {
        let mut rig = Rig::new(fleets::busy());
        rig.model.state.settings.read_only = false;
        let first = rig.model.screen.views[0].subject();
        let (begun, rest) = keys.split_at(1);
        rig.asks(begun);
        // Another cluster is the worst now, and stands on top.
        let mut staging = fleets::cluster("acid-staging", 1);
        staging.status = Some("CreateFailed".into());
        rig.see(vec![Seen::Cluster { cluster: Box::new(staging), at: rig.now }]);
        rig.draw((80, 24));
        assert_ne!(rig.model.screen.views[0].subject(), first, "the rows moved");
        rig.asks(rest);
        let aimed: Vec<_> = rig.model.state.ledger.all().map(|run| run.aim.cluster.clone()).collect();
        assert_eq!(aimed, [first.cluster().unwrap().clone()], "{keys}");
    }
}

#[test]
fn an_offer_is_looked_at_again_and_says_as_of_when() {
    let mut rig = writable();
    rig.asks("x s");
    assert!(rig.text(SIZE).contains(&rig.now.strftime("as of %H:%M:%S UTC").to_string()), "{}", rig.text(SIZE));
    rig.wait(61);
    rig.asks("l");
    assert!(rig.text(SIZE).contains(&rig.now.strftime("as of %H:%M:%S UTC").to_string()), "{}", rig.text(SIZE));
    assert_eq!(rig.model.state.ledger.all().count(), 1, "what was offered before is withdrawn");
}

#[test]
fn a_protected_context_is_armed_by_its_name_and_by_nothing_else() {
    let mut rig = writable();
    rig.model.state.settings.protected = vec!["de*".into()];
    rig.keys("W y enter");
    assert!(rig.text(SIZE).contains("demo is protected; type its name to arm it"), "{}", rig.text(SIZE));
    assert!(rig.text(SIZE).contains("nothing is armed"), "{}", rig.text(SIZE));
    rig.keys("esc W");
    rig.types("demo");
    let effects = rig.keys("enter");
    assert!(matches!(&effects[..], [Effect::Arm(scope, _)] if &**scope == "demo"), "{effects:?}");
    assert_eq!(armed(&rig), ["demo"]);
}

/// Plays the world until an offer stands, with something else before it.
fn offered_after(rig: &mut Rig, keys: &str, past: &Past, identity: Option<&Fault>) {
    let answer = |probe: Probe| match (&probe, identity) {
        (Probe::Identity(_) | Probe::Objects(_), Some(fault)) => (probe, Err(fault.clone())),
        _ => (probe.clone(), world::answer(&probe)),
    };
    let todo = rig.keys(keys);
    let others = rig.play(todo, |out| match out {
        Out::Settle(_) => Ok(None),
        Out::Recall(_) => Ok(Some(Event::Recalled(Ok(past.clone())))),
        Out::Look { probes, .. } => Ok(Some(Event::Looked(probes.into_iter().map(answer).collect()))),
        out => Err(Box::new(out)),
    });
    assert_eq!(others, []);
}

#[test]
fn a_red_line_is_overridden_by_the_name_and_a_reason_alone() {
    let mut rig = writable();
    rig.keys("W");
    let lost = Fault::TimedOut { what: "the CR".into(), after: std::time::Duration::from_secs(20) };
    offered_after(&mut rig, "x p", &Past::default(), Some(&lost));
    let text = rig.text(SIZE);
    assert!(text.contains("cannot be told: the CR") && text.contains("override acid-shop REASON"), "{text}");
    for typed in ["y", "acid-shop", "override acid-shop", "override acid-pay a drill"] {
        rig.types(typed);
        let effects = rig.keys("enter");
        assert_eq!(effects, [], "{typed:?} sent it");
        rig.keys("ctrl-u");
    }
    rig.types("override acid-shop a drill");
    let effects = rig.keys("enter");
    assert!(
        matches!(&effects[..], [Effect::Run(_, outs)] if matches!(outs[..], [Out::Settle(_), Out::Recall(_), Out::Look { .. }])),
        "{effects:?}"
    );
}

#[test]
fn a_change_of_the_resource_waits_for_the_one_that_another_pgdeck_has_under_way() {
    let mut rig = writable();
    rig.keys("W x o");
    rig.keys("esc");
    let open = Open {
        run: "of-another".into(),
        action: "wal-archiving".into(),
        patches: true,
        despite: None,
        at: None,
        host: None,
    };
    let past = Past { open: vec![open], last: None };
    offered_after(&mut rig, "x o", &past, None);
    let text = rig.text(SIZE);
    assert!(text.contains("wal-archiving changes this cluster's CR, and has not ended"), "{text}");
    assert!(text.contains("▲ wal-archiving is under way on this cluster"), "{text}");
    assert_eq!(rig.keys("y"), []);
    // Patroni's own settings are another thing.
    rig.keys("esc");
    offered_after(&mut rig, "x s", &past, None);
    assert!(rig.text(SIZE).contains("y do it"), "{}", rig.text(SIZE));
}

#[test]
fn nothing_that_is_under_way_is_left_alone_by_a_shell_or_in_the_background() {
    let mut rig = writable();
    rig.asks("W x s y esc");
    assert_eq!(rig.model.state.ledger.under_way().count(), 1);
    assert!(!rig.keys("ctrl-z").contains(&Effect::Suspend));
    assert!(rig.text(SIZE).contains("an order is under way"), "{}", rig.text(SIZE));
    rig.keys(":");
    rig.types("psql");
    rig.asks("enter");
    let run = rig.model.state.ledger.all().find(|run| run.action == "psql").unwrap();
    let why = "switchover of acid-shop is under way, and would stand still meanwhile: wait for its end";
    assert_eq!(answerable(&rig.model.state, run, rig.now), Answerable::Barred(why.into()));
}
