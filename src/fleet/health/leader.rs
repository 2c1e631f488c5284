//! Verdicts on who leads.

use jiff::SignedDuration;

use super::{Judged, Needs, Rule, Scene, Severity, fresh, holds};
use crate::fleet::cluster::{Lease, Origin, Role};
use crate::metric::vitals::Vitals;

/// A cluster younger than this, or one that the operator still creates, may be without a primary.
pub(super) const YOUNG: SignedDuration = SignedDuration::from_secs(60);

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
    doc: "The cluster is young, or the operator still creates it: no member leads yet.",
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

/// Vitals of members that were sampled a moment ago, by member.
fn sampled<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = (&'a str, &'a Vitals)> {
    let instances = scene.entry.instances.iter();
    instances.filter_map(|(name, instance)| Some((&**name, &**fresh(&instance.vitals, 2, scene.now)?)))
}

fn leads(scene: &Scene<'_>) -> bool {
    let cluster = &scene.entry.cluster;
    sampled(scene).any(|(_, vitals)| !vitals.in_recovery)
        || cluster.dcs.as_ref().is_some_and(|dcs| dcs.leader.is_some())
        || (cluster.dcs.is_none() && cluster.members.iter().any(|member| member.role() == Role::Primary))
}

fn is_wanted(scene: &Scene<'_>) -> bool {
    let cluster = &scene.entry.cluster;
    cluster.origin == Origin::Resource && cluster.spec.instances != Some(0)
}

pub(super) fn is_young(scene: &Scene<'_>) -> bool {
    let cluster = &scene.entry.cluster;
    let young = cluster.created.is_some_and(|created| scene.now.duration_since(created) < YOUNG);
    young || cluster.status.as_deref() == Some("Creating")
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
    if !is_wanted(scene) || leads(scene) {
        return Judged::Fine;
    }
    if is_young(scene) {
        return cluster.created.map_or(Judged::Fine, |created| Judged::FineUntil(created + YOUNG));
    }
    let states: Vec<String> = cluster
        .members
        .iter()
        .map(|member| format!("{} is {}", member.name, crate::fleet::topology::state(scene.entry, member)))
        .collect();
    let members = if states.is_empty() { "there are no pods".to_owned() } else { states.join(", ") };
    holds(format!("no member leads: {members}"))
}

fn starting(scene: &Scene<'_>) -> Judged {
    if is_wanted(scene) && !leads(scene) && is_young(scene) {
        let since = scene.entry.cluster.created;
        return Judged::Holds { evidence: vec!["being created: no member leads yet".into()], since };
    }
    Judged::Fine
}

fn two_primaries(scene: &Scene<'_>) -> Judged {
    let by_sql: Vec<&str> = sampled(scene).filter(|(_, vitals)| !vitals.in_recovery).map(|(name, _)| name).collect();
    if by_sql.len() > 1 {
        return holds(format!("{} take writes, by their own word", by_sql.join(" and ")));
    }
    let disproved = |name: &str| {
        let instance = scene.entry.instances.get(name);
        instance.is_some_and(|instance| {
            fresh(&instance.vitals, 2, scene.now).is_some_and(|vitals| vitals.in_recovery)
                || instance.vitals.fault().is_some()
        })
    };
    let labelled: Vec<&str> = scene
        .entry
        .cluster
        .members
        .iter()
        .filter(|member| member.label_role == Role::Primary && !disproved(&member.name))
        .filter(|member| member.pod.as_ref().is_some_and(|pod| pod.ready && !pod.deleting))
        .map(|member| &*member.name)
        .collect();
    if labelled.len() > 1 {
        return holds(format!("{} are ready and labelled as primary", labelled.join(" and ")));
    }
    Judged::Fine
}

fn leader_overdue(scene: &Scene<'_>) -> Judged {
    // When the API server is silent, nothing is known of any lease.
    if scene.silent.is_some() {
        return Judged::Fine;
    }
    let Some(dcs) = &scene.entry.cluster.dcs else { return Judged::Fine };
    let (Some(lease), Some(leader)) = (&dcs.lease, &dcs.leader) else { return Judged::Fine };
    let ttl = SignedDuration::from_secs(i64::from(lease.ttl));
    let due = lease.seen + ttl;
    if !was_old(lease) && scene.now < due {
        return Judged::FineUntil(due);
    }
    let age = lease.renewed.map_or(ttl, |renewed| scene.now.duration_since(renewed));
    let evidence = format!("{leader} last renewed its lease {} s ago; it must every {} s", age.as_secs(), lease.ttl);
    Judged::Holds { evidence: vec![evidence], since: lease.renewed }
}

/// At first sight it was already older than its ttl, and it has not been renewed since.
fn was_old(lease: &Lease) -> bool {
    lease.age_at_first_sight.is_some_and(|age| age > i64::from(lease.ttl))
}

fn timelines(scene: &Scene<'_>) -> Judged {
    let of = |member: &crate::fleet::cluster::Member| {
        let by_sql = scene.entry.instances.get(&member.name).and_then(|instance| fresh(&instance.vitals, 2, scene.now));
        let runs = |state: &str| matches!(state, "running" | "streaming");
        let by_patroni = || member.patroni.as_ref().filter(|patroni| runs(&patroni.state))?.timeline;
        by_sql.and_then(|vitals| vitals.timeline).or_else(by_patroni)
    };
    let known: Vec<(&str, u32)> =
        scene.entry.cluster.members.iter().filter_map(|member| Some((&*member.name, of(member)?))).collect();
    if known.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        return Judged::Fine;
    }
    let all: Vec<String> = known.iter().map(|(name, timeline)| format!("{name} on {timeline}")).collect();
    holds(format!("members are on different timelines: {}", all.join(", ")))
}
