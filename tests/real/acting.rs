//! Orders that the real operator and real Patroni carry out, given by a user with pgdeck's own role and no more.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place, Real, is_whole, within};
use crate::tty::Tty;

/// Nobody answered in time, and nothing was sent: on a machine that is busy it may be asked again.
const UNANSWERED: i32 = 7;

/// The exit code, and the run as JSON.
pub fn order(real: &Real, user: &str, place: &Place<'_>, arguments: &[&str]) -> (i32, Value) {
    let mut told = (UNANSWERED, Value::Null);
    within(PATIENCE, || {
        let mut command = real.pgdeck(user);
        command.args(["do", "-o", "json", "-n", place.namespace, "--write"]).args(arguments);
        let output = command.output().unwrap();
        let run = serde_json::from_slice(&output.stdout);
        let run = run.unwrap_or_else(|_none| json!({ "said": String::from_utf8_lossy(&output.stderr) }));
        told = (output.status.code().unwrap(), run);
        told.0 != UNANSWERED
    });
    told
}

pub fn ordered(real: &Real) {
    let place = Place::new(real, "ordered");
    place.create("acid-ordered", 2, &json!({}));
    place.until("acid-ordered", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let proved = |arguments: &[&str]| {
        let (code, run) = order(real, "operate", &place, arguments);
        assert_eq!((code, run["outcome"].as_str()), (0, Some("PROVED")), "{arguments:?}: {run:#}");
        let took = run["lines"].as_array().and_then(|lines| lines.last()).map(|line| line["text"].clone());
        eprintln!("  ordered: {}: {}", arguments[0], took.unwrap_or_default());
        run
    };
    let primary = || place.cluster("acid-ordered")["primary"].as_str().unwrap_or_default().to_owned();
    let streaming = |member: &str| {
        let count = "select count(*) from pg_stat_replication where state = 'streaming'";
        place.kubectl(&["exec", member, "--", "psql", "-Atc", count]).0.trim().to_owned()
    };

    let (code, run) = order(real, "view", &place, &["scale", "acid-ordered", "3", "--yes"]);
    assert_eq!(code, 4, "{run:#}");
    proved(&["scale", "acid-ordered", "3", "--yes"]);
    assert_eq!(streaming(&primary()), "2");

    // The operator keeps the low ordinals: a primary that would go hands over first.
    let before = primary();
    proved(&["switchover", "acid-ordered", "to=acid-ordered-2", "--yes"]);
    place.until("acid-ordered", "another leads", |cluster| {
        cluster["primary"] == "acid-ordered-2" && before != "acid-ordered-2"
    });
    proved(&["patroni-pause", "acid-ordered", "--yes"]);
    proved(&["patroni-resume", "acid-ordered", "--yes"]);
    proved(&["restart", "acid-ordered/acid-ordered-0", "--yes"]);
    proved(&["reinitialize", "acid-ordered/acid-ordered-1", "--confirm", "acid-ordered"]);
    place.until("acid-ordered", "whole again", |cluster| is_whole(cluster, 3) && cluster["health"] == "ok");

    let run = proved(&["scale", "acid-ordered", "2", "--yes"]);
    let sent: Vec<&str> =
        run["orders"].as_array().unwrap().iter().map(|order| order["kind"].as_str().unwrap()).collect();
    assert_eq!(sent, ["patroni", "patch"]);
    place.until("acid-ordered", "two are left", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    assert_eq!(streaming(&primary()), "1");
}

/// A shell in a member's pod, in a terminal, and its end.
pub fn entered(real: &Real) {
    let place = Place::new(real, "entered");
    place.create("acid-open", 1, &json!({}));
    place.until("acid-open", "made", |cluster| is_whole(cluster, 1));
    let kubeconfig = real.kubeconfig("operate");
    let environment = [("KUBECONFIG", kubeconfig.to_str().unwrap())];
    let asked = ["do", "exec", "acid-open/acid-open-0", "-n", place.namespace, "--write", "--yes"];
    let inside = || {
        let mut tty = Tty::start(&asked, &environment, (120, 40));
        tty.wait_within(PATIENCE, "that it is sent", |tty| tty.text().contains("confirmed by --yes"));
        // It is read by the shell as soon as there is one.
        tty.keys("echo it is $((6 * 7)); psql -Atc 'select 6 * 9'\r");
        tty.wait_within(PATIENCE, "answers from inside the pod", |tty| {
            ["it is 42", "54"].iter().all(|answer| tty.text().lines().any(|line| line.trim() == *answer))
        });
        tty
    };
    let mut tty = inside();
    tty.keys("exit\r");
    tty.wait_within(PATIENCE, "its end", |tty| tty.text().contains("PROVED"));
    assert_eq!(tty.wait_exit(PATIENCE).exit_code(), 0, "{}", tty.text());

    // One whose pgdeck is killed meanwhile: how it ended nobody can tell, and the next order says so.
    let mut tty = inside();
    tty.signal(Signal::KILL);
    tty.wait_exit(PATIENCE);
    let mut next = real.pgdeck("operate");
    next.env("HOME", tty.home()).args([
        "do",
        "reload",
        "acid-open/acid-open-0",
        "-n",
        place.namespace,
        "--write",
        "--yes",
    ]);
    let said = String::from_utf8(next.output().unwrap().stderr).unwrap();
    assert!(said.contains("exec on ") && said.contains("was cut off at "), "{said}");
    let audit = real.pgdeck("operate").env("HOME", tty.home()).args(["audit", "-o", "json"]).output().unwrap().stdout;
    let lines: Vec<Value> =
        String::from_utf8(audit).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let asked = lines.iter().find(|line| line["action"] == "exec").unwrap();
    let ended = lines.iter().find(|line| line["entry"] == "ended" && line["run"] == asked["run"]).unwrap();
    assert_eq!((&ended["outcome"], ended["settled"].is_object()), (&json!("UNPROVEN"), true), "{ended:#}");
}

/// What the operator's own way is: backups by each switch, a poke, being left alone, the end.
pub fn operated(real: &Real) {
    let place = Place::new(real, "operated");
    place.create("acid-operated", 2, &json!({}));
    place.until("acid-operated", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let proved = |arguments: &[&str]| {
        let (code, run) = order(real, "operate", &place, arguments);
        assert_eq!((code, run["outcome"].as_str()), (0, Some("PROVED")), "{arguments:?}: {run:#}");
    };
    let refused = |arguments: &[&str], why: &str| {
        let (code, run) = order(real, "operate", &place, arguments);
        let said = run.to_string();
        assert!(code == 3 && said.contains(why), "{arguments:?}: {code}: {run:#}");
    };
    let primary = || place.cluster("acid-operated")["primary"].as_str().unwrap_or_default().to_owned();
    let show = |setting: &str| {
        place.kubectl(&["exec", &primary(), "--", "psql", "-Atc", &format!("show {setting}")]).0.trim().to_owned()
    };
    let well = || place.until("acid-operated", "well", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");

    let (code, run) = order(real, "view", &place, &["reconcile", "acid-operated", "--yes"]);
    assert_eq!(code, 4, "{run:#}");
    proved(&["reconcile", "acid-operated", "--yes"]);
    proved(&["reload", "acid-operated/acid-operated-1", "--yes"]);

    let cron = || place.kubectl(&["get", "cronjob", "-o", "jsonpath={.items[*].spec.suspend}"]).0;
    proved(&["logical-backup", "acid-operated", "on", "--yes"]);
    assert_eq!(cron(), "false");
    proved(&["logical-backup", "acid-operated", "suspend", "--yes"]);
    assert_eq!(cron(), "true");
    proved(&["reconcile", "acid-operated", "--yes"]);
    assert_eq!(cron(), "true", "the operator's sync leaves it suspended");
    proved(&["logical-backup", "acid-operated", "resume", "--yes"]);
    proved(&["logical-backup", "acid-operated", "now", "--yes"]);
    let jobs = place.kubectl(&["get", "jobs", "-o", "jsonpath={.items[*].status.succeeded}"]).0;
    assert_eq!(jobs, "1");
    proved(&["logical-backup", "acid-operated", "off", "--yes"]);
    assert_eq!(cron(), "");

    refused(&["wal-archiving", "acid-operated", "off", "by=field", "--yes"], "no enableWALArchiving");
    proved(&["wal-archiving", "acid-operated", "off", "--yes"]);
    assert_eq!(show("archive_command"), "/bin/true");
    well();
    proved(&["wal-archiving", "acid-operated", "on", "--yes"]);
    assert!(show("archive_command").contains("wal-push"));
    well();
    proved(&["wal-archiving", "acid-operated", "off", "by=parameter", "--yes"]);
    assert_eq!(show("archive_mode"), "off");
    proved(&["wal-archiving", "acid-operated", "on", "--yes"]);
    assert_eq!(show("archive_mode"), "on");
    well();

    proved(&["base-backup", "acid-operated", "--yes"]);
    proved(&["restart", "acid-operated", "--yes"]);
    let pods =
        || place.kubectl(&["get", "pods", "-l", "application=spilo", "-o", "jsonpath={.items[*].metadata.uid}"]).0;
    let before = pods();
    proved(&["restart", "acid-operated", "what=pods", "--yes", "--reason", "a drill"]);
    assert!(pods().split(' ').all(|uid| !before.contains(uid)), "{before} {}", pods());
    let events = place.kubectl(&["get", "events", "-o", "jsonpath={.items[?(@.reason=='pgdeck')].message}"]).0;
    assert!(events.contains("reason: a drill"), "{events}");
    well();

    // Patroni would resume replay within a loop of 2 s, were it not paused.
    let standby =
        if primary() == "acid-operated-0" { "acid-operated/acid-operated-1" } else { "acid-operated/acid-operated-0" };
    proved(&["replay-pause", standby, "--for", "6s", "--yes"]);
    refused(&["replay-resume", standby, "--yes"], "is not paused");
    well();

    proved(&["detach", "acid-operated", "--yes"]);
    refused(&["reconcile", "acid-operated", "--yes"], "attach it first");
    refused(&["delete", "acid-operated", "--confirm", "acid-operated"], "attach it first");
    proved(&["attach", "acid-operated", "--yes"]);

    refused(&["delete", "acid-operated", "--yes"], "--confirm acid-operated");
    let delete = ["delete", "acid-operated", "--confirm", "acid-operated"];
    let (_, run) = order(real, "operate", &place, &delete);
    if run["outcome"] == "UNPROVEN" && run.to_string().contains("has left them behind") {
        // An operator that was just looking at it forgets its pods (busy).
        eprintln!("  operated: the operator has left its pods behind");
        proved(&delete);
    } else {
        assert_eq!(run["outcome"], "PROVED", "{run:#}");
    }
    // A backup's Job keeps its pod; volumes go when the pods that had them are gone.
    let is_of_cluster = |name: &str| name.contains("/acid-operated") || name.contains("/pgdata-acid-operated");
    let left = || place.kubectl(&["get", "pg,sts,pods,pvc", "-o", "name"]).0;
    place.eventually("nothing of the cluster is left", || !left().lines().any(is_of_cluster));
}
