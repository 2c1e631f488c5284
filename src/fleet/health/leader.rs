//! Verdicts on who leads.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Judged, Needs, Rule, Scene, Severity, holds, operator};
use crate::fleet::cluster::{Cluster, Lease, Member, Origin, Role};
use crate::fleet::hearing::Hearing;
use crate::fleet::topology;
use crate::metric::vitals::Vitals;

/// A cluster younger than this may be without a primary.
const YOUNG: SignedDuration = SignedDuration::from_secs(60);
/// One that the operator still creates may be so for longer: that is how long it waits itself.
const CREATING: SignedDuration = SignedDuration::from_secs(600);
/// How often a plane gives a sign of life at least.
const PULSE: SignedDuration = SignedDuration::from_secs(10);

/// Whether a leader renews its lease.
pub(super) enum Renewal {
    /// Nothing says otherwise; it may be overdue from `due` on.
    InTime {
        due: Option<Timestamp>,
    },
    Overdue,
}

pub(super) const NO_PRIMARY: Rule = Rule {
    id: "no_primary",
    severity: Severity::Critical,
    doc: "No member leads: writes fail. Look at the members' states and at Patroni's log; a paused Patroni elects nobody.",
    needs: Needs::Objects,
    judge: no_primary,
};

pub(super) const TWO_PRIMARIES: Rule = Rule {
    id: "two_primaries",
    severity: Severity::Critical,
    doc: "Two members take writes, or two ready pods are labelled as primary: a split brain. Stop writes to one at once.",
    needs: Needs::Objects,
    judge: two_primaries,
};

pub(super) const LEADER_OVERDUE: Rule = Rule {
    id: "leader_overdue",
    severity: Severity::Critical,
    doc: "The leader's lease (renewTime) was not seen to change for its ttl; at first sight: it was older than its ttl by the \
          API server's clock. Patroni on the leader hangs, is gone, or cannot reach the API server.",
    needs: Needs::Objects,
    judge: leader_overdue,
};

pub(super) const STARTING: Rule = Rule {
    id: "starting",
    severity: Severity::Warning,
    doc: "No member leads yet, in a cluster that is not called Running and is younger than a minute, or one that the operator has been creating for less than ten.",
    needs: Needs::Objects,
    judge: starting,
};

pub(super) const TIMELINES: Rule = Rule {
    id: "timelines_differ",
    severity: Severity::Warning,
    doc: "Running members are on different timelines: one did not follow the last failover. Reinitialize it if it stays.",
    needs: Needs::Objects,
    judge: timelines,
};

/// Members that were sampled a moment ago, with what they said.
fn sampled<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = (&'a Member, &'a Vitals)> {
    scene.entry.cluster.members.iter().filter_map(|member| Some((&**member, scene.vitals(&member.name)?)))
}

/// Whether a standby cluster is asked for or in force: its leader is in recovery by design.
fn is_standby_cluster(cluster: &Cluster) -> bool {
    cluster.spec.standby
        || cluster.dcs.as_ref().and_then(|dcs| dcs.config.as_ref()).is_some_and(|config| config.standby_cluster)
}

/// Whether somebody leads: by SQL; where not every member was asked, also by Patroni's leader object or by label.
pub(super) fn leads(scene: &Scene<'_>) -> bool {
    let cluster = &scene.entry.cluster;
    if sampled(scene).any(|(_, vitals)| !vitals.in_recovery) {
        return true;
    }
    let all_follow = !cluster.members.is_empty() && sampled(scene).count() == cluster.members.len();
    if all_follow && !is_standby_cluster(cluster) {
        return false;
    }
    cluster.dcs.as_ref().is_some_and(|dcs| dcs.leader.is_some())
        || (cluster.dcs.is_none() && cluster.members.iter().any(|member| member.role() == Role::Primary))
}

/// Whether there should be members at all.
fn is_wanted(cluster: &Cluster) -> bool {
    cluster.origin == Origin::Resource && cluster.spec.instances != Some(0)
}

/// When a cluster may not be excused any more by being new: the operator's own patience ends after ten minutes. What it calls
/// Running was led before.
pub(super) fn grown(cluster: &Cluster) -> Option<Timestamp> {
    let grace = match cluster.status.as_deref() {
        Some("Running") => return None,
        Some("Creating") => CREATING,
        _ => YOUNG,
    };
    cluster.created.map(|created| created + grace)
}

pub(super) fn is_young(scene: &Scene<'_>) -> bool {
    grown(&scene.entry.cluster).is_some_and(|grown| scene.known_until() < grown)
}

fn no_primary(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    if cluster.origin == Origin::Hosts {
        let n_sampled = sampled(scene).count();
        return if sampled(scene).any(|(_, vitals)| !vitals.in_recovery) {
            Judged::Fine
        } else if n_sampled == 0 || n_sampled < cluster.members.len() {
            Judged::NotSampled
        } else {
            holds("every member is in recovery: none takes writes")
        };
    }
    if cluster.coming || !is_wanted(cluster) || leads(scene) || is_young(scene) {
        return Judged::Fine;
    }
    let word = |member: &Arc<Member>| {
        let follows = scene.vitals(&member.name).is_some_and(|vitals| vitals.in_recovery);
        let in_recovery = if follows { " in recovery" } else { "" };
        format!("{} is {}{in_recovery}", member.name, topology::state(scene.entry, member))
    };
    let states: Vec<String> = cluster.members.iter().map(word).collect();
    let members = match operator::failure(cluster) {
        _ if !states.is_empty() => states.join(", "),
        Some((reason, _)) => format!("there are no pods: {reason}"),
        None => "there are no pods".to_owned(),
    };
    holds(format!("no member leads: {members}"))
}

fn starting(scene: &Scene<'_>) -> Judged {
    let cluster = &scene.entry.cluster;
    if !cluster.coming && is_wanted(cluster) && !leads(scene) && is_young(scene) {
        let since = cluster.created;
        return Judged::Holds { evidence: vec!["being created: no member leads yet".into()], since };
    }
    Judged::Fine
}

fn two_primaries(scene: &Scene<'_>) -> Judged {
    let by_sql = split(scene);
    if by_sql.len() > 1 {
        return holds(format!("{} take writes, by their own word: stop writes to one at once", by_sql.join(" and ")));
    }
    let disproved = |member: &Member| {
        scene.vitals(&member.name).is_some_and(|vitals| vitals.in_recovery)
            || scene.entry.instances.get(&member.name).is_some_and(|instance| instance.vitals.fault().is_some())
    };
    let labelled: Vec<&str> = scene
        .entry
        .cluster
        .members
        .iter()
        .filter(|member| member.label_role == Role::Primary && !disproved(member))
        .filter(|member| member.pod.as_ref().is_some_and(|pod| pod.ready && !pod.deleting))
        .map(|member| &*member.name)
        .collect();
    if labelled.len() > 1 {
        return holds(format!("{} are ready and labelled as primary", labelled.join(" and ")));
    }
    Judged::Fine
}

/// Members that were seen to take writes at the same time as another: in a switchover the times do not overlap, though
/// the last sample of the old primary may still be fresh.
fn split<'a>(scene: &'a Scene<'_>) -> Vec<&'a str> {
    let claims: Vec<(&str, Timestamp, Timestamp)> = sampled(scene)
        .filter(|(_, vitals)| !vitals.in_recovery)
        .filter_map(|(member, _)| {
            let instance = scene.entry.instances.get(&member.name)?;
            let (_, until) = instance.vitals.last()?;
            Some((&*member.name, instance.leading.unwrap_or(until), until))
        })
        .collect();
    let overlaps = |one: &(&str, Timestamp, Timestamp)| {
        claims.iter().any(|other| other.0 != one.0 && one.1 <= other.2 && other.1 <= one.2)
    };
    claims.iter().filter(|claim| overlaps(claim)).map(|(name, ..)| *name).collect()
}

/// Whether the leader's lease is overdue: not seen to change for its ttl while its plane could be heard.
pub(super) fn lease(scene: &Scene<'_>) -> Renewal {
    let cluster = &scene.entry.cluster;
    let hibernates = cluster.spec.instances == Some(0) || cluster.members.is_empty();
    let Some(dcs) = cluster.dcs.as_ref().filter(|_| !hibernates) else { return Renewal::InTime { due: None } };
    let (Some(lease), Some(_)) = (&dcs.lease, &dcs.leader) else { return Renewal::InTime { due: None } };
    // When the API server does not answer, nothing is known of any lease.
    let stretch = scene.hearing.and_then(Hearing::stretch);
    if scene.is_deaf() || scene.hearing.is_some_and(|hearing| hearing.silent().is_some()) {
        return Renewal::InTime { due: None };
    }
    if was_old(lease) {
        return Renewal::Overdue;
    }
    let ttl = SignedDuration::from_secs(i64::from(lease.ttl));
    let due = stretch.map_or(lease.seen, |stretch| lease.seen.max(stretch.since)) + ttl;
    if scene.now < due {
        return Renewal::InTime { due: Some(due) };
    }
    // Without a sign of life near its end, a renewal may have gone unseen.
    let slack = PULSE.min(ttl / 3);
    if stretch.is_some_and(|stretch| stretch.until < due - slack) {
        return Renewal::InTime { due: Some(scene.now + SignedDuration::from_secs(2)) };
    }
    Renewal::Overdue
}

fn leader_overdue(scene: &Scene<'_>) -> Judged {
    match lease(scene) {
        Renewal::InTime { due } => due.map_or(Judged::Fine, Judged::FineUntil),
        Renewal::Overdue => {
            let dcs = scene.entry.cluster.dcs.as_ref();
            let leader = dcs.and_then(|dcs| dcs.leader.as_deref()).unwrap_or("the leader");
            let lease = dcs.and_then(|dcs| dcs.lease.as_ref());
            let renewed = lease.and_then(|lease| lease.renewed);
            let when = renewed.map_or_else(|| "nobody knows when".to_owned(), |at| format!("at {}", super::moment(at)));
            let ttl = lease.map_or(0, |lease| lease.ttl);
            let evidence = format!("{leader} last renewed its lease {when}; it must every {ttl} s");
            Judged::Holds { evidence: vec![evidence], since: renewed }
        }
    }
}

/// At first sight it was already older than its ttl, and it has not been renewed since.
fn was_old(lease: &Lease) -> bool {
    lease.age_at_first_sight.is_some_and(|age| age > i64::from(lease.ttl))
}

fn timelines(scene: &Scene<'_>) -> Judged {
    // Patroni's last words may be from before a failover.
    if scene.is_deaf() {
        return Judged::Fine;
    }
    let of = |member: &Member| {
        let runs = |state: &str| matches!(state, "running" | "streaming");
        let by_patroni = || member.patroni.as_ref().filter(|patroni| runs(&patroni.state))?.timeline;
        scene.vitals(&member.name).and_then(|vitals| vitals.timeline).or_else(by_patroni)
    };
    let known: Vec<(&str, u32)> =
        scene.entry.cluster.members.iter().filter_map(|member| Some((&*member.name, of(member)?))).collect();
    if known.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        return Judged::Fine;
    }
    let all: Vec<String> = known.iter().map(|(name, timeline)| format!("{name} on {timeline}")).collect();
    holds(format!("members are on different timelines: {}", all.join(", ")))
}
