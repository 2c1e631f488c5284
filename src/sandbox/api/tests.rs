//! The API as the kube client sees it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{
    Api as Kube, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

struct Running {
    api: Api,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

async fn start() -> Running {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("pgdeck-api-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    Running { api: Api::start(ApiOptions { listen, folder: folder.clone() }).await.unwrap(), folder }
}

impl Running {
    async fn client(&self, user: User) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::from_yaml(&self.api.kubeconfig(user, "t")).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": "x"}}, "data": {"k": "v"}})).unwrap()
}

fn pod(name: &str, annotations: &serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"nodeName": "n", "containers": [{"name": "postgres"}]},
    }))
    .unwrap()
}

#[tokio::test]
async fn objects_are_created_changed_by_version_and_deleted() {
    let running = start().await;
    let maps: Kube<ConfigMap> = Kube::default_namespaced(running.client(User::Admin).await);
    let first = maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let again = maps.create(&PostParams::default(), &config_map("a")).await.unwrap_err();
    assert!(matches!(again, kube::Error::Api(status) if status.reason == "AlreadyExists"));

    let patch = Patch::Merge(json!({"data": {"k": null, "n": "1"}}));
    let patched = maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data.unwrap().keys().collect::<Vec<_>>(), ["n"]);
    let stale = maps.replace("a", &PostParams::default(), &first).await.unwrap_err();
    assert!(matches!(stale, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"));

    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_list_comes_by_pages_and_a_watch_goes_on_from_it() {
    let running = start().await;
    let maps: Kube<ConfigMap> = Kube::default_namespaced(running.client(User::Admin).await);
    for n in 0..5 {
        maps.create(&PostParams::default(), &config_map(&format!("m{n}"))).await.unwrap();
    }
    let page = maps.list(&ListParams::default().limit(3)).await.unwrap();
    let token = page.metadata.continue_.unwrap();
    let rest = maps.list(&ListParams::default().limit(3).continue_token(&token)).await.unwrap();
    assert_eq!((page.items.len(), rest.items.len()), (3, 2));
    assert_eq!(rest.metadata.continue_.unwrap_or_default(), "");

    let version = page.metadata.resource_version.unwrap();
    let mut watch = maps.watch(&WatchParams::default().labels("app=x"), &version).await.unwrap().boxed();
    maps.delete("m1", &DeleteParams::default()).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(5), watch.try_next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Deleted(map) if map.metadata.name.as_deref() == Some("m1")));
}

#[tokio::test]
async fn a_compacted_version_is_gone() {
    let running = start().await;
    let maps: Kube<ConfigMap> = Kube::default_namespaced(running.client(User::Admin).await);
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    running.api.compact();
    let mut watch = maps.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    let event = tokio::time::timeout(Duration::from_secs(5), watch.try_next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Error(status) if status.code == 410));
}

#[tokio::test]
async fn a_viewer_reads_and_is_refused_the_rest_by_name() {
    let running = start().await;
    let maps: Kube<ConfigMap> = Kube::default_namespaced(running.client(User::View).await);
    maps.list(&ListParams::default()).await.unwrap();
    let refused = maps.create(&PostParams::default(), &config_map("a")).await.unwrap_err().to_string();
    assert!(refused.contains("User \"view\" cannot create resource \"configmaps\""), "{refused}");
    let nobody: Kube<ConfigMap> = Kube::default_namespaced(running.client(User::Nobody).await);
    assert!(nobody.list(&ListParams::default()).await.is_err());
}

#[tokio::test]
async fn status_is_changed_by_its_own_path_and_a_pod_gets_its_grace() {
    let running = start().await;
    let pods: Kube<Pod> = Kube::default_namespaced(running.client(User::Admin).await);
    pods.create(&PostParams::default(), &pod("p", &json!({}))).await.unwrap();
    let status = Patch::Merge(json!({"spec": {"nodeName": "other"}, "status": {"phase": "Running"}}));
    let changed = pods.patch_status("p", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(changed.status.unwrap().phase.as_deref(), Some("Running"));
    assert_eq!(changed.spec.unwrap().node_name.as_deref(), Some("n"));

    pods.delete("p", &DeleteParams::default()).await.unwrap();
    assert!(pods.get("p").await.unwrap().metadata.deletion_timestamp.is_some());
    pods.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
}

#[tokio::test]
async fn a_log_is_followed() {
    let running = start().await;
    let path = running.folder.join("log");
    std::fs::write(&path, "2026-11-24T10:00:00Z stdout F one\n").unwrap();
    let pods: Kube<Pod> = Kube::default_namespaced(running.client(User::Admin).await);
    pods.create(&PostParams::default(), &pod("p", &json!({LOG_PATH: path}))).await.unwrap();
    let mut lines = pods.log_stream("p", &LogParams { follow: true, ..LogParams::default() }).await.unwrap().lines();
    assert_eq!(lines.try_next().await.unwrap().unwrap(), "one");
    std::fs::write(&path, "2026-11-24T10:00:00Z stdout F one\n2026-11-24T10:00:01Z stdout F two\n").unwrap();
    let next = tokio::time::timeout(Duration::from_secs(5), lines.try_next()).await.unwrap();
    assert_eq!(next.unwrap().unwrap(), "two");
}

#[tokio::test]
async fn a_port_is_forwarded_and_a_refused_one_says_so() {
    let running = start().await;
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = echo.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = echo.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    });
    let pods: Kube<Pod> = Kube::default_namespaced(running.client(User::Admin).await);
    pods.create(&PostParams::default(), &pod("p", &json!({}))).await.unwrap();
    let address = Patch::Merge(json!({"status": {"phase": "Running", "podIP": "127.0.0.1"}}));
    pods.patch_status("p", &PatchParams::default(), &address).await.unwrap();

    let mut forward = pods.portforward("p", &[port]).await.unwrap();
    let mut stream = forward.take_stream(port).unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"hello");

    let mut refused = pods.portforward("p", &[1]).await.unwrap();
    let error = refused.take_error(1).unwrap();
    let message = tokio::time::timeout(Duration::from_secs(5), error).await.unwrap().unwrap();
    assert!(message.contains("refused"), "{message}");
}

#[tokio::test]
async fn what_an_object_owns_goes_with_it_and_a_finalizer_holds_it() {
    let running = start().await;
    let maps: Kube<ConfigMap> = Kube::default_namespaced(running.client(User::Admin).await);
    let mut held = config_map("owner");
    held.metadata.finalizers = Some(vec!["pgdeck/test".into()]);
    let owner = maps.create(&PostParams::default(), &held).await.unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid});
    let mut owned = config_map("owned");
    owned.metadata.owner_references = Some(vec![serde_json::from_value(reference).unwrap()]);
    maps.create(&PostParams::default(), &owned).await.unwrap();

    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    assert!(maps.get("owner").await.unwrap().metadata.deletion_timestamp.is_some());
    assert!(maps.get_opt("owned").await.unwrap().is_some());

    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("owner", &PatchParams::default(), &release).await.unwrap();
    assert!(maps.get_opt("owner").await.unwrap().is_none());
    assert!(maps.get_opt("owned").await.unwrap().is_none());
}

#[tokio::test]
async fn a_change_that_changes_nothing_keeps_the_version() {
    let running = start().await;
    let maps: Kube<ConfigMap> = Kube::default_namespaced(running.client(User::Admin).await);
    let first = maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let again = Patch::Merge(json!({"data": {"k": "v"}}));
    let second = maps.patch("a", &PatchParams::default(), &again).await.unwrap();
    assert_eq!(first.metadata.resource_version, second.metadata.resource_version);
}
