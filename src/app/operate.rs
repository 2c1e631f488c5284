//! Orders in the console: arming, aiming, offering, confirming, and what comes of them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Effect, Model, bulk};
use crate::fleet::cluster::Origin;
use crate::fleet::{Entry, topology};
use crate::id::{ClusterId, Text};
use crate::operation::{On, Operation, operation};
use crate::run::{Aim, CutOff, Event, Out, Outcome as RunOutcome, Run, Shown};
use crate::screen::confirm::Confirm;
use crate::screen::{Dialog, Then};
use crate::state::ledger::{Scope, is_protected, scope};
use crate::state::notice::Weight;
use crate::view::Subject;
use crate::widget::input::Field;

/// How it begins to be said that the journal could not take in what has happened.
const NOT_KEPT: &str = "THE JOURNAL DOES NOT KEEP WHAT BECAME OF AN ORDER";

/// Something that a run asked for has happened.
pub(super) fn happened(model: &mut Model, now: Timestamp, id: &Text, event: Event, effects: &mut Vec<Effect>) {
    let event = match event {
        Event::CutOff(found) => return take_up(model, now, *found, effects),
        Event::Owed(why) => {
            let text = format!("{NOT_KEPT}, and does as soon as it can: {why}");
            return model.state.notices.say(now, Weight::Error, text);
        }
        event => event,
    };
    let Some(run) = model.state.ledger.get_mut(id) else { return };
    let was_over = run.outcome().is_some();
    let outs = run.advance(now, event);
    if let Some(outcome) = run.outcome().filter(|_| !was_over) {
        let why = run.lines.last().map(|line| line.text.clone()).unwrap_or_default();
        let weight = match outcome {
            RunOutcome::Proved => Weight::Info,
            RunOutcome::Refused => Weight::Warning,
            RunOutcome::Failed | RunOutcome::Unproven => Weight::Error,
        };
        let text = format!("{} {}: {}: {why}", run.action, run.aim.cluster.name, outcome.word());
        model.state.notices.say(now, weight, text);
    }
    let ended = run.outcome().filter(|_| !was_over);
    // What was cut off has its end in the journal now.
    if let Some(left) = run.takes_back.clone()
        && outs.iter().any(|out| matches!(out, Out::Note(entry) if entry.run == left))
    {
        model.state.ledger.disown(&left);
    }
    if !outs.is_empty() {
        effects.push(Effect::Run(id.clone(), outs));
    }
    // What pgdeck asks by itself, and needs no answer any more, is not asked any longer: why was just told.
    if ended == Some(RunOutcome::Refused)
        && let Some(Dialog::Order(confirm)) = &model.screen.dialog
        && confirm.run == *id
        && let Some(question) = &confirm.unasked
    {
        model.state.notices.answered(question);
        model.screen.dialog = None;
    }
    if let Some(outcome) = ended {
        bulk::go_on(model, now, id, outcome, effects);
    }
}

/// Sees to what pgdecks that run no more were cut off at: it is told, and its effect is looked for.
pub(super) fn take_up(model: &mut Model, now: Timestamp, cut_off: CutOff, effects: &mut Vec<Effect>) {
    for text in cut_off.told {
        model.state.notices.say(now, Weight::Error, text);
    }
    for left in cut_off.held {
        model.state.ledger.inherit(left);
    }
    for (run, outs) in cut_off.runs {
        effects.push(Effect::Run(run.id.clone(), outs));
        model.state.ledger.put(run);
    }
}

/// What the cursor is on, or was on when the first key of what is typed was pressed.
pub(super) fn subject(model: &Model) -> Subject {
    let at_cursor = || model.screen.views.last().map_or(Subject::Nothing, |view| view.subject());
    model.screen.aimed.clone().unwrap_or_else(at_cursor)
}

/// Arms the scope of what the cursor is on, or disarms it; without one, disarms all.
pub(super) fn arm(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let scope = subject(model).cluster().map(scope).or_else(|| only_scope(model));
    let armed = model.state.ledger.armed_now(now).map(|(armed, _)| armed.clone());
    let ended: Vec<Scope> = armed.filter(|armed| scope.as_ref().is_none_or(|scope| scope == armed)).collect();
    if !ended.is_empty() {
        let text = format!("read-only again: {}", ended.join(", "));
        model.state.notices.say(now, Weight::Info, text);
        for scope in ended {
            model.state.ledger.disarm(&scope);
            effects.push(Effect::Disarm(scope));
        }
        return;
    }
    if model.state.settings.read_only {
        let text = "this pgdeck was started read-only (--readonly, or readonly in the configuration)";
        return model.state.notices.say(now, Weight::Warning, text);
    }
    let Some(scope) = scope else {
        let text = "put the cursor on a cluster: its context is what is armed";
        return model.state.notices.say(now, Weight::Warning, text);
    };
    let name = scope.strip_prefix("hosts:").unwrap_or(&scope).to_owned();
    if is_protected(&model.state.settings.protected, &scope) {
        let prompt = format!("{name} is protected; type its name to arm it: ");
        let then = Then::Arm(scope);
        model.screen.dialog = Some(Dialog::Ask { prompt, field: Field::default(), error: None, then });
        return;
    }
    arm_scope(model, now, scope, effects);
}

/// Where there is but one context, there is no doubt which.
fn only_scope(model: &Model) -> Option<Scope> {
    let mut scopes: Vec<Scope> = model.state.fleet.clusters().map(|(id, _)| scope(id)).collect();
    scopes.dedup();
    if scopes.len() == 1 { scopes.pop() } else { None }
}

fn arm_scope(model: &mut Model, now: Timestamp, scope: Scope, effects: &mut Vec<Effect>) {
    let (minutes, key) = (model.state.settings.armed_min, model.state.settings.arm_key.clone());
    model.state.notices.say(now, Weight::Warning, format!("{scope} is ARMED for {minutes} minutes: {key} ends it"));
    open(model, now, scope, effects);
}

fn open(model: &mut Model, now: Timestamp, scope: Scope, effects: &mut Vec<Effect>) {
    let until = now + SignedDuration::from_mins(model.state.settings.armed_min.into());
    model.state.ledger.arm(scope.clone(), until);
    effects.push(Effect::Arm(scope, until));
}

/// Arms these, but for those whose name must be typed; says so.
pub(super) fn begin_armed(model: &mut Model, now: Timestamp, scopes: &[Scope]) -> Vec<Effect> {
    let settings = &model.state.settings;
    let (held, free): (Vec<Scope>, Vec<Scope>) =
        scopes.iter().cloned().partition(|scope| is_protected(&settings.protected, scope));
    let mut text = match &free[..] {
        [] => "nothing is armed".to_owned(),
        free => format!("ARMED for {} minutes: {}", settings.armed_min, free.join(", ")),
    };
    if !held.is_empty() {
        text = format!("{text}; protected, and READ-ONLY until its name is typed: {}", held.join(", "));
    }
    model.state.notices.say(now, Weight::Warning, text);
    let mut effects = Vec::new();
    for scope in free {
        open(model, now, scope, &mut effects);
    }
    effects
}

/// Takes in what was typed after a question.
pub(super) fn answered(
    model: &mut Model,
    now: Timestamp,
    then: &Then,
    text: &str,
    effects: &mut Vec<Effect>,
) -> Result<(), String> {
    match then {
        Then::Arm(scope) => {
            let name = scope.strip_prefix("hosts:").unwrap_or(scope);
            if text.trim() != name {
                return Err(format!("{text:?} is not {name:?}: nothing is armed"));
            }
            arm_scope(model, now, scope.clone(), effects);
            Ok(())
        }
        Then::Operate(id, subjects) => {
            let operation = operation(id).ok_or("there is no such operation")?;
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            let args = operation.read(&words)?;
            match &subjects[..] {
                [subject] => start(model, now, operation, subject, args, effects),
                subjects => {
                    bulk::offer(model, now, operation, subjects, &args, effects);
                    Ok(())
                }
            }
        }
    }
}

/// Looks at what an operation would do to a subject (by itself the cursor's, or what is marked) with the arguments in `words`;
/// asks for what it needs first.
pub(super) fn begin(
    model: &mut Model,
    now: Timestamp,
    id: &'static str,
    (of, words): (Option<Subject>, &[String]),
    effects: &mut Vec<Effect>,
) {
    let Some(operation) = operation(id) else { return };
    let marked = model.screen.views.last().map(|view| view.marked()).unwrap_or_default();
    let is_bulk = of.is_none() && !marked.is_empty() && matches!(operation.on, On::Cluster | On::Any);
    let subject = of.unwrap_or_else(|| subject(model));
    let subjects = if is_bulk { marked.into_iter().map(Subject::Cluster).collect() } else { vec![subject.clone()] };
    let mut args = BTreeMap::new();
    if let (On::Backend, Subject::Backend(_, pid)) = (operation.on, &subject) {
        args.insert(Text::from("pid"), Text::from(pid.to_string()));
    }
    if !words.is_empty() {
        match operation.read_on(args, words) {
            Ok(read) => args = read,
            Err(why) => return model.state.notices.say(now, Weight::Warning, why),
        }
    }
    if let Some(missing) = operation.args.iter().find(|arg| arg.required && !args.contains_key(arg.name)) {
        if subject.cluster().is_none() {
            return model.state.notices.say(now, Weight::Warning, "put the cursor on a cluster first");
        }
        let prompt = format!("{} ({}): ", operation.usage(), missing.doc);
        let then = Then::Operate(operation.id, subjects);
        model.screen.dialog = Some(Dialog::Ask { prompt, field: Field::default(), error: None, then });
        return;
    }
    if is_bulk {
        return bulk::offer(model, now, operation, &subjects, &args, effects);
    }
    if let Err(why) = start(model, now, operation, &subject, args, effects) {
        model.state.notices.say(now, Weight::Warning, format!("{}: {why}", operation.id));
    }
}

fn start(
    model: &mut Model,
    now: Timestamp,
    operation: &'static Operation,
    subject: &Subject,
    args: BTreeMap<Text, Text>,
    effects: &mut Vec<Effect>,
) -> Result<(), String> {
    let cluster = subject.cluster().ok_or("put the cursor on a cluster first")?.clone();
    let member = match operation.on {
        On::Cluster => None,
        On::Any => subject.instance().map(|instance| instance.member.clone()),
        On::Member | On::Backend => {
            Some(subject.instance().ok_or("put the cursor on one member first")?.member.clone())
        }
    };
    // What this pgdeck holds is let go; nothing needs to be asked for that.
    let held = model.state.ledger.holding().find(|run| {
        operation.undoes.is_some_and(|undone| undone.id == run.action)
            && run.aim.cluster == cluster
            && run.aim.member == member
    });
    if let Some(id) = held.map(|run| run.id.clone()) {
        happened(model, now, &id, Event::TakeBack("it was asked for".into()), effects);
        model.screen.dialog = Some(Dialog::Order(Confirm::of(id)));
        return Ok(());
    }
    let id = look(model, now, operation, (cluster, member, args), None, effects)?;
    model.screen.dialog = Some(Dialog::Order(Confirm::of(id)));
    Ok(())
}

/// What an operation is aimed at, as it stands now.
pub(super) fn aim_at(
    model: &Model,
    now: Timestamp,
    entry: &Entry,
    (cluster, member, args): (ClusterId, Option<Text>, BTreeMap<Text, Text>),
) -> Aim {
    let uid = entry.identity(member.as_ref());
    Aim { cluster, uid, member, args, at: now, who: model.state.settings.who.clone() }
}

/// Who leads a cluster, and what its CR asks for, as the screen knows it now.
pub(super) fn shown(entry: &Entry) -> Shown {
    let primary = topology::primary(entry);
    let by_sql = || entry.instances.get(primary?)?.vitals.fresh()?.timeline;
    let by_patroni = || entry.cluster.member(primary?)?.patroni.as_ref()?.timeline;
    Shown {
        primary: primary.cloned(),
        timeline: by_sql().or_else(by_patroni),
        spec: (entry.cluster.origin == Origin::Resource).then(|| entry.cluster.spec.clone()),
    }
}

/// Begins a run: it looks, and offers what it would do. Gives its name. `alone`: in whose name it confirms itself, since nobody is
/// there to be asked.
pub(super) fn look(
    model: &mut Model,
    now: Timestamp,
    operation: &'static Operation,
    (cluster, member, args): (ClusterId, Option<Text>, BTreeMap<Text, Text>),
    alone: Option<Text>,
    effects: &mut Vec<Effect>,
) -> Result<Text, String> {
    let entry = model.state.fleet.get(&cluster).ok_or("the cluster is gone")?;
    if entry.stale {
        return Err("what is known of it is stale: its plane does not answer now".into());
    }
    let aim = aim_at(model, now, entry, (cluster, member, args));
    let probes = (operation.aim)(entry, &aim)?;
    let moment = now.strftime("%Y%m%dT%H%M%S.%3f");
    // Several may begin in one moment.
    let mut names = (0..).map(|n| Text::from(format!("{moment}.{n}-{}", model.state.settings.process)));
    let id = names.find(|name| model.state.ledger.get(name).is_none()).ok_or("there are too many orders")?;
    let (mut run, outs) = Run::new(id.clone(), operation.id, aim, probes, operation.consider, now);
    run.leaves = operation.leaves(&run.aim.args);
    // What was marked is no longer what the key was pressed on: for that it is what the screen shows now.
    let at_key = model.screen.shown.as_ref().filter(|(at, _)| *at == run.aim.cluster);
    run.shown = at_key.map_or_else(|| shown(entry), |(_, shown)| shown.clone());
    run.takes_back = operation.undoes.and_then(|undone| {
        model.state.ledger.left_by(undone.id, operation.id, &run.aim.cluster, run.aim.member.as_ref())
    });
    run.settles = run.takes_back.as_ref().is_some_and(|left| model.state.ledger.was_cut_off(left));
    run.unattended = alone;
    model.state.ledger.put(run);
    effects.push(Effect::Run(id.clone(), outs));
    Ok(id)
}

pub(super) fn send(
    model: &mut Model,
    now: Timestamp,
    id: &Text,
    how: &str,
    reason: Option<String>,
    effects: &mut Vec<Effect>,
) {
    let who = model.state.settings.who.clone();
    let Some(run) = model.state.ledger.get_mut(id) else { return };
    let outs = run.advance(now, Event::Confirmed { how: how.into(), who, reason });
    effects.push(Effect::Run(id.clone(), outs));
}
