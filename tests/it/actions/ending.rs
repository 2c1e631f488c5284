//! The end of the console, and what its orders leave behind.

use std::time::Duration;

use pgdeck::sandbox::objects::{CONFIG_MAP, Spot};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::hanging::Stopped;
use super::stage::{PATIENCE, Scene};
use crate::sandbox::store;
use crate::tty::Tty;

const CLUSTER: &str = "one//production/acid-shop";

/// A signal is heeded within this.
const LAST_CALL: Duration = Duration::from_secs(6);

fn console(scene: &Scene) -> Tty {
    opened(scene, &["-n", "production", "--write"])
}

fn opened(scene: &Scene, arguments: &[&str]) -> Tty {
    let vars = [("HOME", scene.home.to_str().unwrap()), ("KUBECONFIG", &*scene.kubeconfig)];
    let mut tty = Tty::start(arguments, &vars, (160, 50));
    // Patroni's leader is known before the pods are.
    tty.wait_within(PATIENCE, "both members", |tty| tty.text().contains("acid-shop-") && tty.text().contains(" 2/2 "));
    tty.keys("/acid-shop\r");
    tty
}

/// Gives an order, and waits for its end.
fn does(scene: &Scene, tty: &mut Tty, keys: &str) {
    tty.keys(keys);
    tty.wait_within(PATIENCE, "the offer", |tty| tty.text().contains("y do it"));
    let before = scene.count("ended");
    tty.keys("y");
    scene.journaled("ended", before);
    tty.keys("\u{1b}");
    tty.wait_within(PATIENCE, "the fleet", |tty| !tty.text().contains("esc leave"));
}

/// Pauses Patroni, and waits until the console has seen that.
fn pauses(scene: &Scene, tty: &mut Tty) {
    does(scene, tty, "xp");
    tty.wait_within(PATIENCE, "the pause", |tty| tty.text().contains("PAUSED"));
}

/// Pauses replay of a standby, from the cluster's page, and waits until it is held.
fn holds(tty: &mut Tty, standby: &str) {
    tty.keys("d");
    tty.wait_within(PATIENCE, "the cluster's page", |tty| tty.text().contains("TOPOLOGY"));
    tty.go_to(PATIENCE, standby);
    tty.keys("xh");
    tty.wait_within(PATIENCE, "the offer", |tty| tty.text().contains("y do it"));
    tty.keys("y");
    tty.wait_within(PATIENCE, "that it is held", |tty| tty.text().contains("held: "));
}

/// What stands on the terminal after the console has given it back.
fn last_words(tty: &mut Tty, within: Duration) -> String {
    tty.wait_exit(within);
    let all = String::from_utf8_lossy(&tty.transcript).into_owned();
    all.rsplit_once("\u{1b}[?1049l").unwrap().1.to_owned()
}

/// An object of Patroni's, as the API has it.
async fn patronis(scene: &Scene, object: &Spot) -> Value {
    let map = store(&scene.sandbox.status()).await.get(object).await.unwrap();
    map.map(|map| map["metadata"]["annotations"].clone()).unwrap_or_default()
}

async fn is_paused(scene: &Scene) -> bool {
    let annotations = patronis(scene, &CONFIG_MAP.at("production", "acid-shop-config")).await;
    serde_json::from_str::<Value>(annotations["config"].as_str().unwrap()).unwrap()["pause"] == true
}

/// Patroni's pause needs nobody who watches it: it stays when the console is left, and whoever leaves it, or opens the next one, is
/// told.
#[test]
fn a_pause_that_stays_is_told_at_the_end_and_at_the_next_start() {
    let scene = Scene::up("act-stays");
    let stays = format!("patroni-pause of {CLUSTER} stays, since ");
    let command = format!("pgdeck do patroni-resume {CLUSTER} --write ends it");

    let mut tty = console(&scene);
    pauses(&scene, &mut tty);
    tty.keys("q");
    let said = last_words(&mut tty, PATIENCE);
    assert!(said.contains(&stays) && said.contains(&command), "{said:?}");

    let mut tty = console(&scene);
    tty.keys("N");
    let told = format!("by the journal: {stays}");
    let is_told = |tty: &Tty| tty.text().contains("fleet › notices") && tty.text().contains(&told);
    tty.wait_within(PATIENCE, "the word of what stands", is_told);
    tty.keys("\u{1b}");
    tty.wait_within(PATIENCE, "the fleet", |tty| tty.text().contains("NAMESPACE"));
    tty.keys("q");
    // It is none of the orders that were given there.
    assert!(!last_words(&mut tty, PATIENCE).contains("patroni-pause"));

    let (code, out, err) = scene.pgdeck(&["do", "patroni-resume", CLUSTER, "--write", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    let mut tty = console(&scene);
    tty.keys("q");
    assert!(!last_words(&mut tty, PATIENCE).contains("patroni-pause"));
    assert!(!String::from_utf8_lossy(&tty.transcript).contains("by the journal"));
}

/// Nobody watches any more: what was ordered here and still stands is taken back, unless that may cost something for good.
#[tokio::test]
async fn a_signal_takes_back_the_pause_and_the_switchover_that_were_ordered_here() {
    let scene = Scene::up("act-signal");
    let waiting = CONFIG_MAP.at("production", "acid-shop-failover");

    let mut tty = console(&scene);
    does(&scene, &mut tty, ":switchover at=2099-01-01T00:00:00+00:00\r");
    assert!(patronis(&scene, &waiting).await["scheduled_at"].is_string(), "nothing waits");
    let before = scene.count("ended");
    tty.hang_up();
    assert_eq!(tty.wait_exit(LAST_CALL).exit_code(), 130);
    assert!(patronis(&scene, &waiting).await["scheduled_at"].is_null(), "it still waits");
    let ended = scene.lines().into_iter().rfind(|line| line["entry"] == "ended").unwrap();
    assert_eq!((scene.count("ended"), &ended["outcome"]), (before + 1, &Value::from("PROVED")));

    let mut tty = console(&scene);
    pauses(&scene, &mut tty);
    assert!(is_paused(&scene).await);
    // What the screen showed when the key was pressed is in the journal.
    let asked = scene.lines().into_iter().rfind(|line| line["entry"] == "asked").unwrap();
    assert_eq!((&asked["primary"], &asked["timeline"]), (&scene.name("primary").into(), &1.into()));
    tty.signal(Signal::TERM);
    let said = last_words(&mut tty, LAST_CALL);
    assert!(!is_paused(&scene).await, "still paused: {said:?}");
    assert!(said.contains(&format!("pgdeck: patroni-resume of {CLUSTER}")) && !said.contains("stays"), "{said:?}");
    let asked = scene.lines().into_iter().rfind(|line| line["entry"] == "asked").unwrap();
    assert_eq!((&asked["action"], &asked["confirm"]), (&"patroni-resume".into(), &"the end of pgdeck".into()));

    // A slot that Patroni does not know may go with the pause.
    let mut tty = console(&scene);
    tty.wait_within(PATIENCE, "no pause", |tty| !tty.text().contains("PAUSED"));
    pauses(&scene, &mut tty);
    let session = scene.session("primary").await;
    session.client.batch_execute("select pg_create_physical_replication_slot('byhand')").await.unwrap();
    tty.signal(Signal::TERM);
    let said = last_words(&mut tty, LAST_CALL);
    assert!(is_paused(&scene).await, "{said:?}");
    assert!(said.contains("REFUSED: somebody has to look at it: Patroni does not know the slots byhand"), "{said:?}");
    assert!(said.contains(&format!("patroni-pause of {CLUSTER} stays, since ")), "{said:?}");
}

/// Whoever asks pgdeck to end does not wait for what answers nobody; what stays then is told all the same.
#[test]
fn a_signal_is_heeded_in_time_though_nobody_answers() {
    let scene = Scene::up("act-silent");
    let mut tty = console(&scene);
    pauses(&scene, &mut tty);
    let supervisor = scene.sandbox.status()["supervisor"]["pid"].as_i64().unwrap();
    let supervisor = Pid::from_raw(supervisor.try_into().unwrap()).unwrap();
    kill_process(supervisor, Signal::STOP).unwrap();
    tty.signal(Signal::TERM);
    let said = last_words(&mut tty, LAST_CALL);
    kill_process(supervisor, Signal::CONT).unwrap();
    assert!(said.contains(&format!("patroni-pause of {CLUSTER} stays, since ")), "{said:?}");
}

/// A terminal that goes while psql has it ends both, and what was ordered before is taken back like at any other end.
#[tokio::test]
async fn a_terminal_that_goes_while_psql_has_it_takes_back_what_was_ordered_before() {
    let scene = Scene::up("act-gone");
    let mut tty = console(&scene);
    pauses(&scene, &mut tty);
    assert!(is_paused(&scene).await);
    tty.keys("xq");
    tty.wait_within(PATIENCE, "the offer", |tty| tty.text().contains("y do it"));
    tty.keys("y");
    tty.wait_within(PATIENCE, "psql", |tty| !tty.is_alternate());
    tty.keys("select 6 * 7 as answer;\r");
    tty.wait_within(PATIENCE, "its answer", |tty| tty.text().lines().any(|line| line.trim() == "42"));
    tty.hang_up();
    tty.wait_exit(LAST_CALL);
    assert!(!is_paused(&scene).await, "still paused");
    let lines = scene.lines();
    let ended = |action: &str| {
        let asked = lines.iter().rfind(|line| line["entry"] == "asked" && line["action"] == action).unwrap();
        let is_end = |line: &&Value| line["entry"] == "ended" && line["run"] == asked["run"];
        lines.iter().find(is_end).map(|line| line["outcome"].clone())
    };
    assert!(ended("psql").is_some(), "how psql ended is not in the journal: {lines:#?}");
    assert_eq!(ended("patroni-resume"), Some("PROVED".into()));
}

/// A member that answers nothing may have slots that nobody knows of: that is found out within the time that there is.
#[tokio::test]
async fn a_signal_beside_a_member_that_hangs_leaves_the_pause_and_says_why() {
    let scene = Scene::up("act-hangs");
    let mut tty = console(&scene);
    pauses(&scene, &mut tty);
    let (name, stopped) = (scene.name("standby"), Stopped::all_of(&scene.member("standby")));
    tty.signal(Signal::TERM);
    let said = last_words(&mut tty, LAST_CALL);
    drop(stopped);
    let why = format!("REFUSED: somebody has to look at it: slots of {name} are not known");
    assert!(said.contains(&why), "{said:?}");
    assert!(said.contains(&format!("patroni-pause of {CLUSTER} stays, since ")) && is_paused(&scene).await, "{said:?}");
}

/// A standby that hangs with its replay held: Patroni is freed all the same, within the time that there is.
#[tokio::test]
async fn a_signal_frees_patroni_though_the_standby_that_is_held_hangs() {
    let scene = Scene::up("act-held");
    let standby = scene.name("standby");
    let mut tty = console(&scene);
    holds(&mut tty, &standby);
    assert!(is_paused(&scene).await);
    let stopped = Stopped::all_of(&scene.member("standby"));
    tty.signal(Signal::TERM);
    let said = last_words(&mut tty, LAST_CALL);
    // It hangs still: else its own Patroni may obey late.
    assert!(!is_paused(&scene).await, "automatic failover stays off: {said:?} {:#?}", scene.lines());
    drop(stopped);
    assert!(said.contains("replay-pause of "), "{said:?}");
}

/// What a neighbour held is left to whoever runs when it dies, armed or not.
#[tokio::test]
async fn what_a_dead_neighbour_held_is_offered_to_a_console_that_runs() {
    let scene = Scene::up("act-neighbour");
    let standby = scene.name("standby");
    let mut other = opened(&scene, &["-n", "production"]);
    let mut holder = console(&scene);
    holds(&mut holder, &standby);
    holder.signal(Signal::KILL);
    holder.wait_exit(PATIENCE);

    // The next look at the cluster finds it.
    other.keys("xs");
    let asks = format!("replay-resume {CLUSTER}/{standby}");
    let before = scene.count("ended");
    other.wait_within(PATIENCE, "an offer", |tty| tty.text().contains("as of "));
    other.keys("\u{1b}");
    other.wait_within(PATIENCE, "the question", |tty| tty.text().contains(&asks) && tty.text().contains("y do it"));
    assert!(other.text().contains("READ-ONLY"), "{}", other.text());
    other.keys("y");
    scene.journaled("ended", before + 1);
    let replay = "select pg_get_wal_replay_pause_state()";
    let state: String = scene.session("standby").await.client.query_one(replay, &[]).await.unwrap().get(0);
    assert_eq!(state, "not paused");
    assert!(!is_paused(&scene).await);
}
