//! A pgdeck that is killed in the middle of a patch while others run: its claim stands in nobody's way for longer than it takes
//! to see what came of it. One on another host is not taken for dead.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use pgdeck::sandbox::objects::{CRON_JOB, POSTGRESQL};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::Scene;
use crate::kube::stage::eventually;
use crate::tty::Tty;

/// How the foot of an offer begins that another order bars.
const BARRED: &str = "logical-backup is under way on this cluster: wait until it is proved";

impl Scene {
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.command_by(env!("CARGO_BIN_EXE_pgdeck"), &["-n", &self.stage.namespace]);
        command.args(words);
        command
    }

    fn command_by(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &self.folder);
        command.env("KUBECONFIG", self.proxy.options().kubeconfig.unwrap()).args(words).stdin(Stdio::null());
        command
    }

    pub(super) async fn pgdeck(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.command(words).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    fn console(&self) -> Tty {
        let kubeconfig = self.proxy.options().kubeconfig.unwrap();
        let vars = [("HOME", self.folder.to_str().unwrap()), ("KUBECONFIG", kubeconfig.to_str().unwrap())];
        let mut tty = Tty::start(&["-n", &self.stage.namespace, "--write"], &vars, (140, 50));
        tty.wait_for("the cluster", |tty| tty.text().contains("shop"));
        tty
    }

    /// The lines of the programs' journal.
    pub(super) fn kept(&self) -> Vec<Value> {
        pgdeck::journal::Journal::in_folder(&self.folder.join(".local/state/pgdeck")).read().unwrap().0
    }

    /// How the orders of that action ended.
    pub(super) fn outcomes(&self, action: &str) -> Vec<Value> {
        let lines = self.kept();
        let asked = lines.iter().filter(|line| line["entry"] == "asked" && line["action"] == action);
        let ended = |run: &Value| lines.iter().find(|line| line["entry"] == "ended" && line["run"] == *run);
        asked.map(|line| ended(&line["run"]).map_or(Value::Null, |line| line["outcome"].clone())).collect()
    }

    /// A pgdeck that is killed while it waits for the CronJob that nobody makes.
    async fn killed(&self) {
        let mut child = self.command(&["do", "logical-backup", "shop", "on", "--write", "--yes"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("its patch", async || self.kept().iter().any(|line| line["entry"] == "answered")).await;
        child.kill().await.unwrap();
        assert_eq!(self.outcomes("logical-backup"), [Value::Null]);
    }

    /// What it waited for.
    async fn make_dump(&self) {
        let template = json!({"spec": {"template": {"spec": {"containers": [], "restartPolicy": "Never"}}}});
        let job = json!({"metadata": {"name": "logical-backup-shop", "labels": {"cluster-name": "shop"}},
                         "spec": {"schedule": "0 3 * * *", "jobTemplate": template}});
        self.stage.create(CRON_JOB, job).await;
    }

    async fn is_detached(&self) -> bool {
        let object = self.stage.store.get(&POSTGRESQL.at(&self.stage.namespace, "shop")).await.unwrap().unwrap();
        !object["metadata"]["annotations"]["acid.zalan.do/controller"].is_null()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_that_runs_sees_what_became_of_a_neighbour_that_was_killed() {
    let scene = Scene::new("cut-off-console").await;
    let mut tty = scene.console();
    scene.killed().await;
    tty.keys("xd");
    tty.wait_for("the bar", |tty| tty.text().contains(BARRED));
    tty.keys("y");
    assert!(!scene.is_detached().await, "one of two patches may be lost");
    scene.make_dump().await;
    tty.wait_for("the way to be free", |tty| tty.text().contains("y do it"));
    // The journal has it a moment later: its disk takes its time.
    eventually("its end", async || scene.outcomes("logical-backup") == ["PROVED"]).await;
    tty.keys("y");
    tty.wait_for("the proof", |tty| tty.text().contains("PROVED"));
    assert!(scene.is_detached().await);
    tty.keys("\u{3}");
    tty.wait_exit(Duration::from_secs(5));
    let told = String::from_utf8_lossy(&tty.transcript);
    assert!(told.contains("was cut off at"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_waits_for_what_is_seen_of_a_neighbour_that_was_killed() {
    let scene = Scene::new("cut-off-command").await;
    scene.killed().await;
    let detach = ["do", "detach", "shop"];
    // What only shows ends nothing.
    let (code, said) = scene.pgdeck(&detach).await;
    assert!(code == Some(3) && said.contains("has not ended"), "{code:?}: {said}");
    assert_eq!(scene.outcomes("logical-backup"), [Value::Null]);
    let (code, said) = scene.pgdeck(&[&detach[..], &["--write", "--yes", "--timeout", "2"]].concat()).await;
    assert!(code == Some(0) && said.contains("logical-backup: UNPROVEN"), "{code:?}: {said}");
    assert!(said.contains("the last order on this cluster, logical-backup, ended UNPROVEN"), "{said}");
    assert_eq!((scene.outcomes("logical-backup"), scene.is_detached().await), (vec![json!("UNPROVEN")], true));
}

/// A limit on the size of files does what a full disk does.
fn full(process: Pid, is_full: bool) {
    let limit = Rlimit { current: is_full.then_some(0), maximum: None };
    prlimit(Some(process), Resource::Fsize, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_a_full_disk_does_not_take_is_written_when_there_is_room() {
    let scene = Scene::new("cut-off-full").await;
    let kubeconfig = scene.proxy.options().kubeconfig.unwrap();
    let vars = [("HOME", scene.folder.to_str().unwrap()), ("KUBECONFIG", kubeconfig.to_str().unwrap())];
    let first = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let args = ["-c", first, env!("CARGO_BIN_EXE_pgdeck"), "-n", &scene.stage.namespace, "--write"];
    let mut tty = Tty::start_program("/bin/sh".as_ref(), &args, &vars, (140, 50));
    tty.wait_for("the cluster", |tty| tty.text().contains("shop"));
    tty.keys("xb");
    tty.wait_for("the question", |tty| tty.text().contains("logical-backup DO"));
    tty.keys("on\r");
    tty.wait_for("the offer", |tty| tty.text().contains("y do it"));
    tty.keys("y");
    eventually("its patch", async || scene.kept().iter().any(|line| line["entry"] == "answered")).await;
    full(tty.pid(), true);
    scene.make_dump().await;
    tty.wait_for("the loud word", |tty| tty.text().contains("THE JOURNAL DOES NOT KEEP WHAT BECAME OF AN ORDER"));
    assert_eq!(scene.outcomes("logical-backup"), [Value::Null]);
    full(tty.pid(), false);
    eventually("its end", async || scene.outcomes("logical-backup") == ["PROVED"]).await;
    tty.keys("\u{1b}");
    tty.wait_for("the fleet", |tty| !tty.text().contains("esc leave"));
    tty.keys("N");
    tty.wait_for("that it is said", |tty| tty.text().contains("the journal can be written again, and has 1 line(s)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_tries_for_a_while_to_write_its_end() {
    for (is_freed, outcome) in [(true, json!("PROVED")), (false, Value::Null)] {
        let scene = Scene::new(if is_freed { "cut-off-freed" } else { "cut-off-stays-full" }).await;
        let mut command =
            scene.command_by("sh", &["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pgdeck")]);
        command.args(["-n", &scene.stage.namespace, "do", "logical-backup", "shop", "on", "--write", "--yes"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let process = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        eventually("its patch", async || scene.kept().iter().any(|line| line["entry"] == "answered")).await;
        full(process, true);
        scene.make_dump().await;
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let loud = said.next_line().await.unwrap().unwrap();
        assert!(
            loud.starts_with("THE JOURNAL DOES NOT KEEP WHAT BECAME OF IT: ") && loud.contains("make room"),
            "{loud}"
        );
        if is_freed {
            full(process, false);
        }
        let last = said.next_line().await.unwrap();
        assert_eq!(last.is_some_and(|line| line.contains("the next start looks for what became of it")), !is_freed);
        assert_eq!(child.wait().await.unwrap().code(), Some(0));
        assert_eq!(scene.outcomes("logical-backup"), [outcome]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_another_host_bars_until_somebody_says_that_it_is_gone() {
    let scene = Scene::new("cut-off-elsewhere").await;
    let detach = ["do", "detach", "shop", "--write", "--yes"];
    let state = scene.folder.join(".local/state/pgdeck");
    std::fs::create_dir_all(&state).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(state.join("journal.jsonl")).unwrap();
    // No process here has that number: the kernel's greatest is 4,194,304.
    let asked = json!({"schema": 1, "at": "2026-11-24T03:00:00Z", "run": "r.0-99999999", "entry": "asked", "action": "scale",
                       "cluster": scene.id(), "patches": true, "host": "some-other", "who": "eve", "args": {}});
    writeln!(file, "{asked}").unwrap();
    let (code, said) = scene.pgdeck(&detach).await;
    assert!(code == Some(3) && said.contains("scale, given on host some-other"), "{code:?}: {said}");
    assert!(said.contains("start pgdeck on some-other") && said.contains("audit --close r.0-99999999"), "{said}");
    assert!(scene.outcomes("scale") == [Value::Null] && !scene.is_detached().await);

    let (code, said) = scene.pgdeck(&["audit", "--close", "r.0-99999999"]).await;
    assert!(code == Some(0) && said.contains("scale, r.0-99999999: UNPROVEN"), "{code:?}: {said}");
    let (code, said) = scene.pgdeck(&["audit", "--close", "r.0-99999999"]).await;
    assert!(code == Some(3) && said.contains("no order r.0-99999999 that is open"), "{code:?}: {said}");
    assert_eq!(scene.pgdeck(&detach).await.0, Some(0));
    assert_eq!((scene.outcomes("scale"), scene.is_detached().await), (vec![json!("UNPROVEN")], true));

    // The lines of an older pgdeck name no host: they are from here, where no such process is.
    let mut older = asked.clone();
    older.as_object_mut().unwrap().remove("host");
    older["run"] = json!("older.0-99999999");
    let here = scene.kept().iter().find(|line| line["action"] == "detach").unwrap()["host"].clone();
    assert!(here.as_str().is_some_and(|here| !here.is_empty()), "the host stands in what was asked for");
    writeln!(file, "{older}").unwrap();
    assert_eq!(scene.pgdeck(&["do", "attach", "shop", "--write", "--yes", "--timeout", "1"]).await.0, Some(6));
    assert_eq!(scene.outcomes("scale"), ["UNPROVEN", "UNPROVEN"]);
}
