//! What is added to a cluster and taken away again: poolers, slots, synchronous replication.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::life::row;
use crate::place::{PATIENCE, Place, Real, is_whole, other_operator};
use crate::tty::Tty;

/// Whether a line of the screen holds all these words.
fn tells(tty: &Tty, words: &[&str]) -> bool {
    tty.text().lines().any(|line| words.iter().all(|word| line.contains(word)))
}

pub fn poolers_and_slots(real: &Real) {
    let place = Place::new(real, "added");
    place.create("acid-plus", 2, &json!({ "users": { "app": [] }, "databases": { "shop": "app" } }));
    let made = place.until("acid-plus", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let primary = made["primary"].as_str().unwrap();
    let is_as_before =
        |cluster: &Value| is_whole(cluster, 2) && cluster["primary"] == primary && cluster["health"] == "ok";
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-plus").contains("○ ok"));
    console.keys("d");
    console.wait_within(PATIENCE, "its view", |tty| tty.text().contains("SERVICES"));
    let poolers = || {
        let roles = "jsonpath={.items[?(@.status.phase=='Running')].metadata.labels.spilo-role}";
        place.kubectl(&["get", "pods", "-l", "application=db-connection-pooler", "-o", roles]).0
    };
    let slots = || place.sql(primary, "select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots");

    // Poolers carry the labels of members: a second master, and a second replica.
    let on = json!({ "enableConnectionPooler": true, "enableReplicaConnectionPooler": true,
        "connectionPooler": { "numberOfInstances": 1 } });
    place.patch("acid-plus", &on);
    place.eventually("a pooler for each role", || poolers() == "master replica");
    place.until("acid-plus", "two members beside the poolers", is_as_before);
    console.wait_within(PATIENCE, "the poolers, as what they are", |tty| {
        let is_told = |name: &str| tty.text().lines().any(|line| line.contains(name) && line.contains("1/1 ready"));
        is_told("acid-plus-pooler ") && is_told("acid-plus-pooler-repl ")
    });

    // A slot that the manifest names, and one that Patroni was not told of.
    let cdc = json!({ "type": "logical", "database": "shop", "plugin": "pgoutput" });
    place.patch("acid-plus", &json!({ "patroni": { "slots": { "cdc": cdc } } }));
    place.eventually("the slot of the manifest", || slots().contains("cdc"));
    place.sql(primary, "select pg_create_physical_replication_slot('byhand')");
    console.go_to(PATIENCE, primary);
    console.keys("i");
    console.wait_within(PATIENCE, "the slot, on the primary's page", |tty| row(tty, "cdc").contains("logical"));
    place.patroni_api(primary, "POST /restart", &json!({}));
    place.eventually("only the slot of the manifest after a restart", || {
        slots().contains("cdc") && !slots().contains("byhand")
    });
    place.patch("acid-plus", &json!({ "patroni": { "slots": null } }));
    place.eventually("no slot any more", || !slots().contains("cdc"));

    place.patch("acid-plus", &json!({ "enableConnectionPooler": false, "enableReplicaConnectionPooler": false }));
    place.eventually("no pooler any more", || poolers().is_empty());
    place.until("acid-plus", "as it was", |cluster| is_whole(cluster, 2) && cluster["primary"] == primary);
    console.wait_within(PATIENCE, "no slot on the page", |tty| row(tty, "cdc").is_empty());
}

pub fn synchronous(real: &Real) {
    let place = Place::new(real, "synced");
    // Patroni's own pace: who is synchronous is looked at every ten seconds.
    place.create("acid-sync", 2, &json!({ "patroni": { "ttl": 30, "loop_wait": 10, "retry_timeout": 10 } }));
    let made = place.until("acid-sync", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "asynchronous", |tty| row(tty, "acid-sync").contains(" off "));

    place.patch("acid-sync", &json!({ "patroni": { "synchronous_mode": true } }));
    console.wait_within(PATIENCE, "synchronous", |tty| {
        let row = row(tty, "acid-sync");
        row.contains("○ ok") && !row.contains(" off ") && !row.contains("alone")
    });
    let n_synchronous = |primary: &Value| {
        let sync = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        place.sql(primary.as_str().unwrap(), sync)
    };
    place.eventually("a synchronous standby, by SQL", || n_synchronous(&made["primary"]) == "1");
    let standby = if made["primary"] == "acid-sync-0" { "acid-sync-1" } else { "acid-sync-0" };
    console.keys("d");
    console.wait_within(PATIENCE, "its name, as the synchronous one", |tty| {
        tells(tty, &["synchronous", &format!("on: {standby}")]) && tells(tty, &[standby, " sync ", "streaming"])
    });
    console.keys("q");

    // Limits below the requests are taken without a word, and no maintenance window holds the new pods back. With its one synchronous
    // standby just made anew the operator asks for a switchover that Patroni may refuse, and stops half way then.
    let hour = |hours: i64| (Timestamp::now() + SignedDuration::from_hours(hours)).strftime("%H:00").to_string();
    let window = if hour(6) < hour(7) { format!("{}-{}", hour(6), hour(7)) } else { "12:00-13:00".to_owned() };
    // 1.9.0 raises limits to its own least alone; no pod with requests above them is valid, and there are none then.
    let asked = if other_operator().is_none() { "100m" } else { "600m" };
    let less =
        json!({ "requests": { "cpu": "500m", "memory": "500Mi" }, "limits": { "cpu": asked, "memory": "600Mi" } });
    place.patch("acid-sync", &json!({ "maintenanceWindows": [window], "resources": less }));
    // Where Patroni refused it, the next sync a minute later goes on with it.
    place.until_within(PATIENCE * 2, "acid-sync", "rolled over", |cluster| {
        is_whole(cluster, 2) && cluster["primary"] != made["primary"] && cluster["status"] == "Running"
    });
    let limits = "jsonpath={.items[*].spec.containers[0].resources.limits.cpu}";
    // The operator raises them to the requests; the former primary's pod may just be made anew.
    let raised = if asked == "100m" { "500m 500m" } else { "600m 600m" };
    place.eventually("limits raised to the requests", || {
        place.kubectl(&["get", "pods", "-l", "application=spilo", "-o", limits]).0 == raised
    });
    // No verdict tells of either; the operator's own words do.
    console.keys("e");
    console.wait_within(PATIENCE, "that the pods are new, window or not", |tty| {
        tty.text().contains("Rolling update done - pods have been recreated")
    });

    place.patch("acid-sync", &json!({ "patroni": { "synchronous_mode": false } }));
    console.keys("q");
    console.wait_within(PATIENCE, "asynchronous again", |tty| row(tty, "acid-sync").contains(" off "));
    let now = place.until("acid-sync", "well", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    place.eventually("no synchronous standby, by SQL", || n_synchronous(&now["primary"]) == "0");
    let standby = if now["primary"] == "acid-sync-0" { "acid-sync-1" } else { "acid-sync-0" };
    console.keys("d");
    console.wait_within(PATIENCE, "nobody as the synchronous one", |tty| {
        tells(tty, &["synchronous", " off"]) && tells(tty, &[standby, "async", "streaming"])
    });
}
