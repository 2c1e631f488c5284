//! The console on a small real fleet: a failover is seen and named, no secret and no foreign escape reaches the terminal.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pgdeck::sandbox::objects::POSTGRESQL;
use serde_json::{Value, json};

use crate::sandbox::{Fixture, store};
use crate::tty::Tty;

/// A failover waits for the lease to run out, 30 s; others may be working here too.
const PATIENCE: Duration = Duration::from_secs(120);

fn console(status: &Value) -> Tty {
    Tty::start(&["-A"], &[("KUBECONFIG", status["kubeconfig"].as_str().unwrap())], (200, 50))
}

fn kill(signal: &str, pid: &Value) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// The screen's row of the cluster.
fn row(tty: &Tty) -> String {
    tty.text().lines().find(|line| line.contains("acid-shop ")).unwrap_or_default().to_owned()
}

/// Asserts that the program wrote no escape sequence but those that move, colour, clear and switch modes.
fn assert_only_allowed_escapes(transcript: &[u8]) {
    for (at, _) in transcript.iter().enumerate().filter(|(_, byte)| **byte == 0x1b) {
        let rest = &transcript[at + 1..];
        let parameters = rest.iter().skip(1).take_while(|byte| matches!(byte, b'0'..=b'?')).count();
        let last = rest.get(1 + parameters).copied().unwrap_or(b'm');
        let shown = String::from_utf8_lossy(&rest[..rest.len().min(20)]);
        assert!(
            rest.first() == Some(&b'[') && b"mHABCDGdJKXhl".contains(&last),
            "an escape in the transcript: {shown:?}"
        );
    }
}

/// Asserts that no file below the folder holds the word.
fn assert_absent(word: &str, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            assert_absent(word, &entry.path());
        } else {
            let text = fs::read(entry.path()).unwrap();
            assert!(!String::from_utf8_lossy(&text).contains(word), "{word} stands in {}", entry.path().display());
        }
    }
}

#[tokio::test]
async fn a_failover_is_seen_and_nothing_foreign_or_secret_reaches_the_terminal() {
    let sandbox = Fixture::new("demo", "one");
    sandbox.up("small");
    let status = sandbox.ready();
    let mut tty = console(&status);
    tty.wait_within(PATIENCE, "a sampled, healthy cluster", |tty| {
        row(tty).contains(" ok ") && row(tty).contains("2/2")
    });

    let hostile = json!({ "spec": { "teamId": "evil\u{1b}]52;c;QUJD\u{7}\u{1b}[2J" } });
    store(&status).await.patch(&POSTGRESQL.at("production", "acid-shop"), &hostile).await.unwrap();
    tty.wait_for("the hostile team, made harmless", |tty| tty.text().contains("evil"));

    let member =
        |role: &str| status["members"].as_array().unwrap().iter().find(|member| member["role"] == role).unwrap();
    let (primary, standby) = (member("primary"), member("standby")["name"].as_str().unwrap().to_owned());
    let patroni = format!("patroni production/{}", primary["name"].as_str().unwrap());
    let patroni = status["processes"].as_array().unwrap().iter().find(|process| process["what"] == patroni).unwrap();
    kill("-STOP", &patroni["pid"]);
    kill("-9", &primary["postgres"]);
    tty.wait_within(PATIENCE, "what is wrong", |tty| row(tty).contains("critical") || row(tty).contains("warning"));
    tty.wait_within(PATIENCE, "the new primary", |tty| row(tty).contains(&standby));
    kill("-CONT", &patroni["pid"]);

    tty.keys("q");
    assert_eq!(tty.wait_exit(Duration::from_secs(2)).exit_code(), 0);
    assert_only_allowed_escapes(&tty.transcript);
    assert!(!String::from_utf8_lossy(&tty.transcript).contains("CANARY-"), "a password is on the screen");
    assert_absent("CANARY-", tty.home());
}

#[test]
fn a_foreign_escape_would_be_seen() {
    assert_only_allowed_escapes(b"\x1b[1;32mok\x1b[2J\x1b[?2026h");
    for foreign in ["\x1b]52;c;QUJD\x07", "\x1bP", "\x1b[5n\x1bc"] {
        assert!(std::panic::catch_unwind(|| assert_only_allowed_escapes(foreign.as_bytes())).is_err(), "{foreign:?}");
    }
}
