//! The command palette: actions, views and clusters, found by a few of their letters. Behind an operation's id its arguments
//! may be typed, as after `pgdeck do`: `:scale 3`.
//!
//! ```text
//! ┌ palette: demo//apps/acid-logs ─────────┐
//! │:logs█                                  │
//! │>logs  Follows the logs of …          L │
//! │ demo//apps/acid-logs           cluster │
//! └────────────────────────────────────────┘
//! ```

use std::borrow::Cow;

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::action::{Action, Deed, Motion, ViewId, actions_in};
use crate::fleet::Fleet;
use crate::id::ClusterId;
use crate::keymap::Keymap;
use crate::keymap::chord::{Chord, Code};
use crate::operation::{Operation, operation};
use crate::present::page::Span;
use crate::present::{Tone, clean};
use crate::theme::Theme;
use crate::view::VIEWS;
use crate::widget::cursor::Cursor;
use crate::widget::input::Field;
use crate::widget::{bar, popup};

/// The palette while it is open.
#[derive(Debug)]
pub struct Palette {
    /// What its orders are for.
    about: String,
    field: Field,
    items: Vec<Item>,
    /// Numbers of the items that match, best first.
    hits: Vec<usize>,
    cursor: Cursor<usize>,
}

/// One thing to choose.
#[derive(Debug)]
pub struct Item {
    /// What is matched.
    pub text: String,
    /// One sentence beside it; why it does not apply here, if so.
    doc: Cow<'static, str>,
    /// It does not apply here.
    greyed: bool,
    /// Its keys, or what it is.
    detail: String,
    pub choice: Choice,
}

/// What a choice does.
#[derive(Debug, Clone)]
pub enum Choice {
    Act(&'static Action),
    View(ViewId),
    Cluster(ClusterId),
}

/// What a key in the palette led to.
#[derive(Debug)]
pub enum Taken {
    Stays,
    Left,
    /// With the words that were typed behind an operation's id.
    Chosen(Item, Vec<String>),
}

impl Palette {
    /// Opens it over a view whose cursor is on `about`; what was chosen before stands first.
    /// `why_not` tells why an operation does not apply to what the cursor is on.
    pub fn new(
        (view, about): (ViewId, String),
        fleet: &Fleet,
        keymap: &Keymap,
        recent: &[String],
        why_not: impl Fn(&'static str) -> Option<String>,
    ) -> Self {
        let actions = actions_in(view).filter(|action| action.does != Deed::Palette).map(|action| {
            let (greyed, doc) = told(action, &why_not);
            Item {
                text: action.title.to_owned(),
                greyed,
                doc,
                detail: keymap.spelled(action.id).join(", "),
                choice: Choice::Act(action),
            }
        });
        // What an action opens is not offered twice.
        let opens = |id: ViewId| actions_in(view).any(|action| action.does == Deed::Open(id));
        let views = VIEWS.iter().filter(|row| row.id != view && !opens(row.id)).map(|row| Item {
            text: format!("view {}", row.name),
            doc: row.doc.into(),
            greyed: false,
            detail: "view".into(),
            choice: Choice::View(row.id),
        });
        let clusters = fleet.clusters().map(|(id, _)| Item {
            text: clean(&id.to_string()).into_owned(),
            doc: "".into(),
            greyed: false,
            detail: "cluster".into(),
            choice: Choice::Cluster(id.clone()),
        });
        let mut items: Vec<Item> = actions.chain(views).chain(clusters).collect();
        let rank = |item: &Item| recent.iter().rev().position(|text| *text == item.text).unwrap_or(usize::MAX);
        items.sort_by_key(rank);
        let mut palette =
            Palette { about, field: Field::default(), items, hits: Vec::new(), cursor: Cursor::default() };
        palette.search();
        palette
    }

    /// Greys what does not apply any more, or shows it again.
    pub fn grey(&mut self, why_not: impl Fn(&'static str) -> Option<String>) {
        for item in &mut self.items {
            if let Choice::Act(action) = item.choice {
                (item.greyed, item.doc) = told(action, &why_not);
            }
        }
    }

    /// Takes a key.
    pub fn key(&mut self, chord: Chord) -> Taken {
        let motion = match chord {
            Chord { code: Code::Esc, .. } => return Taken::Left,
            Chord { code: Code::Enter, .. } => return self.choose(),
            Chord { code: Code::Backspace, .. } if self.field.text().is_empty() => return Taken::Left,
            Chord { code: Code::Down | Code::Tab, shift: false, .. }
            | Chord { code: Code::Char('n' | 'j'), ctrl: true, .. } => Motion::Down,
            Chord { code: Code::Up | Code::Tab, .. } | Chord { code: Code::Char('p'), ctrl: true, .. } => Motion::Up,
            Chord { code: Code::PageDown, .. } => Motion::PageDown,
            Chord { code: Code::PageUp, .. } => Motion::PageUp,
            chord => {
                if self.field.key(chord) {
                    self.search();
                }
                return Taken::Stays;
            }
        };
        self.cursor.motion(self.hits.as_slice(), motion);
        Taken::Stays
    }

    /// Puts in pasted text.
    pub fn paste(&mut self, text: &str) {
        self.field.paste(text);
        self.search();
    }

    fn choose(&mut self) -> Taken {
        let words = self.called().map(|(_, words)| words.split_whitespace().map(str::to_owned).collect());
        match self.hits.get(self.cursor.at()) {
            Some(idx) => Taken::Chosen(self.items.swap_remove(*idx), words.unwrap_or_default()),
            None => Taken::Stays,
        }
    }

    /// The operation whose id is typed with words behind it.
    fn called(&self) -> Option<(usize, &str)> {
        let (id, words) = self.field.text().trim_start().split_once(' ')?;
        let is_called =
            |item: &Item| matches!(item.choice, Choice::Act(Action { does: Deed::Operate(of), .. }) if *of == id);
        Some((self.items.iter().position(is_called)?, words))
    }

    fn search(&mut self) {
        self.cursor = Cursor::default();
        if let Some((idx, _)) = self.called() {
            self.hits = vec![idx];
            return;
        }
        let pattern = Pattern::parse(self.field.text(), CaseMatching::Smart, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut letters = Vec::new();
        let scores = self.items.iter().enumerate().filter_map(|(idx, item)| {
            // An action is found by its id too, as `pgdeck do` has it; who types it whole means that one.
            let id = if let Choice::Act(action) = item.choice { action.id } else { "" };
            let mut score = |text| pattern.score(Utf32Str::new(text, &mut letters), &mut matcher);
            let score = score(&item.text).max(score(id))?;
            Some((std::cmp::Reverse((!id.is_empty() && id == self.field.text(), score)), idx))
        });
        let mut scores: Vec<_> = scores.collect();
        scores.sort_unstable();
        self.hits = scores.into_iter().map(|(_, idx)| idx).collect();
    }

    /// Settles the cursor to the room there is.
    pub fn refresh(&mut self, area: Rect) {
        self.cursor.settle(self.hits.as_slice(), size(area).1.saturating_sub(3));
    }

    /// Draws it in the middle of the screen.
    pub fn draw(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let title =
            if self.about.is_empty() { " palette ".into() } else { format!(" palette: {} ", clean(&self.about)) };
        let inside = popup::open(&title, size(area), theme, area, buffer);
        self.field.draw(":", theme, Rect { height: inside.height.min(1), ..inside }, buffer);
        let window = self.cursor.window();
        let called = self.called().is_some();
        for (y, at) in (inside.top() + 1..inside.bottom()).zip(window) {
            let line = Rect { y, height: 1, ..inside };
            let item = &self.items[self.hits[at]];
            let selected = at == self.cursor.at();
            let mark = if selected { ">" } else { " " };
            let text = Span {
                text: format!("{mark}{}", item.text).into(),
                tone: if item.greyed { Tone::Dim } else { Tone::Normal },
            };
            // Who types arguments wants to know which there are.
            let doc = match &item.choice {
                Choice::Act(Action { does: Deed::Operate(id), .. }) if called && !item.greyed => {
                    operation(id).map_or_else(String::new, Operation::usage).into()
                }
                _ => Cow::Borrowed(&*item.doc),
            };
            let left = [text, Span { text: format!("  {doc}").into(), tone: Tone::Dim }];
            let right = [Span { text: format!("{} ", item.detail).into(), tone: Tone::Key }];
            bar::draw(&left, &right, theme, line, buffer);
            if selected {
                buffer.set_style(line, Style::new().patch(theme.selected));
            }
        }
        if self.hits.is_empty() && inside.height > 1 {
            let text = " nothing matches";
            buffer.set_stringn(inside.x, inside.y + 1, text, usize::from(inside.width), theme.style(Tone::Dim));
        }
    }
}

/// Whether an action does not apply, and what stands beside it.
fn told(action: &'static Action, why_not: impl Fn(&'static str) -> Option<String>) -> (bool, Cow<'static, str>) {
    let why = if let Deed::Operate(id) = action.does { why_not(id) } else { None };
    (why.is_some(), why.map_or(action.doc.into(), |why| format!("not here: {}", clean(&why)).into()))
}

fn size(area: Rect) -> (u16, u16) {
    (area.width.saturating_sub(4).min(90), area.height.saturating_sub(2).min(20))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::fleet::cluster::{Cluster, Origin};
    use crate::fleet::seen::Seen;
    use crate::id::PlaneId;

    fn chosen(keys: &str, recent: &[String]) -> String {
        let mut fleet = Fleet::default();
        let id = ClusterId { plane: PlaneId::Kubernetes("demo".into()), namespace: "shop".into(), name: "acid".into() };
        let cluster = Box::new(Cluster::named(id, Origin::Resource));
        fleet.apply(Seen::Cluster { cluster, at: Timestamp::UNIX_EPOCH }, Timestamp::UNIX_EPOCH);
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        let mut palette = Palette::new((ViewId::Fleet, String::new()), &fleet, &keymap, recent, |_| None);
        for key in keys.split_whitespace() {
            if let Taken::Chosen(item, words) = palette.key(key.parse().unwrap()) {
                return [vec![item.text], words].concat().join(" ");
            }
        }
        "nothing".into()
    }

    #[test]
    fn a_few_letters_find_actions_views_and_clusters() {
        assert_eq!(chosen("h e l p enter", &[]), "help");
        assert_eq!(chosen("c o p enter", &[]), "copy");
        assert_eq!(chosen("d m / s h a c enter", &[]), "demo//shop/acid");
        assert_eq!(chosen("x q x q x enter", &[]), "nothing");
        assert_eq!(chosen("s w i t c h o v e r enter", &[]), "switch over");
        assert_eq!(chosen("s c a l e space 3 enter", &[]), "scale 3");
        assert_eq!(chosen("s w i t c h o v e r space t o = x space a t = y enter", &[]), "switch over to=x at=y");
        assert_eq!(chosen("l o g s space 3 enter", &[]), "nothing");
        assert_eq!(chosen("s w i t c h o v e r - enter", &[]), "cancel the scheduled switchover");
    }

    #[test]
    fn what_was_chosen_last_stands_first() {
        assert_eq!(chosen("enter", &["demo//shop/acid".to_owned()]), "demo//shop/acid");
        assert_ne!(chosen("down enter", &["demo//shop/acid".to_owned()]), "demo//shop/acid");
    }
}
