//! Logical backups: whether they are made, when, and one now.

use serde_json::json;

use super::answers::backups;
use super::operator::patch;
use super::{Arg, By, Confirm, NEVER_MOOT, ON_RESOURCE, On, Operation, allowed, may, objects, of_operator, stance};
use crate::fleet::Entry;
use crate::run::expect::{Expect, Logical};
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Kind, Object, Order};
use crate::work::probe::{Backups, CronJob, Probe};

pub(super) const LOGICAL_BACKUP: Operation = Operation {
    id: "logical-backup",
    title: "logical backup",
    doc: "Turns the scheduled dump on or off in the CR, suspends or resumes its schedule, or makes one now.",
    keys: &["x b"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[Arg { name: "do", example: "on", doc: "on, off, suspend, resume or now", required: true }],
    proof: "the CronJob is there, gone, suspended or not; now: the Job says that it is complete",
    undo: "the opposite; nothing for a dump that was made",
    undoes: None,
    never: ON_RESOURCE,
    stands_in: None,
    holds: false,
    aim,
    consider,
    moot: NEVER_MOOT,
};

/// A dump of a large database takes its time.
const DUMPED_S: u32 = 6 * 3_600;

/// What is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Deed {
    On,
    Off,
    Suspend,
    Resume,
    Now,
}

fn deed(aim: &Aim) -> Result<Deed, String> {
    match aim.args.get("do").map_or("", |word| &**word) {
        "on" => Ok(Deed::On),
        "off" => Ok(Deed::Off),
        "suspend" => Ok(Deed::Suspend),
        "resume" => Ok(Deed::Resume),
        "now" => Ok(Deed::Now),
        other => Err(format!("{other:?} is none of on, off, suspend, resume, now")),
    }
}

fn aim(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    of_operator(entry)?;
    let right = match deed(aim)? {
        Deed::On | Deed::Off => may(&aim.cluster, "patch", "acid.zalan.do", "postgresqls"),
        Deed::Suspend | Deed::Resume => may(&aim.cluster, "patch", "batch", "cronjobs"),
        Deed::Now => may(&aim.cluster, "create", "batch", "jobs"),
    };
    Ok(vec![Probe::Objects(aim.cluster.clone()), Probe::Backups(aim.cluster.clone()), right])
}

/// The layers of the scheduled dump side by side: what the CR asks for, and what is there.
pub(super) fn scheduled(backups: &Backups) -> Vec<Light> {
    let asked = if backups.logical { "the CR asks for logical backups" } else { "the CR asks for no logical backups" };
    let there = match &backups.job {
        None => "there is no CronJob".to_owned(),
        Some(job) => {
            let how = if job.suspended { "suspended" } else { "active" };
            let last = job.last_successful.as_ref().map_or_else(|| "never".to_owned(), ToString::to_string);
            format!("CronJob {} is {how}, at {}; it succeeded last: {last}", job.name, job.schedule)
        }
    };
    let agree = backups.logical == backups.job.is_some();
    let light = if agree { Light::green } else { Light::amber };
    let mut lights = vec![Light::green(asked), light(there)];
    if !agree && backups.job.is_some() {
        lights.push(Light::amber(
            "the CronJob is an orphan: the operator's syncs never delete it, and it goes on dumping",
        ));
    }
    lights
}

fn consider(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    let (objects, backups) = (objects(looked)?, backups(looked)?);
    let deed = deed(aim)?;
    if matches!(deed, Deed::On | Deed::Off) {
        lights.extend(stance::of(objects, By::Operator));
        lights.push(stance::taken_up(objects));
    } else {
        lights.extend(stance::of(objects, By::Others));
    }
    lights.extend(scheduled(backups));
    let job = || backups.job.as_ref().ok_or("there is no CronJob: turn logical backups on first");
    let again = |word: &str| format!("pgdeck do logical-backup {} {word}", aim.cluster);
    let expect = |logical| Expect::Logical { cluster: aim.cluster.clone(), logical };
    let (step, undo) = match deed {
        Deed::On if backups.logical && backups.job.is_some() => return Err("logical backups are on already".into()),
        Deed::Off if !backups.logical && backups.job.is_none() => return Err("logical backups are off already".into()),
        Deed::Off if !backups.logical => {
            return Err(
                "the CR says off already, and the CronJob is an orphan: suspend it, and delete it by hand".into()
            );
        }
        Deed::On => {
            let order = patch(aim, objects, json!({"spec": {"enableLogicalBackup": true}}));
            (Step { order, expect: expect(Logical::Scheduled), within_s: 180 }, again("off"))
        }
        Deed::Off => {
            lights.push(Light::amber("from now on nothing is dumped; dumps that were made stay"));
            let order = patch(aim, objects, json!({"spec": {"enableLogicalBackup": false}}));
            // A CronJob that was not there proves nothing by being gone.
            let cluster = aim.cluster.clone();
            let proof = if backups.job.is_some() {
                expect(Logical::Gone)
            } else {
                Expect::Reconciled { cluster, version: None }
            };
            (Step { order, expect: proof, within_s: 180 }, again("on"))
        }
        Deed::Suspend => {
            let job = job()?;
            if job.suspended {
                return Err("it is suspended already".into());
            }
            lights.push(Light::amber("the CR goes on saying that backups are on: whoever reads it alone is misled"));
            (suspend(aim, job, true, expect(Logical::Suspended(true))), again("resume"))
        }
        Deed::Resume => {
            let job = job()?;
            if !job.suspended {
                return Err("it is not suspended".into());
            }
            (suspend(aim, job, false, expect(Logical::Suspended(false))), again("suspend"))
        }
        Deed::Now => {
            let (job, name) = (job()?, format!("pgdeck-{}", aim.at.as_second()));
            if let Some(run) = backups.runs.iter().find(|run| run.active) {
                lights.push(Light::amber(format!("{} is at it already", run.name)));
            }
            (dump(aim, job, &name, expect), "nothing: what was dumped stays".to_owned())
        }
    };
    Ok(Deal { lights, steps: vec![step], undo, downtime: "none".into(), ..Deal::default() })
}

fn suspend(aim: &Aim, job: &CronJob, suspended: bool, expect: Expect) -> Step {
    let object = Object { kind: Kind::CronJob, name: job.name.clone() };
    let patch = json!({"spec": {"suspend": suspended}});
    let order = Order::Amend { cluster: aim.cluster.clone(), object, uid: job.uid.clone(), patch };
    Step { order, expect, within_s: 30 }
}

/// A Job as the CronJob would make it, and as `kubectl create job --from` does.
fn dump(aim: &Aim, cron: &CronJob, name: &str, expect: impl Fn(Logical) -> Expect) -> Step {
    // A Job's pods are named after it: 63 characters at most, and the controller adds some.
    let name = format!("{}-{name}", cron.name.chars().take(40).collect::<String>());
    let mut body = cron.template.clone();
    body["apiVersion"] = "batch/v1".into();
    body["kind"] = "Job".into();
    body["metadata"]["name"] = name.as_str().into();
    body["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] = "manual".into();
    body["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "CronJob", "name": &*cron.name, "uid": &*cron.uid, "controller": true,
    }]);
    let object = Object { kind: Kind::Job, name: name.as_str().into() };
    let order = Order::Create { cluster: aim.cluster.clone(), object, body };
    Step { order, expect: expect(Logical::Dumped(name.into())), within_s: DUMPED_S }
}
