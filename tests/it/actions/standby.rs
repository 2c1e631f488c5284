//! A standby cluster: its leader is a standby itself, and goes on with the timeline of a remote primary.

use serde_json::{Value, json};

use super::stage::{Scene, is_of_shop, line};
use crate::http::ask;

impl Scene {
    /// Makes a standby cluster of it, whose remote primary nobody can reach: its own members stream all the same.
    fn follow_a_remote_primary(&self) {
        let patroni = format!("{}:8008", self.member("primary")["address"].as_str().unwrap());
        let remote = json!({"standby_cluster": {"host": "127.0.0.1", "port": 1}});
        ask(&patroni, "PATCH /config", &remote);
        let follow = |status: &Value| {
            let mut members = status["members"].as_array().unwrap().iter();
            members.all(|member| !is_of_shop(member) || member["role"] == "standby")
        };
        self.sandbox.wait_until("no primary", follow);
        // The one that led is begun again: it is not there for a moment, and Patroni says so.
        let takes_part = |member: &Value| {
            ["running", "streaming", "in archive recovery"].map(Value::from).contains(&member["state"])
        };
        let all_take_part = |_: &Value| {
            let members = ask(&patroni, "GET /cluster", &Value::Null)["members"].clone();
            members.as_array().is_some_and(|members| members.len() == 2 && members.iter().all(takes_part))
        };
        self.sandbox.wait_until("all take part", all_take_part);
    }
}

#[test]
fn a_standby_cluster_is_handed_over_restarted_and_failed_over_and_keeps_its_timeline() {
    let scene = Scene::up("act-standby");
    let (old, new) = (scene.name("primary"), scene.name("standby"));
    scene.follow_a_remote_primary();

    let run = scene.proved(&["switchover", "acid-shop", &format!("to={new}"), "--yes"]);
    let streams = format!("1 of 1 standbys stream from {new} (pg_stat_replication)");
    line(&run, "lines", &format!("{new} leads the standby cluster on timeline 1; {streams}"));
    line(&run, "preflight", &format!("{old} leads the standby cluster on timeline 1 by Patroni's word and its own"));

    let run = scene.proved(&["restart", "acid-shop", "--yes"]);
    line(&run, "preflight", &format!("{new} leads a standby cluster: its standbys, and its readers, reconnect"));
    line(&run, "lines", &streams);

    let run = scene.proved(&["failover", "acid-shop", &format!("to={old}"), "--confirm", "acid-shop"]);
    line(&run, "lines", &format!("{old} leads the standby cluster on timeline 1; 1 of 1 standbys stream from {old}"));

    // The member of the highest ordinal goes first: while it leads it hands over before.
    if old != "acid-shop-1" {
        scene.proved(&["switchover", "acid-shop", "to=acid-shop-1", "--yes"]);
    }
    let run = scene.proved(&["scale", "acid-shop", "1", "--yes"]);
    line(&run, "lines", "acid-shop-0 leads the standby cluster on timeline 1");

    let (code, out, err) = scene.pgdeck(&["status"]);
    let leads = |row: &str| row.contains("acid-shop-0") && row.contains("standby leader");
    assert!(code == 0 && out.lines().any(leads), "{out}{err}");
}
