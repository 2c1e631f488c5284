//! A small real fleet to act on, and the real binary that acts.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgdeck::sandbox::objects::SECRET;
use pgdeck::sandbox::sql::{self, Login, Session};
use serde_json::Value;

use crate::sandbox::{Fixture, store};

/// A standby is copied anew within this; others may be working here too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A sandbox, and a home whose journal is its own.
pub struct Scene {
    pub sandbox: Fixture,
    pub home: PathBuf,
    pub kubeconfig: String,
}

impl Scene {
    pub fn up(test: &str) -> Scene {
        let sandbox = Fixture::new(test, "one");
        sandbox.up("small");
        let status = sandbox.ready();
        let home = std::env::temp_dir().join(format!("pgdeck-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let kubeconfig = status["kubeconfig"].as_str().unwrap().to_owned();
        Scene { sandbox, home, kubeconfig }
    }

    /// Runs `pgdeck ARGUMENTS` and gives its exit code, stdout and stderr.
    pub fn pgdeck(&self, arguments: &[&str]) -> (i32, String, String) {
        self.pgdeck_as(&self.kubeconfig, arguments)
    }

    /// `pgdeck`, as whoever that kubeconfig logs in.
    pub fn command(&self, kubeconfig: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &self.home);
        command.env("KUBECONFIG", kubeconfig);
        command
    }

    pub fn pgdeck_as(&self, kubeconfig: &str, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(kubeconfig).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Does it, and asserts that it says that its effect was seen.
    pub fn proved(&self, arguments: &[&str]) -> Value {
        let all = [&["do"], arguments, &["--write", "-o", "json"]].concat();
        let (code, out, err) = self.pgdeck(&all);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        let run: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(run["outcome"], "PROVED");
        run
    }

    /// Asserts that it is refused with that exit code, for that reason, and that the journal says nothing of it. What was cut off
    /// before it may be settled by the way.
    pub fn refused(&self, arguments: &[&str], expected: i32, why: &str) {
        let before = self.count("asked");
        let (code, out, err) = self.pgdeck(&[&["do"], arguments].concat());
        assert_eq!(code, expected, "{arguments:?}: {out}{err}");
        assert!(err.contains(why), "{arguments:?}: {why:?} is not said: {err}");
        assert_eq!(self.count("asked"), before, "{arguments:?}: a refusal was journaled");
    }

    pub fn journal(&self) -> Vec<Value> {
        let (code, out, err) = self.pgdeck(&["audit", "-o", "json"]);
        assert_eq!(code, 0, "{err}");
        assert!(!out.contains("CANARY-"), "a password is in the journal");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until the journal has more lines of that kind than `before`.
    pub fn journaled(&self, kind: &str, before: usize) {
        let begun = Instant::now();
        while self.count(kind) <= before {
            assert!(begun.elapsed() < PATIENCE, "no {kind} in the journal");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Requests by which pgdeck has changed objects, by the API server's own record. Questions about rights, and ways to pods,
    /// change nothing.
    pub fn changes(&self) -> Vec<String> {
        let folder = PathBuf::from(&self.kubeconfig);
        let text = std::fs::read_to_string(folder.parent().unwrap().join("requests.jsonl")).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_change = |line: &Value| {
            let path = line["path"].as_str().unwrap();
            line["agent"].as_str().unwrap().starts_with("pgdeck/")
                && line["method"] != "GET"
                && !path.ends_with("reviews")
                && !path.ends_with("/portforward")
        };
        lines.filter(is_change).map(|line| format!("{} {}", line["method"], line["path"])).collect()
    }

    fn journal_file(&self) -> PathBuf {
        self.home.join(".local/state/pgdeck/journal.jsonl")
    }

    /// Begins an empty journal.
    pub fn forget(&self) {
        std::fs::remove_file(self.journal_file()).ok();
        assert!(!self.journal_file().exists(), "the journal cannot be removed");
    }

    /// The journal's lines as they are, by now.
    pub fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.journal_file()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many of them are of that kind.
    pub fn count(&self, kind: &str) -> usize {
        self.lines().iter().filter(|line| line["entry"] == kind).count()
    }

    /// The member of that role of the cluster that is acted on.
    pub fn member(&self, role: &str) -> Value {
        let find = |status: &Value| {
            let members = status["members"].as_array().unwrap();
            members.iter().find(|member| member["role"] == role && is_of_shop(member)).cloned()
        };
        let status = self.sandbox.wait_until("a member of that role", |status| find(status).is_some());
        find(&status).unwrap()
    }

    pub fn name(&self, role: &str) -> String {
        self.member(role)["name"].as_str().unwrap().to_owned()
    }

    /// A superuser's session on the member of that role.
    pub async fn session(&self, role: &str) -> Session {
        sql::connect(&self.login(role).await, "pgdeck test").await.unwrap()
    }

    /// A superuser's login on the member of that role.
    pub async fn login(&self, role: &str) -> Login {
        let secret = "postgres.acid-shop.credentials.postgresql.acid.zalan.do";
        let store = store(&self.sandbox.status()).await;
        let secret = store.get(&SECRET.at("production", secret)).await.unwrap().unwrap();
        let password = STANDARD.decode(secret["data"]["password"].as_str().unwrap()).unwrap();
        Login {
            host: self.member(role)["address"].as_str().unwrap().split(':').next().unwrap().to_owned(),
            user: "postgres".into(),
            password: String::from_utf8(password).unwrap(),
            database: "postgres".into(),
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.home).ok();
    }
}

/// Whether a member is one of the cluster that is acted on.
pub fn is_of_shop(member: &Value) -> bool {
    member["name"].as_str().is_some_and(|name| name.starts_with("acid-shop"))
}

/// The text of the first line with these words, of those that a run tells under `list`.
pub fn line<'a>(run: &'a Value, list: &str, words: &str) -> &'a str {
    let mut lines = run[list].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap());
    lines.find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words:?} is not said: {run:#}"))
}

/// When the server began, by its own clock, as text.
pub async fn started(session: &Session) -> String {
    let row = session.client.query_one("select pg_postmaster_start_time()::text", &[]).await.unwrap();
    row.get(0)
}
