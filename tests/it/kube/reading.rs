//! What is read of the objects: members, words, events, and whatever people and operators got wrong.

use pgdeck::sandbox::objects::{CONFIG_MAP, POD, POSTGRESQL, Word};
use serde_json::json;

use super::stage::{self, Stage};

#[tokio::test]
async fn a_pooler_is_no_member() {
    let stage = Stage::new().await;
    stage.cluster("shop").await;
    stage.pod("shop", "shop-0", &json!({})).await;
    let mut pooler = stage::pod("shop", "shop-pooler-abc", &json!({}));
    pooler["spec"]["containers"][0]["name"] = json!("connection-pooler");
    stage.create(POD, pooler).await;
    let mut fleet = stage.watch();

    fleet.until("a member", |fleet| fleet.clusters.values().any(|cluster| !cluster.members.is_empty())).await;
    fleet.listed().await;

    let names: Vec<_> =
        fleet.clusters[&stage.id("shop")].members.iter().map(|member| member.name.to_string()).collect();
    assert_eq!(names, ["shop-0"]);
}

#[tokio::test]
async fn the_leader_and_its_position_come_from_patronis_object() {
    let stage = Stage::new().await;
    stage.cluster("shop").await;
    let mut fleet = stage.watch();
    fleet.listed().await;
    let id = stage.id("shop");
    let labels = json!({"application": "spilo", "cluster-name": "shop"});
    let annotations = json!({"leader": "shop-0", "optime": "67419744", "ttl": "30", "transitions": "0",
                             "renewTime": "2026-11-24T10:00:00.000000+00:00", "acquireTime": "2026-11-24T09:00:00+00:00"});

    stage
        .create(CONFIG_MAP, json!({"metadata": {"name": "shop-leader", "labels": labels, "annotations": annotations}}))
        .await;

    let leader = |fleet: &stage::Fleet| Some(fleet.clusters[&id].dcs.as_ref()?.leader.as_ref()?.to_string());
    fleet.until("a leader", |fleet| leader(fleet).as_deref() == Some("shop-0")).await;
    let spot = CONFIG_MAP.at(&stage.namespace, "shop-leader");
    stage.store.patch(&spot, &json!({"metadata": {"annotations": {"leader": "shop-1"}}})).await.unwrap();
    fleet.until("another leader", |fleet| leader(fleet).as_deref() == Some("shop-1")).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_others_live() {
    let stage = Stage::new().await;
    let mut odd = stage::cluster("odd");
    // The schema's own pattern takes it; no number does.
    odd["spec"]["volume"]["size"] = json!("1e999");
    stage.create(POSTGRESQL, odd).await;
    stage.cluster("mute").await;
    stage.pod("mute", "mute-0", &json!({"status": "{\"state\": running"})).await;
    stage.cluster("fine").await;
    let mut fleet = stage.watch();

    fleet
        .until("the pod", |fleet| fleet.clusters.get(&stage.id("mute")).is_some_and(|mute| !mute.members.is_empty()))
        .await;
    fleet.listed().await;

    let places = |name: &str| {
        let unreadable = fleet.clusters[&stage.id(name)].unreadable.iter();
        unreadable.map(|unreadable| unreadable.place.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(places("odd"), ["spec.volume.size"]);
    assert_eq!(places("mute"), ["metadata.annotations.status"]);
    assert_eq!(places("fine"), Vec::<String>::new());
}

/// What no schema lets through, but old servers and old schemas have.
#[tokio::test]
async fn a_manifest_of_the_wrong_shape_is_named_by_each_wrong_place() {
    let stage = Stage::embedded("test").await;
    stage.create(POSTGRESQL, json!({"metadata": {"name": "bare"}})).await;
    let wrong = json!({"metadata": {"name": "wrong"}, "spec": {
        "teamId": ["a"], "numberOfInstances": "three", "volume": {"size": {}}, "postgresql": {"version": "\u{1b}]52;c;x\u{7}"}}});
    stage.create(POSTGRESQL, wrong).await;
    for (name, status) in [("bare", json!("Running")), ("wrong", json!(7))] {
        stage.store.patch_status(&POSTGRESQL.at(&stage.namespace, name), &status).await.unwrap();
    }
    stage.cluster("fine").await;
    let mut fleet = stage.watch();

    fleet.listed().await;

    let places = |name: &str| {
        let unreadable = fleet.clusters[&stage.id(name)].unreadable.iter();
        unreadable.map(|unreadable| unreadable.place.to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(places("bare").into_iter().collect::<Vec<_>>(), ["spec"]);
    let named = ["spec.numberOfInstances", "spec.teamId", "spec.volume.size", "status"];
    assert_eq!(places("wrong").into_iter().collect::<Vec<_>>(), named);
    assert_eq!(fleet.clusters[&stage.id("bare")].status.as_deref(), Some("Running"));
    assert!(fleet.clusters[&stage.id("fine")].unreadable.is_empty());
}

#[tokio::test]
async fn a_huge_annotation_neither_breaks_the_list_nor_the_watch() {
    let stage = Stage::new().await;
    // Real API servers take no more than 256 KiB.
    let note = "x".repeat(if stage.is_embedded() { 1 << 20 } else { 200 << 10 });
    let huge = |name: &str| {
        let mut cluster = stage::cluster(name);
        cluster["metadata"]["annotations"]["note"] = json!(note);
        cluster
    };
    stage.create(POSTGRESQL, huge("listed")).await;
    let mut fleet = stage.watch();
    fleet.listed().await;
    assert!(fleet.clusters.contains_key(&stage.id("listed")));

    stage.create(POSTGRESQL, huge("watched")).await;

    fleet.until("the watched one", |fleet| fleet.clusters.contains_key(&stage.id("watched"))).await;
}

#[tokio::test]
async fn an_event_reaches_its_cluster_and_a_warning_stays_with_it() {
    let stage = Stage::new().await;
    let made = stage.cluster("shop").await;
    let mut fleet = stage.watch();
    fleet.listed().await;
    let word = Word { source: "operator", severity: "Warning", reason: "Create", message: "no storage class" };

    let uid = made["metadata"]["uid"].as_str().unwrap();
    stage.store.tell(&POSTGRESQL.at(&stage.namespace, "shop"), uid, word).await;

    let id = stage.id("shop");
    fleet.until("the warning", |fleet| fleet.clusters[&id].warning.is_some()).await;
    let event = fleet.events.iter().find(|event| event.cluster == id).unwrap();
    assert_eq!((event.warning, &*event.reason, &*event.from), (true, "Create", "operator"));
    assert_eq!(&*fleet.clusters[&id].warning.as_ref().unwrap().message, "no storage class");
}
