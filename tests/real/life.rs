//! What happens to a cluster whom nothing happens to: made, scaled, left alone by its operator for a while.

use std::cell::RefCell;
use std::process::Command;

use pgdeck::sandbox::objects::STATEFUL_SET;
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place, Real, has_verdict, is_whole, patroni};
use crate::tty::Tty;

/// The screen's row of a cluster.
pub fn row(tty: &Tty, cluster: &str) -> String {
    tty.text().lines().find(|line| line.contains(&format!("{cluster} "))).unwrap_or_default().to_owned()
}

/// The words of a row while its cluster of three is made, in order.
const WAY: [&str; 4] = ["warning 0/3 Creating", "warning 1/3 Creating", "warning 2/3 Creating", "ok 3/3 Running"];

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
    // Each state on the way is named; some last for less than a second.
    let way = RefCell::new(Vec::<String>::new());
    let note = |tty: &Tty| {
        let words: Vec<String> = row(tty, "acid-shop").split_whitespace().map(str::to_owned).collect();
        let state =
            words.iter().filter(|word| WAY.iter().flat_map(|state| state.split(' ')).any(|known| known == *word));
        let state = state.cloned().collect::<Vec<_>>().join(" ");
        let mut way = way.borrow_mut();
        if !state.is_empty() && way.last() != Some(&state) {
            way.push(state);
        }
    };
    let took = console.wait_within(PATIENCE, "made", |tty| {
        note(tty);
        shown(tty, &["○ ok", "3/3", "Running"])
    });
    let way = way.into_inner();
    eprintln!("  made: on screen in {:.1} s: {}", took.as_secs_f64(), way.join(", "));
    let mut seen = way.iter();
    for state in WAY {
        assert!(seen.any(|seen| seen == state), "{state} was not on the screen, or in another order: {way:?}");
    }
    console.wait_within(PATIENCE, "a healthy row", |tty| shown(tty, &["○ ok", "3/3", "Running", "on"]));
    place.until("acid-shop", "every member streams", |cluster| is_whole(cluster, 3) && cluster["health"] == "ok");
    let run = place.patroni_api("acid-shop-0", "GET /patroni", &Value::Null)["patroni"]["version"].clone();
    assert_eq!(run, patroni(), "another Patroni than the one that was asked for");

    place.patch("acid-shop", &json!({ "numberOfInstances": 2 }));
    place.until("acid-shop", "scaled down", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    console.wait_within(PATIENCE, "two members", |tty| shown(tty, &["○ ok", "2/2", "Running"]));

    place.patch("acid-shop", &json!({ "numberOfInstances": 3 }));
    place.until("acid-shop", "scaled up", |cluster| is_whole(cluster, 3) && cluster["health"] == "ok");
    console.wait_within(PATIENCE, "three members", |tty| shown(tty, &["○ ok", "3/3", "Running"]));
    // The operator said Updating for a moment, each time.
    console.keys("e");
    console.wait_within(PATIENCE, "the status words, as they came", |tty| {
        tty.text().lines().filter(|line| line.contains("Updating")).count() >= 2
    });
}

pub fn changed(real: &Real) {
    let place = Place::new(real, "changed");
    place.create("acid-tuned", 2, &json!({}));
    let made = place.until("acid-tuned", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-tuned").contains("○ ok"));
    let members = ["acid-tuned-0", "acid-tuned-1"];
    let started = || members.map(|member| place.sql(member, "select extract(epoch from pg_postmaster_start_time())"));
    let shows = |setting: &str, value: &str| {
        ["acid-tuned-0", "acid-tuned-1"].iter().all(|member| {
            let (answer, _) = place.kubectl(&["exec", member, "--", "psql", "-Atc", &format!("show {setting}")]);
            answer.trim() == value
        })
    };

    let before = started();
    place.patch("acid-tuned", &json!({ "postgresql": { "parameters": { "log_min_duration_statement": "123" } } }));
    console.wait_within(PATIENCE, "Updating", |tty| row(tty, "acid-tuned").contains("Updating"));
    let took = console.wait_within(PATIENCE, "Running again", |tty| row(tty, "acid-tuned").contains("Running"));
    eprintln!("  changed: Updating on screen for {:.1} s for a reload", took.as_secs_f64());
    place.eventually("a reload", || shows("log_min_duration_statement", "123ms"));
    assert_eq!(started(), before, "a reload restarts nothing");

    place.patch("acid-tuned", &json!({ "postgresql": { "parameters": { "max_connections": "123" } } }));
    console.wait_within(PATIENCE, "Updating", |tty| row(tty, "acid-tuned").contains("Updating"));
    place.eventually("restarts", || shows("max_connections", "123"));
    place.until("acid-tuned", "whole after the restarts", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let at = started().map(|at| at.parse::<f64>().unwrap());
    assert!(before.iter().zip(&at).all(|(before, at)| before.parse::<f64>().unwrap() < *at), "{before:?} {at:?}");
    let led = usize::from(made["primary"] == members[1]);
    assert!(at[1 - led] < at[led], "the replica is restarted first: {at:?}, {}", made["primary"]);

    place.patch("acid-tuned", &json!({ "env": [{ "name": "PGDECK_TEST", "value": "1" }] }));
    place.until("acid-tuned", "the pods are new, and another leads", |cluster| {
        is_whole(cluster, 2) && cluster["primary"] != made["primary"] && cluster["health"] == "ok"
    });
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-tuned").contains("○ ok"));
    console.keys("e");
    console.wait_within(PATIENCE, "the operator's own words", |tty| {
        let told = ["Rolling update done", "Switching over from", "restarting Postgres server within replica pod"];
        told.iter().all(|words| tty.text().contains(words))
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
    let secret = "postgres.acid-door.credentials.postgresql.acid.zalan.do";
    let password = place.kubectl(&["get", "secret", secret, "-o", "go-template={{.data.password | base64decode}}"]).0;
    for (name, is_standby) in [("acid-door.ways.svc.cluster.local", "f"), ("acid-door-repl.ways.svc", "t")] {
        let way = format!("host={name} user=postgres dbname=postgres sslmode=require connect_timeout=5");
        place.eventually(name, || {
            let mut psql = Command::new("psql");
            psql.args([&way, "-Atc", "select pg_is_in_recovery()"]).env("PGPASSWORD", &password);
            String::from_utf8_lossy(&psql.output().unwrap().stdout).trim() == is_standby
        });
    }
}
