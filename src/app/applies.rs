//! Whether operations apply to what the cursor is on, before anybody tries them.

use jiff::Timestamp;

use super::operate::{aim_at, subject};
use super::{Effect, Model};
use crate::id::Text;
use crate::operation::{OPERATIONS, On, Operation, operation};
use crate::run::{Cause, Run};
use crate::state::ledger::scope;
use crate::view::Subject;
use crate::work::probe::Probe;

/// Why an operation does not apply to what the cursor is on; none if it may. What only the world can tell is not asked.
pub(super) fn why_not(model: &Model, now: Timestamp, id: &str) -> Option<String> {
    let operation = operation(id)?;
    let subject = subject(model);
    let Some(cluster) = subject.cluster() else { return Some("the cursor is on no cluster".into()) };
    let member = subject.instance().map(|instance| instance.member.clone());
    if matches!(operation.on, On::Member | On::Backend) && member.is_none() {
        return Some("the cursor is on no member".into());
    }
    let entry = model.state.fleet.get(cluster)?;
    if entry.stale {
        return Some("what is known of it is stale: its plane does not answer now".into());
    }
    // A right that was missing when it was asked for last.
    let same = |run: &&Run| run.action == operation.id && scope(&run.aim.cluster) == scope(cluster);
    let last = model.state.ledger.all().filter(same).find(|run| run.outcome().is_some());
    if let Some(run) = last.filter(|run| run.cause == Cause::Forbidden) {
        return run.lines.last().map(|line| line.text.clone());
    }
    match would_ask(model, now, operation, &subject)? {
        Err(why) => Some(why),
        Ok(probes) => {
            let missing = model.state.rights.missing(&probes).map(|access| format!("the right to {access} is missing"));
            missing.or_else(|| (operation.moot)(entry, member.as_ref()))
        }
    }
}

/// What an operation would look at first, with arguments as in its examples; none where the cursor is on no cluster.
fn would_ask(
    model: &Model,
    now: Timestamp,
    operation: &Operation,
    subject: &Subject,
) -> Option<Result<Vec<Probe>, String>> {
    let cluster = subject.cluster()?.clone();
    let entry = model.state.fleet.get(&cluster)?;
    let member = subject.instance().map(|instance| instance.member.clone()).filter(|_| operation.on != On::Cluster);
    let required = operation.args.iter().filter(|arg| arg.required);
    let args = required.map(|arg| (Text::from(arg.name), Text::from(arg.example))).collect();
    Some((operation.aim)(entry, &aim_at(model, now, entry, (cluster, member, args))))
}

/// Asks for the rights that what applies to the cursor's cluster takes, as far as they are not known.
pub(super) fn ask_rights(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let subject = subject(model);
    let asked = OPERATIONS.iter().filter_map(|operation| would_ask(model, now, operation, &subject)?.ok());
    let asked: Vec<Probe> = asked.flatten().collect();
    let asked = model.state.rights.to_ask(asked, now);
    if !asked.is_empty() {
        effects.push(Effect::Ask(asked));
    }
}
