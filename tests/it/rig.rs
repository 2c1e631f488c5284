//! The console without a terminal or a world: a fleet and keys in, effects and pictures out.

pub mod fleets;
pub mod world;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use pgdeck::action::ViewId;
use pgdeck::app::{self, Effect, Model, Msg};
use pgdeck::fleet::seen::Seen;
use pgdeck::state::Settings;
use pgdeck::theme::{Theme, Wish};
use pgdeck::view::{Subject, VIEWS};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

/// A console whose time stands still until it is told to pass.
pub struct Rig {
    pub model: Model,
    pub now: Timestamp,
}

impl Rig {
    /// A console that has seen all that.
    pub fn new(seen: Vec<Seen>) -> Self {
        Self::with(seen, &Wish { name: "default".into(), ..Wish::default() })
    }

    /// The same in a theme of choice.
    pub fn with(seen: Vec<Seen>, wish: &Wish) -> Self {
        let theme = Theme::load(wish, &BTreeMap::new()).unwrap();
        let settings = Settings { read_only: true, ..Settings::default() };
        let model = Model::new(settings, theme, &BTreeMap::new()).unwrap();
        let mut rig = Rig { model, now: fleets::now() };
        rig.see(seen);
        rig.draw((80, 24));
        rig
    }

    /// Takes in what is seen.
    pub fn see(&mut self, seen: Vec<Seen>) {
        let batch = seen.into_iter().map(|seen| Msg::Seen(Box::new(seen))).collect();
        app::update(&mut self.model, self.now, batch);
    }

    /// Lets time pass.
    pub fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        app::update(&mut self.model, self.now, vec![Msg::Tick]);
    }

    /// Types keys, parted by spaces, and draws after each, as the console does.
    pub fn keys(&mut self, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for key in keys.split_whitespace() {
            effects.extend(app::update(&mut self.model, self.now, vec![Msg::Key(key.parse().unwrap())]));
            self.draw((80, 24));
        }
        effects
    }

    /// Types a text, letter by letter.
    pub fn types(&mut self, text: &str) {
        let chords: Vec<String> = text.chars().map(|c| if c == ' ' { "space".into() } else { c.to_string() }).collect();
        self.keys(&chords.join(" "));
    }

    /// Opens a view on a subject.
    pub fn open(&mut self, id: ViewId, subject: &Subject) {
        let row = VIEWS.iter().find(|row| row.id == id).unwrap();
        if id != ViewId::Fleet {
            self.model.screen.views.push((row.open)(subject).unwrap());
        }
    }

    /// The picture.
    pub fn draw(&mut self, (width, height): (u16, u16)) -> Buffer {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        app::draw(&mut self.model, self.now, area, &mut buffer);
        buffer
    }

    /// The picture's text.
    pub fn text(&mut self, size: (u16, u16)) -> String {
        lines(&self.draw(size)).join("\n")
    }
}

/// The picture's text for a snapshot: stretches of empty lines as their number.
pub fn folded(buffer: &Buffer) -> String {
    let mut text = String::new();
    let mut n_empty = 0;
    for line in lines(buffer).into_iter().chain([".".to_owned()]) {
        if line.is_empty() {
            n_empty += 1;
            continue;
        }
        match std::mem::take(&mut n_empty) {
            0 => {}
            1 => text.push('\n'),
            n => text.extend(["~ ", &n.to_string(), " empty lines\n"]),
        }
        if line != "." {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// The lines of a picture, without what is empty at their ends.
pub fn lines(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    (area.top()..area.bottom())
        .map(|y| {
            let line: String = (area.left()..area.right()).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned()
        })
        .collect()
}

/// The styles of a picture, one line for each that has any: where runs begin, and how they look.
pub fn styles(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let mut digest = Vec::new();
    for y in area.top()..area.bottom() {
        let mut runs = Vec::new();
        let mut before = String::new();
        for x in area.left()..area.right() {
            let cell = &buffer[(x, y)];
            let shows = cell.bg != Color::Reset || cell.modifier.intersects(Modifier::REVERSED | Modifier::UNDERLINED);
            // What a space has no way to show is not told.
            if cell.symbol() == " " && !shows && !before.contains("rev") {
                continue;
            }
            let style = look(cell.fg, cell.bg, cell.modifier);
            if style != before {
                runs.push(format!("{x}{}{style}", if style.is_empty() { "" } else { ":" }));
                before = style;
            }
        }
        if !runs.is_empty() {
            digest.push(format!("{y:>2}| {}", runs.join(" ")));
        }
    }
    digest
}

fn look(fg: Color, bg: Color, modifier: Modifier) -> String {
    let color = |color: Color| (color != Color::Reset).then(|| color.to_string().to_lowercase());
    let marks = [
        (Modifier::BOLD, "bold"),
        (Modifier::DIM, "dim"),
        (Modifier::REVERSED, "rev"),
        (Modifier::UNDERLINED, "under"),
    ];
    let marks = marks.into_iter().filter(|(mark, _)| modifier.contains(*mark)).map(|(_, word)| word.to_owned());
    let on = color(bg).map(|name| format!("on-{name}"));
    color(fg).into_iter().chain(on).chain(marks).collect::<Vec<_>>().join("+")
}
