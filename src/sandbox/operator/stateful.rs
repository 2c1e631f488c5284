//! The StatefulSet controller of an API that has none: pods one by one, in order.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::build;
use crate::sandbox::error::Result;
use crate::sandbox::node::NOT_CROWD;
use crate::sandbox::objects::{self, Change, POD, STATEFUL_SET, Store, VOLUME_CLAIM, Word, is_ready, text};

type Key = (String, String);

#[derive(Debug, Default)]
struct Known {
    sets: BTreeMap<Key, Value>,
    pods: BTreeMap<Key, Value>,
}

/// What is to be done next for one set.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create(u32),
    Delete(u32),
    /// Everything is as it should be, or something has to happen first.
    Wait,
}

/// A pod of a set as far as its controller cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pod {
    ordinal: u32,
    is_ready: bool,
    is_leaving: bool,
}

/// The next step towards `replicas` pods: one at a time, upwards when the one before is ready, downwards from the last.
fn next(replicas: u32, pods: &[Pod]) -> Step {
    let last = pods.iter().max_by_key(|pod| pod.ordinal);
    if let Some(last) = last
        && last.ordinal >= replicas
    {
        let is_still = pods.iter().all(|pod| !pod.is_leaving);
        return if is_still { Step::Delete(last.ordinal) } else { Step::Wait };
    }
    for ordinal in 0..replicas {
        match pods.iter().find(|pod| pod.ordinal == ordinal) {
            None => return Step::Create(ordinal),
            Some(pod) if pod.is_leaving || !pod.is_ready => return Step::Wait,
            Some(_) => {}
        }
    }
    Step::Wait
}

pub async fn run(store: Store) {
    let (changes, mut news) = mpsc::channel(256);
    let mut watching = JoinSet::new();
    let labels = format!("application=spilo,{NOT_CROWD}");
    for kind in [STATEFUL_SET, POD] {
        let (store, changes, labels) = (store.clone(), changes.clone(), labels.clone());
        watching.spawn(async move { objects::follow(store, kind, &labels, changes).await });
    }
    let mut known = Known::default();
    while let Some(change) = news.recv().await {
        if let Some(key) = known.take(change)
            && let Err(error) = known.advance(&store, &key).await
        {
            tracing::warn!(%error, "a stateful set waits");
        }
    }
}

impl Known {
    /// Keeps the change; returns the set that it is about.
    fn take(&mut self, change: Change) -> Option<Key> {
        let (object, is_there) = match change {
            Change::Now(object) => (object, true),
            Change::Gone(object) => (object, false),
        };
        let place = (text(&object, &["metadata", "namespace"]).into(), text(&object, &["metadata", "name"]).into());
        let is_set = object["spec"]["template"].is_object();
        let set: Key = if is_set {
            place.clone()
        } else {
            let owner = object["metadata"]["ownerReferences"][0]["name"].as_str()?;
            (text(&object, &["metadata", "namespace"]).into(), owner.into())
        };
        let map = if is_set { &mut self.sets } else { &mut self.pods };
        if is_there {
            map.insert(place, object);
        } else {
            map.remove(&place);
        }
        Some(set)
    }

    fn pods_of(&self, set: &Key) -> Vec<Pod> {
        let prefix = format!("{}-", set.1);
        let ours = self.pods.iter().filter(|(key, _)| key.0 == set.0);
        ours.filter_map(|((_, name), pod)| {
            Some(Pod {
                ordinal: name.strip_prefix(&prefix)?.parse().ok()?,
                is_ready: is_ready(pod),
                is_leaving: pod["metadata"]["deletionTimestamp"].is_string(),
            })
        })
        .collect()
    }

    async fn advance(&mut self, store: &Store, key: &Key) -> Result<()> {
        let pods = self.pods_of(key);
        let pod_name = |ordinal: u32| format!("{}-{ordinal}", key.1);
        let Some(set) = self.sets.get(key).cloned() else {
            for pod in pods.iter().filter(|pod| !pod.is_leaving) {
                store.delete(&POD.at(&key.0, &pod_name(pod.ordinal)), None).await?;
            }
            return Ok(());
        };
        let replicas = set["spec"]["replicas"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        match next(replicas, &pods) {
            Step::Create(ordinal) => {
                let (pod, claim) = build::pod(&set, ordinal);
                if store.create(VOLUME_CLAIM, claim).await?.is_some() {
                    announce_claim(store, &set, &pod).await;
                }
                if let Some(made) = store.create(POD, pod).await? {
                    announce(store, &set, &made).await;
                    self.pods.insert((key.0.clone(), pod_name(ordinal)), made);
                }
            }
            Step::Delete(ordinal) => {
                store.delete(&POD.at(&key.0, &pod_name(ordinal)), None).await?;
                let said = format!("Delete Pod {} in StatefulSet {} successful", pod_name(ordinal), key.1);
                tell(store, &set, "SuccessfulDelete", &said).await;
            }
            Step::Wait => {}
        }
        self.write_status(store, key, &set).await
    }

    async fn write_status(&mut self, store: &Store, key: &Key, set: &Value) -> Result<()> {
        let pods = self.pods_of(key);
        let ready = pods.iter().filter(|pod| pod.is_ready && !pod.is_leaving).count();
        let newest = build::revision(set);
        // Pods that are deleted by hand or by the operator never make a newer revision the current one.
        let current = set["status"]["currentRevision"].as_str().unwrap_or(&newest).to_owned();
        let of = |revision: &str| {
            let ours = self.pods.iter().filter(|((namespace, _), pod)| {
                *namespace == key.0 && text(pod, &["metadata", "labels", "controller-revision-hash"]) == revision
            });
            ours.count()
        };
        let mut status = json!({
            "replicas": pods.len(), "availableReplicas": ready, "observedGeneration": set["metadata"]["generation"],
            "currentRevision": current, "updateRevision": newest, "collisionCount": 0,
        });
        // None of them is told by silence.
        for (key, n) in [("readyReplicas", ready), ("currentReplicas", of(&current)), ("updatedReplicas", of(&newest))]
        {
            status[key] = if n == 0 { Value::Null } else { json!(n) };
        }
        if status.as_object().is_some_and(|fields| fields.iter().any(|(key, value)| set["status"][key] != *value)) {
            let written = store.patch_status(&STATEFUL_SET.at(&key.0, &key.1), &status).await;
            match written {
                Ok(set) => drop(self.sets.insert(key.clone(), set)),
                Err(error) if error.is_status(404) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Says what the controller says about its set.
async fn tell(store: &Store, set: &Value, reason: &str, message: &str) {
    let spot = STATEFUL_SET.at(text(set, &["metadata", "namespace"]), text(set, &["metadata", "name"]));
    let word = Word { source: "statefulset-controller", severity: "Normal", reason, message };
    store.tell(&spot, text(set, &["metadata", "uid"]), word).await;
}

async fn announce_claim(store: &Store, set: &Value, pod: &Value) {
    let (name, set_name) = (text(pod, &["metadata", "name"]), text(set, &["metadata", "name"]));
    let message = format!("Create Claim pgdata-{name} Pod {name} in StatefulSet {set_name} success");
    tell(store, set, "SuccessfulCreate", &message).await;
}

/// Says what a controller and a scheduler say about a new pod.
async fn announce(store: &Store, set: &Value, pod: &Value) {
    let (namespace, name) = (text(pod, &["metadata", "namespace"]), text(pod, &["metadata", "name"]));
    let set_name = text(set, &["metadata", "name"]);
    let message = format!("Create Pod {name} in StatefulSet {set_name} successful");
    tell(store, set, "SuccessfulCreate", &message).await;
    let node = text(pod, &["spec", "nodeName"]);
    let message = format!("Successfully assigned {namespace}/{name} to {node}");
    let word = Word { source: "default-scheduler", severity: "Normal", reason: "Scheduled", message: &message };
    store.tell(&POD.at(namespace, name), text(pod, &["metadata", "uid"]), word).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ready(ordinal: u32) -> Pod {
        Pod { ordinal, is_ready: true, is_leaving: false }
    }

    #[test]
    fn pods_come_in_order_and_go_from_the_last() {
        let starting = Pod { is_ready: false, ..ready(1) };
        let leaving = Pod { is_leaving: true, ..ready(2) };
        for (replicas, pods, step) in [
            (2, vec![], Step::Create(0)),
            (3, vec![ready(0), starting], Step::Wait),
            (3, vec![ready(0), ready(2)], Step::Create(1)),
            (2, vec![ready(0), ready(1)], Step::Wait),
            (1, vec![ready(0), ready(1), ready(2)], Step::Delete(2)),
            (1, vec![ready(0), ready(1), leaving], Step::Wait),
        ] {
            assert_eq!(next(replicas, &pods), step, "{replicas} of {pods:?}");
        }
    }
}
