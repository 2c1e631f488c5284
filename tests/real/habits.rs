//! What Patroni and the operator do by themselves to what somebody else has set, and what the console says meanwhile.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::life::row;
use crate::place::{PATIENCE, Place, Real, has_verdict, is_whole, other_operator};

/// The flag that makes the operator recreate a pod.
const ROLLING: &str = "zalando-postgres-operator-rolling-update-required=true";

/// The primary and the other member of a cluster of two.
pub fn pair(cluster: &Value) -> (String, String) {
    let primary = cluster["primary"].as_str().unwrap().to_owned();
    let members = cluster["members"].as_array().unwrap().iter().map(|member| member["name"].as_str().unwrap());
    let standby = members.into_iter().find(|name| *name != primary).unwrap().to_owned();
    (primary, standby)
}

/// A paused replay is resumed by Patroni unless that is paused; a key of one's own stays in its configuration; a slot of the manifest
/// goes over with a switchover.
pub fn patronis_own(real: &Real) {
    let place = Place::new(real, "habits");
    place.create("acid-own", 2, &json!({ "databases": { "shop": "app" }, "users": { "app": [] } }));
    let made = place.until("acid-own", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let (primary, standby) = pair(&made);
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-own").contains("○ ok"));
    let pause = || place.sql(&standby, "select pg_wal_replay_pause()");
    let state = || place.sql(&standby, "select pg_get_wal_replay_pause_state()");

    pause();
    place.eventually("Patroni resumes replay by itself", || state() == "not paused");

    let note = json!({ "pause": true, "pgdeck": { "who": "a test", "until": "2099-01-01T00:00:00Z" } });
    place.patroni_api(&primary, "PATCH /config", &note);
    console.wait_within(PATIENCE, "that Patroni is paused", |tty| row(tty, "acid-own").contains("PAUSED"));
    place.eventually("Patroni knows that it is paused", || {
        place.patroni_api(&standby, "GET /patroni", &Value::Null)["pause"] == true
    });
    pause();
    console.keys("d");
    console.wait_within(PATIENCE, "both pauses", |tty| {
        let text = tty.text();
        text.contains(&format!("{standby} does not replay WAL: replay is paused")) && text.contains("Patroni is paused")
    });
    // A change of the manifest, which Patroni takes in, changes neither.
    place.patch("acid-own", &json!({ "postgresql": { "parameters": { "log_min_duration_statement": "123" } } }));
    place.eventually("the change", || place.sql(&primary, "show log_min_duration_statement") == "123ms");
    let config = || place.patroni_api(&primary, "GET /config", &Value::Null);
    assert_eq!((state().as_str(), &config()["pgdeck"]["who"]), ("paused", &json!("a test")), "{:#}", config());
    place.patroni_api(&primary, "PATCH /config", &json!({ "pause": null, "pgdeck": null }));
    place.eventually("Patroni resumes replay when it is active again", || state() == "not paused");
    place.eventually("the key goes", || config()["pgdeck"].is_null());
    place.until("acid-own", "well", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");

    let cdc = json!({ "type": "logical", "database": "shop", "plugin": "pgoutput" });
    place.patch("acid-own", &json!({ "patroni": { "slots": { "cdc": cdc } } }));
    let has_slot = |member: &str| place.sql(member, "select slot_name from pg_replication_slots").contains("cdc");
    place.eventually("the slot of the manifest", || has_slot(&primary));
    place.patroni_api(&primary, "POST /switchover", &json!({ "leader": primary, "candidate": standby }));
    place.until("acid-own", "another leads", |cluster| is_whole(cluster, 2) && cluster["primary"] == *standby);
    place.eventually("the slot on both", || has_slot(&primary) && has_slot(&standby));
    console.keys("qi");
    console.wait_within(PATIENCE, "the slot, on the new primary's page", |tty| row(tty, "cdc").contains("logical"));
}

/// Where no member can take over, a rolling update stops half way, and goes on when one can.
pub fn refused(real: &Real) {
    let place = Place::new(real, "refused");
    place.create("acid-half", 2, &json!({}));
    let made = place.until("acid-half", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let (primary, standby) = pair(&made);
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-half").contains("○ ok"));
    let uid = |pod: &str| place.kubectl(&["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"]).0;
    let before = uid(&primary);

    let receiver = place.sql(&standby, "select pid from pg_stat_wal_receiver");
    let signal = |signal: &str| place.kubectl(&["exec", &standby, "-c", "postgres", "--", "kill", signal, &receiver]);
    signal("-STOP");
    for _ in 0..4 {
        place.sql(&primary, "select pg_logical_emit_message(false, 'x', 'x'); select pg_switch_wal()");
    }
    console.keys("d");
    console.wait_within(PATIENCE, "the lag", |tty| tty.text().contains("trails by"));
    place.until("acid-half", "lagging", |cluster| has_verdict(cluster, "lagging", &[&standby]));
    place.kubectl(&["annotate", "pod", &primary, ROLLING]);
    place.kubectl(&["annotate", "postgresql", "acid-half", "pgdeck.test/poke=1"]);

    let failed = place.until("acid-half", "it stops half way", |cluster| {
        has_verdict(cluster, "update_failed", &["UpdateFailed"])
            || has_verdict(cluster, "operator_failed", &["SyncFailed"])
    });
    eprintln!("  refused: {}", failed["why"]);
    console.wait_within(PATIENCE, "its reason", |tty| {
        let text = tty.text();
        ["UpdateFailed", "SyncFailed"].iter().any(|word| text.contains(word))
            && text.contains("FAILED: could not switch over")
    });
    assert_eq!((&failed["primary"], uid(&primary)), (&json!(primary), before.clone()), "the old primary is as it was");

    signal("-CONT");
    place.until_within(PATIENCE * 2, "acid-half", "the next look goes on with it", |cluster| {
        is_whole(cluster, 2) && cluster["primary"] == *standby && cluster["status"] == "Running"
    });
    assert_ne!(uid(&primary), before);
}

/// With synchronous replication and no synchronous standby a rolling update stops half way.
pub fn unsynced(real: &Real) {
    let place = Place::new(real, "unsynced");
    let patroni = json!({ "synchronous_mode": true, "ttl": 20, "loop_wait": 2, "retry_timeout": 5 });
    place.create("acid-lone", 2, &json!({ "patroni": patroni }));
    let made = place.until("acid-lone", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let (primary, standby) = pair(&made);
    let mut console = place.console("admin");
    place.eventually("a synchronous standby", || {
        let members = place.patroni_api(&primary, "GET /cluster", &Value::Null)["members"].clone();
        members.as_array().is_some_and(|members| members.iter().any(|member| member["role"] == "sync_standby"))
    });
    console.wait_within(PATIENCE, "synchronous", |tty| {
        let row = row(tty, "acid-lone");
        row.contains("○ ok") && !row.contains(" alone ")
    });
    let uid = || place.kubectl(&["get", "pod", &primary, "-o", "jsonpath={.metadata.uid}"]).0;
    let before = uid();

    // A receiver that hangs makes no new connection in place of the one that is cut.
    let receiver = place.sql(&standby, "select pid from pg_stat_wal_receiver");
    let signal = |signal: &str| place.kubectl(&["exec", &standby, "-c", "postgres", "--", "kill", signal, &receiver]);
    signal("-STOP");
    place.sql(&primary, "select pg_terminate_backend(pid) from pg_stat_replication");
    console.wait_within(PATIENCE, "that nobody is synchronous", |tty| row(tty, "acid-lone").contains(" alone "));
    place.kubectl(&["annotate", "pod", &primary, ROLLING]);
    place.kubectl(&["annotate", "postgresql", "acid-lone", "pgdeck.test/poke=1"]);

    // An older operator asks whoever is there to take over, and Patroni refuses.
    let words = match other_operator() {
        None => ["skipping switchover: failed to get Patroni cluster members"],
        Some(_) => ["patroni returned '"],
    };
    let failed = place.until("acid-lone", "it stops half way", |cluster| {
        has_verdict(cluster, "update_failed", &words) || has_verdict(cluster, "operator_failed", &words)
    });
    eprintln!("  unsynced: {}", failed["why"]);
    console.keys("d");
    console.wait_within(PATIENCE, "its reason", |tty| {
        let text = tty.text();
        ["UpdateFailed", "SyncFailed"].iter().any(|word| text.contains(word))
            && text.contains(words[0])
            && text.contains("on, no synchronous standby")
    });
    assert_eq!((&failed["primary"], uid()), (&json!(primary), before.clone()), "the old primary is as it was");

    signal("-CONT");
    place.until_within(PATIENCE * 2, "acid-lone", "the next look goes on with it", |cluster| {
        is_whole(cluster, 2) && cluster["primary"] == *standby && cluster["status"] == "Running"
    });
    assert_ne!(uid(), before);
}

/// A Patroni that hangs: of the leader alone it makes two primaries, of all members nobody renews the lease.
pub fn patroni_hangs(real: &Real) {
    let place = Place::new(real, "hangs");
    place.create("acid-hung", 2, &json!({}));
    let made = place.until("acid-hung", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let (old, new) = pair(&made);
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-hung").contains("○ ok"));
    console.keys("d");
    console.wait_within(PATIENCE, "its page", |tty| tty.text().contains("SERVICES"));

    place.patroni(&old).signal(Signal::STOP);
    let took =
        console.wait_within(PATIENCE, "two primaries", |tty| tty.text().contains("take writes, by their own word"));
    eprintln!("  hangs: two primaries on screen after {:.1} s", took.as_secs_f64());
    let both =
        place.until("acid-hung", "two primaries", |cluster| has_verdict(cluster, "two_primaries", &[&old, &new]));
    assert_eq!(both["health"], "critical", "{both:#}");
    place.patroni(&old).signal(Signal::CONT);
    place.until("acid-hung", "the old primary follows", |cluster| {
        is_whole(cluster, 2) && cluster["primary"] == *new && cluster["health"] == "ok"
    });

    for member in [&old, &new] {
        place.patroni(member).signal(Signal::STOP);
    }
    let words = format!("{new} last renewed its lease at");
    let took = console.wait_within(PATIENCE, "an overdue leader", |tty| tty.text().contains(&words));
    eprintln!("  hangs: the overdue lease on screen after {:.1} s", took.as_secs_f64());
    let overdue =
        place.until("acid-hung", "an overdue leader", |cluster| has_verdict(cluster, "leader_overdue", &[&new]));
    assert_eq!((&overdue["health"], &overdue["primary"]), (&json!("critical"), &json!(new)), "{overdue:#}");
    for member in [&old, &new] {
        place.patroni(member).signal(Signal::CONT);
    }
    place.until("acid-hung", "well again", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    console.wait_within(PATIENCE, "nothing on screen", |tty| !tty.text().contains(&words));
}

/// The primary's pod, deleted by hand: it hands over, and comes back as a standby.
pub fn pod_deleted(real: &Real) {
    let place = Place::new(real, "deleted");
    place.create("acid-gone", 2, &json!({}));
    let made = place.until("acid-gone", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let (old, new) = pair(&made);
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-gone").contains("○ ok"));
    let uid = || place.kubectl(&["get", "pod", &old, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"]).0;
    let before = uid();

    place.kubectl(&["delete", "pod", &old, "--wait=false"]);

    console.wait_within(PATIENCE, "the other leads", |tty| row(tty, "acid-gone").contains(&new));
    place.until("acid-gone", "a new pod that follows", |cluster| {
        is_whole(cluster, 2) && cluster["primary"] == *new && cluster["health"] == "ok" && uid() != before
    });
    console.wait_within(PATIENCE, "a healthy row again", |tty| row(tty, "acid-gone").contains("○ ok"));
    console.keys("e");
    console.wait_within(PATIENCE, "what happened", |tty| {
        let is_told = |words: &[&str]| tty.text().lines().any(|line| words.iter().all(|word| line.contains(word)));
        is_told(&["failover", &format!("new leader {new}")]) && is_told(&["SuccessfulCreate", &old])
    });
}
