//! What Patroni does to one member: it reads its configuration, or is copied anew.

use jiff::Timestamp;
use serde_json::json;

use super::answers::{sampled, vitals};
use super::patroni::{ask_patroni, call, leader};
use super::{
    ANY_ROLE, By, Confirm, NEVER_MOOT, NO_CONFLICT, ON_LEADER, On, Operation, allowed, hand_over, instance, known,
    moment, slots, stance, view,
};
use crate::fault::Fault;
use crate::fleet::Entry;
use crate::fleet::cluster::Role;
use crate::id::Text;
use crate::metric::SurveyId;
use crate::metric::vitals::Vitals;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::Method;
use crate::work::probe::Probe;

pub(super) const REINITIALIZE: Operation = Operation {
    id: "reinitialize",
    title: "reinitialize",
    doc: "Throws a standby's data away and copies it anew from the primary.",
    keys: &["x R"],
    on: On::Member,
    confirm: Confirm::Name,
    args: &[],
    proof: "the new server's own start time, and that it streams (pg_stat_wal_receiver)",
    undo: "nothing: the old copy is gone",
    undoes: None,
    never: ON_LEADER,
    stands_in: None,
    holds: false,
    aim: |entry, aim| ask_member(entry, aim, &hand_over::SURVEYS),
    consider: reinitialize,
    moot: known::leads,
};

pub(super) const RELOAD: Operation = Operation {
    id: "reload",
    title: "reload",
    doc: "Makes Patroni and Postgres of one member read their configuration anew.",
    keys: &["x l"],
    on: On::Member,
    confirm: Confirm::Yes,
    args: &[],
    proof: "the server's own word when it read its configuration",
    undo: "nothing: it has been read",
    undoes: None,
    never: &[NO_CONFLICT, ANY_ROLE],
    stands_in: None,
    holds: false,
    aim: |entry, aim| ask_member(entry, aim, &[SurveyId::Vitals]),
    consider: reload,
    moot: NEVER_MOOT,
};

fn ask_member(entry: &Entry, aim: &Aim, surveys: &[SurveyId]) -> Result<Vec<Probe>, String> {
    let mut probes = ask_patroni(entry, aim)?;
    let member = instance(aim, member_of(aim)?);
    probes.push(Probe::Sample { instance: member, surveys: surveys.to_vec() });
    Ok(probes)
}

fn member_of(aim: &Aim) -> Result<&Text, String> {
    aim.member.as_ref().ok_or_else(|| "it is done to one member: name it, or put the cursor on it".into())
}

/// Since when the member's Postgres runs; one that does not answer is told, and may need this most. Without the right to ask
/// nothing could be proved.
fn running_since<'a>(looked: &'a [Looked], member: &Text) -> Result<(Option<&'a Vitals>, Light), String> {
    let refused = looked.iter().any(|(probe, answer)| {
        matches!(probe, Probe::Sample { .. })
            && matches!(answer, Err(Fault::Forbidden { .. } | Fault::AuthExpired { .. }))
    });
    match vitals(looked, member) {
        Ok(vitals) => {
            Ok((Some(vitals), Light::green(format!("Postgres of {member} runs since {}", moment(vitals.started)))))
        }
        Err(why) if refused => Err(why),
        Err(why) => Ok((None, Light::amber(why))),
    }
}

/// After this it must have begun anew. A server that does not answer now has not begun yet.
pub(super) fn began(vitals: Option<&Vitals>) -> Timestamp {
    vitals.map_or(Timestamp::UNIX_EPOCH, |vitals| vitals.started)
}

fn reinitialize(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    lights.extend(stance::lights(looked, By::Others));
    let view = view(looked)?;
    let member = member_of(aim)?;
    let peer = view.peer(member).ok_or_else(|| format!("Patroni knows no member {member}"))?;
    if peer.role == Role::Primary {
        return Err(format!("{member} leads: only a standby can be copied anew"));
    }
    leader(view)?;
    let (vitals, light) = running_since(looked, member)?;
    lights.push(light);
    lights.push(match &*peer.state {
        "creating replica" => Light::amber(format!("{member} is being copied already: that copy is thrown away")),
        state => Light::green(format!("{member} is {state}")),
    });
    if view.pause {
        return Err("Patroni is paused: it would not copy anything; resume it first".into());
    }
    let rest = view.members.iter().filter(|other| other.role != Role::Primary && other.name != *member);
    let rest = rest.filter(|other| other.is_running()).count();
    lights.push(match rest {
        0 => Light::amber("it is the only standby: until it is copied there is none to fail over to"),
        n => Light::green(format!("{n} more standby(s) run")),
    });
    lights.push(if view.is_synchronous() && peer.synchronous {
        let waits = if view.is_strict() { "hang" } else { "wait" };
        Light::amber(format!("{member} is synchronous: commits {waits} until Patroni has chosen another"))
    } else {
        Light::green(format!("no commit waits for {member}"))
    });
    let all = sampled(looked);
    if let Some(own) = all.first() {
        lights.extend(hand_over::stops(own));
        lights.push(slots::gone_with(own, view));
    }
    let step = Step {
        order: call(aim, member, Method::Post, "/reinitialize", json!({"force": true})),
        expect: Expect::Restarted {
            instance: instance(aim, member),
            after: began(vitals),
            standby: true,
            recovers: false,
            followers: Vec::new(),
        },
        within_s: 3_600,
    };
    let undo = "nothing: the old copy is gone, the new one comes from the primary".into();
    let downtime = "readers of that member, until it is copied".into();
    Ok(Deal { lights, steps: vec![step], undo, downtime, by_name: true, ..Deal::default() })
}

fn reload(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let right = allowed(looked)?;
    let view = view(looked)?;
    let member = member_of(aim)?;
    let peer = view.peer(member).ok_or_else(|| format!("Patroni knows no member {member}"))?;
    let vitals = vitals(looked, member)?;
    let mut lights = vec![right, Light::green(format!("{member} is {}", peer.state))];
    lights.push(Light::green(format!("it read its configuration last at {}", vitals.loaded)));
    if !vitals.pending_restart.is_empty() {
        let names = vitals.pending_restart.join(", ");
        lights.push(Light::amber(format!("{names} wait(s) for a restart: a reload does not bring them about")));
    }
    let step = Step {
        order: call(aim, member, Method::Post, "/reload", json!({})),
        expect: Expect::Reloaded { instance: instance(aim, member), after: vitals.loaded },
        within_s: 60,
    };
    let undo = "nothing: what it read stands in its files".into();
    Ok(Deal { lights, steps: vec![step], undo, downtime: "none".into(), ..Deal::default() })
}
