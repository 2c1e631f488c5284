//! The contract tests of the Kubernetes client (`tests/it/kube`), unchanged, on the real API server.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::place::Real;

/// So many tests there are at least, and so many of them ask this API server. The other is about manifests that no schema lets
/// through.
const ALL: usize = 23;
const HERE: usize = 22;

/// Names the program that holds the tests: only outside can it be built.
pub const PROGRAM: &str = "PGDECK_REAL_CONTRACT";

/// The program of the integration tests, as cargo built it.
pub fn program() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO")));
    let mut build = Command::new(cargo);
    build.args(["test", "--test", "it", "--no-run", "--message-format=json"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells a test of its package would make it build half of the dependencies anew.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|word| name.to_string_lossy().starts_with(word)) {
            build.env_remove(name);
        }
    }
    let output = build.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = built.filter(|message| message["target"]["name"] == "it").find_map(|message| {
        let path = message["executable"].as_str()?;
        Some(PathBuf::from(path))
    });
    program.expect("cargo names the program of the integration tests")
}

pub fn holds(real: &Real) {
    let program = std::env::var_os(PROGRAM).expect("the program of the contract tests is named");
    let output = Command::new(program)
        .args(["kube::", "--test-threads", "4"])
        .env("PGDECK_TEST_KUBECONFIG", real.kubeconfig("admin"))
        .output()
        .expect("the contract tests");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    let summary = told.lines().find(|line| line.starts_with("test result:")).expect("a result");
    let passed: usize = summary.split(' ').nth(3).and_then(|count| count.parse().ok()).expect("a count");
    // Each makes a namespace of its own on the API server that it asks.
    let asked = std::fs::read_to_string(real.audit()).expect("the API server's audit log");
    let made = asked.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let made = made.filter(|event| event["verb"] == "create" && event["objectRef"]["resource"] == "namespaces");
    let made = made.filter_map(|event| event["objectRef"]["name"].as_str().map(str::to_owned));
    let here = made.filter(|name| name.starts_with("pgdeck-kube-")).collect::<BTreeSet<_>>().len();
    eprintln!("  the client's contract: {here} of {passed} on this API server");
    assert!(passed >= ALL && here >= HERE, "{passed} passed, {here} here: {told}");
}
