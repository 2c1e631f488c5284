//! WAL archiving, on and off, by each of the ways that there are; all layers that decide on it side by side.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers::{Sampled, archiver, backups, sampled};
use super::backup::scheduled;
use super::operator::patch;
use super::patroni::ask_members;
use super::{
    Arg, By, Confirm, NEVER_MOOT, ON_RESOURCE, On, Operation, allowed, guards, hand_over, may, may_forward, moment,
    objects, of_operator, spokesmen, stance,
};
use crate::fleet::Entry;
use crate::fleet::cluster::{ARCHIVE_VARIABLES, Cluster};
use crate::id::{InstanceId, Text};
use crate::metric::SurveyId;
use crate::metric::archiver::{Archiver, Archiving};
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Order, Statement};
use crate::work::probe::{Backups, Objects, Probe};
use crate::work::secrets;

pub(super) const WAL_ARCHIVING: Operation = Operation {
    id: "wal-archiving",
    title: "WAL archiving",
    doc: "Turns WAL archiving of one cluster on or off: by its environment, by archive_mode, or by the fork's own field.",
    keys: &["x w"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[
        Arg { name: "to", example: "on", doc: "on or off", required: true },
        Arg {
            name: "by",
            example: "env",
            doc: "env (pods are recreated), parameter (archive_mode: Postgres restarts), field (the fork's); best by itself",
            required: false,
        },
    ],
    proof: "archive_command in force on the primary, the environment of every pod; on: a segment archived since",
    undo: "the opposite",
    undoes: None,
    never: ON_RESOURCE,
    stands_in: None,
    holds: false,
    aim: ask,
    consider,
    moot: NEVER_MOOT,
};

/// A rolling update of a large cluster takes its time.
const ROLLED_S: u32 = 1_800;

fn switch(aim: &Aim) -> Result<bool, String> {
    match aim.args.get("to").map_or("", |word| &**word) {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("{other:?} is neither on nor off")),
    }
}

fn ask(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    of_operator(entry)?;
    switch(aim)?;
    let sample = Probe::Sample { instance: InstanceId::whoever_leads(&aim.cluster), surveys: vec![SurveyId::Archiver] };
    let looks = [
        Probe::Objects(aim.cluster.clone()),
        Probe::Backups(aim.cluster.clone()),
        sample,
        guards::probe(&aim.cluster),
        may(&aim.cluster, "patch", "acid.zalan.do", "postgresqls"),
    ];
    // Every pod or every Postgres starts anew, the primary's too.
    let members = hand_over::probes(entry, aim);
    let patroni = spokesmen(entry).map(|members| ask_members(aim, &members)).unwrap_or_default();
    Ok(looks.into_iter().chain(patroni).chain(members).chain(may_forward(&aim.cluster)).collect())
}

/// Whether the next pod would archive, by the StatefulSet.
pub(super) fn is_wanted(looked: &[Looked]) -> bool {
    objects(looked).is_ok_and(|objects| !in_force(&objects.cluster).is_empty())
}

/// The variables that turn archiving on in the next pod.
fn in_force(cluster: &Cluster) -> Vec<&Text> {
    let env = cluster.workload.as_ref().map(|set| &set.archive_env);
    env.into_iter().flatten().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect()
}

/// What each layer says: the CR, the StatefulSet, every pod, Postgres itself, and the scheduled dump beside it.
fn layers(aim: &Aim, objects: &Objects, backups: &Backups, archiver: &Result<&Archiver, String>) -> Vec<Light> {
    let cluster = &objects.cluster;
    let shown = |env: &BTreeMap<Text, Text>| {
        let told = |(name, value): (&Text, &Text)| format!("{name}={:?}", secrets::told(name, value));
        let set: Vec<String> = env.iter().map(told).collect();
        if set.is_empty() { "nothing".to_owned() } else { set.join(", ") }
    };
    let field = match (backups.archiving, backups.has_archiving) {
        (Some(on), _) => format!(", enableWALArchiving is {on}"),
        (None, Some(true)) => ", enableWALArchiving is not set".into(),
        (None, Some(false) | None) => String::new(),
    };
    let mode = cluster.spec.parameters.get("archive_mode").map(|mode| format!(", archive_mode {mode}"));
    let asked = format!("the CR sets {}{field}{}", shown(&cluster.spec.archive_env), mode.unwrap_or_default());
    let mut lights = vec![Light::green(asked)];
    lights.extend(misspelt(backups));
    let set = cluster.workload.as_ref().map(|set| &set.archive_env);
    lights.push(match set {
        Some(env) => Light::green(format!("the StatefulSet gives new pods {}", shown(env))),
        None => Light::amber("there is no StatefulSet: what new pods would be given is not known"),
    });
    for member in &cluster.members {
        lights.push(match &member.pod {
            None => Light::amber(format!("{} has no pod", member.name)),
            Some(pod) if set.is_some_and(|env| *env != pod.archive_env) => {
                let text =
                    format!("{} was made with {}, before the StatefulSet was", member.name, shown(&pod.archive_env));
                Light::amber(text)
            }
            Some(pod) => Light::green(format!("{} was made with {}", member.name, shown(&pod.archive_env))),
        });
    }
    lights.push(match archiver {
        Err(why) => Light::amber(format!("whether the primary archives is not known: {why}")),
        Ok(archiver) => in_postgres(aim, archiver),
    });
    lights.extend(scheduled(backups));
    lights
}

/// What is in force on the primary, and how its archiver fares.
fn in_postgres(aim: &Aim, archiver: &Archiver) -> Light {
    let told = |at: Option<Timestamp>, wal: Option<&Text>| {
        at.map_or_else(
            || "never".to_owned(),
            |at| {
                let wal = wal.map_or_else(String::new, |wal| format!("{wal} "));
                format!("{wal}at {} ({} s ago)", moment(at), aim.at.duration_since(at).as_secs().max(0))
            },
        )
    };
    let text = format!(
        "in force on the primary: archive_mode {}, archive_command {:?}; archived last: {}; failed last: {}",
        archiver.mode,
        archiver.command,
        told(archiver.last_archived, archiver.last_archived_wal.as_ref()),
        told(archiver.last_failed, archiver.last_failed_wal.as_ref()),
    );
    match archiver.archiving() {
        Archiving::Failing => Light::amber(format!("{text}; it fails now")),
        Archiving::On => Light::green(format!("{text}; it archives")),
        Archiving::Off => Light::green(format!("{text}; it archives nothing")),
    }
}

/// What stops on the primary, if it is among those that were asked.
fn primary_stops(looked: &[Looked]) -> Vec<Light> {
    let all = sampled(looked);
    let leads = |sampled: &&Sampled<'_>| sampled.vitals.as_ref().is_ok_and(|vitals| !vitals.in_recovery);
    match all.iter().find(leads) {
        Some(primary) => hand_over::stops(primary),
        None => vec![Light::amber(
            "base backups and transactions of the primary are not known: no member says that it leads",
        )],
    }
}

/// How it is turned.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Env,
    Parameter,
    Field,
}

fn way(aim: &Aim, on: bool, objects: &Objects, backups: &Backups) -> Result<Way, String> {
    let mode = objects.cluster.spec.parameters.get("archive_mode");
    match aim.args.get("by").map_or("", |word| &**word) {
        "parameter" => Ok(Way::Parameter),
        "field" => match backups.has_archiving {
            Some(true) => Ok(Way::Field),
            Some(false) => {
                Err("this operator's CRD has no enableWALArchiving: the API server would drop it without a \
                                word, and nothing would change; use by=env"
                    .into())
            }
            None => Err("whether the CRD has enableWALArchiving cannot be read: use by=env".into()),
        },
        // What turned it off must turn it on.
        "" if on && mode.is_some_and(|mode| &**mode == "off") => Ok(Way::Parameter),
        "" if backups.has_archiving == Some(true) && (!on || backups.archiving == Some(false)) => Ok(Way::Field),
        "env" | "" => Ok(Way::Env),
        other => Err(format!("{other:?} is none of env, parameter, field")),
    }
}

fn consider(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let on = switch(aim)?;
    let mut lights = vec![allowed(looked)?];
    let (objects, backups, archiver) = (objects(looked)?, backups(looked)?, archiver(looked));
    lights.extend(stance::of(objects, By::Operator));
    lights.push(stance::taken_up(objects));
    lights.extend(layers(aim, objects, backups, &archiver));
    let way = way(aim, on, objects, backups)?;
    let change = match way {
        Way::Env => env(on, objects, backups)?,
        Way::Parameter => parameter(on, objects)?,
        Way::Field => field(on, backups)?,
    };
    lights.extend(costs(way, on, objects, archiver.as_ref().ok().copied()));
    lights.extend(primary_stops(looked));
    lights.extend(hand_over::rolls(looked));
    lights.extend(guards::lights(looked, aim.at));
    let cluster = aim.cluster.clone();
    let turned = Expect::Archiving { cluster: cluster.clone(), on, env: way != Way::Parameter };
    let mut steps = vec![Step { order: patch(aim, objects, change), expect: turned, within_s: ROLLED_S }];
    if on {
        // An idle primary archives nothing for half an hour.
        let order = Order::Sql { instance: InstanceId::whoever_leads(&cluster), statement: Statement::SwitchWal };
        steps.push(Step { order, expect: Expect::Archived { cluster: cluster.clone() }, within_s: 300 });
    }
    let (word, by) = (if on { "off" } else { "on" }, ["env", "parameter", "field"][way as usize]);
    let downtime = match way {
        Way::Env | Way::Field => "every pod is recreated: one switchover, writes stop for some seconds",
        Way::Parameter => "Postgres of every member restarts in place: writes stop for some seconds",
    };
    let mut undo = format!("pgdeck do wal-archiving {cluster} to={word} by={by}");
    if way == Way::Env
        && !on
        && let Some(lost) = own(objects, backups)
    {
        lights.push(Light::amber(format!(
            "the CR's own env sets {lost}: that value is replaced, and stands in no other place"
        )));
        undo = patch(aim, objects, json!({"spec": {"env": backups.env}})).command();
    }
    Ok(Deal { lights, steps, undo, downtime: downtime.into(), ..Deal::default() })
}

/// Whether an entry stands for that variable when the operator puts the environment together: it looks away from upper and lower
/// case there, the first entry wins, and one in the wrong case keeps the right one out. To Kubernetes and Spilo that is another
/// variable, which turns nothing on.
fn stands_for(item: &Value, wanted: &str) -> bool {
    item["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
}

/// Variables of the CR's own env that are named almost as those which turn archiving on.
fn misspelt(backups: &Backups) -> Option<Light> {
    let names = backups.env.iter().filter_map(|item| item["name"].as_str());
    let meant = |name: &str| ARCHIVE_VARIABLES.iter().find(|known| name != **known && name.eq_ignore_ascii_case(known));
    let told: Vec<String> = names.filter_map(|name| Some(format!("{name} (for {})", meant(name)?))).collect();
    (!told.is_empty()).then(|| {
        Light::amber(format!(
            "the CR's env sets {}: Spilo does not know it in that case, and the operator leaves the right one out for it",
            told.join(", ")
        ))
    })
}

/// The variables with a value in the CR's own env that make room for blanks.
fn own(objects: &Objects, backups: &Backups) -> Option<String> {
    let on_now = in_force(&objects.cluster);
    let is_set = |item: &&Value| {
        on_now.iter().any(|name| stands_for(item, name))
            && (item["value"].as_str().is_some_and(|value| !value.is_empty()) || !item["valueFrom"].is_null())
    };
    let told = |item: &Value| {
        let name = item["name"].as_str().unwrap_or("?");
        match item["value"].as_str() {
            Some(value) => format!("{name}={:?}", secrets::told(name, value)),
            None => format!("{name} (from a secret)"),
        }
    };
    let set: Vec<String> = backups.env.iter().filter(is_set).map(told).collect();
    (!set.is_empty()).then(|| set.join(", "))
}

/// `spec.env` with every variable that keeps it on blanked, or with the blanks taken out. A merge patch replaces the list.
fn env(on: bool, objects: &Objects, backups: &Backups) -> Result<Value, String> {
    let is_blank = |item: &Value| {
        ARCHIVE_VARIABLES.iter().any(|name| stands_for(item, name))
            && item["value"].as_str().unwrap_or_default().is_empty()
            && item["valueFrom"].is_null()
    };
    let mut env = backups.env.clone();
    if on {
        let before = env.len();
        env.retain(|item| !is_blank(item));
        if env.len() == before {
            return Err("nothing in the CR's env keeps it off: where it should archive to is set in the operator's \
                        configuration (wal_s3_bucket and the like), or in spec.env"
                .into());
        }
    } else {
        let on_now = in_force(&objects.cluster);
        if on_now.is_empty() {
            return Err("it is off already: no variable that turns it on is set in its StatefulSet".into());
        }
        env.retain(|item| !on_now.iter().any(|name| stands_for(item, name)));
        env.extend(on_now.iter().map(|name| json!({"name": name, "value": ""})));
    }
    let env = if env.is_empty() { Value::Null } else { Value::Array(env) };
    Ok(json!({"spec": {"env": env}}))
}

fn parameter(on: bool, objects: &Objects) -> Result<Value, String> {
    let now = objects.cluster.spec.parameters.get("archive_mode").map(|mode| &**mode);
    let word = if on { "on" } else { "off" };
    // Taking the parameter out would not take it out of Patroni's configuration.
    match now {
        Some(mode) if mode == word => Err(format!("the CR says archive_mode {word} already")),
        None if on => Err("the CR does not turn archive_mode off: it is on by Spilo's own default".into()),
        _ => Ok(json!({"spec": {"postgresql": {"parameters": {"archive_mode": word}}}})),
    }
}

fn field(on: bool, backups: &Backups) -> Result<Value, String> {
    if backups.archiving.unwrap_or(true) == on {
        return Err(format!("enableWALArchiving is {on} already"));
    }
    Ok(json!({"spec": {"enableWALArchiving": on}}))
}

/// What it costs, and what it leads to.
fn costs(way: Way, on: bool, objects: &Objects, archiver: Option<&Archiver>) -> Vec<Light> {
    let mut lights = Vec::new();
    match way {
        Way::Env | Way::Field => {
            let n = objects.cluster.members.len();
            let text =
                format!("the operator recreates all {n} pods: standbys first, then a switchover, then the old primary");
            lights.push(Light::amber(text));
        }
        Way::Parameter => lights.push(Light::amber("the operator restarts Postgres of every member, the primary last")),
    }
    if way == Way::Parameter && !on {
        lights.push(Light::amber("Spilo's scheduled base backups go on: backups without the WAL that they need"));
    }
    if way == Way::Field && on {
        lights.push(Light::amber(
            "the fork keeps it off in its memory until the operator restarts: without that this is not proved",
        ));
    }
    if !on {
        let last = archiver.and_then(|archiver| Some((archiver.last_archived_wal.as_ref()?, archiver.last_archived?)));
        lights.push(Light::amber(match last {
            Some((wal, at)) => format!("point-in-time recovery ends with {wal}, archived at {}", moment(at)),
            None => "point-in-time recovery ends now; what was archived last is not known".into(),
        }));
    }
    lights
}
