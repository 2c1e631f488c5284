//! A slot that was made by hand and that Patroni was not told of: when it goes, and who is warned before.

use std::time::Duration;

use serde_json::{Value, json};

use crate::habits::pair;
use crate::life::row;
use crate::place::{PATIENCE, Place, Real, is_whole, within};

/// The slot's name.
const BY_HAND: &str = "byhand";

pub fn unknown(real: &Real) {
    let place = Place::new(real, "unknown");
    place.create("acid-odd", 2, &json!({ "databases": { "shop": "app" }, "users": { "app": [] } }));
    let made = place.until("acid-odd", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
    let (primary, standby) = pair(&made);
    let mut console = place.console("admin");
    console.wait_within(PATIENCE, "a healthy row", |tty| row(tty, "acid-odd").contains("○ ok"));
    let configure = |body: Value| place.patroni_api(&primary, "PATCH /config", &body);
    let is_paused = |member: &str| place.patroni_api(member, "GET /patroni", &Value::Null)["pause"] == true;
    let stands = || place.sql(&primary, "select slot_name from pg_replication_slots").contains(BY_HAND);

    // While Patroni is paused it leaves the slot alone.
    configure(json!({ "pause": true }));
    place.eventually("Patroni knows that it is paused", || is_paused(&primary) && is_paused(&standby));
    place.sql(&primary, &format!("select pg_create_logical_replication_slot('{BY_HAND}', 'pgoutput')"));
    let words = format!(
        "Patroni does not know the slots {BY_HAND} of {primary}, and may drop them when its configuration changes: declare them \
         (spec.patroni.slots) first"
    );
    let member = format!("acid-odd/{standby}");
    let (code, said) = dry_run(&place, &["replay-pause", &member]);
    assert!(code == 3 && said.contains(&format!("RED    {words}")), "{code}: {said}");
    let (_, said) = dry_run(&place, &["patroni-resume", "acid-odd"]);
    assert!(said.contains(&format!("amber  {words}")), "{said}");
    console.keys("d");
    console.wait_within(PATIENCE, "the cluster's page", |tty| tty.text().contains("TOPOLOGY"));
    console.go_to(PATIENCE, &standby);
    console.keys("xh");
    console.wait_within(PATIENCE, "the slot that may go, in the offer", |tty| tty.text().contains(&words[..40]));
    console.keys("\x1b");
    assert!(stands(), "a paused Patroni dropped it");

    configure(json!({ "pause": null }));
    place.eventually("Patroni is active again", || !is_paused(&primary));
    // Ten loops of Patroni.
    let gone = || within(Duration::from_secs(20), || !stands());
    let by = if gone() {
        "the end of the pause"
    } else if configure(json!({ "pgdeck": { "who": "a test" } })).is_object() && gone() {
        "a change of its configuration"
    } else {
        place.patroni_api(&primary, "POST /restart", &json!({}));
        place.eventually("a restart drops it", || !stands());
        "a restart of the member"
    };
    eprintln!("  unknown: the slot was dropped by {by}");
    configure(json!({ "pgdeck": null }));
    place.until("acid-odd", "well", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");
}

/// The exit code of an order that is only looked at, and all that is said.
fn dry_run(place: &Place<'_>, arguments: &[&str]) -> (i32, String) {
    let mut command = place.real.pgdeck("operate");
    let output = command.args(["do", "--dry-run", "-n", place.namespace]).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    (output.status.code().unwrap(), said)
}
