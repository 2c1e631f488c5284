//! Orders on a small real fleet, by the real binary: the effect is asserted in Patroni and SQL, not by what pgdeck says.
//!
//! Each action has a module here with a test for each case of [`CASES`] that can arise for it; `pgdeck do --list` tells why the
//! others cannot, and [`every_case_is_tested_or_has_its_reason`] compares the two.

mod between;
mod cases;
mod ending;
mod hanging;
mod hidden;
mod proofs;
mod recipe;
pub mod relay;
mod stage;
mod standby;
mod switched;

use std::process::Stdio;
use std::time::Duration;

use pgdeck::sandbox::objects::{CONFIG_MAP, POSTGRESQL};
use serde_json::{Value, json};

use crate::sandbox::store;
use crate::tty::Tty;
use stage::{PATIENCE, Scene, line, started};

#[tokio::test]
async fn the_primary_is_handed_over_restarted_and_copied_and_each_is_seen_in_sql() {
    let scene = Scene::up("act-patroni");
    let (old, new) = (scene.name("primary"), scene.name("standby"));

    scene.refused(&["switchover", "acid-shop"], 3, "add --write");
    scene.refused(&["switchover", "acid-shop", "--write"], 3, "add --yes");
    scene.refused(&["switchover", "acid-shop", &format!("to={old}"), "--write", "--yes"], 3, "it leads already");
    let run = scene.proved(&["switchover", "acid-shop", "--yes", "--reason", "a drill"]);
    assert_eq!(run["orders"][0]["body"], json!({"leader": old, "candidate": new}));
    let streams = |from: &str| format!("1 of 1 standbys stream from {from} (pg_stat_replication)");
    line(&run, "lines", &format!("{new} leads on timeline 2; {}", streams(&new)));
    let session = scene.session("primary").await;
    let in_recovery: bool = session.client.query_one("select pg_is_in_recovery()", &[]).await.unwrap().get(0);
    assert!(!in_recovery && scene.name("primary") == new, "{new} does not lead");

    let before = started(&session).await;
    let run = scene.proved(&["restart", &format!("acid-shop/{new}"), "--yes"]);
    line(&run, "lines", &streams(&new));
    assert_ne!(started(&scene.session("primary").await).await, before);

    scene.refused(&["reinitialize", &format!("acid-shop/{old}"), "--write", "--yes"], 3, "--confirm acid-shop");
    scene.refused(&["reinitialize", &format!("acid-shop/{new}"), "--write", "--confirm", "acid-shop"], 3, "leads");
    let before = started(&scene.session("standby").await).await;
    let run = scene.proved(&["reinitialize", &format!("acid-shop/{old}"), "--confirm", "acid-shop"]);
    line(&run, "lines", "and streams (pg_stat_wal_receiver)");
    assert_ne!(started(&scene.session("standby").await).await, before);

    scene.refused(&["failover", "acid-shop", &format!("to={old}"), "--write", "--yes"], 3, "--confirm acid-shop");
    let run = scene.proved(&["failover", "acid-shop", &format!("to={old}"), "--confirm", "acid-shop"]);
    line(&run, "lines", &format!("{old} leads on timeline 3; {}", streams(&old)));
    assert_eq!(scene.name("primary"), old);

    let journal = scene.journal();
    let asked: Vec<&Value> = journal.iter().filter(|line| line["entry"] == "asked").collect();
    assert_eq!(
        asked.iter().map(|line| line["action"].as_str().unwrap()).collect::<Vec<_>>(),
        ["switchover", "restart", "reinitialize", "failover"]
    );
    assert_eq!((asked[0]["reason"].as_str(), asked[0]["confirm"].as_str()), (Some("a drill"), Some("--yes")));
    assert!(journal.iter().filter(|line| line["entry"] == "ended").all(|line| line["outcome"] == "PROVED"));
}

#[tokio::test]
async fn members_come_and_go_and_patroni_is_paused_and_resumed() {
    let scene = Scene::up("act-scale");
    let store = store(&scene.sandbox.status()).await;
    let shop = POSTGRESQL.at("production", "acid-shop");
    let wanted = async || store.get(&shop).await.unwrap().unwrap()["spec"]["numberOfInstances"].clone();
    let config = async || {
        let map = store.get(&CONFIG_MAP.at("production", "acid-shop-config")).await.unwrap().unwrap();
        serde_json::from_str::<Value>(map["metadata"]["annotations"]["config"].as_str().unwrap()).unwrap()
    };

    let (code, out, _) = scene.pgdeck(&["do", "scale", "acid-shop", "3", "--dry-run"]);
    assert!(code == 0 && out.contains("nothing was changed"), "{out}");
    scene.refused(&["scale", "acid-shop", "many", "--write", "--yes"], 3, "is no number of members");
    scene.refused(&["scale", "acid-shop", "2", "--write", "--yes"], 3, "2 members already");
    scene.refused(&["scale", "acid-shop", "3", "--readonly", "--write", "--yes"], 3, "allows no change");
    scene.refused(&["scale", "acid-shop", "0", "--write", "--yes"], 3, "--confirm acid-shop");
    assert_eq!(wanted().await, 2);

    let run = scene.proved(&["scale", "acid-shop", "3", "--yes"]);
    let streams = format!("2 of 2 standbys stream from {} (pg_stat_replication)", scene.name("primary"));
    line(&run, "lines", &streams);
    let session = scene.session("primary").await;
    let count: i64 = session
        .client
        .query_one("select count(*) from pg_stat_replication where state = 'streaming'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!((wanted().await, count), (json!(3), 2));

    scene.refused(&["patroni-resume", "acid-shop", "--write", "--yes"], 3, "not paused");
    scene.proved(&["patroni-pause", "acid-shop", "--yes"]);
    assert_eq!(config().await["pause"], true);
    scene.proved(&["patroni-resume", "acid-shop", "--yes"]);
    assert_eq!(config().await["pause"], Value::Null);

    // Whoever may only look is told which right is missing.
    let view = scene.kubeconfig.replace("/kubeconfig", "/kubeconfig-view");
    let (code, _, err) = scene.pgdeck_as(&view, &["do", "scale", "acid-shop", "2", "--write", "--yes"]);
    assert!(code == 4 && err.contains("patch postgresqls.acid.zalan.do"), "{code}: {err}");
    assert_eq!(wanted().await, 3);
}

#[tokio::test]
async fn a_query_is_cancelled_and_a_session_ended_and_no_other() {
    let scene = Scene::up("act-session");
    let session = scene.session("primary").await;
    let pid: i32 = session.client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let other = scene.session("primary").await;
    let member = format!("acid-shop/{}", scene.name("primary"));
    let pid_text = pid.to_string();

    scene.refused(&["cancel", &member, &pid_text, "--write", "--yes"], 3, "runs no query that could be cancelled");
    scene.refused(&["terminate", &member, "1", "--write", "--yes"], 3, "backend 1 is gone");
    let asked = tokio::spawn(async move {
        let error = session.client.batch_execute("select pg_sleep(600)").await.unwrap_err();
        (session, error.code().unwrap().code().to_owned())
    });
    let running = "select count(*) from pg_stat_activity where pid = $1 and state = 'active'";
    let is_running = async || other.client.query_one(running, &[&pid]).await.unwrap().get::<_, i64>(0) == 1;
    crate::kube::stage::eventually("a query that runs", is_running).await;
    scene.proved(&["cancel", &member, &pid_text, "--yes"]);
    let (session, code) = asked.await.unwrap();
    assert_eq!(code, "57014");

    session.client.batch_execute("select 1").await.unwrap();
    scene.proved(&["terminate", &member, &pid_text, "--yes"]);
    assert!(session.client.batch_execute("select 1").await.is_err());
    other.client.batch_execute("select 1").await.unwrap();
}

/// Two wait, one behind the other; the one that holds both up is ended, and they go on.
#[tokio::test]
async fn whoever_holds_a_session_up_is_ended_and_the_session_goes_on() {
    let scene = Scene::up("act-blockers");
    let looker = scene.session("primary").await;
    looker
        .client
        .batch_execute("create table held (id int primary key, n int); insert into held values (1, 0)")
        .await
        .unwrap();
    let member = format!("acid-shop/{}", scene.name("primary"));
    let holder = scene.session("primary").await;
    holder.client.batch_execute("begin; update held set n = 1 where id = 1").await.unwrap();
    let pid = async |session: &pgdeck::sandbox::sql::Session| -> i32 {
        session.client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
    };
    let held_by = pid(&holder).await;
    let blocked_by = async |pid: i32| -> Vec<i32> {
        looker.client.query_one("select pg_blocking_pids($1)", &[&pid]).await.unwrap().get(0)
    };
    let mut waiters = Vec::new();
    for n in [2, 3] {
        let waiter = scene.session("primary").await;
        let waits = pid(&waiter).await;
        let update = format!("update held set n = {n} where id = 1");
        waiters.push((waits, tokio::spawn(async move { waiter.client.batch_execute(&update).await })));
        crate::kube::stage::eventually("a session that waits", async || !blocked_by(waits).await.is_empty()).await;
    }
    let last = waiters[1].0.to_string();
    assert!(!blocked_by(waiters[1].0).await.contains(&held_by), "it waits for the holder itself: there is no tree");

    scene.refused(&["cancel", &member, &last, "blockers", "--write", "--yes"], 3, "is idle in transaction");
    let idle = held_by.to_string();
    scene.refused(&["terminate", &member, &idle, "blockers", "--write", "--yes"], 3, "waits for no lock");
    let run = scene.proved(&["terminate", &member, &last, "whom=blockers", "--yes"]);
    assert_eq!(run["orders"].as_array().unwrap().len(), 1, "{run:#}");
    for (_, waiter) in waiters {
        waiter.await.unwrap().unwrap();
    }
    assert!(holder.client.batch_execute("select 1").await.is_err());
    let n: i32 = looker.client.query_one("select n from held", &[]).await.unwrap().get(0);
    assert_eq!(n, 3);
}

#[tokio::test]
async fn in_the_console_an_order_is_armed_confirmed_and_proved_before_your_eyes() {
    let scene = Scene::up("act-console");
    let (old, new) = (scene.name("primary"), scene.name("standby"));
    let mut tty = Tty::start(&["-A"], &[("KUBECONFIG", &scene.kubeconfig)], (120, 40));
    tty.wait_within(PATIENCE, "a healthy cluster", |tty| tty.text().contains(" ok ") && tty.text().contains("2/2"));
    assert!(tty.text().contains("READ-ONLY"));

    tty.keys("xs");
    tty.wait_within(PATIENCE, "an offer that cannot be taken", |tty| tty.text().contains("READ-ONLY: leave"));
    tty.keys("y");
    tty.keys("\u{1b}");
    tty.wait_for("the fleet", |tty| !tty.text().contains("READ-ONLY: leave"));
    assert_eq!(scene.name("primary"), old);

    tty.keys("W");
    tty.wait_for("armed", |tty| tty.text().contains("ARMED one"));
    tty.keys("xs");
    tty.wait_within(PATIENCE, "the offer", |tty| tty.text().contains("y do it"));
    tty.keys("y");
    tty.wait_within(PATIENCE, "the proof", |tty| tty.text().contains("PROVED"));
    assert_eq!(scene.name("primary"), new);
    tty.keys("\u{1b}");
    tty.wait_for("the fleet", |tty| !tty.text().contains("PROVED  ") && tty.text().contains("2/2"));
    let path = tty.home().join(".local/state/pgdeck/journal.jsonl");
    let journal = std::fs::read_to_string(&path).unwrap();
    assert!(journal.contains("\"PROVED\"") && !journal.contains("CANARY-"), "{journal}");

    // What is held when the terminal goes is taken back before the end.
    tty.keys("\r");
    tty.wait_within(PATIENCE, "the standby", |tty| tty.text().contains("TOPOLOGY") && tty.text().contains("standby"));
    tty.go_to(PATIENCE, &old);
    tty.keys("xh");
    tty.wait_within(PATIENCE, "the offer", |tty| tty.text().contains("y do it"));
    tty.keys("y");
    tty.wait_within(PATIENCE, "what is held", |tty| tty.text().contains("HELD BY YOU: replay-pause of"));
    tty.wait_within(PATIENCE, "that it is held", |tty| tty.text().contains("held: "));
    let config = async || {
        let spot = CONFIG_MAP.at("production", "acid-shop-config");
        let map = store(&scene.sandbox.status()).await.get(&spot).await.unwrap().unwrap();
        serde_json::from_str::<Value>(map["metadata"]["annotations"]["config"].as_str().unwrap()).unwrap()
    };
    assert!(config().await["pause"] == true && config().await["pgdeck"].is_object());
    tty.hang_up();
    assert_eq!(tty.wait_exit(Duration::from_secs(6)).exit_code(), 130);
    assert!(config().await["pause"].is_null() && config().await["pgdeck"].is_null(), "Patroni is still paused");
    let replay = "select pg_get_wal_replay_pause_state()";
    let state: String = scene.session("standby").await.client.query_one(replay, &[]).await.unwrap().get(0);
    assert_eq!(state, "not paused");
}

#[test]
fn a_right_that_is_missing_is_greyed_before_it_is_tried() {
    let scene = Scene::up("act-rights");
    let view = scene.kubeconfig.replace("/kubeconfig", "/kubeconfig-view");
    let missing = "the right to patch postgresqls.acid.zalan.do is missing";
    for (kubeconfig, is_missing) in [(&view, true), (&scene.kubeconfig, false)] {
        let mut tty = Tty::start(&["-A"], &[("KUBECONFIG", kubeconfig)], (120, 40));
        tty.wait_within(PATIENCE, "the members", |tty| tty.text().contains("acid-shop") && tty.text().contains("2/2"));
        tty.keys(":");
        tty.keys("reconcile");
        let is_told = |tty: &Tty| tty.text().contains(missing);
        if is_missing {
            tty.wait_within(PATIENCE, "the missing right", is_told);
        } else {
            tty.wait_within(PATIENCE, "the offer", |tty| tty.text().contains("Makes the operator look"));
        }
        assert_eq!(is_told(&tty), is_missing, "{}", tty.text());
        tty.keys("\u{3}");
        tty.wait_exit(PATIENCE);
    }
}

/// pgdeck dies between the answer and the proof: before the next order to the same cluster the last one is proved.
#[test]
fn what_was_cut_off_is_settled_before_the_next_order() {
    let scene = Scene::up("act-cut-off");
    let mut child = scene.command(&scene.kubeconfig);
    child.args(["do", "patroni-pause", "acid-shop", "--write", "--yes"]);
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    scene.journaled("answered", 0);
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = || scene.journal().into_iter().filter(|line| line["entry"] == "ended").collect::<Vec<_>>();
    assert!(ended().is_empty(), "it was over before");

    let (code, out, err) = scene.pgdeck(&["do", "patroni-resume", "acid-shop", "--write", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("was cut off at") && err.contains("patroni-pause: PROVED"), "{err}");
    let outcomes: Vec<Value> = ended().into_iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, ["PROVED", "PROVED"]);
}

macro_rules! actions {
    ($($id:ident: $($case:ident)*;)*) => {
        /// What is tested here, by the same table that makes the tests.
        const TESTED: &[(&str, &[&str])] = &[$((stringify!($id), &[$(stringify!($case)),*])),*];
        $(mod $id {
            $(#[test]
            fn $case() {
                super::cases::run(stringify!($id), stringify!($case));
            })*
        })*
    };
}

actions! {
    scale: happy refused forbidden conflict leader_changed api_lost killed;
    wal_archiving: happy refused forbidden conflict api_lost killed;
    logical_backup: happy refused forbidden conflict api_lost killed;
    base_backup: happy refused forbidden api_lost killed;
    replay_pause: happy refused forbidden leader_changed api_lost killed;
    replay_resume: happy refused forbidden leader_changed api_lost killed;
    switchover: happy refused forbidden leader_changed api_lost killed;
    failover: happy refused forbidden leader_changed api_lost killed;
    restart: happy refused forbidden conflict leader_changed api_lost killed;
    reload: happy refused forbidden api_lost killed;
    reinitialize: happy refused forbidden leader_changed api_lost killed;
    patroni_pause: happy refused forbidden api_lost killed;
    patroni_resume: happy refused forbidden api_lost killed;
    reconcile: happy refused forbidden conflict api_lost killed;
    detach: happy refused forbidden conflict api_lost killed;
    attach: happy refused forbidden conflict api_lost killed;
    delete: happy refused forbidden conflict api_lost killed;
    switchover_cancel: happy refused forbidden leader_changed api_lost killed;
    cancel: happy refused forbidden leader_changed api_lost killed;
    terminate: happy refused forbidden leader_changed api_lost killed;
    psql: happy refused forbidden killed;
    exec: refused forbidden;
    forward: happy refused forbidden killed;
}

#[test]
fn every_case_is_tested_or_has_its_reason() {
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_pgdeck")).args(["do", "--list", "-o", "json"]).output().unwrap();
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed.len(), TESTED.len());
    for row in &listed {
        let id = row["id"].as_str().unwrap().replace('-', "_");
        let (_, tested) =
            TESTED.iter().find(|(tested, _)| *tested == id).unwrap_or_else(|| panic!("{id} has no tests"));
        for case in cases::CASES {
            let reason = row["n/a"][case].as_str().is_some_and(|reason| reason.len() > 10);
            assert!(
                tested.contains(&case) != reason,
                "{id}::{case}: tested {}, reason {reason}",
                tested.contains(&case)
            );
        }
        for key in ["risk", "args", "proof", "undo"] {
            assert!(!row[key].is_null(), "{id} has no {key}");
        }
        assert!(row["real"] == true || row["why_not_real"].as_str().is_some_and(|why| why.len() > 10), "{id}");
    }
}
