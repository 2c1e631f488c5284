//! What happens to a cluster whom nothing happens to: made, scaled, left alone by its operator for a while.

use std::process::Command;

use pgdeck::sandbox::objects::STATEFUL_SET;
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place, Real, has_verdict, is_whole};
use crate::tty::Tty;

/// The screen's row of a cluster.
pub fn row(tty: &Tty, cluster: &str) -> String {
    tty.text().lines().find(|line| line.contains(&format!("{cluster} "))).unwrap_or_default().to_owned()
}

/// The version of the Patroni that the members are to be.
fn asked_patroni() -> String {
    if let Ok(asked) = std::env::var("PGDECK_REAL_PATRONI") {
        return asked;
    }
    let program = std::env::var_os("PATRONI").unwrap_or_else(|| "patroni".into());
    let told = Command::new(program).arg("--version").output().unwrap().stdout;
    String::from_utf8(told).unwrap().trim().trim_start_matches("patroni ").to_owned()
}

pub fn created_and_scaled(real: &Real) {
    let place = Place::new(real, "made");
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "an empty fleet", |tty| tty.text().contains("there are no clusters here"));

    let synchronous = json!({ "synchronous_mode": true, "ttl": 20, "loop_wait": 2, "retry_timeout": 5 });
    place.create(
        "acid-shop",
        3,
        &json!({
            "users": { "app": ["createdb"] }, "databases": { "shop": "app" }, "patroni": synchronous,
        }),
    );

    let shown = |tty: &Tty, words: &[&str]| words.iter().all(|word| row(tty, "acid-shop").contains(word));
    console.wait_within(PATIENCE, "Creating", |tty| shown(tty, &["Creating"]));
    let took = console.wait_within(PATIENCE, "Running", |tty| shown(tty, &["Running"]));
    eprintln!("  made: Creating to Running on screen in {:.1} s", took.as_secs_f64());
    console.wait_within(PATIENCE, "a healthy row", |tty| shown(tty, &["○ ok", "3/3", "Running", "on"]));
    place.until("acid-shop", "every member streams", |cluster| is_whole(cluster, 3) && cluster["health"] == "ok");
    let run = place.patroni_api("acid-shop-0", "GET /patroni", &Value::Null)["patroni"]["version"].clone();
    assert_eq!(run, asked_patroni(), "another Patroni than the one that was asked for");

    place.patch("acid-shop", &json!({ "numberOfInstances": 2 }));
    place.until("acid-shop", "scaled down", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    console.wait_within(PATIENCE, "two members", |tty| shown(tty, &["○ ok", "2/2", "Running"]));

    place.patch("acid-shop", &json!({ "numberOfInstances": 3 }));
    place.until("acid-shop", "scaled up", |cluster| is_whole(cluster, 3) && cluster["health"] == "ok");
    console.wait_within(PATIENCE, "three members", |tty| shown(tty, &["○ ok", "3/3", "Running"]));
}

pub fn changed(real: &Real) {
    let place = Place::new(real, "changed");
    place.create("acid-tuned", 2, &json!({}));
    let made = place.until("acid-tuned", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let shows = |setting: &str, value: &str| {
        ["acid-tuned-0", "acid-tuned-1"].iter().all(|member| {
            let (answer, _) = place.kubectl(&["exec", member, "--", "psql", "-Atc", &format!("show {setting}")]);
            answer.trim() == value
        })
    };

    place.patch("acid-tuned", &json!({ "postgresql": { "parameters": { "log_min_duration_statement": "123" } } }));
    place.eventually("a reload", || shows("log_min_duration_statement", "123ms"));
    let begun = place.postgres("acid-tuned-0");

    place.patch("acid-tuned", &json!({ "postgresql": { "parameters": { "max_connections": "123" } } }));
    place.eventually("restarts", || shows("max_connections", "123"));
    assert_ne!(place.postgres("acid-tuned-0"), begun, "it was not restarted");
    place.until("acid-tuned", "whole after the restarts", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");

    let mut console = place.console("admin");
    place.patch("acid-tuned", &json!({ "env": [{ "name": "PGDECK_TEST", "value": "1" }] }));
    place.until("acid-tuned", "the pods are new, and another leads", |cluster| {
        is_whole(cluster, 2) && cluster["primary"] != made["primary"] && cluster["health"] == "ok"
    });
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-tuned").contains("○ ok"));
    console.keys("e");
    console.wait_within(PATIENCE, "the operator's own words", |tty| {
        tty.text().contains("Rolling update done") && tty.text().contains("Switching over from")
    });
}

pub fn operator_away(real: &Real) {
    let place = Place::new(real, "away");
    place.create("acid-left", 1, &json!({}));
    place.until("acid-left", "made", |cluster| is_whole(cluster, 1) && cluster["status"] == "Running");

    real.part("stop", "operator");
    place.patch("acid-left", &json!({ "numberOfInstances": 2 }));
    // After a minute pgdeck misses it; everything else is as it was.
    let missed = place.until("acid-left", "the operator is missed", |cluster| {
        has_verdict(cluster, "not_taken_up", &["2 instances are asked for, the StatefulSet has 1"])
    });
    assert_eq!((&missed["status"], &missed["ready"]), (&json!("Running"), &json!(1)), "{missed:#}");
    let replicas = |set: Option<Value>| set.unwrap()["spec"]["replicas"].clone();
    assert_eq!(replicas(place.get(STATEFUL_SET, "acid-left")), 1);

    real.part("start", "operator");
    place.until("acid-left", "the operator caught up", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
}

pub fn ways_in(real: &Real) {
    let place = Place::new(real, "ways");
    place.create("acid-door", 2, &json!({}));
    place.until("acid-door", "made", |cluster| is_whole(cluster, 2));

    let (answer, fault) =
        place.kubectl(&["exec", "acid-door-0", "-c", "postgres", "--", "psql", "-Atc", "select 6 * 7"]);
    assert_eq!(answer.trim(), "42", "{fault}");
    let (log, fault) = place.kubectl(&["logs", "acid-door-0", "-c", "postgres"]);
    assert!(log.contains("acid-door-0"), "no word of Patroni: {log} {fault}");
    for name in ["acid-door.ways.svc.cluster.local", "acid-door-repl.ways.svc"] {
        place.eventually(name, || std::fs::read_to_string("/etc/hosts").unwrap().contains(name));
    }
}
