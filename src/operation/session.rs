//! What is done to the session of a backend.

use super::{Arg, Confirm, NEVER_MOOT, ON_ANYBODY, On, Operation, instance};
use crate::fleet::Entry;
use crate::id::Text;
use crate::metric::SurveyId;
use crate::metric::activity::Backend;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Order, Statement};
use crate::work::probe::Probe;

const PID: &[Arg] = &[Arg { name: "pid", example: "4711", doc: "the backend's process id", required: true }];

pub(super) const CANCEL: Operation = Operation {
    id: "cancel",
    title: "cancel the query",
    doc: "Cancels the query that a backend runs.",
    keys: &["x c"],
    on: On::Backend,
    confirm: Confirm::Yes,
    args: PID,
    proof: "the backend runs that query no more, by pg_stat_activity",
    undo: "nothing: whoever asked may ask again",
    undoes: None,
    never: ON_ANYBODY,
    stands_in: None,
    holds: false,
    aim: ask,
    consider: |aim, looked| consider(aim, looked, false),
    moot: NEVER_MOOT,
};

pub(super) const TERMINATE: Operation = Operation {
    id: "terminate",
    title: "end the session",
    doc: "Ends a backend's session; its transaction is rolled back.",
    keys: &["x t"],
    on: On::Backend,
    confirm: Confirm::Yes,
    args: PID,
    proof: "the backend is gone, by pg_stat_activity",
    undo: "nothing: the client reconnects by itself, or not",
    undoes: None,
    never: ON_ANYBODY,
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

fn ask(_: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    pid(aim)?;
    Ok(vec![Probe::Sample { instance: instance(aim, member(aim)?), surveys: vec![SurveyId::Activity] }])
}

fn consider(aim: &Aim, looked: &[Looked], ends: bool) -> Result<Deal, String> {
    let pid = pid(aim)?;
    let instance = instance(aim, member(aim)?);
    let backends = super::answers::activity(looked)?;
    let backend = backends.iter().find(|backend| backend.pid == pid).ok_or(format!("backend {pid} is gone"))?;
    let started =
        backend.started.ok_or("the server does not tell when that backend began: pg_monitor may not see it")?;
    if !ends && backend.state.as_deref() != Some("active") {
        let state = backend.state.as_deref().unwrap_or("in an unknown state");
        return Err(format!("backend {pid} is {state}: it runs no query that could be cancelled"));
    }
    let mut lights = vec![Light::green(describe(backend))];
    if &*backend.kind != "client backend" {
        lights.push(Light::amber(format!("it is no client: {}", backend.kind)));
    }
    let blocked = backends.iter().filter(|other| other.blocked_by.contains(&pid)).count();
    if blocked > 0 {
        lights.push(Light::green(format!("{blocked} other(s) wait for it")));
    }
    if let Some(age) = backend.transaction_age.filter(|_| ends) {
        lights.push(Light::amber(format!("its transaction, {age:.0} s old, is rolled back")));
    }
    let (statement, expect) = if ends {
        (Statement::Terminate { pid, started }, Expect::Terminated { instance: instance.clone(), pid, started })
    } else {
        let query_started = backend.query_started.ok_or("the server does not tell when that query began")?;
        let expect = Expect::Cancelled { instance: instance.clone(), pid, started, query_started };
        (Statement::Cancel { pid, started, query_started }, expect)
    };
    let step = Step { order: Order::Sql { instance, statement }, expect, within_s: 30 };
    let undo = "nothing: the client asks again, or not".into();
    Ok(Deal {
        lights,
        steps: vec![step],
        undo,
        downtime: "that client alone".into(),
        by_name: false,
        ..Deal::default()
    })
}

fn describe(backend: &Backend) -> String {
    let or = |text: Option<&Text>| text.map_or_else(|| "–".into(), ToString::to_string);
    let age = backend.query_age.map_or_else(|| "an unknown time".into(), |age| format!("{age:.0} s"));
    // Not its query: this line is journaled, and a query may hold a password.
    format!(
        "{} of {} on {} ({}), {} for {age}",
        backend.pid,
        or(backend.user.as_ref()),
        or(backend.database.as_ref()),
        backend.application_name,
        or(backend.state.as_ref()),
    )
}
