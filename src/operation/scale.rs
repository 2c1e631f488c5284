//! More or fewer members.

use serde_json::json;

use super::patroni::{ask_members, call, running};
use super::succession::{HANDED_OVER_S, takes_part};
use super::{
    Arg, By, Confirm, NEVER_MOOT, On, Operation, allowed, candidates, guards, hand_over, instance, may, may_forward,
    objects, of_operator, spokesmen, stance, view,
};
use crate::fleet::Entry;
use crate::fleet::cluster::Cluster;
use crate::id::InstanceId;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Method, Order};
use crate::work::patroni::{PatroniView, Peer};
use crate::work::probe::{Answer, Probe};

pub(super) const SCALE: Operation = Operation {
    id: "scale",
    title: "scale",
    doc: "Changes how many members the cluster has; a primary that would go hands over first.",
    keys: &["x n"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[Arg { name: "instances", example: "3", doc: "how many members there shall be", required: true }],
    proof: "every member runs by Patroni's word, and every standby streams (pg_stat_replication)",
    undo: "scaling back",
    undoes: None,
    never: &[],
    stands_in: None,
    holds: false,
    aim,
    consider,
    moot: NEVER_MOOT,
};

/// A new member copies the whole database first.
const WITHIN_S: u32 = 600;

fn wanted(aim: &Aim) -> Result<u32, String> {
    let text = aim.args.get("instances").map_or("", |text| &**text);
    text.parse().ok().filter(|n| *n <= 100).ok_or_else(|| format!("{text:?} is no number of members: write 0 to 100"))
}

fn aim(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    of_operator(entry)?;
    let count = wanted(aim)?;
    let mut probes = vec![
        Probe::Objects(aim.cluster.clone()),
        Probe::Remains(aim.cluster.clone()),
        guards::probe(&aim.cluster),
        may(&aim.cluster, "patch", "acid.zalan.do", "postgresqls"),
    ];
    if let Ok(members) = spokesmen(entry) {
        probes.extend(ask_members(aim, &members));
        probes.extend(may_forward(&aim.cluster));
    }
    // The primary may have to hand over.
    if entry.cluster.spec.instances.is_none_or(|now| count < now) {
        probes.extend(hand_over::probes(entry, aim));
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
    lights.extend(stance::of(objects, By::Operator));
    lights.push(stance::taken_up(objects));
    let asked = view(looked);
    // Without a member that runs there is nobody to ask, and nobody to hand over.
    if let Err(why) = &asked {
        lights.push(blind(cluster, count < now, why));
    }
    let view = asked.ok();
    lights.push(synchronous(cluster, view, count));
    let (mut steps, mut led_by) = (Vec::new(), None);
    lights.extend(old_volumes(aim, looked, now, count));
    if count < now {
        lights.extend(leaving(cluster, count));
        lights.extend((count == 1).then(|| Light::amber("with one member there is nobody to fail over to")));
        lights.extend(guards::lights(looked, aim.at));
        if let Some((step, said)) = view.map(|view| hands_over(aim, looked, view, count)).transpose()?.flatten() {
            lights.push(Light::amber("the primary is among them: it hands over first, and clients reconnect"));
            lights.extend(said);
            // Whoever leads when the members go must be one that stays.
            if let Expect::Leader { instance, .. } = &step.expect {
                led_by = Some(instance.member.clone());
            }
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
        led_by,
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
    let comes = |name: &&str| {
        let ordinal = name.strip_prefix(&*stem).and_then(|ordinal| ordinal.parse::<u32>().ok());
        ordinal.is_some_and(|ordinal| (now..count).contains(&ordinal))
    };
    let volumes = remains.iter().filter(|left| left.kind == "persistentvolumeclaims").map(|left| &*left.name);
    let old: Vec<&str> = volumes.filter(comes).collect();
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

/// Whether commits would hang, or wait for nobody, with so many members. Without Patroni's word the CR's counts.
fn synchronous(cluster: &Cluster, view: Option<&PatroniView>, count: u32) -> Light {
    let (is_on, is_strict) = view.map_or((cluster.spec.synchronous, cluster.spec.synchronous_strict), |view| {
        (view.is_synchronous(), view.is_strict())
    });
    if !is_on {
        return Light::green("synchronous mode is off: commits wait for no standby");
    }
    let word = if is_strict { "strict" } else { "on" };
    let waits = if is_strict { "hang" } else { "wait" };
    let peers = view.map(|view| &view.members[..]).unwrap_or_default();
    let able = peers.iter().filter(|peer| !goes(&peer.name, count) && peer.is_running() && !peer.nosync).count();
    // One of those leads, and those that come may be synchronous too.
    let able = able.saturating_sub(1) + (count as usize).saturating_sub(peers.len().max(1));
    let going: Vec<&str> =
        peers.iter().filter(|peer| peer.synchronous && goes(&peer.name, count)).map(|peer| &*peer.name).collect();
    match (count, able) {
        (0, _) => Light::green(format!("synchronous mode is {word}: without a member there is nothing to commit")),
        (1, _) if is_strict => Light::red("synchronous_mode_strict is on: with one member every commit would hang"),
        (1, _) => Light::amber("synchronous mode is on: with one member commits wait for nobody"),
        (_, 0) if is_strict => Light::red(format!(
            "synchronous_mode_strict is on, and none of the {count} members could be synchronous beside the leader (they do not \
             run, or are tagged nosync): every commit would hang"
        )),
        (_, 0) => Light::amber(format!(
            "synchronous mode is on, and none of the {count} members could be synchronous beside the leader: commits wait for \
             nobody"
        )),
        _ if !going.is_empty() => Light::amber(format!(
            "synchronous mode is {word}: {} is synchronous and goes: commits {waits} until Patroni has chosen another",
            going.join(", ")
        )),
        (_, able) => Light::green(format!("synchronous mode is {word}: {able} standby(s) can be synchronous then")),
    }
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

/// The step that keeps the primary: to the best member that stays; with what is said of a switchover.
fn hands_over(
    aim: &Aim,
    looked: &[Looked],
    view: &PatroniView,
    count: u32,
) -> Result<Option<(Step, Vec<Light>)>, String> {
    let Some(leader) = view.leader().filter(|leader| goes(&leader.name, count)) else { return Ok(None) };
    if count == 0 {
        return Ok(None);
    }
    let stays = |peer: &&Peer| !goes(&peer.name, count) && peer.name != leader.name;
    let Some(best) = candidates::best(view, view.members.iter().filter(stays)) else {
        return Err(format!("the primary {} would go, and no member that stays can take over from it", leader.name));
    };
    let (mut said, slots) = hand_over::lights(looked, view, &leader.name, &best.name);
    said.extend(takes_part(looked, leader));
    let body = json!({"leader": &*leader.name, "candidate": &*best.name});
    let (timeline, followers) = (view.left_timeline(), running(view));
    let step = Step {
        order: call(aim, &leader.name, Method::Post, "/switchover", body),
        expect: Expect::Leader { instance: instance(aim, &best.name), timeline, followers, slots },
        within_s: HANDED_OVER_S,
    };
    Ok(Some((step, said)))
}
