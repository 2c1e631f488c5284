//! Restarts and new pods, one by one: what an operator's worker does about members that it may not touch all at once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{LABEL_PATIENCE, POLL, Primary, Worker};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::objects::{CONFIG_MAP, POD, text};
use crate::sandbox::operator::patroni;

/// A pod with this annotation at `"true"` is recreated by the next update or sync, whoever put it there.
pub const FLAG: &str = "zalando-postgres-operator-rolling-update-required";

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

    /// Recreates the flagged pods: replicas, then, if the primary is one of them, a switchover and the old primary.
    pub(super) async fn roll(&mut self) -> Result<()> {
        let pods = self.pods().await?;
        let flagged = flagged(&pods, self.manifest.instances());
        if flagged.is_empty() {
            return Ok(());
        }
        self.tell("Normal", "Update", "Performing rolling update").await;
        let primary = self.primary().await?;
        let leader = primary.as_ref().map(|primary| primary.name.clone()).unwrap_or_default();
        let names: Vec<String> = pods.iter().map(|pod| text(pod, &["metadata", "name"]).to_string()).collect();
        for name in flagged.iter().filter(|name| **name != leader) {
            self.recreate(name).await?;
        }
        if let Some(primary) = primary
            && flagged.contains(&leader)
        {
            if let Some(candidate) = self.candidate(&names, &leader).await? {
                self.switch_over(&primary, &candidate).await;
            }
            self.recreate(&leader).await?;
        }
        self.tell("Normal", "Update", "Rolling update done - pods have been recreated").await;
        Ok(())
    }

    pub(super) async fn switch_over(&mut self, primary: &Primary, candidate: &str) {
        let place = format!("{}/{candidate}", self.manifest.namespace);
        self.tell("Normal", "Switchover", &format!("Switching over from \"{}\" to \"{place}\"", primary.name)).await;
        let said = match patroni::switch_over(&primary.ip, &primary.name, candidate).await {
            Ok(()) => format!("Successfully switched over from \"{}\" to \"{place}\"", primary.name),
            Err(error) => format!("Switchover from \"{}\" to \"{place}\" FAILED: {error}", primary.name),
        };
        self.tell("Normal", "Switchover", &said).await;
    }

    /// The synchronous standby if there is one, else the first replica.
    async fn candidate(&self, names: &[String], leader: &str) -> Result<Option<String>> {
        let spot = CONFIG_MAP.at(&self.manifest.namespace, &format!("{}-sync", self.manifest.name));
        let sync = self.store.get(&spot).await?.unwrap_or_default();
        let named = text(&sync, &["metadata", "annotations", "sync_standby"]).split(',').next().unwrap_or_default();
        let found = names.iter().find(|name| *name == named).or_else(|| names.iter().find(|name| *name != leader));
        Ok(found.cloned())
    }

    async fn recreate(&self, name: &str) -> Result<()> {
        let spot = POD.at(&self.manifest.namespace, name);
        let before = self.store.get(&spot).await?.unwrap_or_default();
        let old = text(&before, &["metadata", "uid"]).to_string();
        self.store.delete(&spot, None).await?;
        let deadline = tokio::time::Instant::now() + LABEL_PATIENCE;
        loop {
            let now = self.store.get(&spot).await?.unwrap_or_default();
            let is_new = now.is_object() && text(&now, &["metadata", "uid"]) != old;
            if is_new && !text(&now, &["metadata", "labels", "spilo-role"]).is_empty() {
                return Ok(());
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
            if !is_pending(text(&pod, &["status", "podIP"])).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Restarts Postgres in place wherever Patroni says that a parameter waits for it.
    ///
    /// The real one then rests for one loop of Patroni and two seconds; here the next member's turn comes as soon as the
    /// restart is done.
    pub(super) async fn restart_where_pending(&self, first: First) -> Result<()> {
        let mut pods = self.pods().await?;
        let role = |pod: &Value| text(pod, &["metadata", "labels", "spilo-role"]).to_string();
        pods.sort_by_key(|pod| (role(pod) == "master") == (first == First::Replicas));
        for pod in &pods {
            let ip = text(pod, &["status", "podIP"]);
            if !is_pending(ip).await {
                continue;
            }
            let who = format!("{} pod {}/{}", role(pod), self.manifest.namespace, text(pod, &["metadata", "name"]));
            self.tell("Normal", "Update", &format!("restarting Postgres server within {who}")).await;
            patroni::restart(ip).await?;
            self.tell("Normal", "Update", &format!("Postgres server restart done for {who}")).await;
        }
        Ok(())
    }
}

/// Whether that member waits for a restart. One that does not answer has other troubles.
async fn is_pending(ip: &str) -> bool {
    !ip.is_empty() && patroni::member(ip).await.is_ok_and(|member| member["pending_restart"] == true)
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
    fn a_pod_is_flagged_by_the_word_true_alone() {
        let pod = |name: &str, word: &str| json!({ "metadata": { "name": name, "annotations": { FLAG: word } } });
        let mut leaving = pod("a-2", "true");
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-24T10:00:00Z");
        let pods = [pod("a-0", "true"), pod("a-1", "false"), leaving, pod("a-3", "yes"), pod("a-4", "true")];
        assert_eq!(flagged(&pods, 4), ["a-0"]);
    }
}
