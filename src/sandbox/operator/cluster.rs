//! The worker of one cluster: create, update, delete.

mod rolling;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use self::rolling::First;
use super::build::Manifest;
use super::{Wish, database, patroni};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::objects::{
    CONFIG_MAP, CRON_JOB, DISRUPTION_BUDGET, ENDPOINTS, Kind, POD, POSTGRESQL, SECRET, SERVICE, SERVICE_ACCOUNT,
    STATEFUL_SET, Spot, Store, VOLUME_CLAIM, Word, is_ready, text,
};

const POLL: Duration = Duration::from_millis(300);
/// How long pods may take to get their role labels: the operator's `pod_label_wait_timeout`.
const LABEL_PATIENCE: Duration = Duration::from_secs(600);
/// After this time what was left undone is tried again, and a cluster that came back is noticed: the operator's
/// `repair_period` and `resync_period`, shorter than their defaults.
const REPAIR_PERIOD: Duration = Duration::from_secs(60);

/// Serves one cluster from its first manifest until it is gone.
pub async fn serve(store: Store, mut wishes: watch::Receiver<Wish>) {
    let Some(first) = wishes.borrow_and_update().clone() else { return };
    let manifest = Manifest::read(&first.object);
    let mut worker = Worker { store, manifest, is_unfinished: false };
    tokio::select! {
        // A creation is dropped at any await when the cluster is deleted meanwhile: what it made is deleted then.
        () = worker.create() => {}
        _ = wishes.wait_for(Option::is_none) => {}
    }
    loop {
        let wish = wishes.borrow_and_update().clone();
        match wish {
            None => return worker.delete().await,
            Some(wanted) => {
                if wanted.is_return && tokio::time::timeout(REPAIR_PERIOD, wishes.changed()).await.is_ok() {
                    continue;
                }
                worker.update(Manifest::read(&wanted.object)).await;
            }
        }
        loop {
            let patience = if worker.is_unfinished { REPAIR_PERIOD } else { Duration::MAX };
            match tokio::time::timeout(patience, wishes.changed()).await {
                Ok(Ok(())) => break,
                Ok(Err(_)) => return,
                Err(_elapsed) => worker.look_again().await,
            }
        }
    }
}

struct Worker {
    store: Store,
    /// What was last brought about.
    manifest: Manifest,
    /// Members were not brought to where the manifest wants them.
    is_unfinished: bool,
}

impl Worker {
    fn spot(&self, kind: Kind) -> Spot {
        kind.at(&self.manifest.namespace, &self.manifest.name)
    }

    async fn create(&mut self) {
        self.say("Creating").await;
        match self.make().await {
            Ok(()) => self.say("Running").await,
            Err(error) => {
                self.say("CreateFailed").await;
                self.tell("Warning", "Create", &format!("could not create cluster: {error}")).await;
            }
        }
        if let Err(error) = self.first_sync().await {
            tracing::warn!(%error, "Patroni's configuration is not synced");
        }
    }

    async fn make(&mut self) -> Result<()> {
        let manifest = self.manifest.clone();
        self.tell("Normal", "Create", "Started creation of new cluster resources").await;
        let account = json!({ "metadata": { "name": "postgres-pod", "namespace": manifest.namespace } });
        self.store.create(SERVICE_ACCOUNT, account).await?;
        for (service, role) in manifest.services().into_iter().zip(["master", "replica"]) {
            let name = text(&service, &["metadata", "name"]).to_string();
            let made = self.store.create(SERVICE, service).await;
            made.map_err(|error| in_its_words(&format!("could not create {role} service"), error))?;
            let place = format!("{}/{name}", manifest.namespace);
            let message = format!("The service \"{place}\" for role {role} has been successfully created");
            self.tell("Normal", "Services", &message).await;
        }
        self.make_secrets(&manifest).await?;
        self.tell("Normal", "Secrets", "The secrets have been successfully created").await;
        for budget in manifest.disruption_budgets() {
            self.store.create(DISRUPTION_BUDGET, budget).await?;
        }
        self.store.create(STATEFUL_SET, manifest.stateful_set()).await?;
        let message = format!("Statefulset \"{}/{}\" has been successfully created", manifest.namespace, manifest.name);
        self.tell("Normal", "StatefulSet", &message).await;
        self.wait_for_roles(manifest.instances()).await?;
        self.tell("Normal", "StatefulSet", "Pods are ready").await;
        if let Some(primary) = self.primary().await? {
            database::sync(&self.store, &manifest, &primary.ip).await?;
        }
        if manifest.wants_logical_backup() {
            self.store.create(CRON_JOB, manifest.logical_backup()).await?;
        }
        Ok(())
    }

    async fn make_secrets(&self, manifest: &Manifest) -> Result<()> {
        for user in ["postgres", "standby"].into_iter().chain(manifest.users().map(|(user, _)| user.as_str())) {
            self.store.create(SECRET, manifest.secret(user)?).await?;
        }
        Ok(())
    }

    /// Sends Patroni what the manifest says: the operator does so at its first look after the creation.
    async fn first_sync(&self) -> Result<()> {
        match self.primary().await? {
            Some(primary) => patroni::configure(&primary.ip, &self.manifest.patroni()).await,
            None => Ok(()),
        }
    }

    /// A changed annotation is an update as a changed spec is: that is how a cluster is poked.
    async fn update(&mut self, new: Manifest) {
        if new == self.manifest {
            return;
        }
        let old = std::mem::replace(&mut self.manifest, new);
        self.say("Updating").await;
        let word = match self.bring_about(&old).await {
            Ok(()) => "Running",
            Err(error) => {
                // The real operator writes no Event here either: the reason is in its log alone.
                tracing::warn!(%error, cluster = %self.spot(POSTGRESQL), "the update failed");
                "UpdateFailed"
            }
        };
        self.say(word).await;
    }

    /// The operator's order: the set with its pods, the budgets, the dumps, the databases. Of what fails the rest is done.
    async fn bring_about(&mut self, old: &Manifest) -> Result<()> {
        let new = self.manifest.clone();
        self.make_secrets(&new).await?;
        let members = self.sync_members(old).await;
        let budgets = self.sync_budgets(old).await;
        let dumps = self.sync_logical_backup(old).await;
        if let Some(primary) = self.primary().await? {
            database::sync(&self.store, &new, &primary.ip).await?;
        }
        members.and(budgets).and(dumps)
    }

    async fn sync_members(&mut self, old: &Manifest) -> Result<()> {
        let new = self.manifest.clone();
        let (set, before) = (new.stateful_set(), old.stateful_set());
        let is_rolling = new.needs_new_pods(old);
        // What goes by Patroni's configuration alone is written into the template when something else is.
        if is_rolling || set["spec"]["replicas"] != before["spec"]["replicas"] {
            if new.instances() < old.instances() {
                self.hand_over_before_scaling(new.instances()).await;
            }
            self.store.patch(&self.spot(STATEFUL_SET), &json!({ "spec": set["spec"] })).await?;
        }
        if is_rolling {
            self.flag().await?;
        }
        let configured = self.sync_patroni(old).await;
        self.roll_after(configured).await
    }

    /// Makes the flagged pods anew, unless a Patroni does not answer: that is only logged, and left for later.
    async fn roll_after(&mut self, asked: Result<()>) -> Result<()> {
        self.is_unfinished = true;
        if let Err(error) = asked {
            tracing::warn!(%error, cluster = %self.spot(POSTGRESQL), "a Patroni does not answer: no pod is made anew");
            return Ok(());
        }
        self.roll().await?;
        self.is_unfinished = false;
        Ok(())
    }

    /// The operator's periodic look, at members alone.
    async fn look_again(&mut self) {
        let asked = self.restart_where_pending(First::Replicas).await;
        match self.roll_after(asked).await {
            Ok(()) => self.say("Running").await,
            Err(error) => {
                self.say("SyncFailed").await;
                let why =
                    format!("could not sync cluster: could not sync statefulsets: could not recreate pods: {error}");
                self.tell("Warning", "Sync", &why).await;
            }
        }
    }

    /// Sends Patroni what has changed, and restarts what waits for it.
    async fn sync_patroni(&self, old: &Manifest) -> Result<()> {
        let new = &self.manifest;
        let mut first = First::Replicas;
        if old.patroni() != new.patroni()
            && let Some(primary) = self.primary().await?
        {
            let change = patch(&old.patroni(), &new.patroni());
            first = First::of(&patroni::configuration(&primary.ip).await?, &change);
            patroni::configure(&primary.ip, &change).await?;
            if old.parameters() != new.parameters() {
                self.wait_for_parameters(&primary.ip).await?;
            }
        }
        self.restart_where_pending(first).await
    }

    /// A budget that is to say something else is made anew.
    async fn sync_budgets(&self, old: &Manifest) -> Result<()> {
        for (before, budget) in old.disruption_budgets().into_iter().zip(self.manifest.disruption_budgets()) {
            if before != budget {
                let name = text(&budget, &["metadata", "name"]);
                self.store.delete(&DISRUPTION_BUDGET.at(&self.manifest.namespace, name), None).await?;
                self.store.create(DISRUPTION_BUDGET, budget).await?;
            }
        }
        Ok(())
    }

    /// A CronJob that stands is patched without `suspend`: whoever suspended it by hand finds it suspended.
    async fn sync_logical_backup(&self, old: &Manifest) -> Result<()> {
        let new = &self.manifest;
        let spot = CRON_JOB.at(&new.namespace, &new.logical_backup_name());
        if !new.wants_logical_backup() {
            return if old.wants_logical_backup() { self.store.delete(&spot, None).await } else { Ok(()) };
        }
        let mut wanted = new.logical_backup();
        if self.store.create(CRON_JOB, wanted.clone()).await?.is_none() {
            if let Some(spec) = wanted["spec"].as_object_mut() {
                spec.remove("suspend");
            }
            self.store.patch(&spot, &json!({ "spec": wanted["spec"] })).await?;
        }
        Ok(())
    }

    /// Moves the primary to pod 0 if its own pod is about to go; that it fails stops nothing, as in the real operator.
    async fn hand_over_before_scaling(&mut self, instances: u32) {
        let Ok(Some(primary)) = self.primary().await else { return };
        let ordinal = primary.name.rsplit('-').next().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
        if instances > 0 && ordinal >= instances {
            let candidate = format!("{}-0", self.manifest.name);
            if let Err(error) = self.switch_over(&primary, &candidate).await {
                tracing::warn!(%error, cluster = %self.spot(POSTGRESQL), "the primary goes without a switchover");
            }
        }
    }

    async fn wait_for_roles(&self, instances: u32) -> Result<()> {
        let deadline = tokio::time::Instant::now() + LABEL_PATIENCE;
        loop {
            let pods = self.pods().await?;
            let labelled = pods.iter().filter(|pod| pod["metadata"]["labels"]["spilo-role"].is_string()).count();
            let has_primary = self.primary().await?.is_some();
            if labelled >= instances as usize && (has_primary || instances == 0) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Error::failed("pod labels error", "still failing after 600 s"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn pods(&self) -> Result<Vec<Value>> {
        self.store.list(POD, &self.manifest.namespace, &self.manifest.selector()).await
    }

    async fn primary(&self) -> Result<Option<Primary>> {
        let pods = self.pods().await?;
        let is_master = |pod: &&Value| text(pod, &["metadata", "labels", "spilo-role"]) == "master" && is_ready(pod);
        let found = pods.iter().find(is_master);
        Ok(found.map(|pod| Primary {
            name: text(pod, &["metadata", "name"]).into(),
            ip: text(pod, &["status", "podIP"]).into(),
        }))
    }

    /// Deletes all that belongs to the cluster, volumes and secrets too: the operator's default.
    async fn delete(&mut self) {
        self.tell("Normal", "Delete", "Started deletion of cluster resources").await;
        let selector = format!("cluster-name={}", self.manifest.name);
        let kinds =
            [STATEFUL_SET, CRON_JOB, SERVICE, DISRUPTION_BUDGET, POD, SECRET, VOLUME_CLAIM, CONFIG_MAP, ENDPOINTS];
        for kind in kinds {
            if kind == VOLUME_CLAIM || kind == CONFIG_MAP {
                self.wait_for_end().await;
            }
            let found = self.store.list(kind, &self.manifest.namespace, &selector).await.unwrap_or_default();
            for object in found {
                let spot = kind.at(&self.manifest.namespace, text(&object, &["metadata", "name"]));
                if let Err(error) = self.store.delete(&spot, None).await {
                    tracing::warn!(%error, "left behind");
                }
            }
        }
    }

    async fn wait_for_end(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while self.pods().await.is_ok_and(|pods| !pods.is_empty()) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Writes the status word; one that is lost is made good by the next.
    async fn say(&self, word: &str) {
        let status = json!({ "PostgresClusterStatus": word });
        if let Err(error) = self.store.patch_status(&self.spot(POSTGRESQL), &status).await
            && !error.is_status(404)
        {
            tracing::warn!(%error, "the status is not written");
        }
    }

    async fn tell(&self, severity: &str, reason: &str, message: &str) {
        let word = Word { source: "postgres-operator", severity, reason, message };
        self.store.tell(&self.spot(POSTGRESQL), &self.manifest.uid, word).await;
    }
}

struct Primary {
    name: String,
    ip: String,
}

/// What the operator makes of a refusal.
fn in_its_words(what: &str, error: Error) -> Error {
    match error.refusal() {
        Some(why) => Error::failed(what, why),
        None => error,
    }
}

/// The merge patch that the operator sends when its manifest changed. A parameter that left the manifest stays in Patroni's
/// configuration as it was.
fn patch(old: &Value, new: &Value) -> Value {
    let mut patch = changed(old, new);
    // Slots are taken away one by one, and the last leaves an empty table.
    if let (Some(before), None) = (old["slots"].as_object(), new.get("slots")) {
        patch["slots"] = before.keys().map(|slot| (slot.clone(), Value::Null)).collect();
    }
    if let Some(fields) = patch.as_object_mut() {
        match new.get("postgresql") {
            Some(postgresql) => drop(fields.insert("postgresql".into(), postgresql.clone())),
            None => drop(fields.remove("postgresql")),
        }
    }
    patch
}

/// The merge patch that leads from one configuration to the other.
fn changed(old: &Value, new: &Value) -> Value {
    let mut patch = new.clone();
    let (Some(old), Some(fields)) = (old.as_object(), patch.as_object_mut()) else { return patch };
    for (key, before) in old {
        match fields.get(key) {
            None => drop(fields.insert(key.clone(), Value::Null)),
            Some(after) if before.is_object() && after.is_object() => {
                let inner = changed(before, after);
                fields.insert(key.clone(), inner);
            }
            Some(_) => {}
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_the_manifest_is_set_to_null() {
        let old = json!({ "synchronous_mode": true, "slots": { "a": {}, "b": {} } });
        let new = json!({ "slots": { "b": {} } });
        assert_eq!(changed(&old, &new), json!({ "slots": { "a": null, "b": {} }, "synchronous_mode": null }));
    }
    #[test]
    fn a_parameter_that_left_the_manifest_stays() {
        let parameters = |parameters: Value| json!({ "ttl": 30, "postgresql": { "parameters": parameters } });
        let old = parameters(json!({ "work_mem": "8MB", "archive_mode": "off" }));
        let new = parameters(json!({ "work_mem": "8MB" }));
        assert_eq!(patch(&old, &new), new);
        assert_eq!(patch(&old, &json!({ "ttl": 30 })), json!({ "ttl": 30 }));
    }

    #[test]
    fn the_last_slot_leaves_an_empty_table() {
        let old = json!({ "ttl": 30, "slots": { "cdc": { "type": "physical" } } });
        assert_eq!(patch(&old, &json!({ "ttl": 30 })), json!({ "ttl": 30, "slots": { "cdc": null } }));
    }
}
