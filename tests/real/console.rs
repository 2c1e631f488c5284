//! The console of users with fewer rights than an admin, by the real authorizer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::life::row;
use crate::place::{PATIENCE, Place, Real, is_whole};

pub fn by_rights(real: &Real) {
    let place = Place::new(real, "rights");
    place.create("acid-mine", 2, &json!({}));
    place.until("acid-mine", "made", |cluster| is_whole(cluster, 2) && cluster["health"] == "ok");

    // pgdeck's own role brings everything.
    let mut operate = place.console("operate");
    operate.wait_within(PATIENCE, "a sampled row", |tty| {
        let row = row(tty, "acid-mine");
        ["○ ok", "2/2", "Running", " 0 B"].iter().all(|word| row.contains(word))
    });
    let operated = member(&place.status("operate"));
    assert_eq!((&operated["sampled"], &operated["error"]), (&json!(true), &Value::Null), "{operated:#}");

    // Without secrets everything but SQL is there, and the right that is missing has a name.
    let mut view = place.console("view");
    view.wait_within(PATIENCE, "a row by objects alone", |tty| {
        let row = row(tty, "acid-mine");
        ["2/2", "Running", "acid-mine-"].iter().all(|word| row.contains(word))
    });
    view.keys("d");
    view.wait_within(PATIENCE, "what was not sampled", |tty| tty.text().contains("not sampled"));
    let viewed = member(&place.status("view"));
    assert_eq!(viewed["sampled"], false, "{viewed:#}");
    assert!(viewed["error"].as_str().is_some_and(|error| error.contains("get secrets")), "{viewed:#}");

    // Without any right the console stays, and says so.
    let mut none = place.console("none");
    none.wait_within(PATIENCE, "what is forbidden", |tty| tty.text().contains("forbidden"));
    none.keys("o");
    none.wait_within(PATIENCE, "the right that is missing", |tty| tty.text().contains("postgresqls"));
    let mut asked = place.real.pgdeck("none");
    let refused = asked.args(["status", "--timeout", "10", "-n", place.namespace]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));

    for (user, mut console) in [("operate", operate), ("view", view), ("none", none)] {
        console.keys("\x03");
        assert_eq!(console.wait_exit(Duration::from_secs(5)).exit_code(), 0, "{user}");
    }
}

/// The first member of the one cluster there is.
fn member(status: &Value) -> Value {
    status["clusters"][0]["members"][0].clone()
}
