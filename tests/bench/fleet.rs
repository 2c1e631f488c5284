//! The figures: the console on a crowd of made-up clusters, in a real terminal. Writes `target/bench.json`, ends with 5 over a
//! target.
//!
//! `BENCH_QUICK=1` measures shorter, and only the regimes without churn; `BENCH_REGIMES=churn,silent` measures these.
//! `PGDECK_BENCH_PROGRAM` measures another build.
//! `PGDECK_BENCH_KUBECONFIG` measures against any API server in which `pgdeck sandbox crowd` made the crowd, whose size and
//! regime `PGDECK_BENCH_CROWD` (say, `2000`) and `PGDECK_BENCH_REGIME` tell, and its audit log `PGDECK_BENCH_AUDIT`: without one
//! nobody counts the lists there. The console uses `PGDECK_BENCH_VIEW_KUBECONFIG`, if it is set: with a user who may read secrets
//! it would also try to reach the made-up pods. `PGDECK_BENCH_ONTO` names the file of an earlier measurement that this one goes on
//! with, instead of `target/bench.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that panics has failed, which is its job")]
#![allow(clippy::print_stdout, reason = "the figures are its output")]
#![allow(dead_code, reason = "the terminal is shared with the tests, which use more of it")]

#[path = "../it"]
mod it {
    pub mod rig;
    pub mod tty;
}

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use it::rig::{Rig, fleets};
use it::tty::Tty;
use pgdeck::fleet::seen::Seen;
use pgdeck::sandbox::command;
use pgdeck::sandbox::objects::{POSTGRESQL, Store};
use serde_json::{Value, json};

/// Two thousand clusters take a while to make.
const PATIENCE: Duration = Duration::from_secs(300);
const REGIMES: &[&str] = &["silent", "heartbeat", "churn", "heartbeat+churn"];
/// Where targets hold.
const MANY: u64 = 2000;
const REPEATS: usize = 50;
const FRAMES: usize = 200;
/// Orders that are timed.
const ORDERS: usize = 60;

/// A crowd in an API server.
struct Crowd {
    clusters: u64,
    regime: String,
    /// May change it.
    admin: PathBuf,
    /// The console's: with the view user no SQL goes to made-up pods.
    view: PathBuf,
    /// Where the API logs its requests, if it does: as the sandbox's, or as Kubernetes writes its audit log.
    requests: Option<PathBuf>,
    /// Orders are written down here.
    home: PathBuf,
    _sandbox: Option<Sandbox>,
}

/// A sandbox of its own; ended when dropped.
struct Sandbox {
    root: PathBuf,
}

impl Sandbox {
    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(program());
        command.arg("sandbox").args(arguments).args(["--name", "bench"]).env("PGDECK_SANDBOX_ROOT", &self.root);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.run(&["down"]);
        // Left over only when another bench of the same process id died; nothing to add then.
        std::fs::remove_dir_all(&self.root).ok();
    }
}

impl Crowd {
    fn up(clusters: u64, regime: &str) -> Crowd {
        let sandbox = Sandbox { root: PathBuf::from(format!("/var/tmp/pgdeck-bench-{}", std::process::id())) };
        sandbox.run(&["up", "--detach", "--fleet", "none", "--crowd", &clusters.to_string(), "--regime", regime]);
        let begun = Instant::now();
        loop {
            let status: Value = serde_json::from_slice(&sandbox.run(&["status", "-o", "json"])).unwrap();
            if status["crowd"].as_u64() == Some(clusters) && status["is_ready"] == true {
                let folder = PathBuf::from(status["folder"].as_str().unwrap());
                let [admin, view, requests] =
                    ["kubeconfig", "kubeconfig-view", "requests.jsonl"].map(|name| folder.join(name));
                let (regime, requests, home) = (regime.to_owned(), Some(requests), folder.join("bench-home"));
                return Crowd { clusters, regime, admin, view, requests, home, _sandbox: Some(sandbox) };
            }
            assert!(begun.elapsed() < PATIENCE, "no crowd in time: {status:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The crowd that somebody made elsewhere.
    fn elsewhere(kubeconfig: PathBuf) -> Crowd {
        let told = |name: &str| std::env::var(name).ok();
        let clusters = told("PGDECK_BENCH_CROWD").map_or(MANY, |n| n.parse().expect("PGDECK_BENCH_CROWD is a number"));
        let regime = told("PGDECK_BENCH_REGIME").unwrap_or_else(|| "silent".into());
        let view = std::env::var_os("PGDECK_BENCH_VIEW_KUBECONFIG").map_or_else(|| kubeconfig.clone(), PathBuf::from);
        let requests = std::env::var_os("PGDECK_BENCH_AUDIT").map(PathBuf::from);
        let home = std::env::temp_dir().join(format!("pgdeck-bench-{}", std::process::id()));
        Crowd { clusters, regime, admin: kubeconfig, view, requests, home, _sandbox: None }
    }

    /// All that were asked of the API so far; none where nobody logs them.
    fn requests(&self) -> Option<Vec<Request>> {
        let text = std::fs::read_to_string(self.requests.as_ref()?).unwrap();
        Some(text.lines().filter_map(Request::read).collect())
    }

    /// Lists that pgdeck asked of the API so far.
    fn lists(&self) -> Option<usize> {
        let asked = self.requests()?.into_iter();
        Some(asked.filter(|request| request.verb == "list" && request.agent.starts_with("pgdeck/")).count())
    }
}

/// One request, by the API's log.
struct Request {
    /// When it arrived.
    at: jiff::Timestamp,
    /// As RBAC calls it.
    verb: String,
    path: String,
    agent: String,
}

impl Request {
    /// Reads a line of either log. One that is being written is none yet.
    fn read(line: &str) -> Option<Request> {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str, audit: &str| line[key].as_str().or(line[audit].as_str()).map(str::to_owned);
        let path = text("path", "requestURI")?.split('?').next()?.to_owned();
        let at = text("at", "requestReceivedTimestamp")?.parse().ok()?;
        Some(Request { at, verb: text("verb", "verb")?, path, agent: text("agent", "userAgent").unwrap_or_default() })
    }
}

/// The build that is measured.
fn program() -> PathBuf {
    std::env::var_os("PGDECK_BENCH_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_pgdeck").into(), PathBuf::from)
}

fn is_quick() -> bool {
    std::env::var_os("BENCH_QUICK").is_some()
}

/// What was measured, and what went over its target.
#[derive(Default)]
struct Report {
    rows: Vec<Value>,
    over: Vec<String>,
}

impl Report {
    /// Goes on with what was measured before.
    fn onto(path: &Path) -> Report {
        let rows = std::fs::read(path).ok().map(|text| serde_json::from_slice(&text).unwrap());
        Report { rows: rows.unwrap_or_default(), over: Vec::new() }
    }

    /// One figure; `targets` are for its value (the median of several) and its p99.
    fn add(
        &mut self,
        crowd: &Crowd,
        figure: &str,
        unit: &str,
        samples: &mut [f64],
        targets: (Option<f64>, Option<f64>),
    ) {
        samples.sort_by(f64::total_cmp);
        let value = samples[samples.len() / 2];
        let p99 = samples[(samples.len() * 99).div_ceil(100).saturating_sub(1)];
        let (regime, objects) = (&crowd.regime, crowd.clusters);
        println!("{objects:>5} {regime:<16} {figure:<22} {value:>10.2} {unit:<6} p99 {p99:.2} n {}", samples.len());
        self.rows.push(json!({"figure": figure, "value": value, "unit": unit, "n": samples.len(), "p99": p99,
                              "regime": regime, "objects": objects}));
        for (measured, target, what) in [(value, targets.0, ""), (p99, targets.1, " (p99)")] {
            if let Some(target) = target.filter(|target| objects == MANY && measured > *target) {
                self.over.push(format!("{figure}{what}, {regime}: {measured:.2} {unit}, at most {target}"));
            }
        }
    }

    fn value(&self, figure: &str, regime: &str, objects: u64) -> Option<f64> {
        let is_it = |row: &&Value| row["figure"] == figure && row["regime"] == regime && row["objects"] == objects;
        self.rows.iter().find(is_it)?["value"].as_f64()
    }
}

/// A line of `/proc/PID/FILE` that begins with `name:`, its number.
fn proc(tty: &Tty, file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", tty.pid().as_raw_nonzero())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Bytes that its connections received, by the kernel's count; none where `ss` is missing.
fn received(tty: &Tty) -> Option<f64> {
    let output = Command::new("ss").args(["-tinpOH"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = format!("pid={},", tty.pid().as_raw_nonzero());
    let counts = text.lines().filter(|line| line.contains(&ours)).filter_map(|line| {
        let (_, rest) = line.split_once("bytes_received:")?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    });
    Some(counts.sum())
}

/// Whether every visible row has its members and primary.
fn is_full(tty: &Tty) -> bool {
    let text = tty.text();
    // The line below the table names a cluster too.
    let is_row = |line: &&str| line.contains("crowd-0") && !line.trim_start().starts_with("crowd-0");
    let rows: Vec<&str> = text.lines().filter(is_row).collect();
    let has_members = |row: &&str| (0..=3).any(|ready| row.contains(&format!(" {ready}/3 ")));
    rows.len() >= 40 && rows.iter().all(|row| has_members(row) && row.matches("crowd-0").count() >= 2)
}

/// From the change to the moment when `shown` holds, in milliseconds.
fn until(tty: &mut Tty, what: &str, shown: impl Fn(&Tty) -> bool) -> f64 {
    tty.wait_for(what, shown).as_secs_f64() * 1000.0
}

fn measure(crowd: &Crowd, threads: &tokio::runtime::Runtime, report: &mut Report) {
    let view = crowd.view.to_str().unwrap();
    let mut tty = Tty::start_program(&program(), &["-A"], &[("KUBECONFIG", view)], (200, 50));
    let full = until(&mut tty, "the first full screen", is_full);
    report.add(crowd, "start to full screen", "ms", &mut [full], (Some(1000.0), None));
    // The end of the start: pods that are not in sight still come in.
    tty.watch(Duration::from_secs(if is_quick() { 5 } else { 10 }));
    at_rest(crowd, &mut tty, report);
    key_to_paint(crowd, &mut tty, report);
    patch_to_glass(crowd, &mut tty, threads, report);
    tty.keys("q");
    tty.wait_exit(Duration::from_secs(2));
}

/// What it costs to stand there.
fn at_rest(crowd: &Crowd, tty: &mut Tty, report: &mut Report) {
    let none = (None, None);
    let span = Duration::from_secs(if is_quick() { 8 } else { 30 });
    let (cpu, written, listed, got) = (tty.cpu(), tty.transcript.len(), crowd.lists(), received(tty));
    tty.watch(span);
    let minute = 60.0 / span.as_secs_f64();
    let used = tty.cpu().saturating_sub(cpu).as_secs_f64() / span.as_secs_f64() * 100.0;
    let target = match &*crowd.regime {
        "silent" => Some(0.5),
        "heartbeat" => Some(3.0),
        _ => None,
    };
    report.add(crowd, "cpu", "%", &mut [used], (target, None));
    report.add(crowd, "rss", "MiB", &mut [proc(tty, "status", "VmRSS") / 1024.0], (Some(60.0), None));
    if let (Some(before), Some(after)) = (listed, crowd.lists()) {
        report.add(crowd, "lists after start", "count", &mut [(after - before) as f64], (Some(0.0), None));
    }
    if let (Some(before), Some(after)) = (got, received(tty)) {
        let kib = (after - before).max(0.0) * minute / 1024.0;
        report.add(crowd, "received a minute", "KiB", &mut [kib], none);
    }
    let painted = (tty.transcript.len() - written) as f64 * minute / 1024.0;
    report.add(crowd, "painted a minute", "KiB", &mut [painted], none);
}

fn key_to_paint(crowd: &Crowd, tty: &mut Tty, report: &mut Report) {
    let mut samples: Vec<f64> = (0..REPEATS)
        .map(|n| {
            tty.watch(Duration::from_millis(50));
            tty.transcript.clear();
            tty.keys(if n % 2 == 0 { "j" } else { "k" });
            until(tty, "a frame after a key", |tty| tty.n_frames() > 0)
        })
        .collect();
    report.add(crowd, "key to paint", "ms", &mut samples, (Some(12.0), None));
}

/// From before the request that changes a CR until the terminal has the changed cell.
fn patch_to_glass(crowd: &Crowd, tty: &mut Tty, threads: &tokio::runtime::Runtime, report: &mut Report) {
    let store = threads.block_on(async { Store::new(command::client(&crowd.admin).await.unwrap().0, "bench") });
    // The cursor stands on the first row and stays in sight with it.
    let first = tty.text().lines().find_map(|line| Some(line[line.find("crowd-0")?..][..11].to_owned())).unwrap();
    let number: u64 = first[6..].parse().unwrap();
    let namespace = format!("crowd-{:02}", number / u64::from(pgdeck::sandbox::crowd::PER_NAMESPACE));
    let mut samples: Vec<f64> = (0..REPEATS)
        .map(|n| {
            tty.watch(Duration::from_millis(50 + n as u64 * 7 % 40));
            let team = format!("team{n:02}");
            let patch = json!({ "spec": { "teamId": &team } });
            let begun = Instant::now();
            threads.block_on(store.patch(&POSTGRESQL.at(&namespace, &first), &patch)).unwrap();
            until(tty, "the patched cell", |tty| tty.text().contains(&team));
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    report.add(crowd, "patch to glass", "ms", &mut samples, (Some(60.0), Some(150.0)));
}

/// One picture after one change, without a terminal.
fn frame(crowd: &Crowd, report: &mut Report) {
    let mut rig = Rig::new(fleets::crowd(u32::try_from(crowd.clusters).unwrap()));
    rig.draw((200, 50));
    let mut samples: Vec<f64> = (0..FRAMES)
        .map(|n| {
            let mut cluster = fleets::cluster(&format!("acid-crowd-{:04}", n % 40), 3);
            cluster.status = Some(if n / 40 % 2 == 0 { "Updating" } else { "Running" }.into());
            rig.see(vec![Seen::Cluster { cluster: Box::new(cluster), at: rig.now }]);
            let begun = Instant::now();
            rig.draw((200, 50));
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    report.add(crowd, "frame", "ms", &mut samples, (Some(3.0), None));
}

/// From the confirmation, by pgdeck's own clock, to the arrival of the order's request, by the API server's on the same machine:
/// in between everything is looked at once more, and the journal takes two lines to the disk.
fn confirm_to_request(crowd: &Crowd, report: &mut Report) {
    if crowd.requests.is_none() {
        return;
    }
    std::fs::create_dir_all(&crowd.home).unwrap();
    let namespace = "crowd-00";
    let mut samples: Vec<f64> = (0..ORDERS)
        .map(|n| {
            let name = format!("crowd-{:05}", n % usize::try_from(pgdeck::sandbox::crowd::PER_NAMESPACE).unwrap());
            let mut command = Command::new(program());
            command.env_clear().env("HOME", &crowd.home).env("KUBECONFIG", &crowd.admin).args(["-n", namespace]);
            // Nobody answers it here: that is not waited for.
            command.args(["do", "reconcile", &name, "--write", "--yes", "--timeout", "1", "-o", "json"]);
            let output = command.output().unwrap();
            let run: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
            let lines = run["lines"].as_array().unwrap();
            let confirmed = lines.iter().find(|line| line["text"] == "confirmed by --yes").unwrap();
            let confirmed: jiff::Timestamp = confirmed["at"].as_str().unwrap().parse().unwrap();
            let is_it =
                |request: &&Request| request.verb == "patch" && request.path.ends_with(&format!("/postgresqls/{name}"));
            let asked = crowd.requests().unwrap();
            let sent = asked.iter().rev().find(is_it).unwrap();
            sent.at.duration_since(confirmed).as_secs_f64() * 1000.0
        })
        .collect();
    std::fs::remove_dir_all(&crowd.home).unwrap();
    report.add(crowd, "confirm to request", "ms", &mut samples, (None, Some(50.0)));
}

fn measure_all(report: &mut Report) {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if let Some(kubeconfig) = std::env::var_os("PGDECK_BENCH_KUBECONFIG") {
        return measure_one(&Crowd::elsewhere(kubeconfig.into()), &threads, report);
    }
    let chosen = std::env::var("BENCH_REGIMES").ok();
    let is_chosen = |regime: &str| match &chosen {
        Some(chosen) => chosen.split(',').any(|name| name == regime),
        None => !is_quick() || !regime.contains("churn"),
    };
    for regime in REGIMES.iter().filter(|regime| is_chosen(regime)) {
        for clusters in [200, MANY] {
            measure_one(&Crowd::up(clusters, regime), &threads, report);
        }
    }
}

fn measure_one(crowd: &Crowd, threads: &tokio::runtime::Runtime, report: &mut Report) {
    measure(crowd, threads, report);
    if crowd.regime == "silent" {
        frame(crowd, report);
        confirm_to_request(crowd, report);
    }
}

fn main() -> ExitCode {
    let onto = std::env::var_os("PGDECK_BENCH_ONTO").map(PathBuf::from);
    let mut report = onto.as_deref().map_or_else(Report::default, Report::onto);
    measure_all(&mut report);
    if let (Some(few), Some(many)) = (report.value("cpu", "churn", 200), report.value("cpu", "churn", MANY))
        && many > few * 1.5
    {
        let said = format!("cpu, churn: {many:.2} % for {MANY} clusters, {few:.2} % for 200: at most 1.5 times");
        report.over.push(said);
    }
    let path = onto.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench.json"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_string_pretty(&report.rows).unwrap()).unwrap();
    for over in &report.over {
        println!("over its target: {over}");
    }
    if report.over.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(5) }
}
