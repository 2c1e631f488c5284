//! WAL archiving, on and off, by each of the ways that there are; all layers that decide on it side by side.

use serde_json::{Value, json};

use super::answers::{archiver, backups, base_backups};
use super::operator::patch;
use super::{
    Arg, By, Confirm, NEVER_MOOT, ON_ANYBODY, ON_RESOURCE, On, Operation, allowed, guards, may, may_forward, objects,
    of_operator, stance,
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
    aim,
    consider,
    moot: NEVER_MOOT,
};

pub(super) const BASE_BACKUP: Operation = Operation {
    id: "base-backup",
    title: "base backup now",
    doc: "Makes a base backup of the primary now, by the image's own script.",
    keys: &["x B"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[],
    proof: "wal-g lists a base backup that it did not list before",
    undo: "nothing: it is kept as long as the image's settings say",
    undoes: None,
    never: ON_ANYBODY,
    stands_in: Some("Spilo's script and wal-g are stand-ins in the tests; what they make is a real pg_basebackup"),
    holds: false,
    aim: |entry, aim| {
        of_operator(entry)?;
        let primary = InstanceId::whoever_leads(&aim.cluster);
        let sample = Probe::Sample { instance: primary.clone(), surveys: vec![SurveyId::Archiver] };
        let looks = [Probe::Objects(aim.cluster.clone()), Probe::BaseBackups(primary), sample];
        let rights = [may(&aim.cluster, "create", "", "pods/exec")].into_iter().chain(may_forward(&aim.cluster));
        Ok(looks.into_iter().chain(rights).collect())
    },
    consider: base_backup,
    moot: NEVER_MOOT,
};

/// A base backup of a large cluster takes hours.
const COPIED_S: u32 = 12 * 3_600;
/// Spilo's own, as its schedule calls it. It goes on when the connection that began it is gone.
const MAKE: &str = "rm -f /tmp/pgdeck-base-backup.status; (su postgres -c 'nohup envdir /run/etc/wal-e.d/env \
                    /scripts/postgres_backup.sh /home/postgres/pgdata/pgroot/data' >/tmp/pgdeck-base-backup.log 2>&1; \
                    echo $? >/tmp/pgdeck-base-backup.status) >/dev/null 2>&1 & echo begun";

/// A rolling update of a large cluster takes its time.
const ROLLED_S: u32 = 1_800;

fn switch(aim: &Aim) -> Result<bool, String> {
    match aim.args.get("to").map_or("", |word| &**word) {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("{other:?} is neither on nor off")),
    }
}

fn aim(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
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
    Ok(looks.into_iter().chain(may_forward(&aim.cluster)).collect())
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

/// What each layer says: the CR, the StatefulSet, every pod, and Postgres itself.
fn layers(objects: &Objects, backups: &Backups, archiver: &Result<&Archiver, String>) -> Vec<Light> {
    let cluster = &objects.cluster;
    let shown = |env: &std::collections::BTreeMap<Text, Text>| {
        let set: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        if set.is_empty() { "nothing".to_owned() } else { set.join(", ") }
    };
    let field = backups.archiving.map(|on| format!(", enableWALArchiving is {on}")).unwrap_or_default();
    let mut lights = vec![Light::green(format!("the CR sets {}{field}", shown(&cluster.spec.archive_env)))];
    if let Some(set) = &cluster.workload {
        lights.push(Light::green(format!("the StatefulSet gives new pods {}", shown(&set.archive_env))));
        let differs = |pod: &crate::fleet::cluster::Pod| pod.archive_env != set.archive_env;
        let old = cluster.members.iter().filter(|member| member.pod.as_ref().is_some_and(differs));
        let old: Vec<&str> = old.map(|member| &*member.name).collect();
        if !old.is_empty() {
            lights.push(Light::amber(format!("pods that were made before it: {}", old.join(", "))));
        }
    }
    lights.push(match archiver {
        Err(why) => Light::amber(format!("whether the primary archives is not known: {why}")),
        Ok(archiver) => {
            let last = archiver.last_archived.map_or_else(|| "never".to_owned(), |at| at.to_string());
            let text = format!(
                "in force on the primary: archive_mode {}, archive_command {:?}; last success: {last}",
                archiver.mode, archiver.command
            );
            match archiver.archiving() {
                Archiving::Failing => Light::amber(format!("{text}; it fails now")),
                Archiving::On | Archiving::Off => Light::green(text),
            }
        }
    });
    lights
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
    lights.extend(layers(objects, backups, &archiver));
    let way = way(aim, on, objects, backups)?;
    let change = match way {
        Way::Env => env(on, objects, backups)?,
        Way::Parameter => parameter(on, objects)?,
        Way::Field => field(on, backups)?,
    };
    lights.extend(costs(way, on, objects, archiver.as_ref().ok().copied()));
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
        && let Some(lost) = own(backups)
    {
        lights.push(Light::amber(format!(
            "the CR's own env sets {lost}: that value is replaced, and stands in no other place"
        )));
        undo = patch(aim, objects, json!({"spec": {"env": backups.env}})).command();
    }
    Ok(Deal { lights, steps, undo, downtime: downtime.into(), ..Deal::default() })
}

/// Whether a list of variables names that one; the operator looks away from upper and lower case.
fn names(item: &Value, wanted: &str) -> bool {
    item["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
}

/// The variables that turn it on in the CR's own env, with their values.
fn own(backups: &Backups) -> Option<String> {
    let is_set = |item: &&Value| {
        ARCHIVE_VARIABLES.iter().any(|name| names(item, name))
            && (item["value"].as_str().is_some_and(|value| !value.is_empty()) || !item["valueFrom"].is_null())
    };
    let set = backups.env.iter().filter(is_set);
    let set: Vec<String> =
        set.map(|item| format!("{}={}", item["name"].as_str().unwrap_or("?"), item["value"])).collect();
    (!set.is_empty()).then(|| set.join(", "))
}

/// `spec.env` with every variable that keeps it on blanked, or with the blanks taken out. A merge patch replaces the list.
fn env(on: bool, objects: &Objects, backups: &Backups) -> Result<Value, String> {
    let is_blank = |item: &Value| {
        ARCHIVE_VARIABLES.iter().any(|name| names(item, name))
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
        env.retain(|item| !on_now.iter().any(|name| names(item, name)));
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
            Some((wal, at)) => format!("point-in-time recovery ends with {wal}, archived at {at}"),
            None => "point-in-time recovery ends now; what was archived last is not known".into(),
        }));
    }
    lights
}

fn base_backup(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    let objects = objects(looked)?;
    lights.extend(stance::of(objects, By::Others));
    match archiver(looked) {
        Ok(archiver) if archiver.archiving() == Archiving::Off => {
            return Err(
                "the primary archives no WAL: a base backup could not be restored; turn wal-archiving on".into()
            );
        }
        Ok(archiver) if archiver.archiving() == Archiving::Failing => {
            lights.push(Light::amber("archiving fails now: without the WAL a base backup cannot be restored"));
        }
        Ok(_) => lights.push(Light::green("the primary archives its WAL")),
        Err(why) => lights.push(Light::amber(format!("whether the primary archives is not known: {why}"))),
    }
    let listed = base_backups(looked).map_err(|why| format!("what there is cannot be listed: {why}"))?;
    let listed = &listed.listed;
    lights.push(match listed.last() {
        Some((name, at)) => Light::green(format!("{} base backup(s), the last {name} of {at}", listed.len())),
        None => Light::amber("there is no base backup yet"),
    });
    if let Some(bytes) = objects.cluster.spec.volume {
        lights.push(Light::green(format!("at most {} GiB are read from the primary's disk", bytes.0 >> 30)));
    }
    let cluster = aim.cluster.clone();
    let command = ["sh", "-c", MAKE].into_iter().map(Text::from).collect();
    let order = Order::Exec { instance: InstanceId::whoever_leads(&cluster), command };
    let known = listed.iter().map(|(name, _)| name.clone()).collect();
    let step = Step { order, expect: Expect::BaseBackup { cluster, known }, within_s: COPIED_S };
    let undo = "nothing; its log on the primary is /tmp/pgdeck-base-backup.log".into();
    Ok(Deal {
        lights,
        steps: vec![step],
        undo,
        downtime: "none; the primary's disk and network are busy".into(),
        ..Deal::default()
    })
}
