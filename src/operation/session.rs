//! What is done to the session of a backend.

use super::{Arg, Confirm, NEVER_MOOT, ON_LEADER, On, Operation, instance, moment};
use crate::fleet::Entry;
use crate::id::{InstanceId, Text};
use crate::metric::SurveyId;
use crate::metric::activity::Backend;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Order, Statement};
use crate::work::probe::Probe;

const ARGS: &[Arg] = &[
    Arg { name: "pid", example: "4711", doc: "the backend's process id", required: true },
    Arg {
        name: "whom",
        example: "blockers",
        doc: "blockers: not to that backend, but to those that it waits for in the end",
        required: false,
    },
];

pub(super) const CANCEL: Operation = Operation {
    id: "cancel",
    title: "cancel the query",
    doc: "Cancels the query that a backend runs, or those that hold it up.",
    keys: &["x c"],
    on: On::Backend,
    confirm: Confirm::Yes,
    args: ARGS,
    proof: "the backend runs that query no more, by pg_stat_activity",
    undo: "nothing: whoever asked may ask again",
    undoes: None,
    never: ON_LEADER,
    stands_in: None,
    holds: false,
    aim: ask,
    consider: |aim, looked| consider(aim, looked, false),
    moot: NEVER_MOOT,
};

pub(super) const TERMINATE: Operation = Operation {
    id: "terminate",
    title: "end the session",
    doc: "Ends a backend's session, or those that hold it up; what was not committed is rolled back.",
    keys: &["x t"],
    on: On::Backend,
    confirm: Confirm::Yes,
    args: ARGS,
    proof: "the backend is gone, by pg_stat_activity",
    undo: "nothing: the client reconnects by itself, or not",
    undoes: None,
    never: ON_LEADER,
    stands_in: None,
    holds: false,
    aim: ask,
    consider: |aim, looked| consider(aim, looked, true),
    moot: NEVER_MOOT,
};

fn pid(aim: &Aim) -> Result<i32, String> {
    let text = aim.args.get("pid").map_or("", |text| &**text);
    text.parse().map_err(|_unreadable| format!("{text:?} is no process id"))
}

fn member(aim: &Aim) -> Result<&Text, String> {
    aim.member.as_ref().ok_or_else(|| "a backend belongs to one member: name it".into())
}

/// Whether those are meant that hold the backend up.
fn is_for_blockers(aim: &Aim) -> Result<bool, String> {
    match aim.args.get("whom").map_or("itself", |word| &**word) {
        "itself" => Ok(false),
        "blockers" => Ok(true),
        other => Err(format!("{other:?} is neither itself nor blockers")),
    }
}

fn ask(_: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    pid(aim)?;
    is_for_blockers(aim)?;
    Ok(vec![Probe::Sample { instance: instance(aim, member(aim)?), surveys: vec![SurveyId::Activity] }])
}

fn consider(aim: &Aim, looked: &[Looked], ends: bool) -> Result<Deal, String> {
    let pid = pid(aim)?;
    let instance = instance(aim, member(aim)?);
    let backends = super::answers::activity(looked)?;
    let backend = backends.iter().find(|backend| backend.pid == pid).ok_or(format!("backend {pid} is gone"))?;
    let (mut lights, mut steps) = (Vec::new(), Vec::new());
    let meant = if is_for_blockers(aim)? { blockers(backends, backend, &mut lights)? } else { vec![backend] };
    let mut idle = Vec::new();
    for meant in &meant {
        lights.extend(about(meant, backends, ends));
        if ends || meant.state.as_deref() == Some("active") {
            steps.push(step(&instance, meant, ends)?);
        } else {
            let state = meant.state.as_deref().unwrap_or("in an unknown state");
            idle.push(format!("backend {} is {state}: it runs no query that could be cancelled", meant.pid));
        }
    }
    if steps.is_empty() {
        return Err(format!("{}; terminate ends a session", idle.join("; ")));
    }
    lights.extend(idle.into_iter().map(Light::amber));
    let downtime = match steps.len() {
        1 => "that client alone".to_owned(),
        n => format!("those {n} clients alone"),
    };
    let undo = "nothing: whoever asked may ask again, or not".into();
    Ok(Deal { lights, steps, undo, downtime, by_name: false, ..Deal::default() })
}

/// Those that a backend waits for in the end: they wait for no lock themselves.
fn blockers<'a>(
    backends: &'a [Backend],
    waiter: &'a Backend,
    lights: &mut Vec<Light>,
) -> Result<Vec<&'a Backend>, String> {
    let pid = waiter.pid;
    if waiter.blocked_by.is_empty() {
        return Err(match &waiter.state {
            None => format!("whether backend {pid} waits for a lock is hidden: needs pg_monitor"),
            Some(_) => format!("backend {pid} waits for no lock: nobody holds it up"),
        });
    }
    let (mut roots, mut seen, mut to_see) = (Vec::new(), vec![pid], waiter.blocked_by.clone());
    while let Some(next) = to_see.pop() {
        if seen.contains(&next) {
            continue;
        }
        seen.push(next);
        match backends.iter().find(|backend| backend.pid == next) {
            // As pg_blocking_pids calls one that has no session.
            None if next == 0 => lights.push(Light::amber(
                "a prepared transaction holds it up too: ROLLBACK PREPARED ends it (pg_prepared_xacts lists it)",
            )),
            None => lights.push(Light::amber(format!("backend {next} held it up, and is gone by now"))),
            Some(blocker) if blocker.blocked_by.is_empty() => roots.push(blocker),
            Some(blocker) => to_see.extend(&blocker.blocked_by),
        }
    }
    roots.sort_by_key(|blocker| blocker.pid);
    if roots.is_empty() {
        let why = lights.iter().map(|light| light.text.clone()).collect::<Vec<_>>().join("; ");
        let why =
            if why.is_empty() { "they wait for each other: Postgres breaks that off by itself".into() } else { why };
        return Err(format!("no session holds backend {pid} up in the end: {why}"));
    }
    let names: Vec<String> = roots.iter().map(|blocker| blocker.pid.to_string()).collect();
    lights.insert(0, Light::green(format!("{} waits, in the end for {}", describe(waiter), names.join(", "))));
    Ok(roots)
}

fn about(backend: &Backend, backends: &[Backend], ends: bool) -> Vec<Light> {
    let pid = backend.pid;
    let mut lights = vec![Light::green(describe(backend))];
    if &*backend.kind != "client backend" {
        lights.push(Light::amber(format!("{pid} is no client: {}", backend.kind)));
    }
    let blocked = backends.iter().filter(|other| other.blocked_by.contains(&pid)).count();
    if blocked > 0 {
        lights.push(Light::green(format!("{blocked} other(s) wait for {pid}")));
    }
    if let Some(age) = backend.transaction_age.filter(|_| ends) {
        lights.push(Light::amber(format!("the transaction of {pid}, {age:.0} s old, is rolled back")));
    }
    lights
}

/// Its beginning goes with its pid, which may be another backend's by then.
fn step(instance: &InstanceId, backend: &Backend, ends: bool) -> Result<Step, String> {
    let (instance, pid) = (instance.clone(), backend.pid);
    let hidden = |what: &str| format!("the server does not tell when {what} began: pg_monitor may not see it");
    let started = backend.started.ok_or_else(|| hidden(&format!("backend {pid}")))?;
    let (statement, expect) = if ends {
        (Statement::Terminate { pid, started }, Expect::Terminated { instance: instance.clone(), pid, started })
    } else {
        let query_started = backend.query_started.ok_or_else(|| hidden(&format!("the query of {pid}")))?;
        let expect = Expect::Cancelled { instance: instance.clone(), pid, started, query_started };
        (Statement::Cancel { pid, started, query_started }, expect)
    };
    Ok(Step { order: Order::Sql { instance, statement }, expect, within_s: 30 })
}

fn describe(backend: &Backend) -> String {
    let or = |text: Option<&Text>| text.map_or_else(|| "–".into(), ToString::to_string);
    let age = |age: Option<f64>| age.map_or_else(|| "an unknown time".into(), |age| format!("{age:.0} s"));
    let since = backend.query_started.map_or_else(|| "–".into(), moment);
    let transaction =
        backend.transaction_age.map_or_else(|| "in no transaction".into(), |age| format!("transaction {age:.0} s old"));
    // Not its query: this line is journaled, and a query may hold a password.
    format!(
        "{} of {} on {} ({}), {} for {}, {transaction}, query begun at {since}",
        backend.pid,
        or(backend.user.as_ref()),
        or(backend.database.as_ref()),
        backend.application_name,
        or(backend.state.as_ref()),
        age(backend.state_age.or(backend.query_age)),
    )
}
