//! A switchover under load: a logical consumer that must be back afterwards, and a pgbench whose own log tells how long
//! writes stopped.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use pgdeck::sandbox::objects::POSTGRESQL;
use pgdeck::sandbox::sql::Login;
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::stage::{PATIENCE, Scene, line};
use crate::kube::stage::{eventually, eventually_within};
use crate::sandbox::store;

/// Where libpq finds whichever member takes writes.
fn primary(login: &Login, hosts: &str) -> String {
    format!("host={hosts} user={} dbname={} target_session_attrs=read-write", login.user, login.database)
}

/// A client of libpq that is killed when it is dropped.
fn client(program: &str, login: &Login) -> Command {
    let mut command = Command::new(program);
    command.env("PGPASSWORD", &login.password).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// pgbench, begun again whenever it has lost its connection, until it is aborted: fifty rows a second.
fn load(login: Login, hosts: String, folder: PathBuf) -> JoinHandle<()> {
    tokio::spawn(async move {
        std::fs::write(folder.join("beat.sql"), "insert into beats default values;\n").unwrap();
        loop {
            let mut pgbench = client("pgbench", &login);
            pgbench.args(["-n", "-c", "1", "-T", "600", "-R", "50", "-l", "-f", "beat.sql"]);
            pgbench.arg(primary(&login, &hosts)).current_dir(&folder).status().await.unwrap();
        }
    })
}

/// When the transactions of each run of pgbench ended, in seconds: client, number, time, script, second and microsecond of the
/// end (<https://www.postgresql.org/docs/current/pgbench.html>). A line that is not whole yet does not count.
fn ends(folder: &Path) -> Vec<Vec<f64>> {
    let logs = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let logs = logs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("pgbench_log"));
    let whole = |text: String| text.rsplit_once('\n').map(|(whole, _)| whole.to_owned()).unwrap_or_default();
    let end = |line: &str| {
        let fields: Vec<f64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
        fields[4] + fields[5] / 1e6
    };
    let runs = logs.map(|path| whole(std::fs::read_to_string(path).unwrap()).lines().map(end).collect::<Vec<_>>());
    runs.filter(|ends| !ends.is_empty()).collect()
}

// pgbench is begun again while this waits for pgdeck: that takes a second thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_are_back_and_the_outage_is_the_one_that_pgbench_saw() {
    let scene = Scene::up("act-switched");
    let slots = json!({"spec": {"patroni": {"slots": {"cdc": {
        "type": "logical", "database": "postgres", "plugin": "test_decoding",
    }}}}});
    store(&scene.sandbox.status()).await.patch(&POSTGRESQL.at("production", "acid-shop"), &slots).await.unwrap();
    let session = scene.session("primary").await;
    let counts = async |query: &str| {
        session.client.query_one(&format!("select count(*) from {query}"), &[]).await.unwrap().get::<_, i64>(0)
    };
    let slot = "pg_replication_slots where slot_name = 'cdc'";
    eventually_within(PATIENCE, "the slot", async || counts(slot).await == 1).await;
    session.client.batch_execute("create table beats (at timestamptz default now())").await.unwrap();

    let (standby, login) = (scene.login("standby").await, scene.login("primary").await);
    let hosts = format!("{},{}", login.host, standby.host);
    let mut consumer = client("pg_recvlogical", &login);
    consumer.args(["--slot", "cdc", "--start", "-f", "/dev/null", "-d", &primary(&login, &hosts)]);
    let consumer = consumer.spawn().unwrap();
    eventually("a consumer", async || counts(&format!("{slot} and active")).await == 1).await;
    let load = load(login, hosts, scene.home.clone());
    eventually_within(PATIENCE, "a load", async || counts("beats").await > 100).await;

    let run = scene.proved(&["switchover", "acid-shop", "--yes"]);
    eventually_within(PATIENCE, "a load on the new primary", async || ends(&scene.home).len() > 1).await;
    load.abort();
    drop(consumer);

    line(&run, "preflight", "the logical slot cdc");
    line(&run, "lines", "slot cdc is read");
    let told = line(&run, "lines", "writes stopped for ").split("writes stopped for ").nth(1).unwrap();
    let ours: f64 = told.split(' ').next().unwrap().parse().unwrap();
    let mut ends = ends(&scene.home).concat();
    ends.sort_by(f64::total_cmp);
    let theirs = ends.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    eprintln!("writes stopped for {ours:.1} s by pgdeck's word, for {theirs:.3} s by pgbench's log");
    // Each tries anew at moments of its own.
    assert!((ours - theirs).abs() < 1.0, "{ours} s by pgdeck's word, {theirs} s by pgbench's log");
}
