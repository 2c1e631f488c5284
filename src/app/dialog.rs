//! Keys while a dialog is open.

use jiff::Timestamp;

use super::update::{open, perform, show_bottom};
use super::{Effect, Model, Outcome};
use crate::action::{Deed, ViewId};
use crate::keymap::chord::{Chord, Code};
use crate::screen::palette::{Choice, Item, Palette, Taken};
use crate::screen::{Dialog, remember};
use crate::state::notice::Weight;
use crate::view::Subject;
use crate::widget::input::Field;

/// Opens the line that a filter is typed into, if the view has one.
pub(super) fn open_filter(model: &mut Model, now: Timestamp) {
    let before = model.screen.views.last().map(|view| view.filter().to_owned()).unwrap_or_default();
    match set_filter(model, now, &before) {
        Ok(()) => {
            let field = Field::new(&before, &model.screen.history.filters);
            model.screen.dialog = Some(Dialog::Filter { field, before, error: None });
        }
        Err(why) => model.state.notices.say(now, Weight::Warning, why),
    }
}

/// Opens the palette.
pub(super) fn open_palette(model: &mut Model) {
    let palette = Palette::new(model.top(), &model.state.fleet, &model.keymap, &model.screen.history.choices);
    model.screen.dialog = Some(Dialog::Palette(palette));
}

/// Takes a key while a dialog is open.
pub(super) fn key(model: &mut Model, now: Timestamp, chord: Chord, effects: &mut Vec<Effect>) {
    if (Chord { code: Code::Char('c'), ctrl: true, alt: false, shift: false }) == chord {
        effects.push(Effect::Exit(Outcome::Left));
        return;
    }
    match model.screen.dialog.take() {
        None => {}
        Some(Dialog::Filter { field, before, error }) => filter_key(model, now, chord, (field, before, error)),
        Some(Dialog::Palette(mut palette)) => match palette.key(chord) {
            Taken::Left => {}
            Taken::Stays => model.screen.dialog = Some(Dialog::Palette(palette)),
            Taken::Chosen(item) => choose(model, now, item, effects),
        },
    }
}

/// Takes pasted text while a dialog is open; elsewhere it means nothing.
pub(super) fn paste(model: &mut Model, now: Timestamp, text: &str) {
    match model.screen.dialog.take() {
        None => {}
        Some(Dialog::Filter { mut field, before, .. }) => {
            field.paste(text);
            let error = set_filter(model, now, field.text()).err();
            model.screen.dialog = Some(Dialog::Filter { field, before, error });
        }
        Some(Dialog::Palette(mut palette)) => {
            palette.paste(text);
            model.screen.dialog = Some(Dialog::Palette(palette));
        }
    }
}

fn filter_key(
    model: &mut Model,
    now: Timestamp,
    chord: Chord,
    (mut field, before, mut error): (Field, String, Option<String>),
) {
    match chord.code {
        Code::Esc => {
            drop(set_filter(model, now, &before));
            return;
        }
        Code::Enter if error.is_none() => {
            remember(&mut model.screen.history.filters, field.text().to_owned());
            return;
        }
        Code::Backspace if field.text().is_empty() => return,
        _ => {}
    }
    if field.key(chord) {
        error = set_filter(model, now, field.text()).err();
    }
    model.screen.dialog = Some(Dialog::Filter { field, before, error });
}

/// Sets the filter of the view on top.
pub(super) fn set_filter(model: &mut Model, now: Timestamp, text: &str) -> Result<(), String> {
    let look = crate::view::Look { state: &model.state, now, theme: &model.theme, keymap: &model.keymap };
    model.screen.views.last_mut().map_or(Ok(()), |view| view.set_filter(&look, text))
}

fn choose(model: &mut Model, now: Timestamp, item: Item, effects: &mut Vec<Effect>) {
    remember(&mut model.screen.history.choices, item.text);
    match item.choice {
        Choice::Act(action) => perform(model, now, action.does, effects),
        Choice::View(ViewId::Fleet) => show_bottom(model),
        Choice::View(id) => perform(model, now, Deed::Open(id), effects),
        Choice::Cluster(id) => {
            show_bottom(model);
            open(model, now, ViewId::Cluster, &Subject::Cluster(id));
        }
    }
}
