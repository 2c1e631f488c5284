//! One change of many clusters: one preview, one answer, one after the other, each with an outcome of its own.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Call, Exit, ask, changes, colour, exit, finish, refuse, shape, try_out};
use crate::cli::Report;
use crate::head::gathering::Gathering;
use crate::head::{complain, say, usage};
use crate::operation::{Confirm, On};
use crate::present;
use crate::run::Run;
use crate::work::entry::Colour;
use crate::work::order::Order;
use crate::work::target::Meant;

/// What is said of one that does not come to its turn.
const NOT_SENT: &str = "not sent: one before it was not proved (--keep-going goes on all the same)";

/// Looks at all, asks once, and does it to one after the other: up to the first that is not proved, unless told to keep going.
pub(super) fn run(call: &Call<'_>, gathering: &Gathering<'_>, meant: &BTreeSet<Meant>, target: &str) -> Exit {
    let is_of_clusters = matches!(call.operation.on, On::Cluster | On::Any);
    if !is_of_clusters || meant.iter().any(|one| one.member.is_some()) {
        return usage(&format!("target {target:?} means more than one member: name one"));
    }
    let (mut runs, mut barred) = (Vec::new(), Vec::new());
    for (n, one) in meant.iter().enumerate() {
        match call.look(gathering, (&one.cluster, None), n) {
            Ok(run) => {
                barred.extend(why_not(call, &run).map(|why| format!("{}: {why}", one.cluster)));
                runs.push(run);
            }
            Err(why) => barred.push(format!("{}: {why}", one.cluster)),
        }
    }
    if call.asked.output == Report::Text {
        offer(call, &runs);
    }
    if !barred.is_empty() {
        let (last, rest) = barred.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
        for why in rest {
            refuse(why);
        }
        return not_done(call, &runs, last);
    }
    if call.asked.dry_run {
        let tried =
            runs.iter().map(|run| try_out(call.runtime, run, &run.deal.clone().unwrap_or_default(), call.asked));
        return tried.fold(Exit::Done, |worst, exit| if worst == Exit::Done { exit } else { worst });
    }
    match confirmed(call, runs.len()) {
        Ok(how) => send(call, runs, &how),
        Err(why) => not_done(call, &runs, &why),
    }
}

/// What keeps one of them from being done by an answer to all; none if nothing does.
fn why_not(call: &Call<'_>, run: &Run) -> Option<String> {
    let Some(deal) = &run.deal else {
        return Some(run.lines.last().map_or_else(|| "it is refused".to_owned(), |line| line.text.clone()));
    };
    let red = deal.lights.iter().find(|light| light.colour == Colour::Red);
    let is_typed = deal.by_name || call.operation.confirm == Confirm::Name || call.is_protected(&run.aim.cluster);
    let is_shell = deal.steps.iter().any(|step| matches!(step.order, Order::Shell { .. }));
    run.why_it_waits()
        .or_else(|| red.map(|light| format!("{}: do it alone", light.text)))
        .or_else(|| is_typed.then(|| "its name must be typed: do it alone".to_owned()))
        .or_else(|| is_shell.then(|| "a terminal is for one alone".to_owned()))
}

fn offer(call: &Call<'_>, runs: &[Run]) {
    let count =
        |colour| runs.iter().filter(|run| run.deal.as_ref().is_some_and(|deal| deal.colour() == colour)).count();
    let counts = [(Colour::Green, "ok"), (Colour::Amber, "amber"), (Colour::Red, "RED")];
    let counts: Vec<String> = counts.iter().map(|(colour, word)| format!("{} {word}", count(*colour))).collect();
    let mut lines = vec![format!("{} {} clusters: {}", call.operation.id, runs.len(), counts.join(", "))];
    for run in runs {
        lines.push(run.aim.cluster.to_string());
        let Some(deal) = &run.deal else { continue };
        let told = deal.lights.iter().filter(|light| light.colour != Colour::Green);
        lines.extend(told.map(|light| format!("  {:<5}  {}", colour(light.colour), light.text)));
        for step in &deal.steps {
            lines.push(format!("  send   {}", step.order.title()));
            lines.extend(changes(run, &step.order).into_iter().flatten().map(|line| format!("         {line}")));
        }
    }
    for line in lines {
        say(&present::clean(&line));
    }
}

fn confirmed(call: &Call<'_>, n: usize) -> Result<String, String> {
    if call.config.readonly {
        return Err("--readonly, or readonly in the configuration, allows no change".into());
    }
    if !call.config.write {
        return Err("nothing was changed: add --write to do it".into());
    }
    if call.asked.yes {
        return Ok(format!("--yes, for {n} clusters"));
    }
    let answer = ask(&format!("do it to {n} clusters, one after the other? y or n: "));
    match answer.ok_or("it must be confirmed: add --yes")?.as_str() {
        "y" => Ok(format!("y, for {n} clusters")),
        _ => Err("it was not confirmed".into()),
    }
}

fn not_done(call: &Call<'_>, runs: &[Run], why: &str) -> Exit {
    if call.asked.output == Report::Json {
        print(&runs.iter().map(|run| shape(run, Some(why))).collect::<Vec<_>>());
    }
    refuse(why)
}

fn print(shapes: &[Value]) {
    say(&present::escaped(&format!("{:#}", json!(shapes))));
}

/// The exit code is that of the first that was not proved.
fn send(call: &Call<'_>, runs: Vec<Run>, how: &str) -> Exit {
    let (mut shapes, mut first) = (Vec::new(), Exit::Done);
    for run in runs {
        let name = run.aim.cluster.to_string();
        if first != Exit::Done && !call.asked.keep_going {
            complain(&present::clean(&format!("pgdeck: {name}: {NOT_SENT}")));
            shapes.push(shape(&run, Some(NOT_SENT)));
            continue;
        }
        if call.asked.output == Report::Text {
            say(&present::clean(&name));
        }
        // What is held is held of members, and ends by itself.
        let (run, _) = call.send(run, how.to_owned());
        if call.asked.output == Report::Text {
            finish(&run, call.asked);
        }
        first = if first == Exit::Done { exit(&run) } else { first };
        shapes.push(shape(&run, None));
    }
    if call.asked.output == Report::Json {
        print(&shapes);
    }
    first
}
