//! Members that run and stream, and pods that were made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::streams::{self, Standby};
use super::{Judged, when};
use crate::fleet::cluster::{Cluster, Member};
use crate::id::Text;
use crate::metric::vitals::Vitals;
use crate::run::Looked;
use crate::work::probe::Objects;

/// Whether a member takes part, by Patroni's word for its state.
pub(super) fn is_running(state: &str) -> bool {
    matches!(state, "running" | "streaming" | "in archive recovery")
}

/// So many members run by Patroni's word, and the StatefulSet asks for as many.
pub(super) fn run(objects: &Objects, count: u32) -> Judged {
    let Cluster { workload, members, spec, .. } = &objects.cluster;
    if spec.instances != Some(count) {
        let said = spec.instances.map_or("none".into(), |n| n.to_string());
        return Judged::Failed(format!(
            "the CR asks for {said} members: somebody changed it back, or the order never arrived"
        ));
    }
    let wanted = workload.as_ref().map(|workload| workload.replicas);
    let is_well = |member: &&Arc<Member>| {
        member.pod.as_ref().is_some_and(|pod| pod.ready && !pod.deleting)
            && member.patroni.as_ref().is_some_and(|patroni| is_running(&patroni.state))
    };
    let well = members.iter().filter(is_well).count();
    let set = wanted.map_or("no StatefulSet".into(), |n| format!("the StatefulSet asks for {n}"));
    let said = format!("{well} of {} members run; {set}", members.len());
    when(wanted == Some(count) && members.len() as u64 == u64::from(count) && well == members.len(), said)
}

/// Whether every standby streams from the primary, by its own word where that is to be had.
pub(super) fn stream(said: &str, objects: &Objects, primary: Option<&Looked>) -> Judged {
    let members = &objects.cluster.members;
    let standbys: Vec<Standby<'_>> = members.iter().filter_map(|member| Standby::annotated(member)).collect();
    let leads = |member: &&Arc<Member>| !standbys.iter().any(|standby| *standby.name == *member.name);
    let mut leaders = members.iter().filter(leads);
    let (Some(leader), None) = (leaders.next(), leaders.next()) else {
        return Judged::NotYet(format!("{said}; which of them leads is not known"));
    };
    if standbys.is_empty() {
        return Judged::Proved(said.to_owned());
    }
    streams::from(&leader.name, &standbys, primary).after(said)
}

/// A server that began after that moment, and leads or streams, or `recovers`.
pub(super) fn restarted(vitals: &Vitals, after: Timestamp, standby: bool, recovers: bool) -> Judged {
    let receives = vitals.receiver.as_ref().is_some_and(|receiver| &*receiver.status == "streaming");
    let streams = receives || recovers || (!standby && !vitals.in_recovery);
    let how = match (streams, receives) {
        (false, _) => ", and does not stream yet",
        (true, true) => ", and streams (pg_stat_wal_receiver)",
        (true, false) => "",
    };
    when(vitals.started > after && streams, format!("Postgres runs since {}{how}", vitals.started))
}

/// Pods are others than before, or flagged at least, and run and stream again.
pub(super) fn recreated(
    objects: &Objects,
    before: &BTreeMap<Text, Text>,
    flagged: bool,
    primary: Option<&Looked>,
) -> Judged {
    let is_other = |name: &Text, uid: &Text| objects.pods.get(name).is_some_and(|now| now != uid);
    let pod = |name: &Text| objects.cluster.member(name).and_then(|member| member.pod.as_ref());
    if flagged {
        let so =
            before.iter().all(|(name, uid)| is_other(name, uid) || pod(name).is_some_and(|pod| pod.rolling_update));
        return when(so, if so { "the pod is flagged" } else { "the pod is not flagged" });
    }
    // Patroni's own word: a pod may be called ready before anything in it runs.
    let patroni = |name: &Text| objects.cluster.member(name).and_then(|member| member.patroni.as_ref());
    let runs = |name: &Text| {
        pod(name).is_some_and(|pod| pod.ready && !pod.deleting)
            && patroni(name).is_some_and(|patroni| is_running(&patroni.state))
    };
    let done = before.iter().filter(|(name, uid)| is_other(name, uid) && runs(name)).count();
    let said = format!("{done} of {} pods were made anew and run", before.len());
    if done < before.len() {
        return Judged::NotYet(said);
    }
    stream(&said, objects, primary)
}
