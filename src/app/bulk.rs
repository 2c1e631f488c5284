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
use crate::screen::bulk::{Bulk, Stands};
use crate::state::ledger::Line;
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
        match look(model, now, operation, (cluster.clone(), None, args.clone()), None, effects) {
            Ok(run) => runs.push(run),
            Err(why) => refused.push((cluster.to_string().into(), why)),
        }
    }
    model.screen.dialog = Some(Dialog::Bulk(Bulk::of(runs, refused)));
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
        Code::Char('y') if !chord.ctrl && !chord.alt && bulk.stands != Stands::Going => {
            let left: Vec<Text> = bulk.left(&model.state).map(|run| run.id.clone()).collect();
            if let Err(why) = bulk.answerable(&model.state, now) {
                model.state.notices.say(now, Weight::Warning, format!("nothing was sent: {why}"));
            } else if let Some(first) = left.first() {
                let how = if bulk.stands == Stands::Stopped { AFTER_FAILURE } else { MARKED };
                bulk.stands = Stands::Going;
                model.state.ledger.line_up(left.iter().cloned());
                send(model, now, first, how, None, effects);
            }
        }
        Code::Char('d') if !chord.ctrl && !chord.alt => bulk.in_full = !bulk.in_full,
        Code::Down | Code::PageDown => bulk.scroll += 1,
        Code::Up | Code::PageUp => bulk.scroll = bulk.scroll.saturating_sub(1),
        _ => {}
    }
    model.screen.dialog = Some(Dialog::Bulk(bulk));
}

/// As the journal keeps it.
const MARKED: &str = "y, for marked clusters";
/// The same, where one before it was not proved.
const AFTER_FAILURE: &str = "y, for the marked clusters that were left after one failed";

/// One has ended: the next follows if it was proved. Else none does, but where the user looks at it the rest can be answered anew.
pub(super) fn go_on(model: &mut Model, now: Timestamp, id: &Text, outcome: Outcome, effects: &mut Vec<Effect>) {
    let bulk = match &mut model.screen.dialog {
        Some(Dialog::Bulk(bulk)) if bulk.runs.contains(id) => Some(bulk),
        _ => None,
    };
    match model.state.ledger.next_in_line(id, outcome == Outcome::Proved) {
        Line::Elsewhere => {}
        Line::Next(next) => send(model, now, &next, MARKED, None, effects),
        Line::Over => bulk.into_iter().for_each(|bulk| bulk.stands = Stands::Stopped),
        Line::Broken(left) => {
            let n = left.len();
            let how = if let Some(bulk) = bulk {
                bulk.stands = Stands::Stopped;
                "wait: y goes on with them"
            } else {
                for run in &left {
                    model.state.ledger.withdraw(run);
                }
                "were left as they are"
            };
            model.state.notices.say(now, Weight::Error, format!("stopped there: {n} more marked cluster(s) {how}"));
        }
    }
}
