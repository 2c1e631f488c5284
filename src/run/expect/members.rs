//! Members that run and stream, and pods that were made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Judged, when};
use crate::fault::Fault;
use crate::fleet::cluster::{Cluster, Member};
use crate::id::Text;
use crate::metric::Rows;
use crate::metric::replication::WalSender;
use crate::run::Looked;
use crate::work::probe::{Answer, Objects};

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

/// How many standbys stream, by the primary's `pg_stat_replication`. Patroni's word alone proves nothing: before 3.1 it calls a
/// standby running that waits for WAL which is gone.
pub(super) fn stream(said: &str, objects: &Objects, count: u32, asked: Option<&Looked>) -> Judged {
    let sample = match asked {
        Some((_, Ok(Answer::Sample(sample)))) => sample,
        Some((_, Err(fault @ (Fault::Forbidden { .. } | Fault::AuthExpired { .. })))) => {
            return Judged::NotYet(format!("{said}; whether they stream may not be asked: {fault}"));
        }
        Some((_, Err(fault))) => return Judged::NotYet(fault.to_string()),
        _ => return Judged::NotYet("the primary was not asked".into()),
    };
    match sample.first() {
        Some((_, Ok(Rows::Replication(senders)))) if senders.iter().any(|sender| sender.state.is_none()) => {
            Judged::NotYet(format!("{said}; whether they stream is hidden: needs pg_monitor"))
        }
        Some((_, Ok(Rows::Replication(senders)))) => {
            // Logical consumers stream too: members alone count.
            let is_member = |name: &str| objects.cluster.member(name).is_some();
            let streams = |sender: &&WalSender| sender.state.as_deref() == Some("streaming");
            let members = senders.iter().filter(streams).filter(|sender| is_member(&sender.application_name));
            let streaming = members.count() as u64;
            let wanted = u64::from(count.saturating_sub(1));
            when(streaming >= wanted, format!("{said}; {streaming} of {wanted} standbys stream"))
        }
        Some((_, Err(fault))) => Judged::NotYet(fault.to_string()),
        _ => Judged::NotYet("the primary answered nothing".into()),
    }
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
    stream(&said, objects, objects.cluster.spec.instances.unwrap_or(0), primary)
}
