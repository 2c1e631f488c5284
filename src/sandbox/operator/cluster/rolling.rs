//! Restarts and new pods, one by one: what an operator's worker does about members that it may not touch all at once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{LABEL_PATIENCE, POLL, Primary, Worker};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::objects::{POD, text};
use crate::sandbox::operator::patroni;

/// A pod with this annotation at `"true"` is recreated by the next update or sync, whoever put it there.
pub const FLAG: &str = "zalando-postgres-operator-rolling-update-required";

/// How long a candidate for a switchover is looked for: the operator's `patroni_api_check_timeout`.
const CANDIDATE_PATIENCE: Duration = Duration::from_secs(5);

/// Of these a replica may not have less than its primary: where one gets smaller the primary's turn comes first.
const NEVER_LESS: [&str; 5] = [
    "max_connections",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "max_worker_processes",
    "max_wal_senders",
];

/// Who is restarted before the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Replicas,
    Primary,
}

impl First {
    /// Who has to be first after a change of a configuration: the primary if everything that changes is one of those
    /// parameters, and gets smaller.
    pub(super) fn of(configuration: &Value, change: &Value) -> First {
        let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let others = fields(change).into_iter().filter(|(key, _)| key != "postgresql");
        let differs = |(key, value): (String, Value)| {
            value != configuration[&key] && !(value.is_null() && configuration[&key].is_null())
        };
        let before = &configuration["postgresql"]["parameters"];
        let after = fields(&change["postgresql"]["parameters"]);
        let changed: Vec<_> = after.iter().filter(|(name, value)| before[name.as_str()] != **value).collect();
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        let shrinks = |(name, after): &(&String, &Value)| {
            let numbers = number(&before[name.as_str()]).zip(number(after));
            NEVER_LESS.contains(&name.as_str()) && numbers.is_some_and(|(before, after)| before > after)
        };
        let is_primary = !changed.is_empty() && changed.iter().all(shrinks) && !others.into_iter().any(differs);
        if is_primary { First::Primary } else { First::Replicas }
    }
}

impl Worker {
    /// Flags every pod to be recreated.
    pub(super) async fn flag(&self) -> Result<()> {
        for pod in self.pods().await? {
            let spot = POD.at(&self.manifest.namespace, text(&pod, &["metadata", "name"]));
            self.store.patch(&spot, &json!({ "metadata": { "annotations": { FLAG: "true" } } })).await?;
        }
        Ok(())
    }

    /// Recreates the flagged pods: replicas, then, if the primary is one of them, a switchover and the old primary. Where there
    /// is no candidate or the switchover fails the old primary stays as it is, and flagged.
    pub(super) async fn roll(&mut self) -> Result<()> {
        let pods = self.pods().await?;
        let flagged = flagged(&pods, self.manifest.instances());
        if flagged.is_empty() {
            return Ok(());
        }
        self.tell("Normal", "Update", "Performing rolling update").await;
        let primary = self.primary().await?;
        let leader = primary.as_ref().map(|primary| primary.name.clone()).unwrap_or_default();
        let mut leads_already = false;
        for name in flagged.iter().filter(|name| **name != leader) {
            leads_already |= self.recreate(name).await? == "master";
        }
        if let Some(primary) = primary
            && flagged.contains(&leader)
        {
            if !leads_already && pods.len() > 1 {
                let candidate = self.candidate(&primary).await?;
                self.switch_over(&primary, &candidate).await?;
            }
            self.recreate(&leader).await?;
        }
        self.tell("Normal", "Update", "Rolling update done - pods have been recreated").await;
        Ok(())
    }

    pub(super) async fn switch_over(&mut self, primary: &Primary, candidate: &str) -> Result<()> {
        let (from, place) = (&primary.name, format!("{}/{candidate}", self.manifest.namespace));
        self.tell("Normal", "Switchover", &format!("Switching over from \"{from}\" to \"{place}\"")).await;
        let way = format!("from \"{from}\" to \"{place}\"");
        let why = match patroni::switch_over(&primary.ip, from, candidate).await {
            Ok(()) => {
                self.tell("Normal", "Switchover", &format!("Successfully switched over {way}")).await;
                return Ok(());
            }
            Err(Error::Patroni { said, .. }) => format!("could not switch over {way}: patroni returned '{said}'"),
            Err(error) => format!("could not switch over {way}: {error}"),
        };
        self.tell("Normal", "Switchover", &format!("Switchover {way} FAILED: {why}")).await;
        Err(Error::failed("could not perform switch over", why))
    }

    /// The least lagging of those that the primary's Patroni says may take over; in synchronous mode none but a synchronous standby.
    async fn candidate(&self, primary: &Primary) -> Result<String> {
        let is_synchronous = self.manifest.spec["patroni"]["synchronous_mode"] == true;
        let deadline = Instant::now() + CANDIDATE_PATIENCE;
        loop {
            let members = patroni::members(&primary.ip).await?;
            if let Some(name) = candidate(&members, is_synchronous) {
                return Ok(name);
            }
            if Instant::now() > deadline {
                let why = "failed to get Patroni cluster members: still failing after 5 retries";
                return Err(Error::failed("skipping switchover", why));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the role that the new pod is labelled with.
    async fn recreate(&self, name: &str) -> Result<String> {
        let spot = POD.at(&self.manifest.namespace, name);
        let before = self.store.get(&spot).await?.unwrap_or_default();
        let old = text(&before, &["metadata", "uid"]).to_string();
        self.store.delete(&spot, None).await?;
        let deadline = tokio::time::Instant::now() + LABEL_PATIENCE;
        loop {
            let now = self.store.get(&spot).await?.unwrap_or_default();
            let is_new = now.is_object() && text(&now, &["metadata", "uid"]) != old;
            let role = text(&now, &["metadata", "labels", "spilo-role"]);
            if is_new && !role.is_empty() {
                return Ok(role.to_owned());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Error::failed(&spot, "pod labels error: still failing after 600 s"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the members have taken in a changed configuration: one loop of Patroni and two seconds, as the operator
    /// does, but no longer than until all of them say that they have to be restarted for it.
    ///
    /// The real one waits after every change of the configuration, not only after one of Postgres' parameters.
    pub(super) async fn wait_for_parameters(&self, primary: &str) -> Result<()> {
        let configuration = patroni::configuration(primary).await?;
        let loop_wait = configuration["loop_wait"].as_u64().unwrap_or(10);
        let deadline = Instant::now() + Duration::from_secs(loop_wait + 2);
        while Instant::now() < deadline && !self.are_all_pending().await? {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn are_all_pending(&self) -> Result<bool> {
        for pod in self.pods().await? {
            if !is_pending(text(&pod, &["status", "podIP"])).await.unwrap_or(false) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Restarts Postgres in place wherever Patroni says that a parameter waits for it. A Patroni that does not answer is an error,
    /// once all others were asked.
    ///
    /// The real one then rests for one loop of Patroni and two seconds; here the next member's turn comes as soon as the
    /// restart is done.
    pub(super) async fn restart_where_pending(&self, first: First) -> Result<()> {
        let mut pods = self.pods().await?;
        let role = |pod: &Value| text(pod, &["metadata", "labels", "spilo-role"]).to_string();
        pods.sort_by_key(|pod| (role(pod) == "master") == (first == First::Replicas));
        let mut silent = Ok(());
        for pod in &pods {
            let ip = text(pod, &["status", "podIP"]);
            match is_pending(ip).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    silent = Err(error);
                    continue;
                }
            }
            let who = format!("{} pod {}/{}", role(pod), self.manifest.namespace, text(pod, &["metadata", "name"]));
            self.tell("Normal", "Update", &format!("restarting Postgres server within {who}")).await;
            patroni::restart(ip).await?;
            self.tell("Normal", "Update", &format!("Postgres server restart done for {who}")).await;
        }
        silent
    }
}

/// Whether that member waits for a restart.
async fn is_pending(ip: &str) -> Result<bool> {
    Ok(patroni::member(ip).await?["pending_restart"] == true)
}

/// Whom the operator chooses among the members that Patroni lists.
fn candidate(members: &[Value], is_synchronous: bool) -> Option<String> {
    let is_able = |member: &&Value| {
        let (role, state) = (text(member, &["role"]), text(member, &["state"]));
        let is_up = ["running", "streaming", "in archive recovery"].contains(&state);
        if is_synchronous { role == "sync_standby" } else { is_up && !["leader", "standby_leader"].contains(&role) }
    };
    // A lag that is not known is a word.
    let lag = |member: &&Value| if member["lag"].is_string() { u64::MAX } else { member["lag"].as_u64().unwrap_or(0) };
    let best = members.iter().filter(is_able).min_by_key(lag)?;
    Some(text(best, &["name"]).to_owned())
}

/// The names of the flagged pods that are not going anyway.
fn flagged(pods: &[Value], instances: u32) -> Vec<String> {
    let name = |pod: &Value| text(pod, &["metadata", "name"]).to_string();
    let is_flagged = |pod: &&Value| text(pod, &["metadata", "annotations", FLAG]) == "true";
    let stays = |pod: &&Value| {
        let ordinal = name(pod).rsplit('-').next().and_then(|n| n.parse::<u32>().ok());
        !pod["metadata"]["deletionTimestamp"].is_string() && ordinal.is_some_and(|ordinal| ordinal < instances)
    };
    pods.iter().filter(is_flagged).filter(stays).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_is_first_where_a_parameter_of_its_replicas_shrinks_and_nothing_else_changes() {
        let of = |parameters: Value| json!({ "ttl": 30, "postgresql": { "parameters": parameters } });
        let now = of(json!({ "max_connections": "100", "work_mem": "8MB" }));
        for (change, first) in [
            (of(json!({ "max_connections": "90", "work_mem": "8MB" })), First::Primary),
            (of(json!({ "max_connections": "110", "work_mem": "8MB" })), First::Replicas),
            (of(json!({ "max_connections": "90", "work_mem": "9MB" })), First::Replicas),
            (of(json!({})), First::Replicas),
            (json!({ "ttl": 20, "postgresql": { "parameters": { "max_connections": "90" } } }), First::Replicas),
        ] {
            assert_eq!(First::of(&now, &change), first, "{change}");
        }
    }

    #[test]
    fn who_takes_over_is_up_and_lags_least_and_is_synchronous_where_that_is_asked_for() {
        let member = |name: &str, role: &str, state: &str, lag: Value| json!({ "name": name, "role": role, "state": state, "lag": lag });
        let members = [
            member("a-0", "leader", "running", Value::Null),
            member("a-1", "replica", "streaming", json!(900)),
            member("a-2", "replica", "stopped", json!(0)),
            member("a-3", "replica", "running", json!("unknown")),
        ];
        assert_eq!(candidate(&members, false).as_deref(), Some("a-1"));
        assert_eq!(candidate(&members, true), None);
        let mut members = members.to_vec();
        members.push(member("a-4", "sync_standby", "streaming", json!(1000)));
        assert_eq!(candidate(&members, true).as_deref(), Some("a-4"));
        assert_eq!(candidate(&members[..1], false), None);
    }

    #[test]
    fn a_pod_is_flagged_by_the_word_true_alone() {
        let pod = |name: &str, word: &str| json!({ "metadata": { "name": name, "annotations": { FLAG: word } } });
        let mut leaving = pod("a-2", "true");
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-24T10:00:00Z");
        let pods = [pod("a-0", "true"), pod("a-1", "false"), leaving, pod("a-3", "yes"), pod("a-4", "true")];
        assert_eq!(flagged(&pods, 4), ["a-0"]);
    }
}
