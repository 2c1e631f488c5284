//! The primary's part moves: switchover, failover, and a switchover that was scheduled and is taken back.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers::{sampled, spoke};
use super::candidates::{best, too_far, unfit};
use super::patroni::{ask_patroni, call, leader, running};
use super::{
    Arg, By, Confirm, ON_LEADER, On, Operation, Undone, allowed, candidates, guards, hand_over, instance, known,
    stance, view,
};
use crate::fleet::Entry;
use crate::fleet::cluster::Role;
use crate::id::Text;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::Method;
use crate::work::patroni::{PatroniView, Peer};
use crate::work::probe::Probe;

/// A switchover is seen within this, and the old primary follows.
pub(super) const HANDED_OVER_S: u32 = 120;
pub(super) const SWITCHOVER: Operation = Operation {
    id: "switchover",
    title: "switch over",
    doc: "Hands the primary's part over to a standby; with `at` at that time.",
    keys: &["x s"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[
        Arg {
            name: "to",
            example: "acid-shop-1",
            doc: "the member that takes over; the best one by itself",
            required: false,
        },
        Arg {
            name: "at",
            example: "2026-11-25T03:00+00:00",
            doc: "when, such as 2026-11-25T03:00+00:00; at once by itself",
            required: false,
        },
    ],
    proof: "the member leads on a new timeline, and all others stream from it (pg_stat_replication); scheduled: Patroni \
            lists it",
    undo: "switching back; scheduled: `switchover-cancel`",
    undoes: None,
    never: ON_LEADER,
    stands_in: None,
    holds: false,
    aim: ask_everyone,
    consider: switch_over,
    moot: known::alone,
};

pub(super) const CANCEL_SWITCHOVER: Operation = Operation {
    id: "switchover-cancel",
    title: "cancel the scheduled switchover",
    doc: "Takes back a switchover that waits for its time.",
    keys: &["x S"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[Arg {
        name: "at",
        example: "2026-11-25T03:00+00:00",
        doc: "only the one that waits for this moment; whichever waits by itself",
        required: false,
    }],
    proof: "Patroni lists no switchover any more",
    undo: "scheduling it again",
    undoes: Some(Undone {
        id: "switchover",
        with: Some("at"),
        stands: |entry, args| {
            let waits = entry.cluster.dcs.as_ref()?.switchover.as_ref();
            let is_meant = |at: &Text| waits.and_then(|waits| waits.at.as_ref()).is_none_or(|waits| is_same(waits, at));
            Some(waits.is_some() && args.get("at").is_none_or(is_meant))
        },
        // The moment, which is compared.
        made: |_| None,
        until: |args| args.get("at")?.parse().ok(),
    }),
    never: ON_LEADER,
    stands_in: None,
    holds: false,
    aim: ask_patroni,
    consider: cancel_switchover,
    moot: known::nothing_waits,
};

pub(super) const FAILOVER: Operation = Operation {
    id: "failover",
    title: "fail over",
    doc: "Makes a standby the primary without the old one's help; what it had not received is lost.",
    keys: &["x F"],
    on: On::Cluster,
    confirm: Confirm::Name,
    args: &[Arg { name: "to", example: "acid-shop-1", doc: "the member that takes over", required: true }],
    proof: "the member leads on a new timeline, and all others stream from it (pg_stat_replication)",
    undo: "nothing for what was lost; `switchover` back",
    undoes: None,
    never: ON_LEADER,
    stands_in: None,
    holds: false,
    aim: ask_candidate,
    consider: fail_over,
    moot: known::alone,
};

fn ask_everyone(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    let mut probes = ask_patroni(entry, aim)?;
    probes.extend(hand_over::probes(entry, aim));
    probes.push(guards::probe(&aim.cluster));
    Ok(probes)
}

/// The candidate is asked first, not the leader: that may hang, which is what a failover is for.
fn ask_candidate(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    let mut probes = ask_everyone(entry, aim)?;
    if let Some(to) = aim.args.get("to").filter(|to| entry.cluster.member(to).is_some()) {
        probes.retain(|probe| !matches!(probe, Probe::Patroni(_)));
        probes.insert(0, Probe::Patroni(instance(aim, to)));
    }
    Ok(probes)
}

fn candidate<'a>(view: &'a PatroniView, asked: Option<&Text>) -> Result<&'a Peer, String> {
    if let Some(name) = asked {
        let peer = view.peer(name).ok_or_else(|| {
            let names: Vec<&str> = view.members.iter().map(|peer| &*peer.name).collect();
            format!("there is no member {name}; there are {}", names.join(", "))
        })?;
        return match unfit(view, peer) {
            Some(why) => Err(format!("{name} cannot take over: {why}")),
            None => Ok(peer),
        };
    }
    best(view, view.members.iter()).ok_or_else(|| {
        let why = |peer: &Peer| unfit(view, peer).or_else(|| too_far(view, peer));
        let why = view.members.iter().filter_map(|peer| Some(format!("{}: {}", peer.name, why(peer)?)));
        format!("no member can take over ({})", why.collect::<Vec<_>>().join("; "))
    })
}

fn switch_over(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    lights.extend(stance::lights(looked, By::Others));
    let view = view(looked)?;
    let leader = leader(view)?;
    let to = candidate(view, aim.args.get("to"))?;
    if let Some(waits) = &view.switchover {
        return Err(format!("a switchover waits already, at {}: cancel it first", waits.at));
    }
    lights.push(if view.pause {
        Light::amber("Patroni is paused: it does what is asked, and nothing by itself")
    } else {
        Light::green("Patroni is not paused, and no switchover waits")
    });
    lights.extend(takes_part(looked, leader));
    lights.extend(too_far(view, to).map(|why| Light::red(format!("Patroni would refuse {}: {why}", to.name))));
    let (handed, slots) = hand_over::lights(looked, view, &leader.name, &to.name);
    lights.extend(handed);
    let mut body = json!({"leader": &*leader.name, "candidate": &*to.name});
    let at = aim.args.get("at");
    let moment = at.map_or(Ok(aim.at), |at| at.parse::<Timestamp>());
    let moment = moment.map_err(|_unreadable| {
        format!("{at:?} is no moment with its offset; write it like 2026-11-25T03:00:00+00:00")
    })?;
    lights.extend(guards::lights(looked, moment));
    let expect = if let Some(at) = at {
        if view.pause {
            return Err("Patroni is paused: it schedules nothing; resume it first".into());
        }
        body["scheduled_at"] = json!(&**at);
        Expect::Scheduled { instance: instance(aim, &leader.name), waits: true }
    } else {
        let mut followers = running(view);
        // Whatever state it is in now, it has to follow.
        if !followers.contains(&leader.name) {
            followers.push(leader.name.clone());
        }
        let timeline = view.left_timeline();
        Expect::Leader { instance: instance(aim, &to.name), timeline, followers, slots }
    };
    let undo = match at {
        Some(_) => format!("pgdeck do switchover-cancel {}", aim.cluster),
        None => format!("pgdeck do switchover {} to={}", aim.cluster, leader.name),
    };
    Ok(Deal {
        lights,
        steps: vec![Step {
            order: call(aim, &leader.name, Method::Post, "/switchover", body),
            expect,
            within_s: HANDED_OVER_S,
        }],
        undo,
        downtime: view.downtime("for a few seconds"),
        by_name: false,
        ..Deal::default()
    })
}

/// The leader has to hand over itself.
pub(super) fn takes_part(looked: &[Looked], leader: &Peer) -> Option<Light> {
    let is_its = |probe: &Probe| matches!(probe, Probe::Patroni(asked) if asked.member == leader.name);
    let name = &leader.name;
    match looked.iter().find(|(probe, _)| is_its(probe)).map(|(_, answer)| answer) {
        Some(Ok(_)) => None,
        Some(Err(fault)) => Some(Light::red(format!(
            "Patroni of {name} does not answer ({fault}): it has to take part in a switchover; a failover goes without it"
        ))),
        None => Some(Light::amber(format!(
            "Patroni of {name} was not asked, since it was known not to answer: it has to take part in a switchover"
        ))),
    }
}

fn fail_over(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    lights.extend(stance::lights(looked, By::Others));
    let view = view(looked)?;
    let name = aim.args.get("to").ok_or("name the member that takes over")?;
    let to = view.peer(name).ok_or_else(|| format!("there is no member {name}"))?;
    if to.role == Role::Primary {
        return Err(format!("{name} leads already"));
    }
    if !to.is_running() {
        return Err(format!("{name} is {}: it cannot take over", to.state));
    }
    let all = sampled(looked);
    let of = |member: &str| all.iter().find(|sampled| **sampled.member == *member);
    let silent = view.leader().filter(|leader| of(&leader.name).is_none_or(|of| of.silence().is_some()));
    lights.push(match view.leader() {
        Some(leader) if silent.is_some() => Light::amber(format!(
            "{} leads by Patroni's last word, and does not answer: it is not waited for; if it comes back it may take writes \
             until its Patroni has noticed",
            leader.name
        )),
        Some(leader) => Light::amber(format!("{} leads, and answers: a switchover would lose nothing", leader.name)),
        None => Light::green("no member leads"),
    });
    lights.push(match to.lag {
        Some(lag) => Light::amber(format!("{name} is {lag} behind by Patroni's last word: so much is lost, at least")),
        None => Light::amber(format!("how far {name} is behind is not known: nor is what is lost")),
    });
    lights.extend(candidates::ahead(looked, view, name));
    let from = view.leader().map_or("the old primary", |leader| &*leader.name);
    let (handed, slots) = hand_over::lights(looked, view, from, name);
    lights.extend(handed);
    if view.is_synchronous() && !to.synchronous {
        lights.push(Light::amber(format!("{name} is not synchronous: commits that were confirmed may be lost")));
    }
    lights.extend(guards::lights(looked, aim.at));
    let newest = view.members.iter().filter_map(|peer| peer.timeline).max();
    let timeline = newest.filter(|_| !view.is_standby_cluster());
    let mut followers = running(view);
    followers.retain(|member| silent.is_none_or(|leader| leader.name != *member));
    let step = Step {
        order: call(aim, &to.name, Method::Post, "/failover", json!({"candidate": &*to.name})),
        expect: Expect::Leader { instance: instance(aim, &to.name), timeline, followers, slots },
        within_s: HANDED_OVER_S,
    };
    let downtime = view.downtime("until it leads");
    let undo = "nothing for what was lost; a switchover back moves the primary".into();
    Ok(Deal { lights, steps: vec![step], undo, downtime, by_name: true, ..Deal::default() })
}

/// Whether two texts are the same moment; what is none is the same only if it reads the same.
fn is_same(one: &str, other: &str) -> bool {
    match (one.parse::<Timestamp>(), other.parse::<Timestamp>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn cancel_switchover(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let right = allowed(looked)?;
    let (asked, view) = spoke(looked)?;
    let waits = view.switchover.as_ref().ok_or("no switchover waits")?;
    if let Some(at) = aim.args.get("at").filter(|at| !is_same(at, &waits.at)) {
        return Err(format!("the switchover that waits is for {}, not for {at}", waits.at));
    }
    let lights = vec![right, Light::green(format!("a switchover waits for {}", waits.at))];
    let step = Step {
        order: call(aim, asked, Method::Delete, "/switchover", Value::Null),
        expect: Expect::Scheduled { instance: instance(aim, asked), waits: false },
        within_s: 30,
    };
    let to = waits.to.as_ref().map(|to| format!(" to={to}")).unwrap_or_default();
    let undo = format!("pgdeck do switchover {} at={}{to}", aim.cluster, waits.at);
    Ok(Deal { lights, steps: vec![step], undo, downtime: "none".into(), by_name: false, ..Deal::default() })
}
