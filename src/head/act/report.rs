//! What `pgdeck do` prints: what would be done, and what came of it.

use serde_json::{Value, json};

use super::super::{Exit, complain, say, shell};
use crate::cli::{Do, Report};
use crate::operation::Operation;
use crate::present;
use crate::run::{Cause, Deal, Outcome, Run};
use crate::runtime::clock;
use crate::work::change;
use crate::work::entry::{Colour, Light};
use crate::work::order::{Order, quoted};

/// Shows what was looked at, and what would be sent.
pub(super) fn offer(operation: &Operation, run: &Run, deal: &Deal) {
    let subject = run
        .aim
        .member
        .as_ref()
        .map_or_else(|| run.aim.cluster.to_string(), |member| format!("{}/{member}", run.aim.cluster));
    let mut lines = vec![format!("{} {subject}", operation.id)];
    let mut lights: Vec<&Light> = deal.lights.iter().collect();
    lights.sort_by_key(|light| std::cmp::Reverse(light.colour));
    lines.extend(lights.iter().map(|light| format!("  {:<5}  {}", colour(light.colour), light.text)));
    for step in &deal.steps {
        lines.push(format!("  send   {}", step.order.title()));
        match changes(run, &step.order) {
            Some(change) => lines.extend(change.iter().map(|line| format!("         {line}"))),
            None => lines.extend(step.order.shown().map(|body| format!("         {body}"))),
        }
        let named =
            shell::KUBECONFIG.get().map(|path| format!("export KUBECONFIG={}; ", quoted(&path.to_string_lossy())));
        lines.push(format!("         by hand: {}{}", named.unwrap_or_default(), step.order.command()));
        lines.push(format!("  await  {}", step.awaited()));
    }
    lines.extend(run.to_come_back().iter().map(|step| format!("  back   {}", step.order.title())));
    lines.push(format!("  cost   {}", deal.downtime));
    lines.push(format!("  undo   {}", deal.undo));
    for line in lines {
        say(&present::clean(&line));
    }
}

/// What it changes, as a diff.
pub(super) fn changes(run: &Run, order: &Order) -> Option<Vec<String>> {
    let row = |line: &change::Line| format!("{} {}", line.mark.sign(), line.text);
    run.change(order).map(|lines| lines.iter().map(row).collect())
}

pub(super) fn colour(colour: Colour) -> &'static str {
    match colour {
        Colour::Green => "ok",
        Colour::Amber => "amber",
        Colour::Red => "RED",
    }
}

pub(super) fn finish(run: &Run, asked: &Do) -> Exit {
    let outcome = run.outcome().unwrap_or(Outcome::Refused);
    let why = run.lines.last().map(|line| line.text.clone()).unwrap_or_default();
    let printed = match asked.output {
        Report::Json => say(&present::escaped(&format!("{:#}", shape(run, None)))),
        Report::Text if outcome == Outcome::Proved => {
            say(&format!("{} in {:.1} s", outcome.word(), clock::now().duration_since(run.began).as_secs_f64()))
        }
        Report::Text => {
            let undo = run.deal.as_ref().map(|deal| deal.undo.clone()).unwrap_or_default();
            let known = if outcome == Outcome::Refused { why } else { format!("see above; to go back: {undo}") };
            complain(&format!("pgdeck: {}: {}", outcome.word(), present::clean(&known)));
            Exit::Done
        }
    };
    if printed == Exit::Done { exit(run) } else { printed }
}

/// The exit code that a run's end means.
pub(super) fn exit(run: &Run) -> Exit {
    match run.outcome().unwrap_or(Outcome::Refused) {
        Outcome::Proved => Exit::Done,
        Outcome::Refused => match run.cause {
            Cause::Judged => Exit::Refused,
            Cause::Forbidden => Exit::Forbidden,
            Cause::TimedOut => Exit::TimedOut,
            Cause::Gone => Exit::Gone,
        },
        Outcome::Failed => Exit::Failed,
        Outcome::Unproven => Exit::Unproven,
    }
}

/// A run as JSON.
pub(super) fn shape(run: &Run, note: Option<&str>) -> Value {
    let deal = run.deal.as_ref();
    let steps = deal.map(|deal| &deal.steps[..]).unwrap_or_default().iter();
    json!({
        "schema": 1,
        "run": run.id,
        "action": run.action,
        "cluster": run.aim.cluster,
        "member": run.aim.member,
        "args": run.aim.args,
        "outcome": run.outcome().map_or("NOT SENT", Outcome::word),
        "note": note,
        "preflight": deal.map(|deal| json!(deal.lights)),
        "orders": steps.clone().map(|step| json!(step.order)).collect::<Vec<_>>(),
        "changes": steps.clone().map(|step| changes(run, &step.order)).collect::<Vec<_>>(),
        "commands": steps.map(|step| step.order.command()).collect::<Vec<_>>(),
        "lines": run.lines.iter().map(|line| json!({"at": line.at, "text": line.text})).collect::<Vec<_>>(),
        "downtime": deal.map(|deal| &deal.downtime),
        "undo": deal.map(|deal| &deal.undo),
    })
}
