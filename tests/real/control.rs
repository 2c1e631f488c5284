//! A real control plane of one test run: brought up by the scripts beside this file, ended when dropped.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::contract;
use crate::place::Real;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real");
/// Names of control planes of test runs: this and the pid.
const PREFIX: &str = "pgdeck-test-";

/// One that is up.
#[derive(Debug)]
pub struct Control {
    name: String,
    /// Whether its logs are kept, to be looked at.
    is_kept: bool,
}

/// A script beside this file, about the control plane of that name.
pub fn script(word: &str, name: &str) -> Command {
    let mut command = Command::new(Path::new(SCRIPTS).join(word));
    command.env("PGDECK", env!("CARGO_BIN_EXE_pgdeck")).env("PGDECK_REAL_NAME", name);
    command
}

impl Control {
    /// Brings one up, beside any that a person made, after ending those of test runs that were killed.
    pub fn up() -> Control {
        for name in left_behind() {
            script("down", &name).status().expect("tests/real/down");
        }
        let control = Control { name: format!("{PREFIX}{}", std::process::id()), is_kept: false };
        let up = script("up", &control.name).status().expect("tests/real/up");
        assert!(up.success(), "no real control plane: see above, or set PGDECK_SKIP_REAL=1 to do without");
        control
    }

    /// Runs this program again, inside.
    pub fn run_inside(mut self, arguments: &[String]) -> ExitCode {
        let mut inside = script("enter", &self.name);
        inside.arg(std::env::current_exe().unwrap()).args(arguments).env(contract::PROGRAM, contract::program());
        let is_done = inside.status().expect("tests/real/enter").success();
        self.is_kept = !is_done;
        if self.is_kept {
            eprintln!("logs of the control plane: {}", runs().join(&self.name).join("log").display());
        }
        if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A user with sudo becomes root with all that says what is to be run, and nothing else.
pub fn handed_on(real: &Real) {
    let stand_ins = real.home().join("stand-ins");
    std::fs::create_dir_all(&stand_ins).unwrap();
    for (program, text) in [("id", "echo 1000"), ("sudo", r#"printf '%s\n' "$@""#)] {
        let path = stand_ins.join(program);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", stand_ins.display(), std::env::var("PATH").unwrap());
    let kept = [
        ("PATRONI", "/of/mine/patroni"),
        ("PGBIN", "/of/mine/bin"),
        ("PGDECK_REAL_STORE", "endpoints"),
        ("HTTPS_PROXY", "http://proxy:1"),
        ("https_proxy", "http://proxy:2"),
        ("NO_PROXY", "localhost"),
        ("SSL_CERT_FILE", "/of/mine/ca.pem"),
        ("GOPROXY", "http://proxy:3"),
    ];
    let mut script = Command::new("bash");
    let begun = script.args(["-c", r#". "$0" && as_root down it"#]).arg(Path::new(SCRIPTS).join("lib.sh"));
    let said = begun.env_clear().env("PATH", &path).envs(kept).env("PGPASSWORD", "mine").output().unwrap().stdout;

    let said = String::from_utf8(said).unwrap();
    let said: Vec<&str> = said.lines().collect();
    for (name, value) in kept {
        assert!(said.contains(&format!("{name}={value}").as_str()), "{name} is lost: {said:?}");
    }
    assert!(!said.iter().any(|word| word.contains("PGPASSWORD")), "{said:?}");
    assert!(said.ends_with(&["down", "it"]), "{said:?}");
}

impl Drop for Control {
    fn drop(&mut self) {
        let keep = if self.is_kept { "1" } else { "0" };
        let down = script("down", &self.name).env("PGDECK_REAL_KEEP", keep).status();
        assert!(down.is_ok_and(|down| down.success()) || std::thread::panicking(), "{} is left", self.name);
    }
}

fn runs() -> PathBuf {
    let home =
        std::env::var_os("PGDECK_REAL_HOME").map_or_else(|| PathBuf::from("/var/tmp/pgdeck-real"), PathBuf::from);
    home.join("run")
}

fn left_behind() -> Vec<String> {
    let names = std::fs::read_dir(runs()).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let is_over = |name: &String| {
        let pid = name.strip_prefix(PREFIX);
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    names.filter(is_over).collect()
}
