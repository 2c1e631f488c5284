//! What the operator and the API server do behind one's back, and what pgdeck says of it then.

use serde_json::json;

use crate::acting::order;
use crate::life::row;
use crate::place::{PATIENCE, Place, Real, has_verdict, is_whole};
use pgdeck::sandbox::objects::{CRON_JOB, POSTGRESQL, STATEFUL_SET};

/// A pod's identity; empty where there is none.
fn uid(place: &Place<'_>, pod: &str) -> String {
    place.kubectl(&["get", "pod", pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"]).0
}

/// Changes an environment variable, and waits until the operator is busy with new pods.
fn make_busy(place: &Place<'_>, cluster: &str, value: &str) {
    let names = [0, 1].map(|ordinal| format!("{cluster}-{ordinal}"));
    let standby = names.into_iter().find(|name| place.cluster(cluster)["primary"] != **name).unwrap();
    let before = uid(place, &standby);
    place.patch(cluster, &json!({ "env": [{ "name": "PGDECK_TEST", "value": value }] }));
    place.eventually("a pod is made anew", || uid(place, &standby) != before);
}

/// Of two changes that were made while the operator was at work, the first is lost; a cluster that is deleted then outlives its resource.
pub fn busy(real: &Real) {
    let place = Place::new(real, "busy");
    place.create("acid-busy", 2, &json!({ "enableLogicalBackup": true }));
    place.until("acid-busy", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let job = || place.get(CRON_JOB, "logical-backup-acid-busy");
    place.eventually("its backup", || job().is_some());
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-busy").contains("○ ok"));

    make_busy(&place, "acid-busy", "1");
    place.patch("acid-busy", &json!({ "enableLogicalBackup": false }));
    place.patch("acid-busy", &json!({ "postgresql": { "parameters": { "log_min_duration_statement": "123" } } }));
    let shown = |member: &str| place.sql(member, "show log_min_duration_statement") == "123ms";
    // A member that just starts may take it only with Patroni's next change.
    place.eventually("the second change", || shown("acid-busy-0") || shown("acid-busy-1"));
    // The operator says that all is well, and its syncs leave the job alone.
    let lost = "no logical backup is asked for, CronJob logical-backup-acid-busy still runs";
    console.keys("d");
    console.wait_within(PATIENCE, "the change that was lost", |tty| tty.text().contains(lost));
    // Its looks in between are told as Updating, too.
    place.until("acid-busy", "that all is well", |cluster| cluster["status"] == "Running");
    assert!(job().is_some());
    console.keys("q");

    make_busy(&place, "acid-busy", "2");
    place.kubectl(&["delete", "postgresql", "acid-busy"]);
    assert!(place.get(POSTGRESQL, "acid-busy").is_none(), "it had a finalizer");
    assert!(place.get(STATEFUL_SET, "acid-busy").is_some(), "the operator was not at work any more");
    let words = ["no postgresql object", "being deleted, or orphaned"];
    place.until("acid-busy", "it is orphaned", |cluster| has_verdict(cluster, "orphan", &words));
    console.wait_within(PATIENCE, "the orphan", |tty| row(tty, "acid-busy").contains("no object"));
    place.eventually("the operator comes to it", || place.get(STATEFUL_SET, "acid-busy").is_none());
    // What was made anew meanwhile may stay for good: as long as it does it is told, and no longer.
    let left = || place.kubectl(&["get", "sts,pods,pvc", "-o", "name"]).0.replace('\n', " ");
    place.eventually("what is left of it is told", || {
        let before = left();
        let cluster = place.cluster("acid-busy");
        let is_told = match (before.contains("statefulset"), before.contains("pod/")) {
            (true, _) => false,
            (false, true) => has_verdict(&cluster, "orphan", &["left behind"]),
            (false, false) => cluster.is_null(),
        };
        is_told && before == left()
    });
    let forgotten = left();
    eprintln!("  busy: after its deletion: {forgotten}");
    if forgotten.contains("pod/") {
        let (code, run) = order(real, "operate", &place, &["delete", "acid-busy", "--confirm", "acid-busy"]);
        assert_eq!((code, run["outcome"].as_str()), (0, Some("PROVED")), "{run:#}");
        place.eventually("their volumes go with them", || left().trim().is_empty());
        console.wait_within(PATIENCE, "no row", |tty| !tty.text().contains("acid-busy"));
    }
}

/// What no operator can make is told by its event; what the schema forbids gets no cluster at all.
pub fn unmakeable(real: &Real) {
    let place = Place::new(real, "unmakeable");
    let mut console = place.console("admin");
    let name = format!("acid-{}", "long".repeat(14));
    place.create(&name, 1, &json!({}));
    let failed =
        place.until(&name, "its reason", |cluster| has_verdict(cluster, "operator_failed", &["must be no more than"]));
    eprintln!("  unmakeable: {} {}", failed["status"], failed["why"]);
    console.wait_within(PATIENCE, "the word", |tty| tty.text().contains("CreateFailed"));
    console.keys("\r");
    console.wait_within(PATIENCE, "its reason", |tty| tty.text().contains("must be no more than"));
    // Its initdb fails again and again: no pod of it ever gets a role, and the operator waits for that.
    console.keys("q");
    place.create("acid-mute", 1, &json!({ "patroni": { "initdb": { "nonsense": "yes" } } }));
    console.wait_within(PATIENCE, "a pod that does not come up", |tty| {
        let row = row(tty, "acid-mute");
        row.contains("Creating") && !row.contains("○ ok")
    });
    eprintln!("  unmakeable: on the way: {}", place.cluster("acid-mute")["why"]);
    let mute = place.until_within(PATIENCE * 2, "acid-mute", "no labels", |cluster| {
        has_verdict(cluster, "operator_failed", &["CreateFailed", "pod labels error"])
    });
    eprintln!("  unmakeable: {} {}", mute["status"], mute["why"]);
    console.wait_within(PATIENCE, "the reason", |tty| row(tty, "acid-mute").contains("CreateFailed"));
    let refused = place.try_create("acid-old", 1, &json!({ "postgresql": { "version": "9.1" } })).unwrap_err();
    assert!(refused.contains("spec.postgresql.version"), "{refused}");
}

/// What the schema lacks is dropped by the API server without a word, unless it is asked to be strict: pgdeck is, and says so.
pub fn unknown_field(real: &Real) {
    let place = Place::new(real, "strict");
    place.create("acid-terse", 1, &json!({}));
    place.until("acid-terse", "made", |cluster| is_whole(cluster, 1) && cluster["health"] == "ok");
    let field = r#"{"spec":{"enableWALArchiving":true}}"#;
    let (said, warned) = place.kubectl(&["patch", "pg", "acid-terse", "--type=merge", "-p", field]);
    assert!(
        said.contains("no change") && warned.contains("unknown field \"spec.enableWALArchiving\""),
        "{said} {warned}"
    );

    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-terse").contains("○ ok"));
    console.keys(":wal-archiving off by=field\r");
    console.wait_within(PATIENCE, "why there is nothing to send", |tty| {
        tty.text().contains("this operator's CRD has no enableWALArchiving")
    });
    console.keys("\x1b");

    // An older schema than any that pgdeck knows.
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/enableLogicalBackup";
    let schema = |change: serde_json::Value| {
        let change = json!([change]).to_string();
        let (said, fault) = place.kubectl(&["patch", "crd", "postgresqls.acid.zalan.do", "--type=json", "-p", &change]);
        assert!(said.contains("patched"), "{said} {fault}");
    };
    schema(json!({ "op": "remove", "path": path }));
    console.keys(":logical-backup on\r");
    console.wait_within(PATIENCE, "the offer", |tty| tty.text().contains("enableLogicalBackup: true"));
    console.keys("t");
    console.wait_within(PATIENCE, "the server's reason, without the object before it", |tty| {
        let text = tty.text();
        let text: Vec<&str> = text.split([' ', '\n', '│']).filter(|word| !word.is_empty()).collect();
        text.join(" ").contains("was refused: strict decoding error: unknown field \"spec.enableLogicalBackup\"")
    });
    schema(json!({ "op": "add", "path": path, "value": { "type": "boolean" } }));
}
