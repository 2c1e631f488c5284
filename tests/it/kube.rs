//! The Kubernetes plane against an API server: the embedded one, or, unchanged, the one that `PGDECK_TEST_KUBECONFIG` names.

mod access;
mod changing;
mod exec;
mod reading;
pub mod stage;

use pgdeck::fleet::cluster::Origin;
use pgdeck::sandbox::objects::{POD, POSTGRESQL};
use serde_json::json;
use stage::Stage;

use crate::proxy::Proxy;

#[tokio::test]
async fn what_there_is_is_told_and_then_counted() {
    let stage = Stage::new().await;
    stage.cluster("one").await;
    stage.cluster("two").await;
    let mut fleet = stage.watch();

    fleet.listed().await;

    let ids = [stage.id("one"), stage.id("two")];
    assert_eq!(fleet.census.as_ref().unwrap().iter().collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    assert_eq!(fleet.clusters.keys().collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    fleet.until("live", stage::Fleet::is_live).await;
}

#[tokio::test]
async fn a_manifest_that_is_created_changed_and_deleted_is_told_each_time() {
    let stage = Stage::new().await;
    let mut fleet = stage.watch();
    fleet.listed().await;
    let (id, spot) = (stage.id("shop"), POSTGRESQL.at(&stage.namespace, "shop"));

    stage.cluster("shop").await;
    fleet.until("created", |fleet| fleet.clusters.contains_key(&id)).await;
    let cluster = &fleet.clusters[&id];
    assert_eq!((cluster.origin, cluster.spec.instances), (Origin::Resource, Some(1)));
    assert_eq!(cluster.spec.version.as_deref(), Some("15"));

    stage.store.patch(&spot, &json!({"spec": {"numberOfInstances": 3}})).await.unwrap();
    fleet.until("changed", |fleet| fleet.clusters[&id].spec.instances == Some(3)).await;

    stage.store.delete(&spot, None).await.unwrap();
    fleet.until("gone", |fleet| !fleet.clusters.contains_key(&id)).await;
}

#[tokio::test]
async fn a_long_list_comes_by_pages_and_is_whole() {
    let stage = Stage::new().await;
    // Every one is a write to a real server's disk.
    let n = if stage.is_embedded() { 620 } else { 12 };
    for idx in 0..n {
        stage.cluster(&format!("c{idx:03}")).await;
    }
    let mut fleet = stage.watch();

    fleet.listed().await;

    assert_eq!(fleet.census.as_ref().unwrap().len(), n);
    if stage.is_embedded() {
        let requests = std::fs::read_to_string(stage.folder.join("requests.jsonl")).unwrap();
        assert!(requests.contains("continue="), "no second page was asked for");
    }
}

#[tokio::test]
async fn a_watch_goes_on_where_it_broke_off_without_a_new_list() {
    let stage = Stage::new().await;
    stage.cluster("old").await;
    let proxy = Proxy::before(&stage).await;
    let mut fleet = stage::Fleet::open(&stage::plane(proxy.options()), pgdeck::work::want::Want::Fleet);
    fleet.listed().await;
    let watches = |path: &str| path.contains("/postgresqls?") && path.contains("watch=true");
    proxy.until("a watch", |requests| requests.iter().any(|path| watches(path))).await;
    let before = proxy.requests().len();

    proxy.cut();
    stage.cluster("new").await;

    fleet.until("the new one", |fleet| fleet.clusters.contains_key(&proxy.id("new"))).await;
    let after = proxy.requests().split_off(before);
    let lists = after.iter().filter(|path| path.contains("/postgresqls?") && !watches(path));
    assert_eq!(lists.collect::<Vec<_>>(), Vec::<&String>::new());
    fleet.assert_kept(0, &[proxy.id("old")]);
}

#[tokio::test]
async fn pods_without_a_manifest_are_an_orphan_and_become_a_cluster_with_it() {
    let stage = Stage::new().await;
    stage.pod("lost", "lost-0", &json!({})).await;
    let mut fleet = stage.watch();
    fleet.listed().await;
    let id = stage.id("lost");
    assert_eq!((fleet.clusters[&id].origin, fleet.clusters[&id].members.len()), (Origin::Orphan, 1));

    stage.cluster("lost").await;

    fleet.until("adopted", |fleet| fleet.clusters[&id].origin == Origin::Resource).await;
    stage.store.delete(&POSTGRESQL.at(&stage.namespace, "lost"), None).await.unwrap();
    fleet.until("an orphan again", |fleet| fleet.clusters[&id].origin == Origin::Orphan).await;
    stage.store.delete(&POD.at(&stage.namespace, "lost-0"), Some(0)).await.unwrap();
    fleet.until("gone", |fleet| !fleet.clusters.contains_key(&id)).await;
}
