//! What a pgdeck has left behind is asked about: this one's journal knows it, or Patroni's own configuration says it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::operate::begin;
use super::{Effect, Model};
use crate::fleet::cluster::Held;
use crate::fleet::{Changes, Entry};
use crate::id::{ClusterId, InstanceId};
use crate::operation::{Undone, undoing};
use crate::screen::Dialog;
use crate::state::State;
use crate::state::ledger::{LeftOver, Standing, Told};
use crate::state::notice::Weight;
use crate::view::Subject;

/// What was ordered is seen to stand this soon after it was proved.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// Time alone leaves something behind: it is looked for this often, in seconds.
const EVERY_S: i64 = 10;

/// Asks about one thing that was left, as soon as its cluster is in sight, and once.
pub(super) fn ask(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    if model.screen.dialog.is_some() || model.screen.is_ending() {
        return;
    }
    let ours = of_ours(&mut model.state);
    // What is not ours cannot be ended here then.
    let is_vain = ours.is_none() && model.state.settings.read_only;
    let Some((action, subject, text)) = ours.or_else(|| of_others(&mut model.state, now)) else { return };
    model.state.notices.say(now, Weight::Error, text.clone());
    let Some(operation) = undoing(&action).filter(|_| !is_vain) else { return };
    begin(model, now, operation.id, (Some(subject), &[]), effects);
    if let Some(Dialog::Order(confirm)) = &mut model.screen.dialog {
        confirm.unasked = Some(text);
    }
}

/// Tells what stands by the journal, once, unless it is seen to be over.
pub(super) fn tell(State { fleet, ledger, notices, .. }: &mut State, now: Timestamp) {
    let is_in_sight = |standing: &Standing| fleet.get(&standing.cluster).is_some_and(is_in_sight);
    while let Some(standing) = ledger.take_standing(is_in_sight) {
        let undone = undoing(&standing.action).and_then(|row| row.undoes);
        let stands = |(undone, entry): (Undone, &Entry)| (undone.stands)(entry, &BTreeMap::new());
        let stands = undone.zip(fleet.get(&standing.cluster)).and_then(stands);
        // What may be over by itself is told only where it is seen.
        let may_stand = stands.unwrap_or_else(|| undone.is_some_and(|undone| undone.with.is_none()));
        if may_stand {
            notices.say(now, Weight::Warning, format!("by the journal: {}", standing.told()));
        }
    }
}

/// What this pgdeck has left and somebody else has ended is not its own any more, though it may be made anew.
pub(super) fn outlive(State { fleet, ledger, .. }: &mut State, now: Timestamp) {
    for run in ledger.leaving() {
        let Some(undone) = undoing(run.action).and_then(|row| row.undoes) else { continue };
        let entry = fleet.get(&run.aim.cluster).filter(|entry| is_in_sight(entry));
        let stands = entry.and_then(|entry| (undone.stands)(entry, &run.aim.args));
        // Not every change is seen: somebody may have ended it and made it anew meanwhile, before it was seen first or since.
        let is_late = || now > run.lines.last().map_or(run.began, |line| line.at) + SEEN_WITHIN;
        let made = entry.and_then(undone.made);
        run.touched |= match (run.seen_standing, stands) {
            (true, Some(true)) => run.made != made,
            (false, _) if entry.is_none() => true,
            (false, Some(true)) => is_late(),
            _ => false,
        };
        if stands == Some(true) {
            (run.made, run.seen_standing) = (made, true);
        }
        // Before it was seen, what is known is from before the order.
        let is_ended = stands == Some(false) && run.seen_standing;
        // Other clocks may be behind: what is seen to wait still, waits.
        let is_over = stands != Some(true) && (undone.until)(&run.aim.args).is_some_and(|until| now >= until);
        run.leaves = !is_ended && !is_over;
    }
}

/// An action with what it was done to, and what is said of it.
type Left = (String, Subject, String);

fn is_in_sight(entry: &Entry) -> bool {
    !entry.stale && !entry.cluster.coming
}

/// What a pgdeck with this journal was cut off at: this one may take it back, armed or not.
fn of_ours(State { fleet, ledger, .. }: &mut State) -> Option<Left> {
    let is_there = |left: &&mut LeftOver| {
        let entry = fleet.get(&left.cluster).filter(|entry| is_in_sight(entry));
        entry.is_some_and(|entry| left.member.as_ref().is_none_or(|member| entry.cluster.member(member).is_some()))
    };
    let left = ledger.left_over().find(is_there)?;
    left.asked = true;
    let subject = match &left.member {
        Some(member) => Subject::Instance(InstanceId { cluster: left.cluster.clone(), member: member.clone() }),
        None => Subject::Cluster(left.cluster.clone()),
    };
    let text = format!("a {} of {} was left by a pgdeck that was cut off: end it?", left.action, left.cluster.name);
    Some((left.action.to_string(), subject, text))
}

/// What any other pgdeck has said in Patroni's configuration that it holds, and has not ended though its time is over. It is not
/// this one's: to end it is an order like any other.
fn of_others(State { fleet, ledger, .. }: &mut State, now: Timestamp) -> Option<Left> {
    // Of a large fleet only what has changed is looked at; all of it where time alone may have.
    let moment = (fleet.generation(), now.as_second() / EVERY_S);
    let changed = match ledger.looked_for_left.replace(moment) {
        Some((generation, then)) if then == moment.1 => fleet.changed_since(generation),
        _ => Changes::All,
    };
    let is_ours = |id: &ClusterId, held: &Held| {
        let mine = || ledger.holding().any(|run| run.aim.cluster == *id);
        mine() || ledger.has_told(&told(id, held))
    };
    let is_left = |id: &ClusterId, entry: &Entry, held: &Held| {
        held.is_over(now) && is_in_sight(entry) && entry.cluster.member(&held.member).is_some() && !is_ours(id, held)
    };
    let left = |(id, entry): (&ClusterId, &Entry)| {
        let held = entry.cluster.dcs.as_ref()?.config.as_ref()?.held.as_ref()?;
        is_left(id, entry, held).then(|| (id.clone(), held.clone()))
    };
    let (id, held) = match &changed {
        Changes::Some(ids) => ids.iter().find_map(|id| left((id, fleet.get(id)?))),
        Changes::All => fleet.clusters().find_map(left),
    }?;
    ledger.tell(told(&id, &held));
    let since =
        held.since.map_or_else(|| "an unknown time".to_owned(), |since| since.strftime("%F %T UTC").to_string());
    let text = format!(
        "{} has paused replay of {} since {since}, for {} s, and did not end it: replay-resume on it does, once armed",
        held.who, held.member, held.for_s
    );
    Some(("replay-pause".to_owned(), Subject::Instance(InstanceId { cluster: id, member: held.member }), text))
}

fn told(id: &ClusterId, held: &Held) -> Told {
    (id.clone(), held.member.clone(), held.since)
}
