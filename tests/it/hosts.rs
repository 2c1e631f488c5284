//! Plain hosts: the real binary against real servers.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::postgres::{Installation, Server, WATCHER};

/// Nothing that is waited for here takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// A hosts file with the cluster `old`, in a home of its own; gone when dropped.
struct Home(PathBuf);

impl Home {
    fn new(ports: &[u16]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pgdeck-hosts-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let home = std::env::temp_dir().join(name);
        std::fs::create_dir(&home).unwrap();
        let hosts: Vec<_> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let text = format!(
            "[[cluster]]\nname = \"old\"\nhosts = [{}]\nuser = \"watcher\"\nsslmode = \"disable\"\n",
            hosts.join(", ")
        );
        std::fs::write(home.join("hosts.toml"), text).unwrap();
        Home(home)
    }

    fn status(&self, password: &str, options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        command.args(["status", "--timeout", "10", "--hosts"]).arg(self.0.join("hosts.toml")).args(options);
        command.env_clear().env("HOME", &self.0).env("PGPASSWORD", password).current_dir(&self.0);
        command.output().unwrap()
    }

    /// The cluster `old` as JSON, where the fleet could be told.
    fn cluster(&self) -> Value {
        let output = self.status(WATCHER, &["-o", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let clusters = status["clusters"].as_array().unwrap();
        assert_eq!((clusters.len(), &clusters[0]["name"]), (1, &Value::from("old")), "{status:#}");
        clusters[0].clone()
    }

    /// The same, as soon as it is as expected.
    fn until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let cluster = self.cluster();
            if is_so(&cluster) {
                return cluster;
            }
            assert!(Instant::now() < until, "{cluster:#}");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A leftover in the temporary folder fails no test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn member(cluster: &Value, port: u16) -> &Value {
    let name = Value::from(format!("127.0.0.1:{port}"));
    let members = cluster["members"].as_array().unwrap();
    members.iter().find(|member| member["name"] == name).unwrap_or_else(|| panic!("{name}: {cluster:#}"))
}

fn verdicts(cluster: &Value) -> Vec<&str> {
    cluster["verdicts"].as_array().unwrap().iter().map(|verdict| verdict["id"].as_str().unwrap_or("?")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_and_its_standby_are_told_with_roles_and_lag() {
    let mut primary = Server::primary(&Installation::own(), "").await;
    let standby = Server::standby(&mut primary).await;
    primary.execute("insert into t (x) select repeat('x', 100) from generate_series(1, 1000)").await;
    let home = Home::new(&[standby.port, primary.port]);
    let cluster = home.until(|cluster| member(cluster, standby.port)["state"] == "streaming");

    assert_eq!(cluster["primary"], format!("127.0.0.1:{}", primary.port), "{cluster:#}");
    let (first, second) = (member(&cluster, primary.port), member(&cluster, standby.port));
    assert_eq!((&first["role"], &first["state"]), (&"primary".into(), &"running".into()), "{cluster:#}");
    assert_eq!((&second["role"], &second["lag_from"]), (&"standby".into(), &"sql".into()), "{cluster:#}");
    assert!(second["lag_bytes"].is_u64() && first["lag_bytes"].is_null(), "{cluster:#}");
    assert_eq!((&first["timeline"], &second["timeline"]), (&1.into(), &1.into()), "{cluster:#}");
    assert_eq!(cluster["unlisted"], Value::Array(Vec::new()), "{cluster:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_not_listed_is_offered() {
    let mut primary = Server::primary(&Installation::own(), "").await;
    let standby = Server::standby(&mut primary).await;
    let home = Home::new(&[primary.port]);
    let cluster = home.until(|cluster| cluster["unlisted"][0]["state"] == "streaming");
    let found = &cluster["unlisted"][0];
    assert_eq!(
        (&found["application_name"], &found["client"]),
        (&"standby1".into(), &"127.0.0.1".into()),
        "{cluster:#}"
    );
    assert!(found["lag_bytes"].is_u64(), "{cluster:#}");
    drop(standby);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_another_system_is_an_error_that_says_so() {
    let installation = Installation::own();
    let (one, other) = tokio::join!(Server::primary(&installation, ""), Server::primary(&installation, ""));
    let cluster = Home::new(&[one.port, other.port]).cluster();
    assert_eq!(cluster["health"], "critical", "{cluster:#}");
    assert!(verdicts(&cluster).contains(&"mixed_systems"), "{cluster:#}");
    let why = cluster["why"].to_string();
    assert!(why.contains("not one cluster") && why.contains(&other.port.to_string()), "{cluster:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_names_user_and_host() {
    let server = Server::primary(&Installation::own(), "").await;
    let output = Home::new(&[server.port]).status("CANARY-wrong", &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    for part in ["\"watcher\"", &format!("127.0.0.1:{}", server.port), "the password"] {
        assert!(said.contains(part), "{part} is not said: {said}");
    }
    assert!(!said.contains("CANARY"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_host_is_named_beside_a_live_one() {
    let live = Server::primary(&Installation::own(), "").await;
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Home::new(&[live.port, dead]).cluster();
    assert_eq!(member(&cluster, live.port)["state"], "running", "{cluster:#}");
    let dead = member(&cluster, dead);
    assert_eq!((&dead["sampled"], &dead["state"]), (&false.into(), &"unreachable".into()), "{cluster:#}");
    assert!(dead["error"].as_str().unwrap().contains(dead["name"].as_str().unwrap()), "{cluster:#}");
    assert!(dead["remedy"].is_string(), "{cluster:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_answers_is_given_up_and_holds_nobody_back() {
    let live = Server::primary(&Installation::own(), "").await;
    // Connections wait in its queue for ever: accepted by the system, answered by nobody.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    let begun = Instant::now();
    let cluster = Home::new(&[silent, live.port]).cluster();
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(member(&cluster, live.port)["state"], "running", "{cluster:#}");
    let silent = member(&cluster, silent);
    assert_eq!(silent["sampled"], false, "{cluster:#}");
    assert!(silent["error"].as_str().unwrap().contains(silent["name"].as_str().unwrap()), "{cluster:#}");
    drop(listener);
}
