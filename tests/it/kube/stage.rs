//! Where the tests of the Kubernetes plane play: an embedded API, or a namespace of their own on a real API server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::config::Kubeconfig;
use pgdeck::fleet::cluster::Cluster;
use pgdeck::fleet::seen::{Event, LogLine, Seen, Source, SourceState};
use pgdeck::id::{ClusterId, InstanceId, PlaneId};
use pgdeck::plane::kubernetes::{Kubernetes, Options};
use pgdeck::plane::{Plane, Sink};
use pgdeck::sandbox::api::{Api, ApiOptions, User};
use pgdeck::sandbox::command;
use pgdeck::sandbox::objects::{Kind, NAMESPACE, POD, POSTGRESQL, SERVICE_ACCOUNT, Store};
use pgdeck::work::want::Want;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Whatever is waited for has come by then, or never will.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Names a kubeconfig whose API server is used instead of the embedded API.
const ELSEWHERE: &str = "PGDECK_TEST_KUBECONFIG";

/// An API server with a namespace for one test; nothing is left when it is dropped.
pub struct Stage {
    pub api: Option<Api>,
    pub folder: PathBuf,
    pub kubeconfig: PathBuf,
    pub context: String,
    pub namespace: String,
    pub store: Store,
}

impl Stage {
    /// The embedded API, or the one that `PGDECK_TEST_KUBECONFIG` names.
    pub async fn new() -> Stage {
        match std::env::var_os(ELSEWHERE) {
            None => Stage::embedded("test").await,
            Some(kubeconfig) => Stage::elsewhere(kubeconfig.into()).await,
        }
    }

    /// The embedded API under that name of a context.
    pub async fn embedded(context: &str) -> Stage {
        install_ring();
        let folder = folder();
        let listen = "127.0.0.1:0".parse().unwrap();
        let api = Api::start(ApiOptions { listen, folder: folder.clone() }).await.unwrap();
        let kubeconfig = folder.join("admin");
        std::fs::write(&kubeconfig, api.kubeconfig(User::Admin, context)).unwrap();
        Stage::set(Some(api), folder, kubeconfig).await
    }

    async fn elsewhere(kubeconfig: PathBuf) -> Stage {
        install_ring();
        let stage = Stage::set(None, folder(), kubeconfig).await;
        stage.install_crd().await;
        let account = SERVICE_ACCOUNT.at(&stage.namespace, "default");
        eventually("the namespace's service account", async || stage.store.get(&account).await.unwrap().is_some())
            .await;
        stage
    }

    async fn set(api: Option<Api>, folder: PathBuf, kubeconfig: PathBuf) -> Stage {
        let (client, context) = command::client(&kubeconfig).await.unwrap();
        let store = Store::new(client, "test");
        let namespace = folder.file_name().unwrap().to_str().unwrap().to_owned();
        store.create(NAMESPACE, json!({"metadata": {"name": namespace}})).await.unwrap();
        Stage { api, folder, kubeconfig, context, namespace, store }
    }

    async fn install_crd(&self) {
        let text = include_str!("../data/crds/postgresql.yaml");
        let object: DynamicObject = serde_saphyr::from_str(text).unwrap();
        let resource = ApiResource {
            group: "apiextensions.k8s.io".into(),
            version: "v1".into(),
            api_version: "apiextensions.k8s.io/v1".into(),
            kind: "CustomResourceDefinition".into(),
            plural: "customresourcedefinitions".into(),
        };
        let definitions: kube::Api<DynamicObject> = kube::Api::all_with(self.store.client.clone(), &resource);
        if definitions.get_opt("postgresqls.acid.zalan.do").await.unwrap().is_none() {
            definitions.create(&PostParams::default(), &object).await.unwrap();
        }
        eventually("the CRD", async || self.store.list(POSTGRESQL, &self.namespace, "").await.is_ok()).await;
    }

    pub fn is_embedded(&self) -> bool {
        self.api.is_some()
    }

    /// How the plane is told to look at this stage, and at nothing else.
    pub fn options(&self) -> Options {
        Options {
            context: self.context.clone(),
            kubeconfig: Some(self.kubeconfig.clone()),
            namespaces: vec![self.namespace.clone()],
            direct: false,
            role: None,
        }
    }

    /// A kubeconfig of somebody who may look at everything but secrets, and has no way into pods.
    pub async fn viewer(&self) -> PathBuf {
        let path = self.folder.join("view");
        if let Some(api) = &self.api {
            std::fs::write(&path, api.kubeconfig(User::View, &self.context)).unwrap();
            return path;
        }
        let name = &self.namespace;
        let rules = [
            ("", "pods pods/log services endpoints configmaps events namespaces nodes persistentvolumeclaims"),
            ("apps", "statefulsets deployments replicasets"),
            ("batch", "cronjobs jobs"),
            ("policy", "poddisruptionbudgets"),
            ("acid.zalan.do", "*"),
        ];
        let rules = rules.map(|(group, resources)| {
            let resources: Vec<&str> = resources.split(' ').collect();
            json!({"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]})
        });
        let role: ClusterRole = serde_json::from_value(json!({"metadata": {"name": name}, "rules": rules})).unwrap();
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
        }))
        .unwrap();
        let client = &self.store.client;
        kube::Api::all(client.clone()).create(&PostParams::default(), &role).await.unwrap();
        kube::Api::all(client.clone()).create(&PostParams::default(), &binding).await.unwrap();
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        for named in &mut kubeconfig.auth_infos {
            named.auth_info.as_mut().unwrap().impersonate = Some(name.clone());
        }
        // JSON is YAML.
        std::fs::write(&path, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
        path
    }

    pub fn plane(&self) -> Kubernetes {
        plane(self.options())
    }

    /// The fleet's stream on this stage.
    pub fn watch(&self) -> Fleet {
        Fleet::open(&self.plane(), Want::Fleet)
    }

    pub fn id(&self, cluster: &str) -> ClusterId {
        let plane = PlaneId::Kubernetes(self.context.as_str().into());
        ClusterId { plane, namespace: self.namespace.as_str().into(), name: cluster.into() }
    }

    pub fn instance(&self, cluster: &str, member: &str) -> InstanceId {
        InstanceId { cluster: self.id(cluster), member: member.into() }
    }

    /// Creates an object in the stage's namespace.
    pub async fn create(&self, kind: Kind, mut object: Value) -> Value {
        object["metadata"]["namespace"] = json!(self.namespace);
        self.store.create(kind, object).await.unwrap().expect("the name is taken")
    }

    /// Creates a CR that no operator takes for its own.
    pub async fn cluster(&self, name: &str) -> Value {
        self.create(POSTGRESQL, cluster(name)).await
    }

    /// Creates a pod of a cluster that no scheduler takes for its own, and gives it an address.
    pub async fn pod(&self, cluster: &str, name: &str, annotations: &Value) {
        self.create(POD, pod(cluster, name, annotations)).await;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_embedded() {
            let (kubeconfig, namespace) = (self.kubeconfig.clone(), self.namespace.clone());
            // The test's own runtime may be ending by a panic.
            let clean = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(clean(&kubeconfig, &namespace));
            });
            assert!(clean.join().is_ok() || std::thread::panicking(), "{} is left", self.namespace);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn clean(kubeconfig: &Path, namespace: &str) {
    let store = Store::new(command::client(kubeconfig).await.unwrap().0, "test");
    for kind in [POSTGRESQL, POD] {
        for object in store.list(kind, namespace, "").await.unwrap() {
            let spot = kind.at(namespace, object["metadata"]["name"].as_str().unwrap());
            store.delete(&spot, (kind == POD).then_some(0)).await.unwrap();
        }
    }
    store.delete(&NAMESPACE.at("", namespace), None).await.unwrap();
    // Of a viewer, if there was one.
    let by_name = DeleteParams::default();
    drop(kube::Api::<ClusterRoleBinding>::all(store.client.clone()).delete(namespace, &by_name).await);
    drop(kube::Api::<ClusterRole>::all(store.client.clone()).delete(namespace, &by_name).await);
}

/// A plane with the machine's clock.
pub fn plane(options: Options) -> Kubernetes {
    Kubernetes::new(options, Arc::new(Timestamp::now))
}

fn install_ring() {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A new folder; its name fits a namespace.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let at = Timestamp::now().as_millisecond() % 1_000_000;
    let folder = std::env::temp_dir().join(format!("pgdeck-kube-{}-{at}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A CR that any API server's schema takes. The annotation keeps operators away from it.
pub fn cluster(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "annotations": {"acid.zalan.do/controller": "pgdeck-test"}},
        "spec": {"teamId": "acid", "numberOfInstances": 1, "volume": {"size": "1Gi"}, "postgresql": {"version": "15"}},
    })
}

/// A member's pod that no scheduler takes.
pub fn pod(cluster: &str, name: &str, annotations: &Value) -> Value {
    json!({
        "metadata": {"name": name, "annotations": annotations,
                     "labels": {"application": "spilo", "cluster-name": cluster, "spilo-role": "master"}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "postgres", "image": "spilo.invalid/none"}]},
    })
}

/// Waits until it holds, looking again and again.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    eventually_within(PATIENCE, what, holds).await;
}

/// The same, for what takes its time.
pub async fn eventually_within(patience: Duration, what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(patience, wait).await.is_ok(), "{what} did not come");
}

/// What one stream of a plane has told so far.
pub struct Fleet {
    told: mpsc::UnboundedReceiver<Seen>,
    stream: JoinHandle<()>,
    pub seen: Vec<Seen>,
    pub clusters: BTreeMap<ClusterId, Cluster>,
    pub census: Option<BTreeSet<ClusterId>>,
    pub states: BTreeMap<Source, SourceState>,
    pub events: Vec<Event>,
    pub lines: Vec<LogLine>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stream.abort();
    }
}

impl Fleet {
    pub fn open(plane: &Kubernetes, want: Want) -> Fleet {
        let (tell, told) = mpsc::unbounded_channel();
        // The test may have ended first.
        let sink = Sink::new(move |seen| drop(tell.send(seen)));
        let stream = tokio::spawn(plane.stream(want, sink));
        let (clusters, states) = (BTreeMap::new(), BTreeMap::new());
        let (seen, events, lines) = (Vec::new(), Vec::new(), Vec::new());
        Fleet { told, stream, seen, clusters, census: None, states, events, lines }
    }

    /// Takes in what is told until it holds.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Fleet) -> bool) {
        self.within(PATIENCE, what, holds).await;
    }

    /// The same with another deadline.
    pub async fn within(&mut self, patience: Duration, what: &str, holds: impl Fn(&Fleet) -> bool) {
        let deadline = tokio::time::Instant::now() + patience;
        while !holds(self) {
            let seen = tokio::time::timeout_at(deadline, self.told.recv()).await;
            let Ok(Some(seen)) = seen else {
                panic!("not told in time: {what}\nstates: {:#?}\nclusters: {:?}", self.states, self.clusters.keys())
            };
            self.take(seen);
        }
    }

    fn take(&mut self, seen: Seen) {
        match &seen {
            Seen::Cluster { cluster, .. } => drop(self.clusters.insert(cluster.id.clone(), (**cluster).clone())),
            Seen::Census { clusters, .. } => {
                self.clusters.retain(|id, _| clusters.contains(id));
                self.census = Some(clusters.clone());
            }
            Seen::Gone(id) => drop(self.clusters.remove(id)),
            Seen::Log { lines, .. } => self.lines.extend(lines.iter().cloned()),
            Seen::Event(event) => self.events.push(event.clone()),
            Seen::Source { source, state, .. } => drop(self.states.insert(source.clone(), state.clone())),
            Seen::Closed(source) => drop(self.states.remove(source)),
            Seen::Rows { .. } | Seen::Manifest { .. } => {}
        }
        self.seen.push(seen);
    }

    /// Waits for the first census.
    pub async fn listed(&mut self) {
        self.until("a census", |fleet| fleet.census.is_some()).await;
    }

    /// How the whole plane stands.
    pub fn plane(&self) -> Option<&SourceState> {
        self.states.iter().find(|(source, _)| matches!(source, Source::Plane { .. })).map(|(_, state)| state)
    }

    /// How one kind stands, in whatever scope was told of last.
    pub fn kind(&self, word: &str) -> Vec<&SourceState> {
        let of = |source: &Source| matches!(source, Source::Kind { kind, .. } if **kind == *word);
        self.states.iter().filter(|(source, _)| of(source)).map(|(_, state)| state).collect()
    }

    pub fn is_live(&self) -> bool {
        matches!(self.plane(), Some(SourceState::Live { .. }))
    }

    /// Asserts that nothing told since `mark` took one of these away.
    pub fn assert_kept(&self, mark: usize, ids: &[ClusterId]) {
        for seen in &self.seen[mark..] {
            match seen {
                Seen::Gone(id) => assert!(!ids.contains(id), "{id} was told gone"),
                Seen::Census { clusters, .. } => {
                    assert!(ids.iter().all(|id| clusters.contains(id)), "a census without them: {clusters:?}");
                }
                Seen::Cluster { .. }
                | Seen::Rows { .. }
                | Seen::Log { .. }
                | Seen::Event(_)
                | Seen::Manifest { .. }
                | Seen::Source { .. }
                | Seen::Closed(_) => {}
            }
        }
        assert!(ids.iter().all(|id| self.clusters.contains_key(id)), "{:?}", self.clusters.keys());
    }
}
