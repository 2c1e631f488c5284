//! The operator's part: a cluster's manifest becomes its objects, as small as the fleet of a sandbox needs.
//!
//! Its words, events and order of work are those of Zalando's operator; each cluster has a worker of its own, so that
//! a slow one never holds up the others, which the real one does not manage.

mod budgets;
mod build;
mod cluster;
mod database;
mod patroni;
mod stateful;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use build::password;

use crate::sandbox::error::Result;
use crate::sandbox::node::NOT_CROWD;
use crate::sandbox::objects::{self, Change, NODE, OPERATOR_CONFIGURATION, POSTGRESQL, Store, text};

type Key = (String, String);

/// What a cluster's worker is told: what is wanted now, or that the cluster is gone.
type Wish = Option<Wanted>;

#[derive(Debug, Clone)]
struct Wanted {
    object: Value,
    /// The cluster has just come back into our hands: nobody notices before its next change, or the next periodic look.
    is_return: bool,
}

/// With a value this annotation takes a cluster out of the operator's hands: some other controller is said to have it.
const CONTROLLER: &str = "acid.zalan.do/controller";

/// Serves manifests until it is dropped.
pub async fn run(store: Store) {
    let (changes, mut news) = mpsc::channel(64);
    let mut tasks: JoinSet<()> = JoinSet::new();
    let follower = store.clone();
    tasks.spawn(async move { objects::follow(follower, POSTGRESQL, NOT_CROWD, changes).await });
    tasks.spawn(stateful::run(store.clone()));
    tasks.spawn(budgets::run(store.clone()));
    let mut workers: BTreeMap<Key, Worker> = BTreeMap::new();
    while let Some(change) = news.recv().await {
        let (object, is_there) = match change {
            Change::Now(object) => (object, true),
            Change::Gone(object) => (object, false),
        };
        let key = (text(&object, &["metadata", "namespace"]).into(), text(&object, &["metadata", "name"]).into());
        let uid = text(&object, &["metadata", "uid"]).to_string();
        // A foreign controller's clusters are left alone, their end included: what belongs to them then stays.
        if !text(&object, &["metadata", "annotations", CONTROLLER]).is_empty() {
            match workers.get_mut(&key) {
                Some(worker) if is_there => worker.is_away = true,
                Some(_) => drop(workers.remove(&key)),
                None => {}
            }
            continue;
        }
        if !is_there {
            if let Some(worker) = workers.remove(&key) {
                worker.wish(None);
            }
            continue;
        }
        match workers.get_mut(&key) {
            Some(worker) if worker.uid == uid => worker.serve(object),
            _ => {
                let (wishes, told) = watch::channel(Some(Wanted { object, is_return: false }));
                let worker = Worker { uid, wishes, is_away: false };
                if let Some(old) = workers.insert(key, worker) {
                    old.wish(None);
                }
                tasks.spawn(cluster::serve(store.clone(), told));
            }
        }
    }
}

struct Worker {
    uid: String,
    wishes: watch::Sender<Wish>,
    /// The cluster is a foreign controller's for now.
    is_away: bool,
}

impl Worker {
    /// Tells of a manifest.
    fn serve(&mut self, object: Value) {
        let is_return = std::mem::take(&mut self.is_away);
        self.wish(Some(Wanted { object, is_return }));
    }

    fn wish(&self, wish: Wish) {
        self.wishes.send_replace(wish);
    }
}

/// What is there before any cluster: the operator's own configuration, and the nodes that pods are said to run on.
pub async fn install(store: &Store) -> Result<()> {
    store.create(OPERATOR_CONFIGURATION, configuration()).await?;
    for n in 1..=3 {
        let node = json!({
            "metadata": {
                "name": format!("node-{n}"),
                "labels": { "kubernetes.io/hostname": format!("node-{n}"), "topology.kubernetes.io/zone": format!("here-{n}") },
            },
            "status": { "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }] },
        });
        // Only for show: an API that does not know nodes is good enough.
        if let Err(error) = store.create(NODE, node).await {
            tracing::info!(%error, "no nodes are shown");
        }
    }
    Ok(())
}

fn configuration() -> Value {
    json!({
        "metadata": { "name": "postgres-operator", "namespace": "default" },
        "configuration": {
            "docker_image": "spilo.invalid/spilo-15:3.0-p1",
            "kubernetes_use_configmaps": true,
            "min_instances": -1, "max_instances": -1,
            "resync_period": "30m", "repair_period": "5m", "workers": 8,
            "users": { "super_username": "postgres", "replication_username": "standby" },
            "major_version_upgrade": { "major_version_upgrade_mode": "manual" },
            "kubernetes": {
                "cluster_domain": "cluster.local",
                "cluster_labels": { "application": "spilo" },
                "cluster_name_label": "cluster-name",
                "pod_role_label": "spilo-role",
                "secret_name_template": "{username}.{cluster}.credentials.{tprkind}.{tprgroup}",
                "pod_service_account_name": "postgres-pod",
                "pod_management_policy": "ordered_ready",
                "pdb_name_format": "postgres-{cluster}-pdb",
                "enable_pod_disruption_budget": true,
                "enable_readiness_probe": false,
                "watched_namespace": "*",
            },
            "aws_or_gcp": { "wal_s3_bucket": build::BUCKET },
            "logical_backup": {
                "logical_backup_job_prefix": "logical-backup-",
                "logical_backup_provider": "s3",
                "logical_backup_s3_bucket": build::BUCKET,
                "logical_backup_schedule": "30 00 * * *",
            },
            "teams_api": { "enable_teams_api": false },
        },
    })
}
