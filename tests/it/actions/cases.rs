//! The cases, each for any action: on one fleet, one after the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pgdeck::fleet::Entry;
use pgdeck::id::ClusterId;
use pgdeck::journal::Journal;
use pgdeck::operation::operation;
use pgdeck::plane::Plane;
use pgdeck::plane::kubernetes::Options;
use pgdeck::run::{Aim, Event, Out, Outcome, Phase, Run};
use pgdeck::runtime::Planes;
use pgdeck::runtime::perform::{self, Gate};
use pgdeck::state::ledger::scope;
use pgdeck::work::order::Order;
use pgdeck::work::probe::{Answer, Probe};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::recipe::{Recipe, World, recipe};
use super::relay::Relay;
use super::stage::{PATIENCE, Scene, is_of_shop};
use crate::tty::Tty;

/// What every action is tried with, where it can arise.
pub const CASES: [&str; 7] = ["happy", "refused", "forbidden", "conflict", "leader_changed", "api_lost", "killed"];

/// An effect that was on its way is seen within this.
const LOOKED_FOR: Duration = Duration::from_secs(4);

/// A fleet to act on, one case after the other.
struct Stage {
    scene: Scene,
    runtime: Runtime,
}

/// Fleets side by side: a case waits mostly. They stand while any case runs or waits for its turn.
struct Stages {
    free: Mutex<Vec<(&'static str, Option<Stage>)>>,
    one_is_free: Condvar,
}

/// Names of the fleets; each comes up with the first case that is played on it.
const FLEETS: [&str; 3] = ["act-cases-c", "act-cases-b", "act-cases-a"];

static STAGES: Mutex<Weak<Stages>> = Mutex::new(Weak::new());

fn stages() -> Arc<Stages> {
    let mut shared = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let free = Mutex::new(FLEETS.map(|name| (name, None)).into());
        let stages = Arc::new(Stages { free, one_is_free: Condvar::new() });
        *shared = Arc::downgrade(&stages);
        stages
    })
}

/// A fleet that is one case's own, until it is dropped: however the case ends, the next puts it right.
struct Turn {
    name: &'static str,
    stage: Option<Stage>,
    stages: Arc<Stages>,
}

impl Turn {
    fn wait() -> Turn {
        let stages = stages();
        let free = stages.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            stages.one_is_free.wait_while(free, |free| free.is_empty()).unwrap_or_else(PoisonError::into_inner);
        let (name, stage) = free.pop().unwrap();
        drop(free);
        Turn { name, stage, stages }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut free = self.stages.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push((self.name, self.stage.take()));
        self.stages.one_is_free.notify_one();
    }
}

/// How many fleets were brought up.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Stage {
    fn up(name: &'static str) -> Stage {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // The fleet of that name before this one may still be on its way down.
        let name = format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Stage { scene: Scene::up(&name), runtime }
    }

    fn world(&self) -> World<'_> {
        World { scene: &self.scene, runtime: &self.runtime }
    }

    fn whole(&self) {
        self.scene.sandbox.wait_until("whole", |status| {
            let members: Vec<&Value> =
                status["members"].as_array().unwrap().iter().filter(|member| is_of_shop(member)).collect();
            let of = |role: &str| members.iter().filter(|member| member["role"] == role).count();
            status["is_ready"] == true && members.len() == 2 && of("primary") == 1 && of("standby") == 1
        });
    }

    /// pgdeck as a child; what it prints is read when it has ended.
    fn start(&self, kubeconfig: &str, words: &[String]) -> Child {
        self.command(kubeconfig, words).spawn().unwrap()
    }

    fn command(&self, kubeconfig: &str, words: &[String]) -> Command {
        let mut command = self.scene.command(kubeconfig);
        command.arg("do").args(words).arg("--write");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Whatever a case has left behind is undone, and its journal put away: what it was cut off at is no business of the next.
    fn tidy(&self) {
        self.scene.forget();
        let world = self.world();
        if world.is_as_made() {
            return self.whole();
        }
        world.restore();
        if world.config()["pause"] == true {
            self.scene.proved(&["patroni-resume", "acid-shop", "--yes"]);
        }
        self.whole();
    }

    fn lead_back(&self, back: &[Vec<String>]) {
        for call in back {
            self.scene.proved(&call.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

/// Runs one case of one action.
pub fn run(id: &str, case: &str) {
    let mut turn = Turn::wait();
    let name = turn.name;
    let stage = &*turn.stage.get_or_insert_with(|| Stage::up(name));
    stage.tidy();
    match case {
        "happy" => happy(id, stage),
        "refused" => refused(id, stage),
        "forbidden" => forbidden(id, stage),
        "conflict" => conflict(id, stage),
        "leader_changed" => leader_changed(id, stage),
        "api_lost" => api_lost(id, stage),
        "killed" => killed(id, stage),
        other => panic!("there is no case {other} here"),
    }
}

fn happy(id: &str, stage: &Stage) {
    let world = stage.world();
    let recipe = recipe(id, &world, false);
    match id {
        "psql" => return psql(stage, &recipe.words),
        "forward" => return forward(stage, &recipe.words),
        _ => {}
    }
    stage.scene.proved(&recipe.words.iter().map(String::as_str).collect::<Vec<_>>());
    (recipe.effect)(&world);
    if let Some(session) = recipe.session {
        stage.runtime.block_on(session).unwrap();
    }
    stage.lead_back(&recipe.back);
}

fn psql(stage: &Stage, words: &[String]) {
    let mut command = stage.scene.command(&stage.scene.kubeconfig);
    command.arg("do").args(words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let asked = b"select 6 * 7 as answer, current_user, pg_is_in_recovery();\ncreate table t ();\n";
    child.stdin.take().unwrap().write_all(asked).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("42 | pg_monitor   | f"), "{out}{err}");
    assert!(err.contains("read-only transaction") && !out.contains("CANARY-"), "{out}{err}");
    assert_eq!(passwords(stage), 0);
}

/// How many files with a password lie beside the journal.
fn passwords(stage: &Stage) -> usize {
    let files = std::fs::read_dir(stage.scene.home.join(".local/state/pgdeck")).unwrap().flatten();
    files.filter(|entry| entry.file_name().to_string_lossy().starts_with("pass-")).count()
}

fn forward(stage: &Stage, words: &[String]) {
    let mut child = stage.start(&stage.scene.kubeconfig, words);
    let mut said = String::new();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("leads to") {
        said.clear();
        assert_ne!(err.read_line(&mut said).unwrap(), 0, "it ended");
    }
    let port = said.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse::<u16>().unwrap();
    // A server that takes TLS answers this request with one letter.
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut letter = [0];
    socket.read_exact(&mut letter).unwrap();
    assert_eq!(&letter, b"S");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
}

fn refused(id: &str, stage: &Stage) {
    let name = id.replace('_', "-");
    match id {
        "psql" => {
            stage.scene.refused(&[&name, "acid-shop", "mode=both"], 3, "neither read nor write");
            closed(stage, &recipe(id, &stage.world(), true));
        }
        "forward" => stage.scene.refused(&[&name, "acid-shop", "port=x"], 3, "is no port"),
        _ => {
            let recipe = recipe(id, &stage.world(), true);
            let words: Vec<&str> = recipe.words.iter().map(String::as_str).collect();
            stage.scene.refused(&words, 3, "add --write");
            let unconfirmed: Vec<&str> =
                words.iter().copied().take_while(|word| !matches!(*word, "--yes" | "--confirm")).collect();
            stage.scene.refused(&[&unconfirmed[..], &["--write"]].concat(), 3, "must be confirmed");
            stage.scene.refused(&[&words[..], &["--write", "--readonly"]].concat(), 3, "allows no change");
            closed(stage, &recipe);
            end(recipe);
        }
    }
}

fn end(recipe: Recipe) {
    if let Some(session) = recipe.session {
        session.abort();
    }
}

/// Whoever may only look is told which right is missing, and nothing is sent.
fn forbidden(id: &str, stage: &Stage) {
    let view = stage.scene.kubeconfig.replace("/kubeconfig", "/kubeconfig-view");
    let recipe = recipe(id, &stage.world(), true);
    let before = stage.scene.count("asked");
    let words: Vec<&str> = recipe.words.iter().map(String::as_str).collect();
    let (code, out, err) = stage.scene.pgdeck_as(&view, &[&["do"], &words[..], &["--write"]].concat());
    assert_eq!(code, 4, "{out}{err}");
    assert!(err.contains("right to") || err.contains("is forbidden"), "{err}");
    assert_eq!(stage.scene.count("asked"), before);
    end(recipe);
}

/// Somebody else moves the primary's part after the offer: what was offered is not sent.
fn leader_changed(id: &str, stage: &Stage) {
    if id == "scale" && stage.scene.name("primary") != "acid-shop-1" {
        stage.scene.proved(&["switchover", "acid-shop", "--yes"]);
    }
    let mut recipe = recipe(id, &stage.world(), true);
    if id == "scale" {
        // Its primary would go, and hand over first.
        recipe.words = ["scale", "acid-shop", "1", "--yes"].map(str::to_owned).into();
    }
    let words: Vec<&str> = recipe.words.iter().map(String::as_str).collect();
    let asked: Vec<&str> = words.iter().copied().take_while(|word| !matches!(*word, "--yes" | "--confirm")).collect();
    let all = [&["do"], &asked[..], &["--write"]].concat();
    let mut tty = Tty::start(&all, &[("KUBECONFIG", &stage.scene.kubeconfig)], (160, 50));
    tty.wait_within(PATIENCE, "the question", |tty| {
        tty.text().contains("y or n") || tty.text().contains("type the cluster")
    });
    let before = stage.scene.name("primary");
    move_primary(id, stage);
    let after = stage.scene.name("primary");
    assert_ne!(before, after);
    let answer = if tty.text().contains("y or n") { "y\r" } else { "acid-shop\r" };
    tty.keys(answer);
    tty.wait_within(PATIENCE, "the refusal", |tty| tty.text().contains("REFUSED"));
    assert_eq!(tty.wait_exit(PATIENCE).exit_code(), 3, "{}", tty.text());
    assert_eq!(stage.scene.name("primary"), after);
    end(recipe);
}

/// Moves the primary's part to the standby, whatever waits there, or is paused.
fn move_primary(id: &str, stage: &Stage) {
    let to = format!("to={}", stage.scene.name("standby"));
    let failover = ["failover", "acid-shop", &to, "--confirm", "acid-shop"];
    match id {
        "switchover_cancel" => drop(stage.scene.proved(&failover)),
        // Its replay is paused: a red line.
        "replay_resume" => {
            drop(stage.scene.proved(&[&failover[..3], &["--override", "acid-shop", "--reason", "a drill"]].concat()));
        }
        _ => drop(stage.scene.proved(&["switchover", "acid-shop", "--yes"])),
    }
}

/// The way to the API breaks as soon as the order is on its way, and is mended: the effect alone tells.
fn api_lost(id: &str, stage: &Stage) {
    let world = stage.world();
    let recipe = recipe(id, &world, true);
    let config = std::fs::read_to_string(&stage.scene.kubeconfig).unwrap();
    let server = config.split("https://").nth(1).and_then(|rest| rest.split(['"', '\n', ' ', ',']).next()).unwrap();
    let relay = Relay::to(server.parse().unwrap());
    let kubeconfig = stage.scene.home.join("relayed");
    std::fs::write(&kubeconfig, config.replace(server, &relay.address.to_string())).unwrap();
    let before = stage.scene.count("sending");
    let bounded = [&recipe.words[..], &["--timeout".to_owned(), "15".to_owned()]].concat();
    let mut child = stage.start(kubeconfig.to_str().unwrap(), &bounded);
    stage.scene.journaled("sending", before);
    // The order is on its way, or was answered already; then pgdeck has found the way broken, or is done.
    let sent = relay.sent();
    until(&mut child, || relay.sent() > sent);
    relay.cut();
    until(&mut child, || relay.turned_away() > 0);
    relay.mend();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // It did not arrive, or its effect was seen; what is never said is that it was refused.
    let code = output.status.code().unwrap();
    assert!(code == 0 || code == 6, "{code}: {out}{err}");
    if code == 0 {
        (recipe.effect)(&world);
    }
    end(recipe);
}

/// Waits until it holds, or the child has ended.
fn until(child: &mut Child, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE, "it neither came nor ended");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// pgdeck dies with the order on its way: the journal has it, and the next one looks what came of it.
fn killed(id: &str, stage: &Stage) {
    let recipe = recipe(id, &stage.world(), true);
    let before = stage.scene.count("sending");
    let mut command = stage.command(&stage.scene.kubeconfig, &recipe.words);
    // psql reads it, and ends with it: after this.
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    stage.scene.journaled("sending", before);
    if id == "psql" {
        until(&mut child, || passwords(stage) > 0);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = stage.scene.lines();
    let run = lines.iter().rev().find(|line| line["entry"] == "sending").unwrap()["run"].clone();
    assert!(lines.iter().any(|line| line["entry"] == "asked" && line["run"] == run));
    assert!(!lines.iter().any(|line| line["entry"] == "ended" && line["run"] == run), "it was over before");

    let home = stage.scene.home.to_str().unwrap();
    let mut tty = Tty::start(&["-A"], &[("KUBECONFIG", &stage.scene.kubeconfig), ("HOME", home)], (120, 40));
    tty.wait_within(PATIENCE, "the fleet", |tty| tty.text().contains("acid-shop"));
    let ended = |stage: &Stage| {
        stage
            .scene
            .lines()
            .iter()
            .find(|line| line["entry"] == "ended" && line["run"] == run)
            .map(|line| line["outcome"].clone())
    };
    // What did not arrive is looked for in vain, for longer than a test should wait: that it is looked for is enough then.
    let begun = Instant::now();
    while id != "replay_pause" && ended(stage).is_none() && begun.elapsed() < LOOKED_FOR {
        tty.watch(Duration::from_millis(100));
    }
    assert_eq!(passwords(stage), 0, "the password of a psql that is over is still there");
    if id == "replay_pause" {
        // What it held is taken back when the user says so, and stays open in the journal until then.
        let question = "was left by a pgdeck that was cut off: end it?";
        tty.wait_within(PATIENCE, "the question", |tty| tty.text().contains(question));
        let is_asked = |tty: &Tty| tty.text().contains("y do it");
        tty.wait_within(PATIENCE, "an offer, or nothing to end", |tty| is_asked(tty) || !tty.text().contains(question));
        if is_asked(&tty) {
            assert!(ended(stage).is_none(), "it is closed, and not taken back");
            tty.keys("y");
            tty.wait_within(PATIENCE, "the end", |tty| tty.text().contains("PROVED"));
        }
        tty.wait_within(PATIENCE, "its end in the journal", |_| ended(stage).is_some());
    } else {
        let is_over = ended(stage).is_some();
        assert!(is_over || tty.text().contains(" under way"), "nobody looks for it: {}", tty.text());
    }
    // Asked twice: what other cases have left may still be looked for.
    tty.keys("\u{3}");
    tty.keys("\u{3}");
    tty.wait_exit(Duration::from_secs(5));
    if ended(stage).is_some_and(|outcome| outcome == "PROVED") {
        (recipe.effect)(&stage.world());
    }
    end(recipe);
}

/// Somebody writes to the object between the last look and the order. Where nothing that is wanted was changed by it the order is
/// aimed anew, a few times; what cannot be is refused. Nothing is overwritten.
fn conflict(id: &str, stage: &Stage) {
    let mut recipe = recipe(id, &stage.world(), true);
    if id == "restart" {
        // The operator is poked when the pods are flagged.
        recipe.words = ["restart", "acid-shop", "pods", "--yes"].map(str::to_owned).into();
    }
    let world = stage.world();
    let name = if id == "delete" { "acid-gone" } else { "acid-shop" };
    // The one is touched once, half-way; the other before anything was sent. All others are at every try.
    let is_once = matches!(id, "restart" | "logical-backup");
    let touched = Mutex::new(Value::Null);
    let touch = async |out: &Out| {
        let is_due = !is_once || touched.lock().unwrap().is_null();
        if matches!(out, Out::Send(Order::Patch { .. } | Order::Delete { .. }, _)) && is_due {
            let object = world.touch(name).await;
            *touched.lock().unwrap() = object;
        }
    };
    let run = stage.runtime.block_on(machine(&stage.scene, &recipe.words, Lock::Open, touch));
    let touched = touched.into_inner().unwrap();
    if is_once {
        let is_anew = run.lines.iter().any(|line| line.text.starts_with("aimed anew: "));
        assert!(is_anew && run.outcome() == Some(Outcome::Proved), "{:?}", run.lines);
        assert_eq!(
            stage.world().resource(name)["metadata"]["labels"]["touched"],
            touched["metadata"]["labels"]["touched"]
        );
        return end(recipe);
    }
    let said = run.lines.last().map(|line| line.text.clone()).unwrap_or_default();
    assert_eq!(run.outcome(), Some(Outcome::Refused), "{:?}", run.lines);
    assert!(said.contains("changed meanwhile"), "{said}");
    assert_eq!(stage.world().resource(name)["metadata"]["resourceVersion"], touched["metadata"]["resourceVersion"]);
    end(recipe);
}

/// Nobody has armed it: the order comes as far as the gate, and nothing reaches the world, whoever has confirmed what.
fn closed(stage: &Stage, recipe: &Recipe) {
    let before = stage.scene.changes();
    let words = match recipe.words[0].as_str() {
        // What only reads is let through: it is tried as one that may write.
        "psql" => [&recipe.words[..], &["write".to_owned()]].concat(),
        _ => recipe.words.clone(),
    };
    let sent = Mutex::new(0);
    let count = async |out: &Out| *sent.lock().unwrap() += i32::from(matches!(out, Out::Send(..)));
    let run = stage.runtime.block_on(machine(&stage.scene, &words, Lock::Closed, count));
    let said = run.lines.last().map(|line| line.text.clone()).unwrap_or_default();
    assert_eq!(run.outcome(), Some(Outcome::Refused), "{words:?}: {:?}", run.lines);
    assert!(said.contains("is read-only: arm it first"), "{words:?}: {said}");
    assert_eq!(sent.into_inner().unwrap(), 1, "{words:?} did not come as far as the gate");
    assert_eq!(stage.scene.changes(), before, "{words:?} reached the API server");
}

/// Whether the gate lets orders through.
#[derive(Clone, Copy, PartialEq)]
pub enum Lock {
    Open,
    Closed,
}

/// The machine that console and `pgdeck do` drive, from the aim to the end, with whatever happens before each thing that it asks
/// for.
pub async fn machine(scene: &Scene, words: &[String], lock: Lock, before: impl AsyncFn(&Out)) -> Run {
    let operation = operation(&words[0]).unwrap();
    let (name, member) = match words[1].split_once('/') {
        Some((name, member)) => (name, Some(member.into())),
        None => (words[1].as_str(), None),
    };
    let mut rest = words[2..].iter();
    let mut args = Vec::new();
    while let Some(word) = rest.next() {
        match word.strip_prefix("--") {
            Some("yes") => {}
            Some("confirm") => drop(rest.next()),
            Some(option) => args.push(format!("{option}={}", rest.next().unwrap())),
            None => args.push(word.clone()),
        }
    }
    let kubeconfig = Some(PathBuf::from(&scene.kubeconfig));
    let options = Options { context: "one".into(), kubeconfig, namespaces: Vec::new(), direct: false, role: None };
    let plane: Arc<dyn Plane> = Arc::new(crate::kube::stage::plane(options));
    let cluster = ClusterId { plane: plane.id(), namespace: "production".into(), name: name.into() };
    let planes = Planes::from([(plane.id(), plane)]);
    let (gate, journal) = (Gate::default(), Journal::in_folder(&scene.home.join("machine")));
    if lock == Lock::Open {
        gate.open(scope(&cluster), Timestamp::now() + jiff::SignedDuration::from_mins(5));
    }
    let looked = perform::ask_all(&planes, vec![Probe::Objects(cluster.clone())]).await;
    let Some((_, Ok(Answer::Objects(objects)))) = looked.into_iter().next() else { panic!("no objects") };
    let uid = objects.cluster.uid.clone();
    let entry = Entry::new(objects.cluster, Timestamp::now());
    let args = operation.read(&args).unwrap();
    let aim = Aim { cluster, uid, member, args, at: Timestamp::now(), who: "test".into() };
    let probes = (operation.aim)(&entry, &aim).unwrap();
    let (mut run, mut todo) = Run::new("c".into(), operation.id, aim, probes, operation.consider, Timestamp::now());
    run.leaves = operation.leaves(&run.aim.args);
    while !todo.is_empty() {
        let mut next = Vec::new();
        for out in todo {
            before(&out).await;
            let event = perform::step(&planes, &gate, &journal, out).await;
            next.extend(event.map(|event| run.advance(Timestamp::now(), event)).unwrap_or_default());
        }
        if run.phase == Phase::Offered {
            let confirmed = Event::Confirmed { how: "y".into(), who: "test".into(), reason: None };
            next = run.advance(Timestamp::now(), confirmed);
        }
        todo = next;
    }
    run
}
