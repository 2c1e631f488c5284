//! The end of the console: what is held, and on a signal what would stay, is taken back first.

use jiff::{SignedDuration, Timestamp};

use super::operate::{happened, look};
use super::{Effect, Model, Outcome};
use crate::id::Text;
use crate::operation::operation;
use crate::run::Event;
use crate::screen::Leaving;
use crate::state::ledger::Standing;
use crate::state::notice::Weight;

/// Whoever asks us to end from outside waits no longer than this: then it is said what could not be taken back. Half a second less
/// than the console's end by force.
const PATIENCE: SignedDuration = SignedDuration::from_millis(4_500);

/// The system asks us to end: what this pgdeck holds, or has made to stay, is taken back first.
pub(super) fn interrupted(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    if !model.screen.is_ending() {
        model.screen.leaving = Some(Leaving::System { until: now + PATIENCE });
    }
    model.screen.dialog = None;
    take_back(model, now, "pgdeck was asked to end", effects);
    effects.extend(model.state.ledger.cut_short(now).into_iter().map(|(run, outs)| Effect::Run(run, outs)));
}

/// Leaves pgdeck; while something is under way only when asked twice.
pub(super) fn leave(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let under_way: Vec<String> =
        model.state.ledger.under_way().map(|run| format!("{} {}", run.action, run.aim.cluster.name)).collect();
    if model.state.ledger.holding().next().is_some() && model.screen.leaving.is_none() {
        model.screen.leaving = Some(Leaving::User);
        model.state.notices.say(now, Weight::Warning, "what is held is taken back first; then pgdeck ends");
        return take_back(model, now, "pgdeck is left", effects);
    }
    if under_way.is_empty() || model.screen.warned_of_leaving {
        effects.push(Effect::Exit(Outcome::Left));
        return;
    }
    model.screen.warned_of_leaving = true;
    let text = format!("{} is not proved yet: leave again to leave it so", under_way.join(", "));
    model.state.notices.say(now, Weight::Warning, text);
}

/// Takes back whatever is held, and why.
fn take_back(model: &mut Model, now: Timestamp, why: &str, effects: &mut Vec<Effect>) {
    let held: Vec<Text> = model.state.ledger.holding().map(|run| run.id.clone()).collect();
    for id in held {
        happened(model, now, &id, Event::TakeBack(why.into()), effects);
    }
}

/// Ends the console once nothing is to be waited for any more, if it shall end at all.
pub(super) fn go_on(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let (outcome, is_over) = match model.screen.leaving {
        None => return,
        Some(Leaving::User) => (Outcome::Left, model.state.ledger.holding().next().is_none()),
        Some(Leaving::System { until }) => {
            end_what_stays(model, now, effects);
            (Outcome::Interrupted, now >= until || !model.state.ledger.takes_back())
        }
    };
    if is_over {
        effects.push(Effect::Exit(outcome));
    }
}

/// Begins to end what would stay: once each, and by itself, since nobody is there to be asked.
fn end_what_stays(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    // What is held there ends first.
    let ledger = &model.state.ledger;
    let is_held = |standing: &Standing| ledger.holding().any(|run| run.aim.cluster == standing.cluster);
    let holds = |standing: &Standing| operation(&standing.action).is_some_and(|row| row.holds);
    let is_due = |standing: &Standing| !holds(standing) && !is_held(standing) && !ledger.is_seen_to(standing);
    let staying: Vec<Standing> = ledger.staying().filter(|standing| standing.ours && is_due(standing)).collect();
    for standing in staying {
        let Some(operation) = operation(standing.ended_by) else { continue };
        // What both are about is the same: a switchover that waits for another moment is not the one that was ordered.
        let is_shared = |(name, _): &(Text, Text)| operation.args.iter().any(|arg| *arg.name == **name);
        let args = standing.args.into_iter().filter(is_shared).collect();
        // What cannot be looked at now stays, and that is told at the end.
        let who = Some(model.state.settings.who.clone());
        look(model, now, operation, (standing.cluster, standing.member, args), who, effects).ok();
    }
}
