//! The stack of views, the dialog on top, keys typed so far, and what frames them all.

pub mod bulk;
pub mod chrome;
pub mod confirm;
pub mod palette;

use jiff::Timestamp;
use ratatui::layout::Rect;

use crate::id::ClusterId;
use crate::keymap::chord::Chord;
use crate::run::Shown;
use crate::state::ledger::Scope;
use crate::view::{Subject, View};
use crate::widget::input::Field;
use bulk::Bulk;
use confirm::Confirm;
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
    /// What the cursor was on when the sequence began, or the palette was opened: rows may move meanwhile, an order's aim not.
    pub aimed: Option<Subject>,
    /// Which cluster that was in, and who led it then; until the next sequence begins.
    pub shown: Option<(ClusterId, Shown)>,
    pub history: History,
    /// Where the view stood in the last picture.
    pub body: Rect,
    /// The user was told that something is under way, and may leave all the same.
    pub warned_of_leaving: bool,
    /// pgdeck ends as soon as what it holds is taken back.
    pub leaving: Option<Leaving>,
}

/// Who wants pgdeck to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    User,
    /// A signal, or the terminal went; it is waited for what is taken back until then.
    System {
        until: Timestamp,
    },
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
    /// One line that is asked for.
    Ask {
        prompt: String,
        field: Field,
        error: Option<String>,
        then: Then,
    },
    Order(Confirm),
    Bulk(Bulk),
}

/// What an answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Arms a protected scope, whose name it must be.
    Arm(Scope),
    /// Is the first argument of an operation on those subjects.
    Operate(&'static str, Vec<Subject>),
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
        Screen {
            views: vec![first],
            dialog: None,
            typed: Vec::new(),
            aimed: None,
            shown: None,
            history: History::default(),
            body: Rect::ZERO,
            warned_of_leaving: false,
            leaving: None,
        }
    }
}

impl Screen {
    /// Whether the system has asked us to end.
    pub fn is_ending(&self) -> bool {
        matches!(self.leaving, Some(Leaving::System { .. }))
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
