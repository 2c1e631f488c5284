//! Rights, versions, logs and the way to a pod's Postgres.

use std::io::Write as _;
use std::time::Duration;

use pgdeck::fault::Fault;
use pgdeck::id::InstanceId;
use pgdeck::pg::Stream;
use pgdeck::plane::Plane as _;
use pgdeck::plane::kubernetes::{Kubernetes, Options};
use pgdeck::sandbox::api::LOG_PATH;
use pgdeck::sandbox::objects::{POD, POSTGRESQL, SECRET, is_ready};
use pgdeck::work::probe::{Answer, Probe, Right, Versions};
use pgdeck::work::want::Want;
use serde_json::json;

use super::stage::{self, Fleet, PATIENCE, Stage};

async fn rights(plane: &Kubernetes) -> Vec<Right> {
    match plane.probe(Probe::Rights { plane: plane.id(), namespace: None }).await {
        Ok(Answer::Rights(rights)) => rights,
        other => panic!("{other:?}"),
    }
}

async fn versions(plane: &Kubernetes) -> Versions {
    match plane.probe(Probe::Versions(plane.id())).await {
        Ok(Answer::Versions(versions)) => versions,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_admin_has_every_right_and_the_versions_are_told() {
    let stage = Stage::new().await;
    let plane = stage.plane();

    let missing: Vec<_> = rights(&plane).await.into_iter().filter(|right| right.allowed != Ok(true)).collect();

    assert_eq!(missing, []);
    let versions = versions(&plane).await;
    assert!(versions.server.is_some_and(|version| version.starts_with('v')));
    assert_eq!(versions.crd.as_deref(), Some("postgresqls.acid.zalan.do v1"));
    assert!(versions.configuration.is_some());
}

#[tokio::test]
async fn a_viewer_sees_the_fleet_and_learns_which_right_brings_sql() {
    let stage = Stage::new().await;
    stage.cluster("shop").await;
    stage.pod("shop", "shop-0", &json!({})).await;
    let kubeconfig = Some(stage.viewer().await);
    let plane = stage::plane(Options { kubeconfig, ..stage.options() });
    let mut fleet = Fleet::open(&plane, Want::Fleet);

    fleet.listed().await;

    assert_eq!(fleet.clusters[&stage.id("shop")].members.len(), 1);
    let refused = plane.reach(stage.instance("shop", "shop-0")).await.unwrap_err();
    let named = |fault: &Fault| matches!(fault, Fault::Forbidden { needs, .. } if needs.contains("get secrets"));
    assert!(named(&refused), "{refused:?}");
    let refused: Vec<_> = rights(&plane).await.into_iter().filter(|right| right.allowed != Ok(true)).collect();
    let words: Vec<_> = refused.iter().map(|right| (&*right.feature, &*right.right)).collect();
    assert_eq!(words, [("SQL", "get secrets"), ("SQL", "get pods/portforward"), ("SQL", "create pods/portforward")]);
}

/// A cluster with one member that runs: on the embedded API a pod whose log and address are the test's own, elsewhere one that
/// the operator there brings up.
pub async fn member(stage: &Stage) -> InstanceId {
    let (cluster, name) = ("acid-pgdeck", "acid-pgdeck-0");
    let spot = POD.at(&stage.namespace, name);
    if stage.is_embedded() {
        stage.cluster(cluster).await;
        stage.pod(cluster, name, &json!({LOG_PATH: stage.folder.join("log")})).await;
        let status = json!({"phase": "Running", "podIP": "127.211.7.9"});
        stage.store.patch_status(&spot, &status).await.unwrap();
        let secret = "postgres.acid-pgdeck.credentials.postgresql.acid.zalan.do";
        let data = json!({"username": "cG9zdGdyZXM=", "password": "Q0FOQVJZLTE="});
        stage.create(SECRET, json!({"metadata": {"name": secret}, "data": data})).await;
    } else {
        let mut manifest = stage::cluster(cluster);
        manifest["metadata"]["annotations"] = json!({});
        stage.create(POSTGRESQL, manifest).await;
        let ready = async || stage.store.get(&spot).await.unwrap().is_some_and(|pod| is_ready(&pod));
        stage::eventually(
            "a running member (does an operator and something that runs pods stand behind this API?)",
            ready,
        )
        .await;
    }
    stage.instance(cluster, name)
}

#[tokio::test]
async fn a_log_is_followed_from_its_past_on() {
    let stage = Stage::new().await;
    let instance = member(&stage).await;
    let write = |text: &str| {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(stage.folder.join("log"));
        writeln!(log.unwrap(), "{} stdout F {text}", jiff::Timestamp::now()).unwrap();
    };
    if stage.is_embedded() {
        write("one");
    }
    let mut log = Fleet::open(&stage.plane(), Want::Logs { instance, container: "postgres".into() });

    log.until("the past", |log| !log.lines.is_empty()).await;
    let past = log.lines.len();
    if stage.is_embedded() {
        write("two");
    }

    // Patroni writes a line every loop by itself.
    log.until("what follows", |log| log.lines.len() > past).await;
    assert!(log.lines.iter().all(|line| line.at.is_some()), "{:?}", log.lines);
    assert!(log.lines.windows(2).all(|pair| pair[0].at <= pair[1].at), "lines came twice: {:?}", log.lines);
}

#[tokio::test]
async fn a_member_is_reached_through_a_forward_or_the_fault_says_why_not() {
    let stage = Stage::new().await;
    let plane = stage.plane();
    let instance = member(&stage).await;
    if stage.is_embedded() {
        let reached = plane.reach(instance).await.unwrap();
        assert_eq!(reached.login.user, "postgres");
        let Stream::Open { broken: Some(broken), .. } = reached.stream else { panic!("no forward") };
        let fault = tokio::time::timeout(Duration::from_secs(10), broken).await.unwrap();
        assert!(matches!(&fault, Fault::Unreachable { why, .. } if why.contains("refused")), "{fault:?}");
    } else {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match plane.probe(Probe::Reach(instance.clone())).await {
                Ok(Answer::Reached { primary: true, tls: true, .. }) => break,
                other => assert!(tokio::time::Instant::now() < deadline, "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let nowhere = plane.reach(stage.instance("acid-pgdeck", "acid-pgdeck-9")).await.unwrap_err();
    assert!(matches!(nowhere, Fault::Gone { .. }), "{nowhere:?}");
}
