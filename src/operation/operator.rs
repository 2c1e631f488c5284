//! What concerns the operator: that it looks again, leaves a cluster alone, takes it up again, or ends it.

use serde_json::{Value, json};

use super::stance::{CONTROLLER, controller};
use super::{
    By, Confirm, NEVER_MOOT, ON_RESOURCE, On, Operation, allowed, known, left_behind, may, objects, of_operator, stance,
};
use crate::fleet::Entry;
use crate::fleet::cluster::Origin;
use crate::id::Text;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::{Colour, Light};
use crate::work::order::Order;
use crate::work::probe::{Objects, Probe};

/// The operator that does not exist.
const NOBODY: &str = "pgdeck-detached";
/// Any annotation that changes makes the operator look again.
const POKE: &str = "pgdeck/reconcile";

pub(super) const RECONCILE: Operation = Operation {
    id: "reconcile",
    title: "reconcile now",
    doc: "Makes the operator look at the cluster now: it retries what failed, and does what is pending.",
    keys: &["x o"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[],
    proof: "the operator has written the CR's status after it was poked",
    undo: "nothing: it has looked",
    undoes: None,
    never: ON_RESOURCE,
    stands_in: None,
    holds: false,
    aim: ask,
    consider: reconcile,
    moot: NEVER_MOOT,
};

pub(super) const DETACH: Operation = Operation {
    id: "detach",
    title: "detach from the operator",
    doc: "Makes the operator leave the cluster alone; Patroni goes on.",
    keys: &["x d"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[],
    proof: "the CR names no operator that exists; the operator itself says nothing of what it leaves alone",
    undo: "`attach`",
    undoes: None,
    never: ON_RESOURCE,
    stands_in: None,
    holds: false,
    aim: ask,
    consider: detach,
    moot: known::detached,
};

pub(super) const ATTACH: Operation = Operation {
    id: "attach",
    title: "attach to the operator",
    doc: "Gives a detached cluster back to the operator, and makes it look.",
    keys: &["x D"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[],
    proof: "the operator has written the CR's status",
    undo: "`detach`",
    undoes: None,
    never: ON_RESOURCE,
    stands_in: None,
    holds: false,
    aim: ask,
    consider: attach,
    moot: known::attached,
};

pub(super) const DELETE: Operation = Operation {
    id: "delete",
    title: "delete the cluster",
    doc: "Deletes the cluster; by the operator's default its volumes and secrets go too. Again: pods that it left behind.",
    keys: &["x X"],
    on: On::Cluster,
    confirm: Confirm::Name,
    args: &[],
    proof: "the CR, its StatefulSet and its pods are gone",
    undo: "nothing: a restore from backups needs the CR's uid",
    undoes: None,
    never: ON_RESOURCE,
    stands_in: None,
    holds: false,
    aim: ask_for_the_end,
    consider: delete,
    moot: NEVER_MOOT,
};

fn ask(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    of_operator(entry)?;
    Ok(vec![Probe::Objects(aim.cluster.clone()), may(&aim.cluster, "patch", "acid.zalan.do", "postgresqls")])
}

fn ask_for_the_end(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    if entry.cluster.origin == Origin::Orphan {
        return Ok(left_behind::ask(aim));
    }
    of_operator(entry)?;
    Ok(vec![
        Probe::Objects(aim.cluster.clone()),
        Probe::Backups(aim.cluster.clone()),
        may(&aim.cluster, "delete", "acid.zalan.do", "postgresqls"),
    ])
}

/// A patch of the CR as it was looked at.
pub(super) fn patch(aim: &Aim, objects: &Objects, patch: Value) -> Order {
    let uid = objects.cluster.uid.clone().unwrap_or_else(|| "".into());
    Order::Patch { cluster: aim.cluster.clone(), uid, version: objects.version.clone(), patch }
}

fn annotate(aim: &Aim, objects: &Objects, key: &str, value: Option<&str>) -> Step {
    let expect = Expect::Annotated { cluster: aim.cluster.clone(), key: key.into(), value: value.map(Text::from) };
    let patched = patch(aim, objects, json!({"metadata": {"annotations": {key: value}}}));
    Step { order: patched, expect, within_s: 30 }
}

/// The annotation that makes the operator look, different each time.
pub(super) fn poke(aim: &Aim, objects: &Objects, within_s: u32) -> Step {
    let step = annotate(aim, objects, POKE, Some(&aim.at.to_string()));
    Step { expect: Expect::Reconciled { cluster: aim.cluster.clone(), version: None }, within_s, ..step }
}

fn reconcile(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    let objects = objects(looked)?;
    lights.extend(stance::of(objects, By::Operator));
    // What is not taken up yet is what it is for.
    let taken_up = stance::taken_up(objects);
    lights.push(Light { colour: taken_up.colour.min(Colour::Amber), ..taken_up });
    Ok(Deal {
        lights,
        steps: vec![poke(aim, objects, 180)],
        undo: "nothing: it has looked".into(),
        downtime: "none, unless something was pending".into(),
        ..Deal::default()
    })
}

fn detach(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    let objects = objects(looked)?;
    if let Some(id) = controller(objects) {
        return Err(format!("the operator leaves it alone already: {CONTROLLER} is {id}"));
    }
    lights.extend(stance::of(objects, By::Others));
    let taken_up = stance::taken_up(objects);
    lights.push(Light { colour: taken_up.colour.min(Colour::Amber), ..taken_up });
    lights.push(Light::amber("until it is attached no change of the CR has any effect: no scaling, no rolling update"));
    lights.push(Light::amber("a pod that goes comes back by its StatefulSet, and Patroni fails over as before"));
    lights.push(Light::amber("if the CR is deleted meanwhile, everything else of the cluster stays"));
    let undo = format!("pgdeck do attach {}", aim.cluster);
    let steps = vec![annotate(aim, objects, CONTROLLER, Some(NOBODY))];
    Ok(Deal { lights, steps, undo, downtime: "none".into(), ..Deal::default() })
}

fn attach(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    let objects = objects(looked)?;
    lights.push(match controller(objects) {
        None => return Err("it is not detached: no annotation says that the operator should leave it alone".into()),
        Some(id) if **id == *NOBODY => Light::green("it was detached by pgdeck"),
        Some(id) => Light::red(format!("{CONTROLLER} is {id}: that operator has it, and somebody else wrote so")),
    });
    lights.extend(stance::rolling(objects, By::Operator));
    lights.push(Light::amber("what was changed in the CR meanwhile takes effect now"));
    let undo = format!("pgdeck do detach {}", aim.cluster);
    // The operator does not hear of the first: the CR was not its own before.
    let steps = vec![annotate(aim, objects, CONTROLLER, None), poke(aim, objects, 180)];
    Ok(Deal { lights, steps, undo, downtime: "none, unless something was pending".into(), ..Deal::default() })
}

fn delete(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    if left_behind::is_asked(looked) {
        return left_behind::consider(aim, looked);
    }
    let mut lights = vec![allowed(looked)?];
    let objects = objects(looked)?;
    let (cluster, rules) = (&objects.cluster, &objects.rules);
    let uid = cluster.uid.clone().ok_or("its CR has no uid: it cannot be told from another one")?;
    lights.push(Light::amber(format!("note its uid, {uid}: its backups lie under it, and a restore asks for it")));
    let running = cluster.n_ready();
    lights.push(match running {
        0 => Light::green("no member of it runs"),
        n => Light::amber(format!("{n} member(s) run: whoever uses it is cut off for good")),
    });
    if cluster.status.as_deref() == Some("Updating") {
        // Seen with 1.15.1: what its rolling update makes anew meanwhile stays.
        lights.push(Light::amber(
            "the operator says Updating: deleted while it works, pods and volumes may be left behind; another delete ends \
             them then",
        ));
    }
    let volumes = if rules.deletes_volumes {
        "its volumes go too: its data is gone but for backups"
    } else {
        "its volumes stay (enable_persistent_volume_claim_deletion is off)"
    };
    lights.push(Light::amber(volumes));
    lights.push(if rules.deletes_secrets {
        Light::amber("its secrets go too")
    } else {
        Light::green("its secrets stay (enable_secrets_deletion is off)")
    });
    if !rules.known {
        lights.push(Light::amber("the operator's configuration cannot be read: its defaults are assumed"));
    }
    lights.extend(backed_up(looked));
    lights.extend(guards(aim, objects));
    if let Some(id) = controller(objects).filter(|id| !objects.rules.controllers.contains(id)) {
        lights.push(Light::red(format!(
            "detached ({CONTROLLER} is {id}): no operator ends its pods, volumes and secrets: all but the CR would stay; attach \
             it first"
        )));
    }
    if !objects.finalizers.is_empty() {
        lights.push(Light::amber(format!("it waits for its finalizers: {}", objects.finalizers.join(", "))));
    }
    let order = Order::Delete { cluster: aim.cluster.clone(), uid: uid.clone(), version: objects.version.clone() };
    let expect = Expect::Deleted { cluster: aim.cluster.clone() };
    Ok(Deal {
        lights,
        steps: vec![Step { order, expect, within_s: 300 }],
        undo: format!("nothing; a new CR with clone.uid {uid} restores from its backups, if there are any"),
        downtime: "the whole database, for good".into(),
        by_name: true,
        ..Deal::default()
    })
}

fn backed_up(looked: &[Looked]) -> Option<Light> {
    let backups = super::answers::backups(looked).ok()?;
    let archives = super::archiving::is_wanted(looked);
    Some(match (archives, backups.job.as_ref().and_then(|job| job.last_successful.clone())) {
        (true, _) => Light::green("its pods archive WAL: whether a restore works, only a restore proves"),
        (false, Some(at)) => Light::amber(format!("it archives no WAL; the last logical backup succeeded at {at}")),
        (false, None) => Light::amber("no backup of it is known: it archives no WAL, and no logical backup succeeded"),
    })
}

/// What the CR must carry before the operator deletes anything; it ignores a deletion without, and says so in its log alone.
fn guards(aim: &Aim, objects: &Objects) -> Vec<Light> {
    let today = aim.at.strftime("%Y-%m-%d").to_string();
    let keys = [(&objects.rules.delete_date, today), (&objects.rules.delete_name, aim.cluster.name.to_string())];
    let check = |(key, wanted): (&Option<Text>, String)| {
        let key = key.as_ref()?;
        let found = objects.annotations.get(key);
        Some(if found.is_some_and(|found| **found == *wanted) {
            Light::green(format!("it carries {key}={wanted}, as the operator wants it"))
        } else {
            Light::red(format!(
                "the operator ignores its deletion until the CR carries {key}={wanted}: annotate it first"
            ))
        })
    };
    keys.into_iter().filter_map(check).collect()
}
