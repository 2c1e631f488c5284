//! A switchover with a logical consumer that must be back afterwards.

use std::process::Stdio;

use pgdeck::sandbox::objects::POSTGRESQL;
use serde_json::json;
use tokio::process::Command;

use super::stage::{PATIENCE, Scene};
use crate::kube::stage::{eventually, eventually_within};
use crate::sandbox::store;

#[tokio::test]
async fn a_permanent_slot_comes_along_and_its_consumer_is_back() {
    let scene = Scene::up("act-switched");
    let slots = json!({"spec": {"patroni": {"slots": {"cdc": {
        "type": "logical", "database": "postgres", "plugin": "test_decoding",
    }}}}});
    store(&scene.sandbox.status()).await.patch(&POSTGRESQL.at("production", "acid-shop"), &slots).await.unwrap();
    let session = scene.session("primary").await;
    let has = async |what: &str| {
        let query = format!("select count(*) from pg_replication_slots where slot_name = 'cdc' and {what}");
        session.client.query_one(&query, &[]).await.unwrap().get::<_, i64>(0) == 1
    };
    eventually_within(PATIENCE, "the slot", async || has("true").await).await;

    let (standby, login) = (scene.login("standby").await, scene.login("primary").await);
    let to = format!(
        "host={},{} user={} dbname={} target_session_attrs=read-write",
        login.host, standby.host, login.user, login.database
    );
    let mut consumer = Command::new("pg_recvlogical");
    consumer.args(["--slot", "cdc", "--start", "-f", "/dev/null", "-d", &to]);
    consumer.env("PGPASSWORD", &login.password).kill_on_drop(true);
    let consumer = consumer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("a consumer", async || has("active").await).await;

    let run = scene.proved(&["switchover", "acid-shop", "--yes"]);
    drop(consumer);
    let says = |list: &str, words: &str| {
        let lines = run[list].as_array().unwrap().iter();
        lines.into_iter().any(|line| line["text"].as_str().unwrap().contains(words))
    };
    assert!(says("preflight", "Patroni keeps the logical slot cdc, read now"), "{run:#}");
    assert!(says("lines", "slot cdc is read"), "{run:#}");
}
