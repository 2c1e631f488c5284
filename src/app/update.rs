//! One step of the brain: a batch of messages changes the model and asks for effects.

use jiff::Timestamp;

use super::{Effect, Model, Msg, dialog, leaving, left_over, operate};
use crate::action::{Deed, ViewId};
use crate::keymap::Meaning;
use crate::keymap::chord::Chord;
use crate::screen::Dialog;
use crate::state::notice::Weight;
use crate::view::help::HelpView;
use crate::view::{Look, Reply, Subject, VIEWS, View};

/// Takes in a batch, keys first in their order, and says what the world should do.
pub fn update(model: &mut Model, now: Timestamp, batch: Vec<Msg>) -> Vec<Effect> {
    let (keys, data): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|msg| matches!(msg, Msg::Key(_) | Msg::Paste(_) | Msg::Interrupt));
    let mut effects = Vec::new();
    for (n, key) in keys.into_iter().enumerate() {
        // What a key is about is what the keys before it have led to, though nobody has seen that picture.
        if n > 0 {
            catch_up(model, now);
        }
        take(model, now, key, &mut effects);
    }
    for msg in data {
        take(model, now, msg, &mut effects);
    }
    left_over::outlive(&mut model.state, now);
    left_over::tell(&mut model.state, now);
    left_over::ask(model, now, &mut effects);
    leaving::go_on(model, now, &mut effects);
    effects
}

/// Lets the view on top settle its rows and cursor as for a picture.
fn catch_up(model: &mut Model, now: Timestamp) {
    let look = Look { state: &model.state, now, theme: &model.theme, keymap: &model.keymap };
    let body = model.screen.body;
    if let Some(view) = model.screen.views.last_mut() {
        view.refresh(&look, body);
    }
}

fn take(model: &mut Model, now: Timestamp, msg: Msg, effects: &mut Vec<Effect>) {
    match msg {
        // Nothing new is asked of whoever was asked to end.
        Msg::Key(_) | Msg::Paste(_) if model.screen.is_ending() => {}
        Msg::Key(chord) => {
            model.strokes += 1;
            key(model, now, chord, effects);
        }
        Msg::Paste(text) => {
            model.strokes += 1;
            dialog::paste(model, now, &text);
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
        Msg::Run(id, event) => {
            model.strokes += 1;
            operate::happened(model, now, &id, *event, effects);
        }
        Msg::Answered(looked) => {
            model.strokes += 1;
            model.state.rights.take(&looked);
            dialog::grey(model, now);
        }
        Msg::Say(weight, text) => {
            model.strokes += 1;
            model.state.notices.say(now, weight, text);
            if model.top() == ViewId::Notices {
                model.state.notices.mark_seen();
            }
        }
        Msg::Interrupt => leaving::interrupted(model, now, effects),
        Msg::Suspend => effects.push(Effect::Suspend),
        Msg::Redraw => {
            model.strokes += 1;
            effects.push(Effect::Repaint);
        }
    }
}

fn key(model: &mut Model, now: Timestamp, chord: Chord, effects: &mut Vec<Effect>) {
    if model.screen.dialog.is_some() {
        return dialog::key(model, now, chord, effects);
    }
    if model.screen.typed.is_empty() {
        let subject = operate::subject(model);
        model.screen.shown =
            subject.cluster().and_then(|id| Some((id.clone(), operate::shown(model.state.fleet.get(id)?))));
        model.screen.aimed = Some(subject);
    }
    model.screen.typed.push(chord);
    match model.keymap.meaning(model.top(), &model.screen.typed) {
        Meaning::Does(action) => {
            model.screen.typed.clear();
            perform(model, now, action.does, effects);
        }
        Meaning::Begun => return,
        Meaning::Nothing => model.screen.typed.clear(),
    }
    // What is chosen in the palette is for what the cursor was on when it was opened.
    if !matches!(model.screen.dialog, Some(Dialog::Palette(_))) {
        model.screen.aimed = None;
    }
}

/// Carries out a deed: the view's business first, then the screen's.
pub(super) fn perform(model: &mut Model, now: Timestamp, deed: Deed, effects: &mut Vec<Effect>) {
    let look = Look { state: &model.state, now, theme: &model.theme, keymap: &model.keymap };
    let Some(view) = model.screen.views.last_mut() else { return };
    match view.perform(&look, deed) {
        Reply::Done => {}
        Reply::Open(id, subject) => open(model, now, id, &subject),
        Reply::Copy(text) => {
            model.state.notices.say(now, Weight::Info, format!("copied: {text}"));
            effects.push(Effect::Yank(text));
        }
        Reply::Say(text) => model.state.notices.say(now, Weight::Warning, text),
        Reply::NotMine => perform_on_screen(model, now, deed, effects),
    }
}

fn perform_on_screen(model: &mut Model, now: Timestamp, deed: Deed, effects: &mut Vec<Effect>) {
    match deed {
        Deed::Open(id) => {
            let subject = model.screen.views.last().map_or(Subject::Nothing, |view| view.subject());
            open(model, now, id, &subject);
        }
        Deed::Back => back(model, now),
        Deed::Leave if model.screen.views.len() > 1 => leave(model),
        Deed::Leave | Deed::Quit => leaving::leave(model, now, effects),
        Deed::Arm => operate::arm(model, now, effects),
        Deed::Operate(id) => operate::begin(model, now, id, (None, &[]), effects),
        Deed::Filter => dialog::open_filter(model, now),
        Deed::ClearFilter => drop(dialog::set_filter(model, now, "")),
        Deed::Palette => dialog::open_palette(model, now, effects),
        Deed::Redraw => effects.push(Effect::Repaint),
        Deed::Suspend if model.state.ledger.under_way().next().is_some() => {
            let text = "an order is under way: nobody would see to it in the background; end it first, or wait";
            model.state.notices.say(now, Weight::Warning, text);
        }
        Deed::Suspend => effects.push(Effect::Suspend),
        Deed::Move(_)
        | Deed::Enter
        | Deed::SortNext
        | Deed::SortReverse
        | Deed::ProblemsOnly
        | Deed::Mark
        | Deed::Unmark
        | Deed::Copy
        | Deed::ColumnsLeft
        | Deed::ColumnsRight
        | Deed::Follow
        | Deed::Wrap
        | Deed::Cycle => model.state.notices.say(now, Weight::Info, "nothing to do here"),
    }
}

/// Opens a view on a subject, unless it is on top already.
pub(super) fn open(model: &mut Model, now: Timestamp, id: ViewId, subject: &Subject) {
    let below = model.top();
    if below == id {
        return;
    }
    let opened = match id {
        ViewId::Fleet => return show_bottom(model),
        // The help is about the view it was asked in.
        ViewId::Help => Some(Box::new(HelpView::about(below)) as Box<dyn View>),
        _ => VIEWS.iter().find(|row| row.id == id).and_then(|row| (row.open)(subject)),
    };
    match opened {
        Some(view) => model.screen.views.push(view),
        None => model.state.notices.say(now, Weight::Warning, "put the cursor on a cluster or instance first"),
    }
    if id == ViewId::Notices {
        model.state.notices.mark_seen();
    }
}

/// Leaves all views but the fleet.
pub(super) fn show_bottom(model: &mut Model) {
    model.screen.views.truncate(1);
}

fn leave(model: &mut Model) {
    if model.screen.views.len() > 1 {
        model.screen.views.pop();
    }
}

fn back(model: &mut Model, now: Timestamp) {
    let filtered = model.screen.views.last().is_some_and(|view| !view.filter().is_empty());
    if filtered {
        drop(dialog::set_filter(model, now, ""));
    } else {
        leave(model);
    }
}
