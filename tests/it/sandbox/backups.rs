//! Backups that are real: a base backup made inside a member, a dump by a Job.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use pgdeck::sandbox::objects::{CRON_JOB, JOB, Store};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::operator::{eventually, named};
use super::{Fixture, store};

/// What a command in a member says, which must go well.
async fn run(store: &Store, member: &str, command: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(store.client.clone(), "production");
    let streams = AttachParams::default().container("postgres").stdin(false).stdout(true).stderr(true);
    let mut process = pods.exec(member, ["su", "postgres", "-c", command], &streams).await.unwrap();
    let (mut stdout, mut stderr) = (process.stdout().unwrap(), process.stderr().unwrap());
    let (mut said, mut complained) = (String::new(), String::new());
    let status = process.take_status().unwrap();
    let ended = tokio::join!(stdout.read_to_string(&mut said), stderr.read_to_string(&mut complained), status);
    let status = ended.2.unwrap();
    assert_eq!(status.status.as_deref(), Some("Success"), "{said}{complained}{status:?}");
    said
}

#[tokio::test]
async fn a_base_backup_is_made_inside_the_primary_and_then_listed() {
    let sandbox = Fixture::new("base", "one");
    sandbox.up("small");
    let status = sandbox.ready();
    let (store, primary) = (store(&status).await, named(&status, "primary"));
    let within = async |command: &str| run(&store, &primary, &format!("envdir /run/etc/wal-e.d/env {command}")).await;
    let listed = async || serde_json::from_str::<Value>(&within("wal-g backup-list --detail --json").await).unwrap();
    assert_eq!(listed().await, json!([]));

    let said = within("/scripts/postgres_backup.sh /home/postgres/pgdata/pgroot/data").await;

    let backups = listed().await;
    let backup = &backups.as_array().unwrap()[0];
    let name = backup["backup_name"].as_str().unwrap();
    assert!(said.contains(name), "{said}");
    assert_eq!(name, format!("base_{}", backup["wal_file_name"].as_str().unwrap()));
    assert!(backup["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{backup}");
    assert!(backup["finish_lsn"].as_u64().unwrap() > backup["start_lsn"].as_u64().unwrap(), "{backup}");
    let content = run(&store, &primary, &format!("tar -tzf archive/basebackups_005/{name}/base.tar.gz")).await;
    assert!(content.contains("global/pg_control"), "{content}");
    // A command of the member's own tools finds its server by itself.
    assert_eq!(run(&store, &primary, "psql -Atc 'select pg_is_in_recovery()'").await, "f\n");
}

/// A Job of that name from the CronJob's template, with that cluster in its environment; returns how it ended.
async fn run_job(store: &Store, name: &str, scope: &str) -> Value {
    let cron = store.get(&CRON_JOB.at("production", "logical-backup-acid-shop")).await.unwrap().unwrap();
    let mut spec = cron["spec"]["jobTemplate"]["spec"].clone();
    let env = spec["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    env.iter_mut().find(|variable| variable["name"] == "SCOPE").unwrap()["value"] = json!(scope);
    let job = json!({ "metadata": { "name": name, "namespace": "production" }, "spec": spec });
    store.create(JOB, job).await.unwrap();
    let spot = JOB.at("production", name);
    let ended = async || !store.get(&spot).await.unwrap().unwrap()["status"]["conditions"].is_null();
    eventually("the end of the job", ended).await;
    store.get(&spot).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_job_of_the_cronjobs_template_dumps_the_cluster_or_says_why_not() {
    let sandbox = Fixture::new("dump", "one");
    sandbox.up("small");
    let store = store(&sandbox.ready()).await;

    let job = run_job(&store, "dump-now", "acid-shop").await;

    assert_eq!(job["status"]["conditions"][0]["type"], "Complete", "{job:#}");
    assert_eq!((&job["status"]["succeeded"], job["status"].get("active")), (&json!(1), None));
    assert!(job["status"]["completionTime"].is_string());
    let path = job["metadata"]["annotations"]["pgdeck.sandbox/dump"].as_str().unwrap();
    let content = std::process::Command::new("gzip").args(["-dc", path]).output().unwrap();
    let content = String::from_utf8(content.stdout).unwrap();
    assert!(content.contains("CREATE DATABASE shop") && content.contains("COPY public.orders"));

    let job = run_job(&store, "dump-nothing", "acid-nothing").await;
    let (status, failed) = (&job["status"], &job["status"]["conditions"][0]);
    assert_eq!((&failed["type"], &status["failed"], status.get("succeeded")), (&json!("Failed"), &json!(1), None));
    assert!(failed["message"].as_str().unwrap().contains("no primary"), "{failed}");
}
