//! Every view at two sizes, in four states of the world; and what must hold of every picture.

use pgdeck::action::ViewId;
use pgdeck::app::{Effect, Outcome};
use pgdeck::fleet::seen::Seen;
use pgdeck::theme::{BUILT_IN, Wish};
use pgdeck::view::{Subject, VIEWS};

use crate::rig::{Rig, fleets, folded, lines, styles};

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];
/// A state of the world: its name, what was seen, and how many seconds ago.
type World = (&'static str, fn() -> Vec<Seen>, i64);
const EMPTY: World = ("empty", fleets::empty, 1);
const BUSY: World = ("busy", fleets::busy, 1);
const STALE: World = ("stale", fleets::stale, 130);
const BROKEN: World = ("broken", fleets::broken, 130);
const WORLDS: [World; 4] = [EMPTY, BUSY, STALE, BROKEN];

fn opened(view: ViewId, (_, world, seconds): World, wish: &Wish) -> Rig {
    let mut rig = Rig::with(Vec::new(), wish);
    rig.open(view, &Subject::Instance(fleets::instance("acid-shop-0")));
    rig.draw((80, 24));
    rig.see(world());
    rig.draw((80, 24));
    rig.wait(seconds);
    rig
}

fn picture(view: ViewId, world: World, size: (u16, u16)) -> String {
    let buffer = opened(view, world, &default()).draw(size);
    format!("{}\n{}", folded(&buffer), styles(&buffer).join("\n"))
}

fn default() -> Wish {
    Wish { name: "default".into(), ..Wish::default() }
}

#[test]
fn every_view_looks_as_it_did_in_every_state_of_the_world() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for view in VIEWS {
            for size in SIZES {
                let all = WORLDS.map(|world| format!("=== {} ===\n{}", world.0, picture(view.id, world, size)));
                insta::assert_snapshot!(format!("{}-{}x{}", view.name, size.0, size.1), all.join("\n\n"));
            }
        }
    });
}

#[test]
fn no_picture_holds_a_control_character() {
    for view in VIEWS {
        for world in WORLDS {
            for size in SIZES {
                let text = opened(view.id, world, &default()).text(size);
                let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
                assert_eq!(bad, None, "{} {}", view.name, world.0);
            }
        }
    }
}

#[test]
fn in_ascii_every_picture_is_ascii_and_in_mono_it_has_no_colour() {
    let wish = Wish { name: "default".into(), no_color: true, ascii: true, truecolor: false };
    for view in VIEWS {
        for world in WORLDS {
            let buffer = opened(view.id, world, &wish).draw((120, 30));
            assert!(lines(&buffer).iter().all(|line| line.is_ascii()), "{} {}", view.name, world.0);
            let colored = buffer
                .content
                .iter()
                .find(|cell| cell.fg != ratatui::style::Color::Reset || cell.bg != ratatui::style::Color::Reset);
            assert_eq!(colored, None, "{} {}", view.name, world.0);
        }
    }
}

#[test]
fn every_theme_draws_the_same_words() {
    let words =
        |name: &str| opened(ViewId::Fleet, BUSY, &Wish { name: name.into(), ..Wish::default() }).text((120, 30));
    for (name, _) in BUILT_IN {
        assert_eq!(words(name), words("default"), "{name}");
    }
}

#[test]
fn no_size_is_too_small_or_too_odd_to_draw() {
    for view in VIEWS {
        let mut rig = opened(view.id, BUSY, &default());
        rig.keys(": a");
        for (width, height) in
            [(0, 0), (1, 1), (2, 5), (39, 24), (40, 8), (41, 9), (80, 7), (300, 8), (40, 80), (300, 80)]
        {
            rig.draw((width, height));
        }
    }
    assert_eq!(Rig::new(fleets::busy()).text((39, 3)).trim(), "terminal too small");
}

/// A small generator, so that a failure can be repeated by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

#[test]
fn twenty_thousand_keys_over_all_views_never_break_it() {
    const KEYS: &[&str] = &[
        "j",
        "k",
        "down",
        "up",
        "G",
        "g",
        "home",
        "end",
        "pagedown",
        "pageup",
        "ctrl-u",
        "ctrl-d",
        "left",
        "right",
        "h",
        "l",
        "enter",
        "esc",
        "backspace",
        "/",
        ":",
        "ctrl-p",
        "?",
        "q",
        "N",
        "o",
        "e",
        "L",
        "y",
        "a",
        "i",
        "d",
        "c",
        "s",
        "S",
        "!",
        "tab",
        "f",
        "w",
        "x",
        "space",
        "ctrl-w",
        "ctrl-a",
        "delete",
        "ctrl-l",
        "0",
        "ü",
        "alt-b",
        "shift-tab",
    ];
    let seed = 0x5eed_0001;
    let mut dice = Dice(seed);
    for (name, world, _) in WORLDS {
        let mut rig = Rig::new(world());
        let mut last = Vec::new();
        for step in 0..5000 {
            let key = KEYS[dice.roll(KEYS.len())];
            last.push(key);
            rig.model.screen.views.truncate(12);
            let effects = rig.keys(key);
            assert!(!rig.model.screen.views.is_empty(), "{name}, seed {seed}, step {step}");
            assert!(!effects.contains(&Effect::Exit(Outcome::Interrupted)));
            if step % 500 == 0 {
                rig.wait(1);
                rig.see(WORLDS[dice.roll(WORLDS.len())].1());
                last.clear();
            }
        }
    }
}
