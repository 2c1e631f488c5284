//! The figures: the console on a crowd of made-up clusters, in a real terminal. Writes `target/bench.json`, ends with 5 over a
//! target. `BENCH_QUICK=1` measures shorter.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that panics has failed, which is its job")]
#![allow(dead_code, reason = "the terminal is shared with the tests, which use more of it")]

#[path = "../it/tty.rs"]
mod tty;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use pgdeck::sandbox::command;
use pgdeck::sandbox::objects::{POSTGRESQL, Store};
use serde_json::{Value, json};
use tty::Tty;

/// Two thousand clusters take a while to make.
const PATIENCE: Duration = Duration::from_secs(300);
const REGIMES: &[&str] = &["silent", "heartbeat", "churn", "heartbeat+churn"];
/// Where targets hold.
const MANY: u64 = 2000;
const REPEATS: usize = 50;

/// A sandbox with a crowd; ended when dropped.
struct Crowd {
    root: PathBuf,
    clusters: u64,
    regime: &'static str,
}

impl Crowd {
    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let mut program = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        program.arg("sandbox").args(arguments).args(["--name", "bench"]).env("PGDECK_SANDBOX_ROOT", &self.root);
        let output = program.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn up(clusters: u64, regime: &'static str) -> (Crowd, Value) {
        let root = PathBuf::from(format!("/var/tmp/pgdeck-bench-{}", std::process::id()));
        let crowd = Crowd { root, clusters, regime };
        let n = clusters.to_string();
        crowd.run(&["up", "--detach", "--fleet", "none", "--crowd", &n, "--regime", regime]);
        let begun = Instant::now();
        loop {
            let status: Value = serde_json::from_slice(&crowd.run(&["status", "-o", "json"])).unwrap();
            if status["crowd"].as_u64() == Some(clusters) && status["is_ready"] == true {
                return (crowd, status);
            }
            assert!(begun.elapsed() < PATIENCE, "no crowd in time: {status:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.run(&["down"]);
        // Left over only when another bench of the same process id died; nothing to add then.
        std::fs::remove_dir_all(&self.root).ok();
    }
}

/// What was measured, and what went over its target.
#[derive(Default)]
struct Report {
    rows: Vec<Value>,
    over: Vec<String>,
}

impl Report {
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
        let (regime, objects) = (crowd.regime, crowd.clusters);
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

/// Lists that pgdeck asked of the API so far.
fn lists(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("requests.jsonl")).unwrap();
    let asked = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_ours = |line: &Value| line["agent"].as_str().is_some_and(|agent| agent.starts_with("pgdeck/"));
    asked.filter(|line| line["verb"] == "list" && is_ours(line)).count()
}

/// Whether every visible row has its members and primary.
fn is_full(tty: &Tty) -> bool {
    let text = tty.text();
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("crowd-0")).collect();
    rows.len() >= 40 && rows.iter().all(|row| row.contains("3/3") && row.matches("crowd-0").count() >= 2)
}

/// From the change to the moment when `shown` holds, in milliseconds.
fn until(tty: &mut Tty, what: &str, shown: impl Fn(&Tty) -> bool) -> f64 {
    tty.wait_for(what, shown).as_secs_f64() * 1000.0
}

fn measure(clusters: u64, regime: &'static str, threads: &tokio::runtime::Runtime, report: &mut Report) {
    let (crowd, status) = Crowd::up(clusters, regime);
    let kubeconfig = status["kubeconfig"].as_str().unwrap();
    let folder = PathBuf::from(status["folder"].as_str().unwrap());
    let none = (None, None);
    let mut tty = Tty::start(&["-A"], &[("KUBECONFIG", kubeconfig)], (200, 50));
    let full = until(&mut tty, "the first full screen", is_full);
    report.add(&crowd, "start to full screen", "ms", &mut [full], (Some(1000.0), None));

    tty.watch(Duration::from_secs(10));
    let span = Duration::from_secs(if std::env::var_os("BENCH_QUICK").is_some() { 15 } else { 60 });
    let (cpu, written, listed) = (tty.cpu(), tty.transcript.len(), lists(&folder));
    tty.watch(span);
    let minute = 60.0 / span.as_secs_f64();
    let used = (tty.cpu() - cpu).as_secs_f64() / span.as_secs_f64() * 100.0;
    let target = match regime {
        "silent" => Some(0.5),
        "heartbeat" => Some(3.0),
        _ => None,
    };
    report.add(&crowd, "cpu", "%", &mut [used], (target, None));
    report.add(&crowd, "rss", "MiB", &mut [proc(&tty, "status", "VmRSS") / 1024.0], (Some(60.0), None));
    report.add(&crowd, "lists after start", "count", &mut [(lists(&folder) - listed) as f64], (Some(0.0), None));
    let painted = (tty.transcript.len() - written) as f64 * minute / 1024.0;
    report.add(&crowd, "painted a minute", "KiB", &mut [painted], none);

    let mut keys: Vec<f64> = (0..REPEATS)
        .map(|n| {
            tty.watch(Duration::from_millis(50));
            let frames = tty.n_frames();
            tty.keys(if n % 2 == 0 { "j" } else { "k" });
            until(&mut tty, "a frame after a key", |tty| tty.n_frames() > frames)
        })
        .collect();
    report.add(&crowd, "key to paint", "ms", &mut keys, (Some(12.0), None));

    let store =
        threads.block_on(async { Store::new(command::client(Path::new(kubeconfig)).await.unwrap().0, "bench") });
    let first = tty.text().lines().find_map(|line| Some(line[line.find("crowd-0")?..][..11].to_owned())).unwrap();
    let number: u64 = first[6..].parse().unwrap();
    let namespace = format!("crowd-{:02}", number / pgdeck::sandbox::crowd::PER_NAMESPACE as u64);
    let mut patches: Vec<f64> = (0..REPEATS)
        .map(|n| {
            tty.watch(Duration::from_millis(50));
            let team = format!("team{n:02}");
            let patch = json!({ "spec": { "teamId": &team } });
            let begun = Instant::now();
            threads.block_on(store.patch(&POSTGRESQL.at(&namespace, &first), &patch)).unwrap();
            until(&mut tty, "the patched cell", |tty| tty.text().contains(&team));
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    report.add(&crowd, "patch to glass", "ms", &mut patches, (Some(60.0), Some(150.0)));
    tty.keys("q");
    tty.wait_exit(Duration::from_secs(2));
}

fn main() -> ExitCode {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut report = Report::default();
    for regime in REGIMES {
        for clusters in [200, MANY] {
            measure(clusters, regime, &threads, &mut report);
        }
    }
    if let (Some(few), Some(many)) = (report.value("cpu", "churn", 200), report.value("cpu", "churn", MANY)) {
        if many > few * 1.5 {
            report
                .over
                .push(format!("cpu, churn: {many:.2} % for {MANY} clusters, {few:.2} % for 200: at most 1.5 times"));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench.json");
    std::fs::write(path, serde_json::to_string_pretty(&report.rows).unwrap()).unwrap();
    for over in &report.over {
        println!("over its target: {over}");
    }
    if report.over.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(5) }
}
