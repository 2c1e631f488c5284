//! What the operator's part does about a running cluster: pokes, a foreign controller, restarts, a CronJob that was stopped.

use std::collections::BTreeMap;

use pgdeck::sandbox::objects::{CRON_JOB, EVENT, Kind, POD, POSTGRESQL, STATEFUL_SET, Spot, Store};
use serde_json::{Value, json};

use super::{Fixture, PATIENCE, store};
use crate::kube::stage::eventually_within;

const FLAG: &str = "zalando-postgres-operator-rolling-update-required";
const CONTROLLER: &str = "acid.zalan.do/controller";

fn of(kind: Kind) -> Spot {
    kind.at("production", "acid-shop")
}

/// Waits until it holds; pods are made and ended meanwhile.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    eventually_within(PATIENCE, what, holds).await;
}

/// The uids of the cluster's pods by their names.
async fn pods(store: &Store) -> BTreeMap<String, String> {
    let pods = store.list(POD, "production", "application=spilo,cluster-name=acid-shop").await.unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    pods.iter().map(|pod| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]))).collect()
}

/// The operator's Events of that reason, in the order of their writing.
async fn said(store: &Store, reason: &str) -> Vec<String> {
    let mut events = store.list(EVENT, "production", "").await.unwrap();
    events.retain(|event| event["involvedObject"]["kind"] == "postgresql" && event["reason"] == reason);
    let version = |event: &Value| event["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse::<u64>().ok());
    events.sort_by_key(version);
    events.iter().map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn is_running(store: &Store) -> bool {
    store.get(&of(POSTGRESQL)).await.unwrap().unwrap()["status"]["PostgresClusterStatus"] == "Running"
}

pub fn named(status: &Value, role: &str) -> String {
    let members = status["members"].as_array().unwrap();
    members.iter().find(|member| member["role"] == role).unwrap()["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_poke_recreates_the_flagged_pods_alone_and_the_primary_after_a_switchover() {
    let sandbox = Fixture::new("poke", "one");
    sandbox.up("small");
    let status = sandbox.ready();
    let store = store(&status).await;
    let (primary, standby) = (named(&status, "primary"), named(&status, "standby"));
    let flag = async |name: &str| {
        let flag = json!({ "metadata": { "annotations": { FLAG: "true" } } });
        store.patch(&POD.at("production", name), &flag).await.unwrap();
    };
    let poke = async |word: &str| {
        let poke = json!({ "metadata": { "annotations": { "poke": word } } });
        store.patch(&of(POSTGRESQL), &poke).await.unwrap();
    };
    let rolls = async || said(&store, "Update").await.iter().filter(|said| said.contains("update done")).count();
    let before = pods(&store).await;

    flag(&standby).await;
    poke("1").await;
    eventually("the first roll", async || rolls().await == 1 && is_running(&store).await).await;
    let between = pods(&store).await;
    assert_eq!(between[&primary], before[&primary]);
    assert_ne!(between[&standby], before[&standby]);
    assert_eq!(said(&store, "Switchover").await, Vec::<String>::new());
    sandbox.ready();

    flag(&primary).await;
    poke("2").await;
    eventually("the second roll", async || rolls().await == 2 && is_running(&store).await).await;
    let after = pods(&store).await;
    assert_eq!(after[&standby], between[&standby]);
    assert_ne!(after[&primary], before[&primary]);
    let switchover = said(&store, "Switchover").await;
    assert_eq!(switchover[0], format!("Switching over from \"{primary}\" to \"production/{standby}\""));
}

#[tokio::test]
async fn a_foreign_controllers_cluster_is_left_alone_until_it_comes_back() {
    let sandbox = Fixture::new("away", "one");
    sandbox.up("small");
    let store = store(&sandbox.ready()).await;
    let shop = of(POSTGRESQL);
    let hold = |who: Value| json!({ "metadata": { "annotations": { CONTROLLER: who } } });
    let size = async || store.get(&of(STATEFUL_SET)).await.unwrap().unwrap()["spec"]["replicas"].clone();
    store.patch(&shop, &hold(json!("pgdeck"))).await.unwrap();
    store.patch_status(&shop, &json!({ "PostgresClusterStatus": "Mine" })).await.unwrap();

    store.patch(&shop, &json!({ "spec": { "numberOfInstances": 1 } })).await.unwrap();
    // Something that the operator certainly takes up later than the patch above: a second cluster.
    let other = json!({ "metadata": { "name": "acid-other", "namespace": "production" },
                        "spec": { "teamId": "acid", "numberOfInstances": 0, "volume": { "size": "1Gi" }, "postgresql": { "version": "15" } } });
    store.create(POSTGRESQL, other).await.unwrap();
    let set = STATEFUL_SET.at("production", "acid-other");
    eventually("the other cluster", async || store.get(&set).await.unwrap().is_some()).await;
    assert_eq!(size().await, 2);
    assert_eq!(store.get(&shop).await.unwrap().unwrap()["status"]["PostgresClusterStatus"], "Mine");

    // The operator hears of its return by the next change alone, or by its periodic look.
    store.patch(&shop, &hold(Value::Null)).await.unwrap();
    store.patch(&shop, &json!({ "metadata": { "annotations": { "poke": "1" } } })).await.unwrap();
    eventually("back in hand", async || size().await == 1 && is_running(&store).await).await;
}

#[tokio::test]
async fn a_parameter_restarts_replicas_before_the_primary_and_a_suspended_dump_stays_suspended() {
    let sandbox = Fixture::new("parameter", "one");
    sandbox.up("small");
    let status = sandbox.ready();
    let store = store(&status).await;
    let (primary, standby) = (named(&status, "primary"), named(&status, "standby"));
    let (before, dump) = (pods(&store).await, CRON_JOB.at("production", "logical-backup-acid-shop"));
    store.patch(&dump, &json!({ "spec": { "suspend": true } })).await.unwrap();

    let parameters = json!({ "archive_mode": "off" });
    let patch = json!({ "spec": { "postgresql": { "parameters": parameters }, "logicalBackupSchedule": "5 5 * * *" } });
    store.patch(&of(POSTGRESQL), &patch).await.unwrap();

    let restarts = [("replica", &standby), ("master", &primary)].map(|(role, name)| {
        let who = format!("{role} pod production/{name}");
        [format!("restarting Postgres server within {who}"), format!("Postgres server restart done for {who}")]
    });
    eventually("both restarts", async || said(&store, "Update").await == restarts.concat() && is_running(&store).await)
        .await;
    assert_eq!(pods(&store).await, before);
    let dump = store.get(&dump).await.unwrap().unwrap();
    assert_eq!((&dump["spec"]["suspend"], &dump["spec"]["schedule"]), (&json!(true), &json!("5 5 * * *")));
}
