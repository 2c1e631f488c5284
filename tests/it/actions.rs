//! Orders on a small real fleet, by the real binary: the effect is asserted in Patroni and SQL, not by what pgdeck says.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgdeck::sandbox::objects::{CONFIG_MAP, POSTGRESQL, SECRET};
use pgdeck::sandbox::sql::{self, Login, Session};
use serde_json::{Value, json};

use crate::sandbox::{Fixture, store};
use crate::tty::Tty;

/// A standby is copied anew within this; others may be working here too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A sandbox, and a home whose journal is its own.
struct Scene {
    sandbox: Fixture,
    home: PathBuf,
    kubeconfig: String,
}

impl Scene {
    fn up(test: &str) -> Scene {
        let sandbox = Fixture::new(test, "one");
        sandbox.up("small");
        let status = sandbox.ready();
        let home = std::env::temp_dir().join(format!("pgdeck-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let kubeconfig = status["kubeconfig"].as_str().unwrap().to_owned();
        Scene { sandbox, home, kubeconfig }
    }

    /// Runs `pgdeck ARGUMENTS` and gives its exit code, stdout and stderr.
    fn pgdeck(&self, arguments: &[&str]) -> (i32, String, String) {
        self.pgdeck_as(&self.kubeconfig, arguments)
    }

    fn pgdeck_as(&self, kubeconfig: &str, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &self.home);
        let output = command.env("KUBECONFIG", kubeconfig).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Does it, and asserts that it says that its effect was seen.
    fn proved(&self, arguments: &[&str]) -> Value {
        let all = [&["do"], arguments, &["--write", "-o", "json"]].concat();
        let (code, out, err) = self.pgdeck(&all);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        let run: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(run["outcome"], "PROVED");
        run
    }

    /// Asserts that it is refused with that exit code, for that reason, and that the journal says nothing of it.
    fn refused(&self, arguments: &[&str], expected: i32, why: &str) {
        let before = self.journal().len();
        let (code, out, err) = self.pgdeck(&[&["do"], arguments].concat());
        assert_eq!(code, expected, "{arguments:?}: {out}{err}");
        assert!(err.contains(why), "{arguments:?}: {why:?} is not said: {err}");
        assert_eq!(self.journal().len(), before, "{arguments:?}: a refusal was journaled");
    }

    fn journal(&self) -> Vec<Value> {
        let (code, out, err) = self.pgdeck(&["audit", "-o", "json"]);
        assert_eq!(code, 0, "{err}");
        assert!(!out.contains("CANARY-"), "a password is in the journal");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn member(&self, role: &str) -> Value {
        let status = self.sandbox.wait_until("a member of that role", |status| {
            status["members"].as_array().unwrap().iter().any(|member| member["role"] == role)
        });
        status["members"].as_array().unwrap().iter().find(|member| member["role"] == role).unwrap().clone()
    }

    fn name(&self, role: &str) -> String {
        self.member(role)["name"].as_str().unwrap().to_owned()
    }

    /// A superuser's session on the member of that role.
    async fn session(&self, role: &str) -> Session {
        let secret = "postgres.acid-shop.credentials.postgresql.acid.zalan.do";
        let store = store(&self.sandbox.status()).await;
        let secret = store.get(&SECRET.at("production", secret)).await.unwrap().unwrap();
        let password = STANDARD.decode(secret["data"]["password"].as_str().unwrap()).unwrap();
        let login = Login {
            host: self.member(role)["address"].as_str().unwrap().split(':').next().unwrap().to_owned(),
            user: "postgres".into(),
            password: String::from_utf8(password).unwrap(),
            database: "postgres".into(),
        };
        sql::connect(&login, "pgdeck test").await.unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.home).ok();
    }
}

/// When the server began, by its own clock, as text.
async fn started(session: &Session) -> String {
    let row = session.client.query_one("select pg_postmaster_start_time()::text", &[]).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn the_primary_is_handed_over_restarted_and_copied_and_each_is_seen_in_sql() {
    let scene = Scene::up("act-patroni");
    let (old, new) = (scene.name("primary"), scene.name("standby"));

    scene.refused(&["switchover", "acid-shop"], 3, "add --write");
    scene.refused(&["switchover", "acid-shop", "--write"], 3, "add --yes");
    scene.refused(&["switchover", "acid-shop", &format!("to={old}"), "--write", "--yes"], 3, "it leads already");
    let run = scene.proved(&["switchover", "acid-shop", "--yes", "--reason", "a drill"]);
    assert_eq!(run["orders"][0]["body"], json!({"leader": old, "candidate": new}));
    let session = scene.session("primary").await;
    let in_recovery: bool = session.client.query_one("select pg_is_in_recovery()", &[]).await.unwrap().get(0);
    assert!(!in_recovery && scene.name("primary") == new, "{new} does not lead");

    let before = started(&session).await;
    scene.proved(&["restart", &format!("acid-shop/{new}"), "--yes"]);
    assert_ne!(started(&scene.session("primary").await).await, before);

    scene.refused(&["reinitialize", &format!("acid-shop/{old}"), "--write", "--yes"], 3, "--confirm acid-shop");
    scene.refused(&["reinitialize", &format!("acid-shop/{new}"), "--write", "--confirm", "acid-shop"], 3, "leads");
    let before = started(&scene.session("standby").await).await;
    scene.proved(&["reinitialize", &format!("acid-shop/{old}"), "--confirm", "acid-shop"]);
    assert_ne!(started(&scene.session("standby").await).await, before);

    scene.refused(&["failover", "acid-shop", &format!("to={old}"), "--write", "--yes"], 3, "--confirm acid-shop");
    scene.proved(&["failover", "acid-shop", &format!("to={old}"), "--confirm", "acid-shop"]);
    assert_eq!(scene.name("primary"), old);

    let journal = scene.journal();
    let asked: Vec<&Value> = journal.iter().filter(|line| line["entry"] == "asked").collect();
    assert_eq!(
        asked.iter().map(|line| line["action"].as_str().unwrap()).collect::<Vec<_>>(),
        ["switchover", "restart", "reinitialize", "failover"]
    );
    assert_eq!((asked[0]["reason"].as_str(), asked[0]["confirm"].as_str()), (Some("a drill"), Some("--yes")));
    assert!(journal.iter().filter(|line| line["entry"] == "ended").all(|line| line["outcome"] == "PROVED"));
}

#[tokio::test]
async fn members_come_and_go_and_patroni_is_paused_and_resumed() {
    let scene = Scene::up("act-scale");
    let store = store(&scene.sandbox.status()).await;
    let shop = POSTGRESQL.at("production", "acid-shop");
    let wanted = async || store.get(&shop).await.unwrap().unwrap()["spec"]["numberOfInstances"].clone();
    let config = async || {
        let map = store.get(&CONFIG_MAP.at("production", "acid-shop-config")).await.unwrap().unwrap();
        serde_json::from_str::<Value>(map["metadata"]["annotations"]["config"].as_str().unwrap()).unwrap()
    };

    let (code, out, _) = scene.pgdeck(&["do", "scale", "acid-shop", "3", "--dry-run"]);
    assert!(code == 0 && out.contains("nothing was changed"), "{out}");
    scene.refused(&["scale", "acid-shop", "many", "--write", "--yes"], 3, "is no number of members");
    scene.refused(&["scale", "acid-shop", "2", "--write", "--yes"], 3, "2 members already");
    scene.refused(&["scale", "acid-shop", "3", "--readonly", "--write", "--yes"], 3, "allows no change");
    scene.refused(&["scale", "acid-shop", "0", "--write", "--yes"], 3, "--confirm acid-shop");
    assert_eq!(wanted().await, 2);

    scene.proved(&["scale", "acid-shop", "3", "--yes"]);
    let session = scene.session("primary").await;
    let count: i64 = session
        .client
        .query_one("select count(*) from pg_stat_replication where state = 'streaming'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!((wanted().await, count), (json!(3), 2));

    scene.refused(&["patroni-resume", "acid-shop", "--write", "--yes"], 3, "not paused");
    scene.proved(&["patroni-pause", "acid-shop", "--yes"]);
    assert_eq!(config().await["pause"], true);
    scene.proved(&["patroni-resume", "acid-shop", "--yes"]);
    assert_eq!(config().await["pause"], Value::Null);

    // Whoever may only look is told which right is missing.
    let view = scene.kubeconfig.replace("/kubeconfig", "/kubeconfig-view");
    let (code, _, err) = scene.pgdeck_as(&view, &["do", "scale", "acid-shop", "2", "--write", "--yes"]);
    assert!(code == 4 && err.contains("patch postgresqls.acid.zalan.do"), "{code}: {err}");
    assert_eq!(wanted().await, 3);
}

#[tokio::test]
async fn a_query_is_cancelled_and_a_session_ended_and_no_other() {
    let scene = Scene::up("act-session");
    let session = scene.session("primary").await;
    let pid: i32 = session.client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let other = scene.session("primary").await;
    let member = format!("acid-shop/{}", scene.name("primary"));
    let pid_text = pid.to_string();

    scene.refused(&["cancel", &member, &pid_text, "--write", "--yes"], 3, "runs no query that could be cancelled");
    scene.refused(&["terminate", &member, "1", "--write", "--yes"], 3, "backend 1 is gone");
    let asked = tokio::spawn(async move {
        let error = session.client.batch_execute("select pg_sleep(600)").await.unwrap_err();
        (session, error.code().unwrap().code().to_owned())
    });
    let running = "select count(*) from pg_stat_activity where pid = $1 and state = 'active'";
    let is_running = async || other.client.query_one(running, &[&pid]).await.unwrap().get::<_, i64>(0) == 1;
    crate::kube::stage::eventually("a query that runs", is_running).await;
    scene.proved(&["cancel", &member, &pid_text, "--yes"]);
    let (session, code) = asked.await.unwrap();
    assert_eq!(code, "57014");

    session.client.batch_execute("select 1").await.unwrap();
    scene.proved(&["terminate", &member, &pid_text, "--yes"]);
    assert!(session.client.batch_execute("select 1").await.is_err());
    other.client.batch_execute("select 1").await.unwrap();
}

#[tokio::test]
async fn in_the_console_an_order_is_armed_confirmed_and_proved_before_your_eyes() {
    let scene = Scene::up("act-console");
    let (old, new) = (scene.name("primary"), scene.name("standby"));
    let mut tty = Tty::start(&["-A"], &[("KUBECONFIG", &scene.kubeconfig)], (120, 40));
    tty.wait_within(PATIENCE, "a healthy cluster", |tty| tty.text().contains(" ok ") && tty.text().contains("2/2"));
    assert!(tty.text().contains("READ-ONLY"));

    tty.keys("xs");
    tty.wait_within(PATIENCE, "an offer that cannot be taken", |tty| tty.text().contains("READ-ONLY: leave"));
    tty.keys("y");
    tty.keys("\u{1b}");
    tty.wait_for("the fleet", |tty| !tty.text().contains("READ-ONLY: leave"));
    assert_eq!(scene.name("primary"), old);

    tty.keys("W");
    tty.wait_for("armed", |tty| tty.text().contains("ARMED one"));
    tty.keys("xs");
    tty.wait_within(PATIENCE, "the offer", |tty| tty.text().contains("y do it"));
    tty.keys("y");
    tty.wait_within(PATIENCE, "the proof", |tty| tty.text().contains("PROVED"));
    assert_eq!(scene.name("primary"), new);
    tty.keys("\u{1b}");
    tty.wait_for("the fleet", |tty| !tty.text().contains("PROVED  ") && tty.text().contains("2/2"));
    tty.keys("q");
    assert_eq!(tty.wait_exit(Duration::from_secs(2)).exit_code(), 0);
    let journal = std::fs::read_to_string(tty.home().join(".local/state/pgdeck/journal.jsonl")).unwrap();
    assert!(journal.contains("\"PROVED\"") && !journal.contains("CANARY-"), "{journal}");
}
