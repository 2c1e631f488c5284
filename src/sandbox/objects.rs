//! Kubernetes objects as plain JSON, read and written by patches: what a sandbox needs of a client.

use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::sandbox::error::{During, Error, Result, is_status};

/// A kind that the sandbox touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    word: &'static str,
    plural: &'static str,
}

const fn kind(group: &'static str, version: &'static str, word: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, word, plural }
}

pub const POSTGRESQL: Kind = kind("acid.zalan.do", "v1", "postgresql", "postgresqls");
pub const OPERATOR_CONFIGURATION: Kind = kind("acid.zalan.do", "v1", "OperatorConfiguration", "operatorconfigurations");
pub const NAMESPACE: Kind = kind("", "v1", "Namespace", "namespaces");
pub const SERVICE_ACCOUNT: Kind = kind("", "v1", "ServiceAccount", "serviceaccounts");
pub const POD: Kind = kind("", "v1", "Pod", "pods");
pub const SERVICE: Kind = kind("", "v1", "Service", "services");
pub const SECRET: Kind = kind("", "v1", "Secret", "secrets");
pub const CONFIG_MAP: Kind = kind("", "v1", "ConfigMap", "configmaps");
pub const ENDPOINTS: Kind = kind("", "v1", "Endpoints", "endpoints");
pub const EVENT: Kind = kind("", "v1", "Event", "events");
pub const VOLUME_CLAIM: Kind = kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
pub const NODE: Kind = kind("", "v1", "Node", "nodes");
pub const STATEFUL_SET: Kind = kind("apps", "v1", "StatefulSet", "statefulsets");
pub const DISRUPTION_BUDGET: Kind = kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");
pub const CRON_JOB: Kind = kind("batch", "v1", "CronJob", "cronjobs");
pub const JOB: Kind = kind("batch", "v1", "Job", "jobs");
/// Of kwok, which stands for the kubelets where there are none: where these requests for a pod lead.
pub const KWOK_FORWARD: Kind = kind("kwok.x-k8s.io", "v1alpha1", "PortForward", "portforwards");
pub const KWOK_EXEC: Kind = kind("kwok.x-k8s.io", "v1alpha1", "Exec", "execs");
pub const KWOK_LOGS: Kind = kind("kwok.x-k8s.io", "v1alpha1", "Logs", "logs");

impl Kind {
    pub fn resource(self) -> ApiResource {
        let api_version = self.api_version();
        let (group, version, kind, plural) = (self.group, self.version, self.word, self.plural);
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        }
    }

    pub fn api_version(self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(client.clone(), &self.resource())
        } else {
            Api::namespaced_with(client.clone(), namespace, &self.resource())
        }
    }
}

/// One object, by where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    pub kind: Kind,
    /// Empty for kinds that have none.
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}/{}", self.kind.word, self.namespace, self.name)
    }
}

impl Kind {
    pub fn at(self, namespace: &str, name: &str) -> Spot {
        Spot { kind: self, namespace: namespace.into(), name: name.into() }
    }
}

/// The ways of the sandbox to the API.
#[derive(Clone)]
pub struct Store {
    pub client: Client,
    params: PostParams,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// A way to the API under the name of `manager`, which managedFields then show.
    pub fn new(client: Client, manager: &str) -> Store {
        Store { client, params: PostParams { field_manager: Some(manager.into()), ..PostParams::default() } }
    }

    pub async fn get(&self, spot: &Spot) -> Result<Option<Value>> {
        let found = spot.kind.api(&self.client, &spot.namespace).get_opt(&spot.name).await;
        Ok(found.during(format!("cannot read {spot}"))?.map(value))
    }

    pub async fn list(&self, kind: Kind, namespace: &str, labels: &str) -> Result<Vec<Value>> {
        let params = ListParams::default().labels(labels);
        let list = kind.api(&self.client, namespace).list(&params).await;
        Ok(list.during(format!("cannot list {}", kind.plural))?.items.into_iter().map(value).collect())
    }

    /// Creates the object, or leaves the one that is there; returns the new one.
    pub async fn create(&self, kind: Kind, object: Value) -> Result<Option<Value>> {
        let mut object = object;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.word);
        let spot = kind.at(
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default(),
        );
        let object: DynamicObject = serde_json::from_value(object).map_err(|error| Error::failed(&spot, error))?;
        match kind.api(&self.client, &spot.namespace).create(&self.params, &object).await {
            Ok(made) => Ok(Some(value(made))),
            Err(error) if is_status(&error, 409) => Ok(None),
            Err(error) => Err(error).during(format!("cannot create {spot}")),
        }
    }

    /// Creates the object, or lays it over the one that is there.
    pub async fn put(&self, kind: Kind, object: Value) -> Result<()> {
        let spot = kind.at(text(&object, &["metadata", "namespace"]), text(&object, &["metadata", "name"]));
        if self.create(kind, object.clone()).await?.is_none() {
            self.patch(&spot, &object).await?;
        }
        Ok(())
    }

    pub async fn patch(&self, spot: &Spot, patch: &Value) -> Result<Value> {
        let api = spot.kind.api(&self.client, &spot.namespace);
        let params = PatchParams { field_manager: self.params.field_manager.clone(), ..PatchParams::default() };
        let done = api.patch(&spot.name, &params, &Patch::Merge(patch)).await;
        Ok(value(done.during(format!("cannot patch {spot}"))?))
    }

    pub async fn patch_status(&self, spot: &Spot, status: &Value) -> Result<Value> {
        let api = spot.kind.api(&self.client, &spot.namespace);
        let params = PatchParams { field_manager: self.params.field_manager.clone(), ..PatchParams::default() };
        let done = api.patch_status(&spot.name, &params, &Patch::Merge(json!({ "status": status }))).await;
        Ok(value(done.during(format!("cannot write the status of {spot}"))?))
    }

    /// Deletes the object; that it is gone already is as good.
    pub async fn delete(&self, spot: &Spot, grace_seconds: Option<u32>) -> Result<()> {
        let params = DeleteParams { grace_period_seconds: grace_seconds, ..DeleteParams::default() };
        match spot.kind.api(&self.client, &spot.namespace).delete(&spot.name, &params).await {
            Ok(_) => Ok(()),
            Err(error) if is_status(&error, 404) => Ok(()),
            Err(error) => Err(error).during(format!("cannot delete {spot}")),
        }
    }
}

/// What an Event says; whom it is about goes beside it.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// Who says it, such as `kubelet`.
    pub source: &'a str,
    /// `Normal` or `Warning`.
    pub severity: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
}

impl Store {
    /// Writes an Event about an object; one that is lost is only logged.
    pub async fn tell(&self, about: &Spot, uid: &str, word: Word<'_>) {
        let now = jiff::Timestamp::now();
        let at = format!("{now:.0}");
        let event = json!({
            "metadata": { "name": format!("{}.{:x}", about.name, now.as_nanosecond()), "namespace": about.namespace },
            "involvedObject": {
                "apiVersion": about.kind.api_version(), "kind": about.kind.word, "namespace": about.namespace,
                "name": about.name, "uid": uid,
            },
            "type": word.severity, "reason": word.reason, "message": word.message, "count": 1,
            "source": { "component": word.source }, "reportingComponent": word.source,
            "firstTimestamp": at, "lastTimestamp": at,
        });
        if let Err(error) = self.create(EVENT, event).await {
            tracing::warn!(%error, "an event is lost");
        }
    }
}

impl From<&Spot> for String {
    fn from(spot: &Spot) -> String {
        spot.to_string()
    }
}

fn value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// The text at a path of keys; empty if there is none.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().fold(value, |value, key| &value[*key]).as_str().unwrap_or_default()
}

/// Whether a pod takes traffic.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// What a watch has seen of one object.
#[derive(Debug, Clone)]
pub enum Change {
    Now(Value),
    Gone(Value),
}

/// Tells `changes` about every object of a kind, for as long as someone listens; a broken watch is taken up again.
pub async fn follow(store: Store, kind: Kind, labels: &str, changes: tokio::sync::mpsc::Sender<Change>) {
    use futures::StreamExt as _;
    use kube::runtime::watcher::{self, Event};
    use kube::runtime::{WatchStreamExt as _, watcher as watch};

    let mut known: std::collections::BTreeMap<(String, String), Value> = std::collections::BTreeMap::new();
    let mut fresh = known.clone();
    let config = watcher::Config::default().labels(labels);
    let mut events = Box::pin(watch(kind.api(&store.client, ""), config).default_backoff());
    let place = |object: &Value| {
        (text(object, &["metadata", "namespace"]).to_string(), text(object, &["metadata", "name"]).to_string())
    };
    while let Some(event) = events.next().await {
        let news = match event {
            Ok(Event::Init) => {
                fresh.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                let object = value(object);
                fresh.insert(place(&object), object.clone());
                vec![Change::Now(object)]
            }
            Ok(Event::InitDone) => {
                let before = std::mem::replace(&mut known, std::mem::take(&mut fresh));
                before
                    .into_iter()
                    .filter(|(key, _)| !known.contains_key(key))
                    .map(|(_, gone)| Change::Gone(gone))
                    .collect()
            }
            Ok(Event::Apply(object)) => {
                let object = value(object);
                known.insert(place(&object), object.clone());
                vec![Change::Now(object)]
            }
            Ok(Event::Delete(object)) => {
                let object = value(object);
                known.remove(&place(&object));
                vec![Change::Gone(object)]
            }
            Err(error) => {
                tracing::warn!(kind = kind.plural, %error, "the watch broke");
                Vec::new()
            }
        };
        for change in news {
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}
