//! The sandbox: it comes up whole, ends whole, and leaves nothing behind, however it ends.

mod backups;
mod operator;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pgdeck::sandbox::command;
use pgdeck::sandbox::fleet::Fleet;
use pgdeck::sandbox::objects::{CONFIG_MAP, POD, POSTGRESQL, SECRET, Store, VOLUME_CLAIM};
use pgdeck::sandbox::{Options, Sandbox};
use serde_json::{Value, json};

/// The fleet comes up in a third of this on two quiet cores; others may be working here too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A sandbox of one test, in a root of its own; ended when dropped, so that a failing test leaves nothing either.
pub struct Fixture {
    root: PathBuf,
    name: &'static str,
}

impl Fixture {
    pub fn new(test: &str, name: &'static str) -> Fixture {
        let root = PathBuf::from(format!("/var/tmp/pgdeck-test-{test}-{}", std::process::id()));
        Fixture { root, name }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pgdeck"))
            .arg("sandbox")
            .args(arguments)
            .args(["--name", self.name])
            .env("PGDECK_SANDBOX_ROOT", &self.root)
            .output()
            .unwrap()
    }

    pub fn up(&self, fleet: &str) {
        let output = self.run(&["up", "--detach", "--fleet", fleet]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn down(&self) {
        let output = self.run(&["down"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn status(&self) -> Value {
        let output = self.run(&["status", "-o", "json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn wait_until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "not {what} in time: {status:#}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    pub fn ready(&self) -> Value {
        self.wait_until("ready", |status| status["is_ready"] == true)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.run(&["down"]);
        // The lock is all that is left, unless a neighbor still lives here: then the folder is not empty, and stays.
        if fs::read_dir(&self.root).is_ok_and(|left| left.count() == 1) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// Every pid that a status names, with its start time.
fn pids(status: &Value) -> Vec<(u64, u64)> {
    let pid = |birth: &Value| Some((birth["pid"].as_u64()?, birth["started"].as_u64()?));
    let supervisor = pid(&status["supervisor"]).into_iter();
    supervisor.chain(status["processes"].as_array().unwrap().iter().filter_map(pid)).collect()
}

fn is_alive((pid, started): (u64, u64)) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ')).into_iter().flatten();
    let state = fields.next().unwrap_or("Z");
    state != "Z" && fields.nth(18).and_then(|field| field.parse().ok()) == Some(started)
}

/// Asserts that nothing that a status listed exists any more.
fn assert_gone(status: &Value) {
    for pid in pids(status) {
        assert!(!is_alive(pid), "{pid:?} is still alive");
    }
    for member in status["members"].as_array().unwrap() {
        let address = format!("{}:5432", member["address"].as_str().unwrap());
        let listening = std::net::TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(1));
        assert!(listening.is_err(), "something still listens on {address}");
        assert!(!Path::new(member["folder"].as_str().unwrap()).exists());
    }
}

#[test]
fn a_small_fleet_runs_streams_and_writes_and_down_leaves_nothing() {
    let sandbox = Fixture::new("small", "one");
    sandbox.up("small");
    let status = sandbox.ready();
    assert_eq!(status["members"].as_array().unwrap().len(), 2);
    assert!(pids(&status).len() >= 5, "{status:#}");

    sandbox.down();

    assert_gone(&status);
    assert!(!Path::new(status["folder"].as_str().unwrap()).exists());
    assert_eq!(sandbox.status()["state"], "down");
}

#[test]
fn what_a_killed_supervisor_left_ends_with_the_next_up_and_a_second_sandbox_is_untouched() {
    let first = Fixture::new("killed", "one");
    let second = Fixture { root: first.root.clone(), name: "two" };
    first.up("small");
    second.up("none");
    let before = first.wait_until("a primary", |status| {
        status["members"].as_array().unwrap().iter().any(|member| member["role"] == "primary")
    });
    let neighbor = second.status();
    let supervisor = before["supervisor"]["pid"].to_string();
    assert!(Command::new("kill").args(["-9", &supervisor]).status().unwrap().success());
    first.wait_until("dead", |status| status["state"] == "dead");

    first.up("none");

    let old = pids(&before);
    assert!(old.iter().all(|pid| !is_alive(*pid)), "{old:?}");
    assert!(first.status()["members"].as_array().unwrap().is_empty());
    assert_eq!(second.status()["supervisor"], neighbor["supervisor"]);
    assert_ne!(first.status()["api"], second.status()["api"]);
}

#[test]
fn no_password_is_in_a_command_line_or_an_environment() {
    let sandbox = Fixture::new("secrets", "one");
    sandbox.up("small");
    sandbox.ready();
    assert_no_process_shows_a_password();
}

/// Asserts that no command line and no environment of any process holds a password of a sandbox.
pub fn assert_no_process_shows_a_password() {
    let shown = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process = entry.unwrap().path();
        let told = ["cmdline", "environ"].map(|file| fs::read(process.join(file)).unwrap_or_default());
        let found = told.iter().any(|text| text.windows(7).any(|word| word == b"CANARY-"));
        found.then(|| (process, String::from_utf8_lossy(&told[0]).into_owned()))
    });
    assert_eq!(shown.collect::<Vec<_>>(), []);
}

#[tokio::test]
async fn a_sandbox_that_is_only_dropped_leaves_nothing_either() {
    let name = format!("drop-{}", std::process::id());
    let options = Options { name, fleet: Fleet::Small, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        let status = serde_json::to_value(sandbox.status().await.unwrap()).unwrap();
        if status["members"].as_array().unwrap().iter().any(|member| member["role"] == "primary") {
            break status;
        }
        assert!(Instant::now() < deadline, "no primary in time: {status:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };

    drop(sandbox);

    let left: Vec<Value> =
        status["processes"].as_array().unwrap().iter().filter(|process| is_listed_alive(process)).cloned().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!Path::new(status["folder"].as_str().unwrap()).exists());
}

fn is_listed_alive(process: &Value) -> bool {
    is_alive((process["pid"].as_u64().unwrap(), process["started"].as_u64().unwrap()))
}

#[tokio::test]
async fn a_crowd_has_real_sizes_and_moves_by_its_regime() {
    let sandbox = Fixture::new("crowd", "one");
    let output = sandbox.run(&["up", "--detach", "--fleet", "none", "--crowd", "20", "--regime", "heartbeat+churn"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let store = store(&sandbox.ready()).await;
    let pods = store.list(POD, "crowd-00", "application=spilo").await.unwrap();
    assert_eq!(pods.len(), 60);
    assert!(pods.iter().all(|pod| pod.to_string().len() >= 9 * 1024 && pod["status"]["phase"] == "Running"));

    let words = || async { store.list(POSTGRESQL, "crowd-00", "").await.unwrap() };
    let leader = CONFIG_MAP.at("crowd-00", "crowd-00007-leader");
    let renewed = |leader: Option<Value>| leader.unwrap()["metadata"]["annotations"]["renewTime"].clone();
    let (before, first) = (renewed(store.get(&leader).await.unwrap()), words().await);
    let deadline = Instant::now() + PATIENCE;
    while renewed(store.get(&leader).await.unwrap()) == before || words().await == first {
        assert!(Instant::now() < deadline, "nothing moves");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A way to the API of a sandbox that is up.
pub async fn store(status: &Value) -> Store {
    let kubeconfig = Path::new(status["kubeconfig"].as_str().unwrap());
    Store::new(command::client(kubeconfig).await.unwrap().0, "test")
}

fn members(status: &Value) -> Vec<&str> {
    status["members"].as_array().unwrap().iter().map(|member| member["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_manifest_is_followed_up_and_down_and_to_its_end() {
    let sandbox = Fixture::new("scale", "one");
    sandbox.up("small");
    let store = store(&sandbox.ready()).await;
    let shop = POSTGRESQL.at("production", "acid-shop");

    store.patch(&shop, &json!({ "spec": { "numberOfInstances": 1 } })).await.unwrap();
    sandbox.wait_until("scaled down", |status| members(status) == ["acid-shop-0"] && status["is_ready"] == true);

    store.patch(&shop, &json!({ "spec": { "numberOfInstances": 2 } })).await.unwrap();
    sandbox.wait_until("scaled up", |status| members(status).len() == 2 && status["is_ready"] == true);

    store.delete(&shop, None).await.unwrap();
    let status = sandbox.wait_until("deleted", |status| members(status).is_empty());
    assert!(status["clusters"].as_object().unwrap().is_empty());
    for kind in [SECRET, VOLUME_CLAIM, CONFIG_MAP] {
        let deadline = Instant::now() + PATIENCE;
        while !store.list(kind, "production", "cluster-name=acid-shop").await.unwrap().is_empty() {
            assert!(Instant::now() < deadline, "{kind:?} of a deleted cluster stay");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_container_whose_patroni_dies_is_started_again_and_counted() {
    let sandbox = Fixture::new("restart", "one");
    sandbox.up("small");
    let status = sandbox.ready();
    let store = store(&status).await;
    let standby = status["members"].as_array().unwrap().iter().find(|member| member["role"] == "standby").unwrap();
    let name = standby["name"].as_str().unwrap().to_string();
    let patroni = format!("patroni production/{name}");
    let process = status["processes"].as_array().unwrap().iter().find(|process| process["what"] == patroni).unwrap();

    assert!(Command::new("kill").args(["-9", &process["pid"].to_string()]).status().unwrap().success());

    sandbox.wait_until("streaming from a new server", |now| {
        let member = now["members"].as_array().unwrap().iter().find(|member| member["name"] == name).unwrap();
        member["state"] == "streaming" && member["postgres"] != standby["postgres"]
    });
    let pod = store.get(&POD.at("production", &name)).await.unwrap().unwrap();
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
}
