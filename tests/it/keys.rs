//! Keys to effects and to what stands on the screen.

use std::time::Instant;

use jiff::SignedDuration;
use pgdeck::action::ViewId;
use pgdeck::app::{self, Effect, Msg, Outcome};
use pgdeck::fleet::seen::Seen;
use pgdeck::run::{Out, Phase};
use pgdeck::state::notice::Weight;
use pgdeck::work::want::Want;

use crate::rig::{Rig, fleets, world};

fn top(keys: &str) -> ViewId {
    let mut rig = Rig::new(fleets::busy());
    rig.draw((80, 24));
    rig.keys(keys);
    rig.model.top()
}

#[test]
fn keys_open_views_and_lead_back() {
    for (keys, expected) in [
        ("enter", ViewId::Cluster),
        ("d", ViewId::Cluster),
        ("i", ViewId::Instance),
        ("a", ViewId::Activity),
        ("L", ViewId::Logs),
        ("e", ViewId::Events),
        ("y", ViewId::Manifest),
        ("o", ViewId::Sources),
        ("N", ViewId::Notices),
        ("?", ViewId::Help),
        ("enter enter", ViewId::Instance),
        ("enter enter esc", ViewId::Cluster),
        ("enter q", ViewId::Fleet),
        ("enter L esc esc esc", ViewId::Fleet),
        (": e v e n t s enter", ViewId::Events),
        ("ctrl-p s t a g enter", ViewId::Cluster),
        ("enter L : v i e w space f l enter", ViewId::Fleet),
    ] {
        assert_eq!(top(keys), expected, "{keys}");
    }
}

#[test]
fn q_leaves_from_the_fleet_and_ctrl_c_from_anywhere() {
    let left = vec![Effect::Exit(Outcome::Left)];
    assert_eq!(Rig::new(fleets::busy()).keys("q"), left);
    assert_eq!(Rig::new(fleets::busy()).keys("enter L ctrl-c"), left);
    assert_eq!(Rig::new(fleets::busy()).keys("/ x ctrl-c"), left);
    assert_eq!(Rig::new(fleets::busy()).keys("enter q"), []);
}

#[test]
fn the_filter_is_live_goes_by_esc_and_comes_back_by_up() {
    let mut rig = Rig::new(fleets::busy());
    rig.keys("/");
    rig.types("status:updating");
    assert!(!rig.text((80, 24)).contains("acid-shop"));
    rig.keys("enter");
    assert!(rig.text((80, 24)).contains("/status:updating"));
    rig.keys("esc");
    assert!(rig.text((80, 24)).contains("acid-shop"));
    rig.keys("/ up enter");
    assert!(rig.text((80, 24)).contains("1-1/1"));
    rig.keys("/");
    rig.types(" x");
    assert!(rig.text((80, 24)).contains("no cluster matches"));
    rig.keys("esc");
    assert!(rig.text((80, 24)).contains("1-1/1"));
}

#[test]
fn keys_that_come_together_are_about_what_the_ones_before_them_led_to() {
    let mut rig = Rig::new(fleets::busy());
    rig.draw((80, 24));
    let burst = ["/", "s", "t", "a", "g", "i", "n", "g", "enter", "enter"];
    let batch = burst.iter().map(|key| Msg::Key(key.parse().unwrap())).collect();
    app::update(&mut rig.model, rig.now, batch);
    assert_eq!(rig.model.top(), ViewId::Cluster);
    assert!(rig.text((120, 30)).contains("fleet › acid-staging"), "{}", rig.text((120, 30)));
}

#[test]
fn sorting_goes_on_to_the_next_column_and_turns_around() {
    let mut rig = Rig::new(fleets::busy());
    let first = |rig: &mut Rig| rig.text((80, 24)).lines().nth(3).unwrap().to_owned();
    rig.keys("s");
    assert!(first(&mut rig).contains("acid-billing"));
    rig.keys("S");
    assert!(first(&mut rig).contains("oldprod"));
    rig.keys("s s s s s s s s");
    assert!(rig.text((80, 24)).contains("LAG↓") && first(&mut rig).contains("acid-shop"));
}

#[test]
fn a_filter_with_an_unknown_column_names_it_and_the_known_ones() {
    let mut rig = Rig::new(fleets::busy());
    rig.keys("/");
    rig.types("nmae:x");
    let text = rig.text((200, 24));
    assert!(text.contains("no column \"nmae\" here; there are health, name, context"), "{text}");
    rig.keys("enter");
    assert!(rig.model.screen.dialog.is_some());
}

#[test]
fn a_row_is_copied_as_a_command_and_without_a_password() {
    let mut rig = Rig::new(fleets::busy());
    rig.keys("/ s h o p enter");
    let yank = |text: &str| vec![Effect::Yank(text.to_owned())];
    assert_eq!(rig.keys("c"), yank("kubectl --context demo -n production get postgresql acid-shop"));
    let psql = "kubectl --context demo -n production exec -it acid-shop-0 -c postgres -- psql -U postgres";
    assert_eq!(rig.keys("i c"), yank(psql));
    let mut rig = Rig::new(fleets::busy());
    rig.keys("/ o l d p r o d enter");
    assert_eq!(rig.keys("c"), yank("psql -h 10.9.0.5 -p 5432"));
}

#[test]
fn an_order_that_would_change_nothing_is_greyed_with_its_reason() {
    for (order, why) in [
        ("patroni-resume", "not here: Patroni is not paused"),
        ("switchover-cancel", "not here: no switchover waits"),
        ("attach", "not here: it is not detached"),
    ] {
        let mut rig = Rig::new(fleets::busy());
        rig.keys("/ s h o p enter :");
        rig.types(order);
        let text = rig.text((120, 30));
        assert!(text.contains(why), "{text}");
    }
    let mut rig = Rig::new(fleets::busy());
    rig.keys("/ s h o p enter :");
    rig.types("patroni-pause");
    assert!(!rig.text((120, 30)).contains("not here"));
}

#[test]
fn an_error_stays_on_the_line_until_the_notices_are_opened() {
    let mut rig = Rig::new(fleets::busy());
    let said = Msg::Say(Weight::Error, "the log file cannot be written".into());
    app::update(&mut rig.model, rig.now, vec![said]);
    rig.wait(3600);
    assert!(rig.text((80, 24)).contains("the log file cannot be written"));
    rig.keys("N esc");
    assert!(!rig.text((80, 24)).contains("the log file cannot be written"));
}

#[test]
fn what_is_lost_is_said_with_its_age_and_remedy_over_the_rows_that_stand() {
    let mut rig = Rig::new(fleets::stale());
    rig.wait(130);
    let text = rig.text((80, 24));
    for expected in
        ["demo AUTH EXPIRED 2m10s", "demo is LOST, its rows are 2m10s old", "what to do: log in again", "acid-shop"]
    {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
}

#[test]
fn only_rows_in_sight_are_sampled() {
    let mut rig = Rig::new(fleets::crowd(2000));
    rig.draw((80, 24));
    let sampled = |rig: &Rig| {
        let wants = app::wants(&rig.model);
        let instances: std::collections::BTreeSet<_> = wants.iter().filter_map(Want::sampled).cloned().collect();
        assert!(instances.len() <= 19 * 3);
        instances.into_iter().next().unwrap().cluster.name.to_string()
    };
    assert_eq!(sampled(&rig), "acid-crowd-0000");
    rig.keys("G");
    assert_eq!(sampled(&rig), "acid-crowd-1981");
}

#[test]
fn a_change_in_a_fleet_of_two_thousand_shows_within_a_frame() {
    let mut rig = Rig::new(fleets::crowd(2000));
    rig.draw((200, 50));
    let mut total = std::time::Duration::ZERO;
    for n in 0..100_u32 {
        let mut cluster = fleets::cluster(&format!("acid-crowd-{:04}", n % 40), 3);
        cluster.status = Some("Updating".into());
        rig.see(vec![Seen::Cluster { cluster: Box::new(cluster), at: rig.now }]);
        let before = Instant::now();
        rig.draw((200, 50));
        total += before.elapsed();
    }
    assert!(rig.text((200, 50)).contains("Updating"));
    let mean = total / 100;
    // What an unoptimized build needs says nothing about the figure.
    if !cfg!(debug_assertions) {
        assert!(mean.as_micros() <= 3000, "a frame takes {mean:?}, at most 3 ms");
    }
}

/// Every key that may be typed: letters, signs, and those with names.
const CHORDS: &[&str] = &[
    "up",
    "down",
    "left",
    "right",
    "pageup",
    "pagedown",
    "home",
    "end",
    "enter",
    "esc",
    "backspace",
    "tab",
    "space",
    "ctrl-d",
    "ctrl-u",
    "ctrl-f",
    "ctrl-b",
    "ctrl-l",
    "ctrl-p",
    "delete",
];

/// A cheap sequence of numbers without a pattern (Knuth's multiplier).
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

/// Started so, or not armed: nothing is sent either way. Who is not held back by the start types no W.
#[test]
fn a_hundred_thousand_random_keys_send_nothing_while_read_only_and_break_nothing() {
    for (read_only, count) in [(true, 50_000), (false, 50_000)] {
        random_keys(read_only, count);
    }
}

fn random_keys(read_only: bool, count: u32) {
    let letters: Vec<String> = ('!'..='~').filter(|c| !"qQ".contains(*c)).map(|c| c.to_string()).collect();
    let mut rig = Rig::new(fleets::busy());
    rig.model.state.settings.read_only = read_only;
    let (mut state, mut n_offered, mut begun) = (20_261_124, 0, false);
    for n in 0..count {
        let pick = next(&mut state);
        // Orders begin with x, and y confirms: both more often than chance would have it. Now and then a dialog is left.
        let key = match pick % 16 {
            _ if n % 30 < 3 => "esc",
            _ if begun => ["n", "s", "S", "p", "P", "r", "R", "c", "t"][next(&mut state) % 9],
            0..3 => "x",
            3 => "y",
            4..9 => CHORDS[next(&mut state) % CHORDS.len()],
            _ => &letters[next(&mut state) % letters.len()],
        };
        begun = key == "x";
        if key == "W" && !read_only {
            continue;
        }
        let Ok(chord) = key.parse() else { continue };
        let mut todo = app::update(&mut rig.model, rig.now, vec![Msg::Key(chord)]);
        while let Some(effect) = todo.pop() {
            let Effect::Run(id, outs) = effect else {
                assert!(!matches!(effect, Effect::Arm(..)), "{key} armed a console that is read-only");
                continue;
            };
            for out in outs {
                let event = match world::happened(out, world::answer) {
                    Ok(event) => event,
                    // What is tried changes nothing.
                    Err(out) if matches!(&*out, Out::Try(order) if order.is_of_objects()) => continue,
                    Err(out) => panic!("{key}: {out:?} while read-only"),
                };
                let happened = Msg::Run(id.clone(), Box::new(event));
                todo.extend(app::update(&mut rig.model, rig.now, vec![happened]));
            }
            n_offered += usize::from(rig.model.state.ledger.get(&id).is_some_and(|run| run.phase == Phase::Offered));
        }
        if n % 20 == 0 {
            rig.now += SignedDuration::from_millis(1);
            rig.draw(if n % 40 == 0 { (80, 24) } else { (200, 50) });
        }
    }
    assert!(n_offered > 100, "only {n_offered} orders were offered: the keys did not get there");
}
