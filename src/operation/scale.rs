//! More or fewer members.

use serde_json::json;

use super::{
    Arg, Confirm, ON_RESOURCE, On, Operation, allowed, guards, instance, may, may_forward, objects, of_operator,
    spokesman, view,
};
use crate::fleet::Entry;
use crate::fleet::cluster::Cluster;
use crate::id::{InstanceId, Text};
use crate::metric::lsn::Bytes;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Method, Order};
use crate::work::patroni::PatroniView;
use crate::work::probe::{Answer, Probe};

pub(super) const SCALE: Operation = Operation {
    id: "scale",
    title: "scale",
    doc: "Changes how many members the cluster has; a primary that would go hands over first.",
    keys: &["x n"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[Arg { name: "instances", example: "3", doc: "how many members there shall be", required: true }],
    proof: "every member runs and streams, by Patroni's word",
    undo: "scaling back",
    undoes: None,
    never: ON_RESOURCE,
    stands_in: None,
    holds: false,
    aim,
    consider,
};

/// A new member copies the whole database first.
const WITHIN_S: u32 = 600;

fn wanted(aim: &Aim) -> Result<u32, String> {
    let text = aim.args.get("instances").map_or("", |text| &**text);
    text.parse().ok().filter(|n| *n <= 100).ok_or_else(|| format!("{text:?} is no number of members: write 0 to 100"))
}

fn aim(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    of_operator(entry)?;
    wanted(aim)?;
    let mut probes = vec![
        Probe::Objects(aim.cluster.clone()),
        Probe::Remains(aim.cluster.clone()),
        guards::probe(&aim.cluster),
        may(&aim.cluster, "patch", "acid.zalan.do", "postgresqls"),
    ];
    if let Ok(member) = spokesman(entry) {
        probes.push(Probe::Patroni(instance(aim, &member)));
        probes.extend(may_forward(&aim.cluster));
    }
    Ok(probes)
}

fn consider(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let count = wanted(aim)?;
    let mut lights = vec![allowed(looked)?];
    let objects = objects(looked)?;
    let cluster = &objects.cluster;
    let now = cluster.spec.instances.ok_or("its CR does not say how many members there are")?;
    if now == count {
        return Err(format!("it has {now} members already"));
    }
    let key = objects.rules.ignore_limits.as_ref();
    let ignored = key.and_then(|key| objects.annotations.get(key)).is_some_and(|value| &**value == "true");
    lights.extend(limits(objects.rules.limits, ignored, count));
    lights.push(taken_up(cluster, now, objects.rules.limits));
    lights.push(busy(cluster));
    let asked = view(looked);
    // Without a member that runs there is nobody to ask, and nobody to hand over.
    if let Err(why) = &asked {
        lights.push(blind(cluster, count < now, why));
    }
    let view = asked.ok();
    lights.extend(view.and_then(|view| synchronous(view, count)));
    lights.extend(rolling(cluster));
    let mut steps = Vec::new();
    lights.extend(old_volumes(aim, looked, now, count));
    if count < now {
        lights.extend(leaving(cluster, count));
        lights.extend(guards::lights(looked, aim.at));
        if let Some(step) = view.map(|view| hand_over(aim, view, count)).transpose()?.flatten() {
            lights.push(Light::amber("the primary is among them: it hands over first, and clients reconnect"));
            steps.push(step);
        }
    }
    let patch = json!({"spec": {"numberOfInstances": count}});
    let (uid, version) = (cluster.uid.clone().unwrap_or_else(|| "".into()), objects.version.clone());
    steps.push(Step {
        order: Order::Patch { cluster: aim.cluster.clone(), uid, version, patch },
        expect: Expect::Members {
            cluster: aim.cluster.clone(),
            count,
            primary: (count > 0).then(|| InstanceId::whoever_leads(&aim.cluster)),
        },
        within_s: WITHIN_S,
    });
    let downtime = if steps.len() > 1 { "writes stop for a few seconds while the primary hands over" } else { "none" };
    Ok(Deal {
        lights,
        steps,
        undo: format!("pgdeck do scale {} {now}", aim.cluster),
        downtime: if count == 0 { "the whole database".into() } else { downtime.into() },
        by_name: count == 0,
        ..Deal::default()
    })
}

/// Volumes that an earlier scale-down left: the members that come begin with what is on them.
fn old_volumes(aim: &Aim, looked: &[Looked], now: u32, count: u32) -> Option<Light> {
    let remains = looked.iter().find_map(|(_, answer)| match answer {
        Ok(Answer::Remains(remains)) => Some(remains),
        _ => None,
    })?;
    let stem = format!("pgdata-{}-", aim.cluster.name);
    let comes = |name: &&Text| {
        let ordinal = name.strip_prefix(&*stem).and_then(|ordinal| ordinal.parse::<u32>().ok());
        ordinal.is_some_and(|ordinal| (now..count).contains(&ordinal))
    };
    let volumes = remains.iter().filter(|(kind, _)| *kind == "persistentvolumeclaims").flat_map(|(_, names)| names);
    let old: Vec<&str> = volumes.filter(comes).map(|name| &**name).collect();
    let text = format!("{} hold old data: catching up may take long, or need reinitialize", old.join(", "));
    (!old.is_empty()).then(|| Light::amber(text))
}

/// Patroni does not answer: who leads, and whether anybody could take over, is not known.
fn blind(cluster: &Cluster, shrinks: bool, why: &str) -> Light {
    let runs = cluster.members.iter().any(|member| member.pod.as_ref().is_some_and(|pod| pod.ready));
    if shrinks && runs {
        Light::red(format!("whether the primary would go cannot be found out: {why}"))
    } else {
        Light::amber(format!("Patroni was not asked: {why}"))
    }
}

/// Pods that wait for the operator to recreate them: any patch sets that going.
fn rolling(cluster: &Cluster) -> Option<Light> {
    let flagged = cluster.members.iter().filter(|member| member.pod.as_ref().is_some_and(|pod| pod.rolling_update));
    let names: Vec<&str> = flagged.map(|member| &*member.name).collect();
    let text = format!("a rolling update is pending for {}: the patch sets it going", names.join(", "));
    (!names.is_empty()).then(|| Light::amber(text))
}

/// The operator forces the number between its limits, without a word.
fn limits((least, most): (Option<u32>, Option<u32>), ignored: bool, count: u32) -> Option<Light> {
    if ignored {
        return None;
    }
    let beyond = match (least, most) {
        (Some(least), _) if count < least => format!("fewer than the operator's min_instances ({least})"),
        (_, Some(most)) if count > most => format!("more than the operator's max_instances ({most})"),
        _ => return None,
    };
    Some(Light::red(format!("{count} is {beyond}: it would be changed back without a word")))
}

/// Two patches in a gap: the operator may lose the first.
fn taken_up(cluster: &Cluster, now: u32, (least, most): (Option<u32>, Option<u32>)) -> Light {
    // What lies outside of the operator's limits was changed by it: that is no patch that was lost.
    let forced = now.max(least.unwrap_or(0)).min(most.unwrap_or(u32::MAX));
    match &cluster.workload {
        Some(set) if set.replicas == now || set.replicas == forced => {
            Light::green(format!("the operator has taken up the last change: {now} members"))
        }
        Some(set) => Light::red(format!(
            "an earlier change is not taken up yet: the CR asks for {now}, the StatefulSet for {}; wait for it",
            set.replicas
        )),
        None => Light::red("there is no StatefulSet: the operator has not made the cluster yet"),
    }
}

fn busy(cluster: &Cluster) -> Light {
    match cluster.status.as_deref() {
        Some("Running") => Light::green("the operator says Running"),
        Some(word) => Light::amber(format!("the operator says {word}: it may take the change up late")),
        None => Light::amber("the operator has said nothing yet: it may take the change up late"),
    }
}

fn synchronous(view: &PatroniView, count: u32) -> Option<Light> {
    if !view.is_synchronous() || count > 1 {
        return None;
    }
    let strict = view.config["synchronous_mode_strict"].as_bool().unwrap_or(false);
    Some(if strict && count > 0 {
        Light::red("synchronous_mode_strict is on: with one member every commit would hang")
    } else {
        Light::amber(
            "synchronous mode is on: with one member commits wait for nobody, and no standby is there to fail over to",
        )
    })
}

/// Who goes: a StatefulSet takes the highest ordinals away.
fn leaving(cluster: &Cluster, count: u32) -> Vec<Light> {
    let names = cluster.members.iter().map(|member| &member.name);
    let leaving: Vec<&str> = names.filter(|name| goes(name, count)).map(|name| &**name).collect();
    let mut lights = vec![Light::amber(format!("these members go: {}", leaving.join(", ")))];
    lights.push(Light::amber(
        "their volumes stay, unless the operator is configured otherwise: scaling up again finds old data there",
    ));
    lights
}

fn goes(member: &str, count: u32) -> bool {
    let ordinal = member.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<u32>().ok());
    ordinal.is_some_and(|ordinal| ordinal >= count)
}

/// The step that keeps the primary: to the best member that stays.
fn hand_over(aim: &Aim, view: &PatroniView, count: u32) -> Result<Option<Step>, String> {
    let Some(leader) = view.leader().filter(|leader| goes(&leader.name, count)) else { return Ok(None) };
    if count == 0 {
        return Ok(None);
    }
    let stays = |peer: &&crate::work::patroni::Peer| !goes(&peer.name, count) && peer.name != leader.name;
    let fit = view.members.iter().filter(stays).filter(|peer| super::succession::unfit(view, peer).is_none());
    let best = fit.min_by_key(|peer| peer.lag.unwrap_or(Bytes(u64::MAX)));
    let Some(best) = best else {
        return Err(format!("the primary {} would go, and no member that stays can take over from it", leader.name));
    };
    let body = json!({"leader": &*leader.name, "candidate": &*best.name});
    Ok(Some(Step {
        order: Order::Patroni {
            instance: instance(aim, &leader.name),
            method: Method::Post,
            path: Text::from("/switchover"),
            body,
        },
        expect: Expect::Leader {
            instance: instance(aim, &best.name),
            timeline: leader.timeline,
            followers: super::patroni::running(view),
            slots: Vec::new(),
        },
        within_s: super::succession::HANDED_OVER_S,
    }))
}
