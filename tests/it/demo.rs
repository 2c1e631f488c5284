//! The console on a small real fleet: a failover is seen and named, no secret and no foreign escape reaches the terminal.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgdeck::sandbox::node::LOG_PATH;
use pgdeck::sandbox::objects::{POD, POSTGRESQL, SECRET};
use pgdeck::sandbox::sql::{self, Login, Session};
use serde_json::{Value, json};

use crate::sandbox::{Fixture, assert_no_process_shows_a_password, store};
use crate::tty::{Tty, assert_only_allowed_escapes};

/// A failover waits for the lease to run out, 30 s; others may be working here too.
const PATIENCE: Duration = Duration::from_secs(120);

fn console(status: &Value) -> Tty {
    Tty::start(&["-A"], &[("KUBECONFIG", status["kubeconfig"].as_str().unwrap())], (200, 50))
}

/// Sends a signal; who has ended meanwhile (of a family some come and go) needs none.
fn kill(signal: &str, pid: &Value) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success();
    assert!(sent || !Path::new(&format!("/proc/{pid}")).exists(), "{pid} does not take {signal}");
}

/// The screen's row of the cluster.
fn row(tty: &Tty) -> String {
    tty.text().lines().find(|line| line.contains("acid-shop ")).unwrap_or_default().to_owned()
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

/// Text that would take over a terminal, with a word that can be looked for.
fn hostile(word: &str) -> String {
    format!("{word}\u{1b}]52;c;QUJD\u{7}\u{1b}[2J\u{9b}31m")
}

/// A session on a member whose query is hostile, and asked to be so by its name.
async fn hostile_session(status: &Value, member: &Value) -> Session {
    let secret = "postgres.acid-shop.credentials.postgresql.acid.zalan.do";
    let secret = store(status).await.get(&SECRET.at("production", secret)).await.unwrap().unwrap();
    let password = STANDARD.decode(secret["data"]["password"].as_str().unwrap()).unwrap();
    let login = Login {
        host: member["address"].as_str().unwrap().split(':').next().unwrap().to_owned(),
        user: "postgres".into(),
        password: String::from_utf8(password).unwrap(),
        database: "postgres".into(),
    };
    sql::connect(&login, &hostile("evilname")).await.unwrap()
}

#[tokio::test]
async fn hostile_sessions_and_log_lines_are_shown_and_harmless() {
    let sandbox = Fixture::new("hostile", "one");
    sandbox.up("small");
    let status = sandbox.ready();
    let primary = status["members"].as_array().unwrap().iter().find(|member| member["role"] == "primary").unwrap();
    let session = hostile_session(&status, primary).await;
    let query = format!("SELECT pg_sleep(600) /* {} */", hostile("evilquery"));
    let asking = tokio::spawn(async move { session.client.batch_execute(&query).await });
    let pod =
        store(&status).await.get(&POD.at("production", primary["name"].as_str().unwrap())).await.unwrap().unwrap();
    let log = pod["metadata"]["annotations"][LOG_PATH].as_str().unwrap();
    let line = format!("{} stdout F {}\n", jiff::Timestamp::now(), hostile("evilline"));
    fs::OpenOptions::new().append(true).open(log).unwrap().write_all(line.as_bytes()).unwrap();

    let mut tty = console(&status);
    tty.wait_within(PATIENCE, "a sampled cluster", |tty| row(tty).contains("2/2"));
    tty.keys("a");
    tty.wait_within(PATIENCE, "the hostile query", |tty| tty.text().contains("evilquery"));
    // The server itself takes escapes out of names, or leaves them as text.
    tty.wait_for("the hostile name", |tty| tty.text().contains("evilname"));
    assert_no_process_shows_a_password();
    tty.keys("\u{1b}");
    tty.wait_for("the fleet", |tty| row(tty).contains("2/2"));
    tty.keys("L");
    tty.wait_within(PATIENCE, "the hostile line", |tty| tty.text().contains("evilline"));

    tty.keys("\u{3}");
    assert_eq!(tty.wait_exit(Duration::from_secs(2)).exit_code(), 0);
    assert_only_allowed_escapes(&tty.transcript);
    assert!(!String::from_utf8_lossy(&tty.transcript).contains("CANARY-"), "a password is on the screen");
    assert_absent("CANARY-", tty.home());
    asking.abort();
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

/// A process and its children.
fn family(pid: &Value) -> Vec<Value> {
    let parent = pid.as_u64().unwrap();
    let of = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u64>().ok();
    let children = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let child: u64 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (of(&fs::read_to_string(format!("/proc/{child}/stat")).ok()?)? == parent).then(|| json!(child))
    });
    std::iter::once(json!(parent)).chain(children).collect()
}

/// An archive without room: a file system of a few pages over it. Without the right to mount, a folder that takes no files.
struct Full {
    folder: PathBuf,
    is_mounted: bool,
}

impl Full {
    fn make(folder: PathBuf) -> Full {
        let place = folder.to_str().unwrap();
        let options = "size=64k,mode=0777";
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "pgdeck-test", place]).status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        if !is_mounted {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        }
        Full { folder, is_mounted }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        if self.is_mounted {
            Command::new("umount").arg("-l").arg(&self.folder).status().unwrap();
        } else {
            fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_standby_that_stands_still_and_an_archive_that_is_full_are_named() {
    let sandbox = Fixture::new("ill", "one");
    sandbox.up("small");
    let status = sandbox.ready();
    let mut tty = console(&status);
    let is_well = |tty: &Tty| row(tty).contains(" ok ") && row(tty).contains("2/2");
    tty.wait_within(PATIENCE, "a sampled, healthy cluster", is_well);
    let member =
        |role: &str| status["members"].as_array().unwrap().iter().find(|member| member["role"] == role).unwrap();

    let (standby, name) = (family(&member("standby")["postgres"]), member("standby")["name"].as_str().unwrap());
    for pid in &standby {
        kill("-STOP", pid);
    }
    tty.wait_within(PATIENCE, "the standby that stands still, by name", |tty| {
        !is_well(tty) && tty.text().lines().any(|line| line.contains(name) && line.contains("answer"))
    });
    for pid in &standby {
        kill("-CONT", pid);
    }
    tty.wait_within(PATIENCE, "a healthy cluster again", is_well);

    let primary = member("primary");
    let session = hostile_session(&status, primary).await;
    let full = Full::make(Path::new(primary["folder"].as_str().unwrap()).join("archive"));
    session.client.batch_execute("select pg_switch_wal()").await.unwrap();
    tty.wait_within(PATIENCE, "the archiver that fails", |tty| {
        row(tty).contains("warning") && tty.text().contains("archiv")
    });
    drop(full);
    tty.wait_within(PATIENCE, "a healthy cluster once more", is_well);
    tty.keys("q");
    tty.wait_exit(Duration::from_secs(2));
}
