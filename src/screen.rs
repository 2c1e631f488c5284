//! The stack of views, the dialog on top, keys typed so far, and what frames them all.

pub mod chrome;
pub mod palette;

use crate::keymap::chord::Chord;
use crate::view::View;
use crate::widget::input::Field;
use palette::Palette;

/// At most this many typed lines are kept for each kind of field.
const KEPT: usize = 50;

/// What is on the glass.
#[derive(Debug)]
pub struct Screen {
    /// Never empty; the last is on top.
    pub views: Vec<Box<dyn View>>,
    pub dialog: Option<Dialog>,
    /// A sequence that has begun.
    pub typed: Vec<Chord>,
    pub history: History,
}

/// Something that takes the keys before the view does.
#[derive(Debug)]
pub enum Dialog {
    /// A filter being typed; the view follows each key. `before` comes back if it is left by esc.
    Filter {
        field: Field,
        before: String,
        error: Option<String>,
    },
    Palette(Palette),
}

/// What was typed and chosen, oldest first.
#[derive(Debug, Default)]
pub struct History {
    pub filters: Vec<String>,
    pub choices: Vec<String>,
}

impl Screen {
    /// A screen with that view at the bottom.
    pub fn new(first: Box<dyn View>) -> Self {
        Screen { views: vec![first], dialog: None, typed: Vec::new(), history: History::default() }
    }
}

/// Adds a line to a history: once, at its end.
pub fn remember(history: &mut Vec<String>, line: String) {
    if line.is_empty() {
        return;
    }
    history.retain(|known| *known != line);
    if history.len() == KEPT {
        history.remove(0);
    }
    history.push(line);
}
