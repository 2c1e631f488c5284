//! A signal while a pause is asked for and not there yet: what was asked for is taken back before the end.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
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

    let home = home(disk as u8, [&standby, &primary]);
    let host = format!("127.0.0.1:{}", standby.port);
    let mut command = pgdeck(&home, "trap '' XFSZ");
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

/// A home with the two servers as plain hosts.
fn home(number: u8, servers: [&Server; 2]) -> PathBuf {
    let home = std::env::temp_dir().join(format!("pgdeck-signal-{number}-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let hosts = servers.map(|server| format!("\"127.0.0.1:{}\"", server.port)).join(", ");
    let text = format!("[[cluster]]\nname = \"old\"\nhosts = [{hosts}]\nuser = \"postgres\"\nsslmode = \"disable\"\n");
    std::fs::write(home.join("hosts.toml"), text).unwrap();
    home
}

/// `pgdeck` on them, begun by a shell that does `first`.
fn pgdeck(home: &Path, first: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_pgdeck")]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home);
    command.arg("--hosts").arg(home.join("hosts.toml"));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_pgdeck_held_is_taken_back_by_a_command_though_the_disk_is_full() {
    let mut primary = Server::primary(&Installation::own(), "").await;
    let standby = Server::standby(&mut primary).await;
    let watcher = standby.session("postgres").await;
    let state = async || {
        let row = watcher.client.query_one("select pg_get_wal_replay_pause_state()", &[]).await.unwrap();
        row.get::<_, String>(0)
    };
    let home = home(2, [&standby, &primary]);
    let member = format!("hosts:old/127.0.0.1:{}", standby.port);
    let full = "trap '' XFSZ; ulimit -f 0";

    let mut held = pgdeck(&home, "true");
    held.args(["do", "replay-pause", &member, "--write", "--yes"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut held = held.spawn().unwrap();
    let mut told = BufReader::new(held.stdout.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().starts_with("held: ")), "it is not held");
    held.kill().unwrap();
    held.wait().unwrap();
    assert_eq!(state().await, "paused");

    let resume = |first: &str| {
        let mut command = pgdeck(&home, first);
        command.args(["do", "replay-resume", &member, "--write", "--yes"]).stdin(Stdio::null());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = resume(full);
    assert!(code == Some(0) && said.contains("THE JOURNAL DOES NOT KEEP THIS"), "{code:?}: {said}");
    assert_eq!(state().await, "not paused");
    // It is open in the journal still: the next command finds nothing to take back, and closes it.
    let journal = Journal::in_folder(&home.join(".local/state/pgdeck"));
    let ended = || journal.read().unwrap().0.iter().filter(|line| line["entry"] == "ended").count();
    assert_eq!(ended(), 0);
    assert_eq!(resume("true").0, Some(3));
    assert_eq!(ended(), 1);
    std::fs::remove_dir_all(home).unwrap();
}
