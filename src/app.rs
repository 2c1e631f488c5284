//! The brain: messages in, effects out. No I/O, no clock, no terminal.

mod applies;
mod bulk;
mod dialog;
mod draw;
mod leaving;
mod left_over;
mod offer;
mod operate;
mod update;
mod wants;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::action::ViewId;
use crate::fleet::seen::Seen;
use crate::id::Text;
use crate::keymap::chord::Chord;
use crate::keymap::{Keymap, KeymapError};
use crate::run::{CutOff, Event, Looked, Out};
use crate::screen::{Leaving, Screen, chrome};
use crate::state::ledger::Scope;
use crate::state::{Settings, State};
use crate::theme::Theme;
use crate::view::fleet::FleetView;
use crate::work::probe::Probe;

pub use draw::draw;
pub use update::update;
pub use wants::wants;

/// Everything there is to know and show.
#[derive(Debug)]
pub struct Model {
    pub state: State,
    pub screen: Screen,
    pub keymap: Keymap,
    pub theme: Theme,
    /// Grows when a key, a resize or a stream may have changed a cell; data changes grow the fleet's own generation.
    pub strokes: u64,
}

/// The terminal's size in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Msg {
    Key(Chord),
    Paste(String),
    Resized(Size),
    Seen(Box<Seen>),
    /// Time passed: a wake-up that [`Model::next_wake`] asked for.
    Tick,
    /// The terminal is gone, or a signal asks us to end.
    Interrupt,
    /// The system asks us to stop, as ctrl-z does.
    Suspend,
    /// Back from the background, or somebody else wrote on the screen.
    Redraw,
    /// What became of something that a run asked for.
    Run(Text, Box<Event>),
    /// What was answered to questions of the brain's own.
    Answered(Vec<Looked>),
    /// Something to tell that is no fact about the fleet.
    Say(crate::state::notice::Weight, String),
}

/// What the world should do for us.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Put this on the clipboard.
    Yank(String),
    /// Do what a run asks for, in this order.
    Run(Text, Vec<Out>),
    /// Ask these, and tell what was answered.
    Ask(Vec<Probe>),
    /// Let orders for a scope through until then.
    Arm(Scope, Timestamp),
    /// Let no order for a scope through any more.
    Disarm(Scope),
    /// Clear and draw everything anew.
    Repaint,
    /// Stop ourselves (ctrl-z) and come back by `fg`.
    Suspend,
    /// Leave.
    Exit(Outcome),
}

/// How the console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The user left.
    Left,
    /// A signal, or the terminal went away.
    Interrupted,
}

impl Model {
    /// The first screen.
    pub fn new(
        settings: Settings,
        theme: Theme,
        keys: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self, Vec<KeymapError>> {
        let keymap = Keymap::new(keys)?;
        let arm_key = keymap.spelled("arm").into_iter().next().map_or(settings.arm_key, Text::from);
        let settings = Settings { arm_key, ..settings };
        Ok(Model {
            state: State { settings, ..State::default() },
            screen: Screen::new(Box::new(FleetView::default())),
            keymap,
            theme,
            strokes: 0,
        })
    }

    /// Arms these at once, but for those that are protected.
    pub fn begin_armed(&mut self, now: Timestamp, scopes: &[Scope]) -> Vec<Effect> {
        operate::begin_armed(self, now, scopes)
    }

    /// Sees to what pgdecks that run no more were cut off at.
    pub fn take_up(&mut self, now: Timestamp, cut_off: CutOff) -> Vec<Effect> {
        let mut effects = Vec::new();
        operate::take_up(self, now, cut_off, &mut effects);
        effects
    }

    /// Changes whenever a cell may have changed; the same stamp means the same picture, ages aside.
    pub fn stamp(&self) -> (u64, u64) {
        (self.strokes, self.state.fleet.generation())
    }

    /// Changes with whatever somebody may wait to see: all of the stamp but estimates that change all the time.
    pub fn news(&self) -> (u64, u64) {
        (self.strokes, self.state.fleet.told())
    }

    /// When a [`Msg::Tick`] is due though nothing happens: an age on screen, a notice that fades, a verdict by time.
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let look = self.look(now);
        let view = self.screen.views.last().and_then(|view| view.next_change(&look));
        let chrome = chrome::next_change(&look);
        let last_words = match self.screen.leaving {
            Some(Leaving::System { until }) => Some(until),
            _ => None,
        };
        let (fades, recheck) = (self.state.notices.fades(now), self.state.fleet.next_recheck());
        [view, chrome, fades, recheck, last_words].into_iter().flatten().min()
    }

    /// The view on top.
    pub fn top(&self) -> ViewId {
        self.screen.views.last().map_or(ViewId::Fleet, |view| view.id())
    }

    fn look(&self, now: Timestamp) -> crate::view::Look<'_> {
        crate::view::Look { state: &self.state, now, theme: &self.theme, keymap: &self.keymap }
    }
}
