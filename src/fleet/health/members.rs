//! Verdicts on members: pods, reachability, lag, replay, restarts.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::leader::is_young;
use super::{Judged, Needs, Rule, Scene, Severity, fresh, holds, holds_all, moment};
use crate::fault::Fault;
use crate::fleet::cluster::{Member, Origin, Pod};
use crate::fleet::known::Known;
use crate::fleet::seen::Event;
use crate::fleet::topology;
use crate::metric::lsn::Bytes;
use crate::metric::vitals::Replay;

/// A container that ended within this is restarting.
pub(super) const RECENT: SignedDuration = SignedDuration::from_secs(600);
/// Waiting for less than this is starting, not a problem.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// A plane that has fallen silent is known to have done so within this.
const PULSE: SignedDuration = SignedDuration::from_secs(15);
/// A fault of a sampler that backs off is believed for so long.
pub(super) const BELIEVED: SignedDuration = SignedDuration::from_secs(150);
/// A standby that lost its upstream may take this long to find it, or the next one, again.
const RECONNECT: SignedDuration = SignedDuration::from_secs(30);
/// Spilo's default for `maximum_lag_on_failover`.
const MAXIMUM_LAG: Bytes = Bytes(33_554_432);

pub(super) const UNREACHABLE: Rule = Rule {
    id: "unreachable",
    severity: Severity::Critical,
    doc: "SQL was asked of every member and none answers. Look at the pods or hosts, and at the way to them (doctor).",
    needs: Needs::Sql,
    judge: unreachable,
};

pub(super) const SILENT_MEMBER: Rule = Rule {
    id: "not_answering",
    severity: Severity::Warning,
    doc: "A member that was asked by SQL does not answer, or refuses the login, while others do.",
    needs: Needs::Sql,
    judge: silent_member,
};

pub(super) const NOT_READY: Rule = Rule {
    id: "not_ready",
    severity: Severity::Warning,
    doc: "Fewer members are ready than asked for; while the page is open, why the StatefulSet cannot make one.",
    needs: Needs::Objects,
    judge: not_ready,
};

pub(super) const POD_TROUBLE: Rule = Rule {
    id: "pod_trouble",
    severity: Severity::Warning,
    doc: "A pod does not start (its waiting reason is told) or restarted within the last ten minutes.",
    needs: Needs::Objects,
    judge: pod_trouble,
};

pub(super) const LAGGING: Rule = Rule {
    id: "lagging",
    severity: Severity::Warning,
    doc: "A standby trails by more than maximum_lag_on_failover: Patroni would not promote it.",
    needs: Needs::Objects,
    judge: lagging,
};

pub(super) const REPLAY_PAUSED: Rule = Rule {
    id: "replay_paused",
    severity: Severity::Warning,
    doc: "A standby does not replay WAL: somebody paused it. select pg_wal_replay_resume() on it ends that.",
    needs: Needs::Sql,
    judge: replay_paused,
};

pub(super) const NOT_STREAMING: Rule = Rule {
    id: "not_streaming",
    severity: Severity::Warning,
    doc: "A standby that has streamed before has had no WAL receiver for half a minute: it falls behind. Its own log tells why \
          (a missing slot or WAL segment, a refused login, a full disk).",
    needs: Needs::Sql,
    judge: not_streaming,
};

pub(super) const PENDING_RESTART: Rule = Rule {
    id: "pending_restart",
    severity: Severity::Warning,
    doc: "A changed setting waits for a restart of Postgres.",
    needs: Needs::Objects,
    judge: pending_restart,
};

fn unreachable(scene: &Scene<'_>) -> Judged {
    // While the API server does not answer there is no way to the members, which says nothing about them.
    if scene.is_deaf() && scene.entry.cluster.origin != Origin::Hosts {
        return Judged::NotSampled;
    }
    let members = &scene.entry.cluster.members;
    let lost = |member: &Arc<Member>| match &scene.entry.instances.get(&member.name)?.vitals {
        Known::Lost { why: why @ (Fault::Unreachable { .. } | Fault::TimedOut { .. }), at, .. }
            if scene.now.duration_since(*at) < BELIEVED =>
        {
            Some(why.to_string())
        }
        Known::Lost { .. } | Known::Seen { .. } | Known::Past { .. } | Known::Never(_) => None,
    };
    let reasons: Vec<String> = members.iter().filter_map(lost).collect();
    if !members.is_empty() && reasons.len() == members.len() {
        // Servers that are still being made do not answer yet.
        if is_young(scene) {
            return Judged::NotSampled;
        }
        // An API server that hangs takes every way to its members with it, and is found out only by its own pulse.
        let answered = members.iter().filter_map(|member| scene.entry.instances.get(&member.name)?.vitals.last());
        let pulse = answered.map(|(_, at)| at + PULSE).max();
        if let Some(at) = pulse.filter(|at| *at > scene.now && scene.entry.cluster.origin != Origin::Hosts) {
            return Judged::FineUntil(at);
        }
        return Judged::Holds { evidence: reasons, since: None };
    }
    let asked = members.iter().any(|member| scene.entry.instances.contains_key(&member.name));
    if asked { Judged::Fine } else { Judged::NotSampled }
}

/// A right that is missing says nothing about the member; it is told with the sources.
pub fn is_about_member(why: &Fault) -> bool {
    !matches!(why, Fault::Forbidden { .. } | Fault::Gone { .. })
}

fn silent_member(scene: &Scene<'_>) -> Judged {
    if scene.entry.instances.is_empty() {
        return Judged::NotSampled;
    }
    // All of them: that is a verdict of its own.
    if !matches!(unreachable(scene), Judged::Fine | Judged::FineUntil(_)) {
        return Judged::Fine;
    }
    let silent = |member: &Arc<Member>| match &scene.entry.instances.get(&member.name)?.vitals {
        Known::Lost { why, at, .. } if is_about_member(why) && scene.now.duration_since(*at) < BELIEVED => {
            let leads = topology::primary(scene.entry) == Some(&member.name);
            Some(if leads { format!("the primary does not answer: {why}") } else { why.to_string() })
        }
        Known::Lost { .. } | Known::Seen { .. } | Known::Past { .. } | Known::Never(_) => None,
    };
    holds_all(scene.entry.cluster.members.iter().filter_map(silent).collect())
}

fn not_ready(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    let (Some(desired), ready) = (cluster.n_desired(), cluster.n_ready()) else { return Judged::Fine };
    if cluster.coming || cluster.origin != Origin::Resource || ready >= desired {
        return Judged::Fine;
    }
    let why = |pod: &Pod| pod.waiting.as_ref().map(|waiting| waiting.reason.to_string());
    let missing: Vec<String> = cluster
        .members
        .iter()
        .filter_map(|member| Some((member, member.pod.as_ref().filter(|pod| !pod.ready)?)))
        .map(|(member, pod)| format!("{} ({})", member.name, why(pod).unwrap_or_else(|| pod.phase.to_string())))
        .collect();
    let names = match not_created(scene) {
        _ if !missing.is_empty() => missing.join(", "),
        Some(why) => format!("the others do not exist: {why}"),
        None => "the others do not exist".to_owned(),
    };
    holds(format!("{ready} of {desired} members are ready: {names}"))
}

/// Why the StatefulSet cannot make a pod, by its own newest event; it is heard while the cluster's page or events are open.
fn not_created<'a>(scene: &Scene<'a>) -> Option<&'a str> {
    let is_it =
        |event: &&Event| event.warning && &*event.reason == "FailedCreate" && event.about.starts_with("StatefulSet ");
    let newest = scene.entry.events.iter().filter(is_it).max_by_key(|event| event.last)?;
    // It tries again, less and less often.
    let is_fresh = newest.last.is_some_and(|last| scene.now.duration_since(last) < SignedDuration::from_mins(30));
    is_fresh.then_some(&*newest.message)
}

fn pod_trouble(scene: &Scene<'_>) -> Judged {
    let mut evidence = Vec::new();
    let (mut recheck, mut since) = (None, None);
    for (member, pod) in scene.entry.cluster.members.iter().filter_map(|member| Some((member, member.pod.as_ref()?))) {
        let age = pod.created.map(|created| scene.known_until().duration_since(created));
        if let Some(waiting) = &pod.waiting {
            let starting = matches!(&*waiting.reason, "ContainerCreating" | "PodInitializing" | "waiting");
            match age {
                Some(age) if starting && age < PATIENCE => {
                    recheck = pod.created.map(|created| created + PATIENCE).into_iter().chain(recheck).min();
                }
                _ => {
                    let message = waiting.message.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
                    evidence.push(format!("{} does not start: {}{message}", member.name, waiting.reason));
                }
            }
        }
        let ended = pod.last_ended.filter(|ended| scene.now.duration_since(*ended) < RECENT);
        if let Some(ended) = ended {
            evidence.push(format!("{} restarted after {} ({} times in all)", member.name, moment(ended), pod.restarts));
            since = since.max(Some(ended));
        }
    }
    match (evidence.is_empty(), recheck) {
        (false, _) => Judged::Holds { evidence, since },
        (true, Some(at)) => Judged::FineUntil(at),
        (true, None) => Judged::Fine,
    }
}

fn lagging(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    let by_patroni = cluster.dcs.as_ref().and_then(|dcs| dcs.config.as_ref()?.maximum_lag_on_failover);
    let most = by_patroni.or(cluster.spec.patroni.maximum_lag_on_failover).unwrap_or(MAXIMUM_LAG);
    let behind = cluster.members.iter().filter_map(|member| {
        let lag = topology::lag(scene.entry, member).filter(|lag| lag.bytes > most)?;
        let how = if lag.exact { "" } else { " by Patroni's positions" };
        Some(format!("{} trails by {} MiB{how}; {} MiB are allowed", member.name, lag.bytes.0 >> 20, most.0 >> 20))
    });
    holds_all(behind.collect())
}

fn replay_paused(scene: &Scene<'_>) -> Judged {
    let mut n_sampled = 0;
    let mut evidence = Vec::new();
    for (name, instance) in &scene.entry.instances {
        let Some(vitals) = fresh(&instance.vitals, 2, scene.now) else { continue };
        n_sampled += 1;
        match vitals.replay {
            Replay::Paused => evidence.push(format!("{name} does not replay WAL: replay is paused")),
            Replay::PauseRequested => {
                evidence.push(format!("{name} is about to stop replaying WAL: a pause is requested"));
            }
            Replay::NotApplicable | Replay::Running => {}
        }
    }
    if n_sampled == 0 { Judged::NotSampled } else { holds_all(evidence) }
}

fn not_streaming(scene: &Scene<'_>) -> Judged {
    let (mut evidence, mut due, mut since) = (Vec::new(), None::<Timestamp>, None::<Timestamp>);
    let mut n_sampled = 0;
    for (name, instance) in &scene.entry.instances {
        let Some(vitals) = fresh(&instance.vitals, 2, scene.now) else { continue };
        n_sampled += 1;
        // One that never received anything is fed from the archive, by design.
        let Some(unfed) = instance.unfed.filter(|_| vitals.received.is_some()) else { continue };
        let holds_from = unfed + RECONNECT;
        if scene.now < holds_from {
            due = due.into_iter().chain([holds_from]).min();
            continue;
        }
        let reached = vitals.replayed.map(|lsn| format!(", its replay stands at {lsn}")).unwrap_or_default();
        evidence.push(format!("{name} does not stream: it has no WAL receiver{reached}"));
        since = since.into_iter().chain([unfed]).min();
    }
    match (n_sampled, evidence.is_empty(), due) {
        (0, ..) => Judged::NotSampled,
        (_, false, _) => Judged::Holds { evidence, since },
        (_, true, Some(at)) => Judged::FineUntil(at),
        (_, true, None) => Judged::Fine,
    }
}

fn pending_restart(scene: &Scene<'_>) -> Judged {
    let pending = scene.entry.cluster.members.iter().filter_map(|member| {
        let sampled =
            scene.entry.instances.get(&member.name).and_then(|instance| fresh(&instance.vitals, 2, scene.now));
        let settings: Vec<&str> =
            sampled.map(|vitals| vitals.pending_restart.iter().map(|name| &**name).collect()).unwrap_or_default();
        if !settings.is_empty() {
            return Some(format!("{} waits for a restart: {}", member.name, settings.join(", ")));
        }
        let patroni = member.patroni.as_ref().filter(|patroni| patroni.pending_restart)?;
        let reasons: Vec<String> =
            patroni.pending_reason.iter().map(|(name, (old, new))| format!("{name} {old} → {new}")).collect();
        let reasons = if reasons.is_empty() { "Patroni says so".to_owned() } else { reasons.join(", ") };
        Some(format!("{} waits for a restart: {reasons}", member.name))
    });
    holds_all(pending.collect())
}
