//! Patroni of a whole cluster: it is asked, called, paused and resumed.

use serde_json::{Value, json};

use super::answers::{sampled, spoke};
use super::{
    ANY_MEMBER, By, Confirm, NO_CONFLICT, On, Operation, Undone, allowed, instance, known, may_forward, of_operator,
    slots, spokesmen, stance,
};
use crate::fleet::Entry;
use crate::id::Text;
use crate::metric::SurveyId;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Method, Order};
use crate::work::patroni::{PatroniView, Peer};
use crate::work::probe::Probe;

pub(super) const PAUSE: Operation = Operation {
    id: "patroni-pause",
    title: "pause Patroni",
    doc: "Turns automatic failover off for the whole cluster.",
    keys: &["x p"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[],
    proof: "Patroni's own word",
    undo: "`patroni-resume`",
    undoes: None,
    never: &[NO_CONFLICT, ANY_MEMBER],
    stands_in: None,
    holds: false,
    aim: ask_slots,
    consider: pause,
    moot: known::paused,
};

pub(super) const RESUME: Operation = Operation {
    id: "patroni-resume",
    title: "resume Patroni",
    doc: "Turns automatic failover on again.",
    keys: &["x P"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[],
    proof: "Patroni's own word",
    undo: "`patroni-pause`",
    undoes: Some(Undone {
        id: "patroni-pause",
        with: None,
        stands: |entry, _| Some(entry.cluster.dcs.as_ref()?.config.as_ref()?.pause),
        made: |entry| entry.cluster.dcs.as_ref()?.config.as_ref()?.version.clone(),
        until: |_| None,
    }),
    never: &[NO_CONFLICT, ANY_MEMBER],
    stands_in: None,
    holds: false,
    aim: ask_slots,
    consider: resume,
    moot: known::not_paused,
};

pub(super) fn ask_patroni(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    of_operator(entry)?;
    let mut probes = ask_members(aim, &spokesmen(entry)?);
    probes.push(Probe::Objects(aim.cluster.clone()));
    probes.extend(may_forward(&aim.cluster));
    Ok(probes)
}

/// Asks the Patroni of each; the first that answers speaks for all.
pub(super) fn ask_members(aim: &Aim, members: &[Text]) -> Vec<Probe> {
    members.iter().map(|member| Probe::Patroni(instance(aim, member))).collect()
}

/// Its configuration is changed: the slots of every member may suffer.
fn ask_slots(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    let mut probes = ask_patroni(entry, aim)?;
    let surveys = vec![SurveyId::Slots];
    let sample = |name: &Text| Probe::Sample { instance: instance(aim, name), surveys: surveys.clone() };
    probes.extend(entry.cluster.members.iter().map(|member| sample(&member.name)));
    Ok(probes)
}

pub(super) fn call(aim: &Aim, member: &Text, method: Method, path: &str, body: Value) -> Order {
    Order::Patroni { instance: instance(aim, member), method, path: path.into(), body }
}

/// Who takes part now: these are waited for afterwards.
pub(super) fn running(view: &PatroniView) -> Vec<Text> {
    view.members.iter().filter(|peer| peer.is_running()).map(|peer| peer.name.clone()).collect()
}

pub(super) fn leader(view: &PatroniView) -> Result<&Peer, String> {
    view.leader()
        .ok_or_else(|| "no member leads: there is nothing to switch over from (a failover is another thing)".into())
}

fn pause(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    lights.extend(stance::lights(looked, By::Others));
    let (asked, view) = spoke(looked)?;
    if view.pause {
        return Err("Patroni is paused already".into());
    }
    lights.push(Light::amber("automatic failover is off until it is resumed: a primary that dies stays dead"));
    let (unknown, untold) = slots_at_risk(looked, view);
    lights.extend(unknown.into_iter().chain(untold));
    Ok(set_pause(aim, asked, lights, true))
}

fn resume(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    lights.extend(stance::lights(looked, By::Others));
    let (asked, view) = spoke(looked)?;
    if !view.pause {
        return Err("Patroni is not paused".into());
    }
    let held = (!view.config[super::replay::KEY].is_null())
        .then(|| Light::amber("a pgdeck holds a paused replay there, which goes on then: replay-resume ends both"));
    lights.push(match view.leader() {
        Some(leader) => Light::green(format!("{} leads", leader.name)),
        None => Light::amber("no member leads: Patroni will choose one at once"),
    });
    let (unknown, untold) = slots_at_risk(looked, view);
    let asks = held.iter().chain(&unknown).chain(&untold).next().map(|light| light.text.clone());
    lights.extend(held.into_iter().chain(unknown).chain(untold));
    Ok(Deal { asks, ..set_pause(aim, asked, lights, false) })
}

/// Slots that a change of Patroni's configuration may cost, and members whose slots nobody knows.
fn slots_at_risk(looked: &[Looked], view: &PatroniView) -> (Vec<Light>, Vec<Light>) {
    let all = sampled(looked);
    let unknown = slots::unknown(&all, view, "its configuration changes").into_iter().map(Light::amber);
    (unknown.collect(), slots::untold(&all))
}

/// Whoever has answered takes it: each member of Patroni may change the configuration of all.
fn set_pause(aim: &Aim, asked: &Text, lights: Vec<Light>, paused: bool) -> Deal {
    // `null` takes the key away, as patronictl does.
    let body = if paused { json!({"pause": true}) } else { json!({"pause": null}) };
    let step = Step {
        order: call(aim, asked, Method::Patch, "/config", body),
        expect: Expect::Pause { cluster: aim.cluster.clone(), paused },
        within_s: 60,
    };
    let verb = if paused { "resume" } else { "pause" };
    let undo = format!("pgdeck do patroni-{verb} {}", aim.cluster);
    Deal { lights, steps: vec![step], undo, downtime: "none".into(), by_name: false, ..Deal::default() }
}
