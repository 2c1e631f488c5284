//! Backups that are real: a base backup made inside a member.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use pgdeck::sandbox::objects::Store;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::operator::named;
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
    assert_eq!(listed().await, serde_json::json!([]));

    let said = within("postgres_backup.sh /home/postgres/pgdata/pgroot/data").await;

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
