//! One step of the brain: a batch of messages changes the model and asks for effects.

use jiff::Timestamp;

use super::{Effect, Model, Msg, Outcome};
use crate::action::{Action, Deed, ViewId};
use crate::keymap::Meaning;
use crate::keymap::chord::{Chord, Code};
use crate::screen::Dialog;
use crate::state::notice::Weight;
use crate::view::{Look, Reply, Subject, VIEWS};

/// Takes in a batch, keys first in their order, and says what the world should do.
pub fn update(model: &mut Model, now: Timestamp, batch: Vec<Msg>) -> Vec<Effect> {
    let (keys, data): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|msg| matches!(msg, Msg::Key(_) | Msg::Paste(_) | Msg::Interrupt));
    let mut effects = Vec::new();
    for msg in keys.into_iter().chain(data) {
        take(model, now, msg, &mut effects);
    }
    effects
}

fn take(model: &mut Model, now: Timestamp, msg: Msg, effects: &mut Vec<Effect>) {
    match msg {
        Msg::Key(chord) => {
            model.strokes += 1;
            key(model, now, chord, effects);
        }
        Msg::Paste(text) => {
            model.strokes += 1;
            if let Some(Dialog::Filter { text: typed, .. }) = &mut model.screen.dialog {
                typed.extend(text.chars().filter(|c| !c.is_control()));
            }
        }
        Msg::Resized(_) => model.strokes += 1,
        Msg::Seen(seen) => {
            for view in &mut model.screen.views {
                if view.take(&seen) {
                    model.strokes += 1;
                }
            }
            model.state.fleet.apply(*seen, now);
        }
        Msg::Tick => {
            model.state.fleet.tick(now);
            model.strokes += 1;
        }
        Msg::Say(weight, text) => {
            model.strokes += 1;
            model.state.notices.say(now, weight, text);
        }
        Msg::Interrupt => effects.push(Effect::Exit(Outcome::Interrupted)),
        Msg::Suspend => effects.push(Effect::Suspend),
        Msg::Redraw => {
            model.strokes += 1;
            effects.push(Effect::Repaint);
        }
    }
}

fn key(model: &mut Model, now: Timestamp, chord: Chord, effects: &mut Vec<Effect>) {
    if model.screen.dialog.is_some() {
        return dialog_key(model, now, chord, effects);
    }
    model.screen.typed.push(chord);
    match model.keymap.meaning(model.top(), &model.screen.typed) {
        Meaning::Does(action) => {
            model.screen.typed.clear();
            perform(model, now, action, effects);
        }
        Meaning::Begun => {}
        Meaning::Nothing => model.screen.typed.clear(),
    }
}

fn dialog_key(model: &mut Model, now: Timestamp, chord: Chord, effects: &mut Vec<Effect>) {
    let Some(Dialog::Filter { mut text, .. }) = model.screen.dialog.take() else { return };
    match chord {
        Chord { code: Code::Esc, .. } => return,
        Chord { code: Code::Char('c'), ctrl: true, .. } => {
            effects.push(Effect::Exit(Outcome::Left));
            return;
        }
        Chord { code: Code::Enter, .. } => {
            if let Err(error) = set_filter(model, now, &text) {
                model.screen.dialog = Some(Dialog::Filter { text, error: Some(error) });
            }
            return;
        }
        Chord { code: Code::Backspace, .. } => {
            text.pop();
        }
        chord => text.extend(chord.typed()),
    }
    model.screen.dialog = Some(Dialog::Filter { text, error: None });
}

fn set_filter(model: &mut Model, now: Timestamp, text: &str) -> Result<(), String> {
    let look = Look { state: &model.state, now, theme: &model.theme };
    model.screen.views.last_mut().map_or(Ok(()), |view| view.set_filter(&look, text))
}

/// Carries out an action: the view's business first, then the screen's.
pub(super) fn perform(model: &mut Model, now: Timestamp, action: &Action, effects: &mut Vec<Effect>) {
    let look = Look { state: &model.state, now, theme: &model.theme };
    let Some(view) = model.screen.views.last_mut() else { return };
    match view.perform(&look, action.does) {
        Reply::Done => {}
        Reply::Open(id, subject) => open(model, now, id, &subject),
        Reply::Copy(text) => {
            model.state.notices.say(now, Weight::Info, format!("copied: {text}"));
            effects.push(Effect::Yank(text));
        }
        Reply::Say(text) => model.state.notices.say(now, Weight::Warning, text),
        Reply::NotMine => perform_on_screen(model, now, action.does, effects),
    }
}

fn perform_on_screen(model: &mut Model, now: Timestamp, deed: Deed, effects: &mut Vec<Effect>) {
    match deed {
        Deed::Open(id) => {
            let subject = model.screen.views.last().map_or(Subject::Nothing, |view| view.subject());
            open(model, now, id, &subject);
        }
        Deed::Back => back(model, now),
        Deed::Quit => effects.push(Effect::Exit(Outcome::Left)),
        Deed::Filter => {
            let text = model.screen.views.last().map(|view| view.filter().to_owned()).unwrap_or_default();
            model.screen.dialog = Some(Dialog::Filter { text, error: None });
        }
        Deed::ClearFilter => drop(set_filter(model, now, "")),
        Deed::Redraw => effects.push(Effect::Repaint),
        Deed::Suspend => effects.push(Effect::Suspend),
        Deed::Palette
        | Deed::Move(_)
        | Deed::Enter
        | Deed::SortNext
        | Deed::SortReverse
        | Deed::ProblemsOnly
        | Deed::Copy
        | Deed::ColumnsLeft
        | Deed::ColumnsRight
        | Deed::Follow
        | Deed::Wrap
        | Deed::Cycle => model.state.notices.say(now, Weight::Info, "nothing to do here"),
    }
}

fn open(model: &mut Model, now: Timestamp, id: ViewId, subject: &Subject) {
    if model.top() == id {
        return;
    }
    match VIEWS.iter().find(|row| row.id == id).and_then(|row| (row.open)(subject)) {
        Some(view) => model.screen.views.push(view),
        None => model.state.notices.say(now, Weight::Warning, "put the cursor on a cluster or instance first"),
    }
}

fn back(model: &mut Model, now: Timestamp) {
    let filtered = model.screen.views.last().is_some_and(|view| !view.filter().is_empty());
    if filtered {
        drop(set_filter(model, now, ""));
    } else if model.screen.views.len() > 1 {
        model.screen.views.pop();
    }
}
