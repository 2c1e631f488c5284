//! A signal while a pause is asked for and not there yet: what was asked for is taken back before the end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use pgdeck::journal::Journal;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::kube::stage::eventually;
use crate::postgres::{Installation, Server};

/// What the journal takes until the signal comes, and after it.
#[derive(Clone, Copy, PartialEq)]
enum Disk {
    HasRoom,
    /// By a limit on the size of files, which does what a full disk does.
    IsFull,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_is_still_waited_for_is_taken_back_at_a_signal() {
    let (said, kinds) = interrupted(Disk::HasRoom).await;
    assert_eq!(kinds, ["asked", "sending", "answered", "sending", "answered", "ended"]);
    assert!(!said.contains("THE JOURNAL DOES NOT KEEP THIS"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_taken_back_though_the_disk_is_full_and_that_is_said_loudly() {
    let (said, kinds) = interrupted(Disk::IsFull).await;
    assert_eq!(kinds, ["asked", "sending", "answered"]);
    assert!(said.contains("THE JOURNAL DOES NOT KEEP THIS"), "{said}");
}

/// The standby replays nothing, and pauses nothing, while a query of its own is in the way: whoever waits for the pause waits.
/// Gives what was said after the signal, and the kinds of the journal's lines.
async fn interrupted(disk: Disk) -> (String, Vec<String>) {
    let mut primary = Server::primary(&Installation::own(), "max_standby_streaming_delay = -1").await;
    let standby = Server::standby(&mut primary).await;
    primary.execute("create table public.busy (x int)").await;
    let reader = standby.session("postgres").await;
    let exists = async || reader.client.batch_execute("begin; select * from public.busy").await.is_ok();
    let there = async || {
        let is_there = exists().await;
        if !is_there {
            reader.client.batch_execute("rollback").await.unwrap();
        }
        is_there
    };
    eventually("the table on the standby", there).await;
    primary.execute("alter table public.busy add y int").await;
    let watcher = standby.session("postgres").await;
    let one = async |query: &str| watcher.client.query_one(query, &[]).await.unwrap().get::<_, String>(0);
    let waits =
        "select count(*)::text from pg_stat_activity where backend_type = 'startup' and wait_event_type = 'Lock'";
    eventually("a replay that waits", async || one(waits).await == "1").await;

    let home = std::env::temp_dir().join(format!("pgdeck-signal-{}-{}", disk as u8, std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let host = format!("127.0.0.1:{}", standby.port);
    let text = format!(
        "[[cluster]]\nname = \"old\"\nhosts = [\"{host}\", \"127.0.0.1:{}\"]\nuser = \"postgres\"\nsslmode = \"disable\"\n",
        primary.port
    );
    std::fs::write(home.join("hosts.toml"), text).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pgdeck")]);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", &home)
        .arg("--hosts")
        .arg(home.join("hosts.toml"));
    command.args(["do", "replay-pause", &format!("hosts:old/{host}"), "--for", "10m", "--write", "--yes"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told: Vec<String> = Vec::new();
    while !told.last().is_some_and(|line| line.starts_with("waiting: ")) {
        told.push(out.next().unwrap_or_else(|| panic!("it ended: {told:#?}")).unwrap());
    }
    let state = "select pg_get_wal_replay_pause_state()";
    assert_eq!(one(state).await, "pause requested");
    if disk == Disk::IsFull {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        prlimit(Some(Pid::from_child(&child)), Resource::Fsize, none).unwrap();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let rest: Vec<String> = out.map(Result::unwrap).collect();
    let status = child.wait().unwrap();
    assert!(rest.iter().any(|line| line.contains("taken back: pgdeck was asked to end")), "{status}: {rest:#?}");
    assert_eq!(one(state).await, "not paused");

    let (lines, _) = Journal::in_folder(&home.join(".local/state/pgdeck")).read().unwrap();
    let kinds = lines.iter().map(|line| line["entry"].as_str().unwrap().to_owned()).collect();
    assert_eq!(status.code(), Some(130), "{rest:#?}");
    drop(reader);
    std::fs::remove_dir_all(home).unwrap();
    (rest.join("\n"), kinds)
}
