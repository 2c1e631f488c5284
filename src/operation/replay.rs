//! Replay of WAL on a standby: paused for a while under watch, and resumed.

use serde_json::{Value, json};

use super::answers::{Sampled, sampled, spoke};
use super::patroni::{ask_members, call};
use super::{
    Arg, Confirm, ON_LEADER, On, Operation, Undone, allowed, instance, known, may_forward, moment, slots, spokesmen,
};
use crate::fleet::Entry;
use crate::fleet::cluster::Origin;
use crate::id::{InstanceId, Text};
use crate::metric::SurveyId;
use crate::metric::lsn::Bytes;
use crate::metric::vitals::{Replay, Vitals};
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Hold, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Method, Order, Statement};
use crate::work::patroni::PatroniView;
use crate::work::probe::Probe;

/// The key in Patroni's configuration under which pgdeck says what it holds; Patroni and the operator leave it alone.
pub const KEY: &str = "pgdeck";

pub(super) const REPLAY_PAUSE: Operation = Operation {
    id: "replay-pause",
    title: "pause replay",
    doc: "Pauses WAL replay of a standby for a while; it is resumed when the time or the lag is used up, or pgdeck ends.",
    keys: &["x h"],
    on: On::Member,
    confirm: Confirm::Yes,
    args: &[
        Arg {
            name: "for",
            example: "10m",
            doc: "how long at most, such as 90s, 10m or 2h; 10m by itself",
            required: false,
        },
        Arg {
            name: "max-lag",
            example: "512MiB",
            doc: "how much WAL may wait at most, such as 512MiB; 1GiB by itself",
            required: false,
        },
    ],
    proof: "the standby says paused, not only pause requested; afterwards, that it replays",
    undo: "by itself: time, lag, `replay-resume`, or the end of pgdeck",
    undoes: None,
    never: ON_LEADER,
    stands_in: None,
    holds: true,
    aim,
    consider: pause,
    moot: known::replay_paused,
};

pub(super) const REPLAY_RESUME: Operation = Operation {
    id: "replay-resume",
    title: "resume replay",
    doc: "Resumes WAL replay of a standby, and ends the pause of Patroni that went with it.",
    keys: &["x H"],
    on: On::Member,
    confirm: Confirm::Yes,
    args: &[],
    proof: "the standby replays; Patroni is as it was before",
    undo: "`replay-pause`",
    // What held it has seen its end itself.
    undoes: Some(Undone { id: "replay-pause", with: None, stands: |_, _| None, made: |_| None, until: |_| None }),
    never: ON_LEADER,
    stands_in: None,
    holds: false,
    aim,
    consider: resume,
    moot: known::replays,
};

/// Until this the startup process has stopped, or started, to replay, in seconds.
const WITHIN_S: u32 = 60;

/// Replay goes on at once where it can.
const RESUMED_S: u32 = 15;

fn aim(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    budget(aim)?;
    let member = aim.member.as_ref().ok_or("it is done to one member: name it, or put the cursor on it")?;
    let survey = |name: &Text| {
        let surveys = vec![SurveyId::Vitals, SurveyId::Slots];
        Probe::Sample { instance: instance(aim, name), surveys }
    };
    // The one that is meant comes first.
    let mut probes = vec![survey(member)];
    let others = entry.cluster.members.iter().filter(|other| other.name != *member);
    probes.extend(others.map(|other| survey(&other.name)));
    match entry.cluster.origin {
        Origin::Hosts => {}
        Origin::Orphan => return Err("its CR is gone: there is nothing to operate it by".into()),
        Origin::Resource => {
            // Its own Patroni changes the configuration, if it answers: the primary may be gone by the end.
            let others = spokesmen(entry)?.into_iter().filter(|other| other != member).take(1);
            probes.extend(ask_members(aim, &std::iter::once(member.clone()).chain(others).collect::<Vec<_>>()));
            probes.extend(may_forward(&aim.cluster));
        }
    }
    Ok(probes)
}

/// How long, in seconds, and how far behind.
fn budget(aim: &Aim) -> Result<(u32, Bytes), String> {
    let arg = |name: &str| aim.args.get(name).map(|text| &**text);
    let for_s = arg("for").map_or(Some(600), seconds);
    let for_s = for_s.filter(|seconds| (1..=86_400).contains(seconds));
    let for_s =
        for_s.ok_or_else(|| format!("for={:?} cannot be read: write 90s, 10m or 2h, at most 24h", arg("for")))?;
    let lag = arg("max-lag").map_or(Some(1 << 30), bytes).filter(|bytes| *bytes > 0);
    let lag = lag.ok_or_else(|| format!("max-lag={:?} cannot be read: write 512MiB or 4GiB", arg("max-lag")))?;
    Ok((for_s, Bytes(lag)))
}

fn seconds(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(factor)
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit {
        "" | "B" => 0,
        "kB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The standby that is meant.
fn standby<'a>(all: &'a [Sampled<'_>]) -> Result<(&'a Text, &'a Vitals), String> {
    let first = all.first().ok_or("it was not asked")?;
    let vitals = first.vitals.clone().map_err(|why| format!("{} cannot be asked: {why}", first.member))?;
    if !vitals.in_recovery {
        return Err(format!("{} leads: only a standby replays", first.member));
    }
    Ok((first.member, vitals))
}

fn pause(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let (for_s, max_lag) = budget(aim)?;
    let mut lights = vec![allowed(looked)?];
    let all = sampled(looked);
    let (member, vitals) = standby(&all)?;
    let spoke = if aim.cluster.plane == crate::id::PlaneId::Hosts { None } else { Some(spoke(looked)?) };
    let patroni = spoke.map(|(_, view)| view);
    if let Some(held) = patroni.map(|view| &view.config[KEY]).filter(|held| !held.is_null()) {
        return Err(format!("a pgdeck holds something there already: {held}; end that first (replay-resume)"));
    }
    match vitals.replay {
        Replay::Running => lights.push(Light::green(format!("{member} replays"))),
        Replay::Paused | Replay::PauseRequested => {
            return Err("its replay is paused already, and not by a pgdeck that says so".into());
        }
        Replay::NotApplicable => return Err("it does not replay".into()),
    }
    lights.push(synchronous(&all, member, patroni));
    lights.push(Light::amber("the primary keeps WAL for it meanwhile where a slot says so: mind its disk"));
    let text = format!("resumed by itself after {for_s} s, or when {} MiB wait for replay", max_lag.0 >> 20);
    lights.push(Light::green(text));
    let target = instance(aim, member);
    let sql = |statement, paused| Step {
        order: Order::Sql { instance: target.clone(), statement },
        expect: Expect::Replay { instance: target.clone(), paused },
        within_s: WITHIN_S,
    };
    let mut steps = Vec::new();
    // Patroni is freed soon after, whatever the standby says.
    let mut back = vec![Step { within_s: RESUMED_S, ..sql(Statement::ResumeReplay, false) }];
    if let Some((asked, view)) = spoke {
        lights.extend(with_patroni(view, vitals));
        lights.extend(slots::unknown(&all, view, "its configuration changes").into_iter().map(Light::red));
        lights.extend(slots::untold(&all));
        let held = json!({"replay-pause": {
            "member": &**member, "since": aim.at.to_string(), "for_s": for_s, "max_lag": max_lag.0, "who": &*aim.who,
            "patroni_paused_before": view.pause,
        }});
        steps.push(configure(aim, asked, json!({"pause": true, KEY: held}), true));
        let free = if view.pause { json!({KEY: null}) } else { json!({"pause": null, KEY: null}) };
        back.push(configure(aim, asked, free, view.pause));
    }
    steps.push(sql(Statement::PauseReplay, true));
    let undo = format!("pgdeck do replay-resume {}/{member}", aim.cluster);
    let downtime = "readers of that standby see old data; no automatic failover where Patroni is paused".into();
    let hold = Some(Hold { instance: target.clone(), for_s, max_lag, back });
    Ok(Deal { lights, steps, undo, downtime, hold, ..Deal::default() })
}

/// Patroni's configuration is changed by whoever has answered, the member itself if it has.
fn configure(aim: &Aim, asked: &Text, body: Value, paused: bool) -> Step {
    let expect = Expect::Pause { cluster: aim.cluster.clone(), paused };
    Step { order: call(aim, asked, Method::Patch, "/config", body), expect, within_s: WITHIN_S }
}

/// From 14 on Patroni resumes a paused replay in its next loop, unless it is paused itself.
fn with_patroni(view: &PatroniView, vitals: &Vitals) -> Vec<Light> {
    let mut lights = Vec::new();
    if view.pause {
        lights.push(Light::amber("Patroni is paused already: it stays so afterwards"));
    } else {
        lights.push(Light::amber("Patroni is paused with it: automatic failover is off until it is over"));
    }
    if vitals.major() < 14 {
        lights.push(Light::green(
            "before Postgres 14 Patroni would leave a paused replay alone: it is paused all the same",
        ));
    }
    lights
}

/// A synchronous standby that must replay before a commit is confirmed would stop all writes.
fn synchronous(all: &[Sampled<'_>], member: &Text, patroni: Option<&PatroniView>) -> Light {
    let primary = all.iter().find_map(|sampled| sampled.vitals.as_ref().ok().filter(|vitals| !vitals.in_recovery));
    let Some(primary) = primary else {
        return Light::amber("the primary cannot be asked: whether commits wait for this standby is not known");
    };
    let waited_for = match patroni.and_then(|view| view.peer(member)) {
        Some(peer) => peer.synchronous,
        None => !primary.synchronous_standby_names.is_empty(),
    };
    match (waited_for, primary.remote_apply) {
        (false, _) => Light::green(format!("no commit waits for {member}")),
        (true, true) => Light::red(format!(
            "{member} is synchronous, and commits wait for its replay (remote_apply): all writes would hang"
        )),
        (true, false) => {
            Light::green(format!("{member} is synchronous: commits wait for what it writes, not for its replay"))
        }
    }
}

fn resume(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    let all = sampled(looked);
    let first = all.first().ok_or("it was not asked")?;
    let spoke = if aim.cluster.plane == crate::id::PlaneId::Hosts { None } else { Some(spoke(looked)?) };
    let patroni = spoke.map(|(_, view)| view);
    let held = patroni.map(|view| &view.config[KEY]["replay-pause"]).filter(|held| held.is_object());
    let held = held.filter(|held| held["member"] == **first.member);
    let target = InstanceId { cluster: aim.cluster.clone(), member: first.member.clone() };
    let mut steps = Vec::new();
    let mut paused_for = "";
    match &first.vitals {
        Err(why) if held.is_none() => return Err(format!("{} cannot be asked: {why}", first.member)),
        Err(why) => lights.push(Light::amber(format!("{} cannot be asked: {why}", first.member))),
        Ok(vitals) => match vitals.replay {
            Replay::Paused | Replay::PauseRequested => {
                let waits =
                    vitals.replay_backlog().map_or("an unknown amount".into(), |lag| format!("{} MiB", lag.0 >> 20));
                lights.push(Light::amber(format!("its replay is paused; {waits} wait(s)")));
                let order = Order::Sql { instance: target.clone(), statement: Statement::ResumeReplay };
                let expect = Expect::Replay { instance: target.clone(), paused: false };
                steps.push(Step { order, expect, within_s: WITHIN_S });
            }
            Replay::Running | Replay::NotApplicable if held.is_none() => {
                return Err(format!("{} is not paused", first.member));
            }
            Replay::Running | Replay::NotApplicable => lights.push(Light::green("it replays already, or leads")),
        },
    }
    if let (Some((asked, view)), Some(held)) = (spoke, held) {
        let word = |key: &str| held[key].as_str().unwrap_or("?").to_owned();
        let since = word("since").parse().map_or_else(|_unreadable| word("since"), moment);
        lights.push(Light::amber(format!(
            "{} has held it since {}, for {} s: that pgdeck, if it lives, sees it end",
            word("who"),
            since,
            held["for_s"]
        )));
        let before = held["patroni_paused_before"].as_bool().unwrap_or(false);
        let free = if before || !view.pause { json!({KEY: null}) } else { json!({"pause": null, KEY: null}) };
        steps.push(configure(aim, asked, free, before && view.pause));
        paused_for = if before { "; Patroni was paused before, and stays so" } else { "" };
    } else if patroni.is_some_and(|view| view.pause) {
        lights
            .push(Light::amber("Patroni is paused, and not by a replay-pause: it stays so (patroni-resume ends that)"));
    }
    let undo = format!("pgdeck do replay-pause {}/{}{paused_for}", aim.cluster, first.member);
    Ok(Deal { lights, steps, undo, downtime: "none".into(), ..Deal::default() })
}
