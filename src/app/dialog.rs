//! Keys while a dialog is open.

use jiff::Timestamp;

use super::update::{open, perform, show_bottom};
use super::{Effect, Model, applies, bulk, leaving, offer, operate};
use crate::action::{Action, Deed, ViewId};
use crate::keymap::chord::{Chord, Code};
use crate::screen::palette::{Choice, Item, Palette, Taken};
use crate::screen::{Dialog, Then, remember};
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

/// Opens the palette; rights that are not known are asked for meanwhile.
pub(super) fn open_palette(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    applies::ask_rights(model, now, effects);
    let why_not = |id: &'static str| applies::why_not(model, now, id);
    let recent = &model.screen.history.choices;
    let about = operate::subject(model).shown();
    let palette = Palette::new((model.top(), about), &model.state.fleet, &model.keymap, recent, why_not);
    model.screen.dialog = Some(Dialog::Palette(palette));
}

/// Greys what does not apply, by what is known now.
pub(super) fn grey(model: &mut Model, now: Timestamp) {
    if let Some(Dialog::Palette(mut palette)) =
        model.screen.dialog.take_if(|dialog| matches!(dialog, Dialog::Palette(_)))
    {
        palette.grey(|id| applies::why_not(model, now, id));
        model.screen.dialog = Some(Dialog::Palette(palette));
    }
}

/// Takes a key while a dialog is open.
pub(super) fn key(model: &mut Model, now: Timestamp, chord: Chord, effects: &mut Vec<Effect>) {
    if (Chord { code: Code::Char('c'), ctrl: true, alt: false, shift: false }) == chord {
        (model.screen.dialog, model.screen.aimed) = (None, None);
        return leaving::leave(model, now, effects);
    }
    match model.screen.dialog.take() {
        None => {}
        Some(Dialog::Filter { field, before, error }) => filter_key(model, now, chord, (field, before, error)),
        Some(Dialog::Palette(mut palette)) => match palette.key(chord) {
            Taken::Left => model.screen.aimed = None,
            Taken::Stays => model.screen.dialog = Some(Dialog::Palette(palette)),
            Taken::Chosen(item, words) => choose(model, now, item, &words, effects),
        },
        Some(Dialog::Ask { prompt, field, error, then }) => {
            ask_key(model, now, chord, (prompt, field, error, then), effects);
        }
        Some(Dialog::Order(confirm)) => offer::key(model, now, chord, confirm, effects),
        Some(Dialog::Bulk(bulk)) => bulk::key(model, now, chord, bulk, effects),
    }
}

fn ask_key(
    model: &mut Model,
    now: Timestamp,
    chord: Chord,
    (prompt, mut field, error, then): (String, Field, Option<String>, Then),
    effects: &mut Vec<Effect>,
) {
    let error = match chord.code {
        Code::Esc => return,
        Code::Enter => match operate::answered(model, now, &then, field.text(), effects) {
            Ok(()) => return,
            Err(why) => Some(why),
        },
        _ if field.key(chord) => None,
        _ => error,
    };
    model.screen.dialog = Some(Dialog::Ask { prompt, field, error, then });
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
        Some(Dialog::Ask { prompt, mut field, then, .. }) => {
            field.paste(text);
            model.screen.dialog = Some(Dialog::Ask { prompt, field, error: None, then });
        }
        Some(Dialog::Order(mut confirm)) => {
            // A name that confirms is typed, not pasted.
            if let Some(asking) = &mut confirm.asking {
                asking.field.paste(text);
            }
            model.screen.dialog = Some(Dialog::Order(confirm));
        }
        Some(dialog @ Dialog::Bulk(_)) => model.screen.dialog = Some(dialog),
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

fn choose(model: &mut Model, now: Timestamp, item: Item, words: &[String], effects: &mut Vec<Effect>) {
    remember(&mut model.screen.history.choices, item.text);
    chosen(model, now, item.choice, words, effects);
    model.screen.aimed = None;
}

fn chosen(model: &mut Model, now: Timestamp, choice: Choice, words: &[String], effects: &mut Vec<Effect>) {
    match choice {
        Choice::Act(Action { does: Deed::Operate(id), .. }) if !words.is_empty() => {
            operate::begin(model, now, id, (None, words), effects);
        }
        Choice::Act(action) => perform(model, now, action.does, effects),
        Choice::View(ViewId::Fleet) => show_bottom(model),
        Choice::View(id) => perform(model, now, Deed::Open(id), effects),
        Choice::Cluster(id) => {
            show_bottom(model);
            open(model, now, ViewId::Cluster, &Subject::Cluster(id));
        }
    }
}
