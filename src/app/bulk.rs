//! One order for all marked clusters.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::operate::{look, send};
use super::{Effect, Model};
use crate::id::Text;
use crate::keymap::chord::{Chord, Code};
use crate::operation::Operation;
use crate::run::Outcome;
use crate::screen::Dialog;
use crate::screen::bulk::Bulk;
use crate::state::notice::Weight;
use crate::view::Subject;

/// Looks at all of them, and offers all at once.
pub(super) fn offer(
    model: &mut Model,
    now: Timestamp,
    operation: &'static Operation,
    subjects: &[Subject],
    args: &BTreeMap<Text, Text>,
    effects: &mut Vec<Effect>,
) {
    let (mut runs, mut refused) = (Vec::new(), Vec::new());
    for cluster in subjects.iter().filter_map(Subject::cluster) {
        match look(model, now, operation, (cluster.clone(), None, args.clone()), effects) {
            Ok(run) => runs.push(run),
            Err(why) => refused.push((cluster.to_string().into(), why)),
        }
    }
    model.screen.dialog = Some(Dialog::Bulk(Bulk { runs, refused, begun: false, scroll: 0 }));
}

/// Takes a key while the dialog is open.
pub(super) fn key(model: &mut Model, now: Timestamp, chord: Chord, mut bulk: Bulk, effects: &mut Vec<Effect>) {
    match chord.code {
        Code::Esc | Code::Char('q') => {
            // What is under way stays so.
            for run in &bulk.runs {
                model.state.ledger.withdraw_unless_queued(run);
            }
            return;
        }
        Code::Char('y') if !chord.ctrl && !chord.alt && !bulk.begun => {
            if let Err(why) = bulk.answerable(&model.state, now) {
                model.state.notices.say(now, Weight::Warning, format!("nothing was sent: {why}"));
            } else if let Some(first) = bulk.runs.first() {
                bulk.begun = true;
                model.state.ledger.line_up(bulk.runs.iter().cloned());
                send(model, now, first, &how(bulk.runs.len()), None, effects);
            }
        }
        Code::Down | Code::PageDown => bulk.scroll += 1,
        Code::Up | Code::PageUp => bulk.scroll = bulk.scroll.saturating_sub(1),
        _ => {}
    }
    model.screen.dialog = Some(Dialog::Bulk(bulk));
}

/// As the journal keeps it.
fn how(n: usize) -> String {
    format!("y, for {n} marked clusters")
}

/// One has ended: the next follows if it was proved, else none does.
pub(super) fn go_on(model: &mut Model, now: Timestamp, id: &Text, outcome: Outcome, effects: &mut Vec<Effect>) {
    match model.state.ledger.next_in_line(id, outcome == Outcome::Proved) {
        Ok(None) | Err(0) => {}
        Ok(Some(next)) => send(model, now, &next, "y, for marked clusters", None, effects),
        Err(left) => {
            let text = format!("stopped there: {left} more marked cluster(s) were left as they are");
            model.state.notices.say(now, Weight::Error, text);
        }
    }
}
