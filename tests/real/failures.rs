//! What goes wrong, and what pgdeck says of it.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::ask;
use crate::life::row;
use crate::place::{PATIENCE, Place, Real, has_verdict, is_whole};

pub fn postgres_killed(real: &Real) {
    let place = Place::new(real, "killed");
    // Patroni's own pace: it looks at its Postgres every ten seconds.
    place.create("acid-hurt", 2, &json!({ "patroni": { "ttl": 30, "loop_wait": 10, "retry_timeout": 10 } }));
    let made = place.until("acid-hurt", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let primary = made["primary"].as_str().unwrap();
    let before = place.postgres(primary).expect("a Postgres");
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-hurt").contains("○ ok"));

    before.signal(Signal::KILL);

    let took = console.wait_within(PATIENCE, "what is wrong", |tty| {
        let row = row(tty, "acid-hurt");
        (row.contains("critical") || row.contains("warning")) && row.contains(primary)
    });
    eprintln!("  killed: on screen after {:.1} s: {}", took.as_secs_f64(), row(&console, "acid-hurt"));
    place.eventually("another Postgres", || place.postgres(primary).is_some_and(|now| now != before));
    place.until("acid-hurt", "whole again, with the same primary", |cluster| {
        is_whole(cluster, 2) && cluster["primary"] == primary && cluster["health"] == "ok"
    });
    console.wait_within(PATIENCE, "a healthy row again", |tty| {
        let row = row(tty, "acid-hurt");
        row.contains("○ ok") && row.contains(primary)
    });
    console.keys("e");
    // An operator that has just begun finds the cluster by its first look, and says nothing of it.
    console.wait_within(PATIENCE, "its events", |tty| tty.text().contains("SuccessfulCreate"));
    // It recovers, and may begin a timeline of its own: nobody else ever led.
    let other = if primary == "acid-hurt-0" { "acid-hurt-1" } else { "acid-hurt-0" };
    assert!(!console.text().contains(&format!("new leader {other}")), "{}", console.text());
}

pub fn patroni_killed(real: &Real) {
    let place = Place::new(real, "failover");
    place.create("acid-hurt", 2, &json!({}));
    let made = place.until("acid-hurt", "made", |cluster| is_whole(cluster, 2));
    let (old, new) = match made["primary"].as_str().unwrap() {
        "acid-hurt-0" => ("acid-hurt-0", "acid-hurt-1"),
        other => (other, "acid-hurt-0"),
    };
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-hurt").contains("○ ok"));
    let hold = place.folder(old).join("hold");
    std::fs::write(&hold, "").unwrap();

    let killed = Instant::now();
    place.patroni(old).signal(Signal::KILL);

    console.wait_within(PATIENCE, "what is wrong", |tty| {
        let row = row(tty, "acid-hurt");
        row.contains("critical") || row.contains("warning")
    });
    eprintln!("  failover: shown as wrong {:.1} s after the kill", killed.elapsed().as_secs_f64());
    console.wait_within(PATIENCE, "the new primary", |tty| row(tty, "acid-hurt").contains(new));
    eprintln!("  failover: the new primary on screen {:.1} s after the kill", killed.elapsed().as_secs_f64());
    let held = place.until("acid-hurt", "the new primary", |cluster| cluster["primary"] == new);
    assert_eq!(held["ready"], 1, "{held:#}");
    console.keys("e");
    console.wait_within(PATIENCE, "the failover by name", |tty| {
        tty.text().lines().any(|line| line.contains("failover") && line.contains(&format!("new leader {new}")))
    });

    std::fs::remove_file(&hold).unwrap();
    place.until("acid-hurt", "the old leader follows", |cluster| is_whole(cluster, 2) && cluster["primary"] == new);
}

pub fn api_away(real: &Real) {
    let place = Place::new(real, "silent");
    place.create("acid-still", 2, &json!({}));
    place.until("acid-still", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| {
        row(tty, "acid-still").contains("○ ok") && tty.text().contains("real live")
    });

    let path = format!("/apis/acid.zalan.do/v1/namespaces/{}/postgresqls", place.namespace);
    let listed: Value = serde_json::from_str(&place.kubectl(&["get", "--raw", &path]).0).unwrap();
    let version = listed["metadata"]["resourceVersion"].as_str().unwrap().to_owned();

    real.part("stop", "kube-apiserver");
    console.wait_within(PATIENCE, "that it is lost", |tty| tty.text().contains("real LOST"));
    console.wait_within(PATIENCE, "the row, not known any more", |tty| {
        let row = row(tty, "acid-still");
        row.contains("unknown") && row.contains("2/2") && row.contains("nothing was heard")
    });
    // Meanwhile its store goes on, and forgets what was before.
    let etcd = |asked: &str, body: Value| ask("127.0.0.1:2379", &format!("POST /v3/kv/{asked}"), &body);
    let put = etcd("put", json!({ "key": "cGdkZWNr", "value": "MQ==" }));
    etcd("compaction", json!({ "revision": put["header"]["revision"], "physical": true }));

    real.part("start", "kube-apiserver");
    let took = console.wait_within(PATIENCE, "live again", |tty| tty.text().contains("real live"));
    eprintln!("  silent: live again {:.1} s after it was started", took.as_secs_f64());
    let stale = format!("{path}?watch=true&timeoutSeconds=5&resourceVersion={version}");
    let (answer, fault) = place.kubectl(&["get", "--raw", &stale]);
    assert!(answer.contains("\"code\":410") || fault.contains("too old resource version"), "{answer} {fault}");
    // The console itself was told so, and listed anew.
    let log = console.home().join(".local/state/pgdeck/pgdeck.log");
    let is_told = |line: &str| line.contains("(410)") && line.contains("postgresqls");
    place.eventually("a 410 in the console's log", || std::fs::read_to_string(&log).unwrap().lines().any(is_told));
    console.wait_within(PATIENCE, "a healthy row again", |tty| row(tty, "acid-still").contains("○ ok"));
    // What changes after all that was forgotten comes through.
    place.patch("acid-still", &json!({ "numberOfInstances": 3 }));
    console.wait_within(PATIENCE, "a change after it", |tty| row(tty, "acid-still").contains("/3"));
    place.until("acid-still", "whole again", |cluster| is_whole(cluster, 3) && cluster["health"] == "ok");
}

pub fn not_made(real: &Real) {
    let place = Place::new(real, "unmade");
    let mut console = place.console("admin");
    let bare = json!({ "podAnnotations": { "pgdeck.sandbox/no-post-init": "" }, "preparedDatabases": { "shop": {} } });
    place.create("acid-bare", 1, &bare);

    let failed = place.until("acid-bare", "CreateFailed", |cluster| cluster["status"] == "CreateFailed");
    let told = place.until("acid-bare", "its reason", |cluster| {
        has_verdict(cluster, "operator_failed", &["CreateFailed", "does not exist"])
    });
    eprintln!("  unmade: {} (first seen with {})", told["why"][0], failed["why"][0]);
    console.wait_within(PATIENCE, "the word and its reason", |tty| {
        let row = row(tty, "acid-bare");
        row.contains("critical") && row.contains("CreateFailed") && tty.text().contains("could not create")
    });
}

pub fn not_started(real: &Real) {
    let place = Place::new(real, "stuck");
    let mut console = place.console("admin");
    place.create(
        "acid-huge",
        1,
        &json!({ "resources": { "requests": { "cpu": "2000" }, "limits": { "cpu": "2000" } } }),
    );
    place.create("acid-image", 1, &json!({ "podAnnotations": { "pgdeck.test/image": "missing" } }));
    place.create("acid-class", 1, &json!({ "podPriorityClassName": "absent" }));

    let words = |cluster: &Value, word: &str| has_verdict(cluster, "pod_trouble", &[word]);
    let huge = place.until("acid-huge", "no node", |cluster| words(cluster, "Unschedulable"));
    let image = place.until("acid-image", "no image", |cluster| words(cluster, "ImagePullBackOff"));
    eprintln!("  stuck: {} / {}", huge["why"], image["why"]);
    console.wait_within(PATIENCE, "both rows with their reasons", |tty| {
        row(tty, "acid-huge").contains("0/1") && row(tty, "acid-image").contains("0/1")
    });
    for (cluster, other, reason) in [
        ("acid-huge", "acid-image", "Insufficient cpu"),
        ("acid-image", "acid-huge", "Back-off pulling image"),
        ("acid-class", "acid-huge", "no PriorityClass with name absent was found"),
    ] {
        console.keys(&format!("/{cluster}\r"));
        console.wait_for("its row alone", |tty| row(tty, other).is_empty() && !row(tty, cluster).is_empty());
        console.keys("\r");
        console.wait_within(PATIENCE, reason, |tty| tty.text().contains(reason));
        console.keys("q\x1b");
        console
            .wait_for("the fleet again", |tty| tty.text().contains("acid-huge ") && tty.text().contains("acid-image "));
    }
}
