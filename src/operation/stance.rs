//! How the operator stands to a cluster: whether it acts on it, what it is at, and whether it has taken up the last change.

use super::Looked;
use super::answers::objects;
use crate::fleet::cluster::Member;
use crate::id::Text;
use crate::work::entry::Light;
use crate::work::probe::Objects;

/// An operator leaves every CR alone whose annotation names another one.
pub(super) const CONTROLLER: &str = "acid.zalan.do/controller";

/// Who brings the effect of an order about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The operator, out of the CR: without it nothing happens.
    Operator,
    /// Patroni, Postgres, or the API server; the operator is only in the way, or not.
    Others,
}

/// What is known of it.
pub(super) fn lights(looked: &[Looked], by: By) -> Vec<Light> {
    match objects(looked) {
        Ok(objects) => of(objects, by),
        Err(why) => vec![Light::amber(format!("what the operator is at is not known: {why}"))],
    }
}

pub(super) fn of(objects: &Objects, by: By) -> Vec<Light> {
    let mut lights: Vec<Light> = attachment(objects, by).into_iter().collect();
    lights.push(match objects.cluster.status.as_deref() {
        Some("Running") => Light::green("the operator says Running"),
        Some(word) => {
            Light::amber(format!("the operator says {word}: it may be at it itself, and take up a change late"))
        }
        None => Light::amber("the operator has said nothing yet: it may take up a change late"),
    });
    lights.extend(rolling(objects, by));
    lights
}

/// Whom the CR names as its operator, if anybody.
pub(super) fn controller(objects: &Objects) -> Option<&Text> {
    objects.annotations.get(CONTROLLER).filter(|id| !id.is_empty())
}

fn attachment(objects: &Objects, by: By) -> Option<Light> {
    let id = controller(objects)?;
    if objects.rules.controllers.contains(id) {
        return Some(Light::green(format!("the operator {id} acts on it ({CONTROLLER})")));
    }
    let detached = format!("detached: no operator that is known acts on this CR ({CONTROLLER} is {id})");
    Some(match by {
        By::Operator => Light::red(format!("{detached}; attach it first")),
        By::Others => Light::green(format!("{detached}; this needs none")),
    })
}

/// Pods that wait for the operator to recreate them: whatever makes it look sets that going.
pub(super) fn rolling(objects: &Objects, by: By) -> Vec<Light> {
    let names = |is: fn(&Member) -> bool| {
        let members = objects.cluster.members.iter().filter(|member| is(member));
        members.map(|member| &*member.name).collect::<Vec<_>>().join(", ")
    };
    let flagged = names(|member| member.pod.as_ref().is_some_and(|pod| pod.rolling_update));
    let going = names(|member| member.pod.as_ref().is_some_and(|pod| pod.deleting));
    let mut lights = Vec::new();
    if !flagged.is_empty() {
        let then = match by {
            By::Operator => "this sets it going, with a switchover",
            By::Others => "the operator may begin it at any time, with a switchover",
        };
        lights.push(Light::amber(format!("a rolling update is pending for {flagged}: {then}")));
    }
    if !going.is_empty() {
        lights.push(Light::amber(format!("pods that are being deleted: {going}")));
    }
    if lights.is_empty() {
        lights.push(Light::green("no rolling update is pending"));
    }
    lights
}

/// Two patches in a gap: the operator may lose the first.
pub(super) fn taken_up(objects: &Objects) -> Light {
    let (least, most) = objects.rules.limits;
    let Some(now) = objects.cluster.spec.instances else {
        return Light::amber("the CR does not say how many members there are: whether it is taken up is not known");
    };
    // What lies outside of the operator's limits was changed by it: that is no patch that was lost.
    let forced = now.max(least.unwrap_or(0)).min(most.unwrap_or(u32::MAX));
    match &objects.cluster.workload {
        Some(set) if set.replicas == now || set.replicas == forced => {
            Light::green(format!("the operator has taken up the last change of its size: {now} members"))
        }
        Some(set) => Light::red(format!(
            "an earlier change is not taken up yet: the CR asks for {now}, the StatefulSet for {}; wait for it",
            set.replicas
        )),
        None => Light::red("there is no StatefulSet: the operator has not made the cluster yet"),
    }
}
