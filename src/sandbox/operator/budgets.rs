//! The disruption controller of an API that has none: how many pods each budget covers, and how many of them may go.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::sandbox::error::Result;
use crate::sandbox::node::NOT_CROWD;
use crate::sandbox::objects::{self, Change, DISRUPTION_BUDGET, Kind, POD, Store, is_ready, text};

type Key = (String, String);

/// Keeps the status of every budget of a cluster until it is dropped.
pub async fn run(store: Store) {
    let (changes, mut news) = mpsc::channel(256);
    let mut watching = JoinSet::new();
    let labels = format!("application=spilo,{NOT_CROWD}");
    for kind in [DISRUPTION_BUDGET, POD] {
        let (store, changes, labels) = (store.clone(), changes.clone(), labels.clone());
        watching.spawn(follow(store, kind, labels, changes));
    }
    let mut known = Known::default();
    while let Some((kind, change)) = news.recv().await {
        let namespace = known.take(kind, change);
        if let Err(error) = known.write(&store, &namespace).await {
            tracing::warn!(%error, "a budget's status is not written");
        }
    }
}

async fn follow(store: Store, kind: Kind, labels: String, changes: mpsc::Sender<(Kind, Change)>) {
    let (tell, mut told) = mpsc::channel(64);
    let follower = objects::follow(store, kind, &labels, tell);
    let hand_on = async {
        while let Some(change) = told.recv().await {
            if changes.send((kind, change)).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(follower, hand_on);
}

#[derive(Debug, Default)]
struct Known {
    budgets: BTreeMap<Key, Value>,
    pods: BTreeMap<Key, Value>,
}

impl Known {
    /// Keeps the change; returns the namespace that it is in.
    fn take(&mut self, kind: Kind, change: Change) -> String {
        let (object, is_there) = match change {
            Change::Now(object) => (object, true),
            Change::Gone(object) => (object, false),
        };
        let namespace = text(&object, &["metadata", "namespace"]).to_owned();
        let key = (namespace.clone(), text(&object, &["metadata", "name"]).to_owned());
        let objects = if kind == POD { &mut self.pods } else { &mut self.budgets };
        if is_there {
            objects.insert(key, object);
        } else {
            objects.remove(&key);
        }
        namespace
    }

    async fn write(&mut self, store: &Store, namespace: &str) -> Result<()> {
        let pods: Vec<&Value> = self.pods.iter().filter(|(key, _)| key.0 == namespace).map(|(_, pod)| pod).collect();
        for (key, budget) in self.budgets.iter_mut().filter(|(key, _)| key.0 == namespace) {
            let Some(status) = status(budget, &pods, Timestamp::now()) else { continue };
            match store.patch_status(&DISRUPTION_BUDGET.at(&key.0, &key.1), &status).await {
                Ok(written) => *budget = written,
                // It goes just now.
                Err(error) if error.is_status(404) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a budget's status is to be; none if it is so, or if its rule is not a number of pods that have to stay.
fn status(budget: &Value, pods: &[&Value], now: Timestamp) -> Option<Value> {
    let desired = budget["spec"]["minAvailable"].as_u64()?;
    let labels = budget["spec"]["selector"]["matchLabels"].as_object()?;
    let is_covered = |pod: &&&Value| labels.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value);
    let covered: Vec<&&Value> = pods.iter().filter(is_covered).collect();
    let stays = |pod: &&&Value| is_ready(pod) && !pod["metadata"]["deletionTimestamp"].is_string();
    let healthy = covered.iter().copied().filter(stays).count() as u64;
    let allowed = healthy.saturating_sub(desired);
    let (word, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let generation = &budget["metadata"]["generation"];
    let before = &budget["status"];
    let since = &before["conditions"][0];
    let at = if since["status"] == word { since["lastTransitionTime"].clone() } else { json!(format!("{now:.0}")) };
    let status = json!({
        "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": allowed,
        "expectedPods": covered.len(), "observedGeneration": generation,
        "conditions": [{
            "type": "DisruptionAllowed", "status": word, "reason": reason, "message": "",
            "lastTransitionTime": at, "observedGeneration": generation,
        }],
    });
    (status != *before).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_counts_what_it_covers_and_what_may_go_and_is_silent_when_nothing_changed() {
        let pod = |role: &str, is_ready: bool| {
            let word = if is_ready { "True" } else { "False" };
            json!({ "metadata": { "labels": { "app": "x", "role": role } },
                    "status": { "conditions": [{ "type": "Ready", "status": word }] } })
        };
        let pods = [pod("master", true), pod("replica", true), pod("replica", false)];
        let pods: Vec<&Value> = pods.iter().collect();
        let now = Timestamp::from_second(0).unwrap();
        for (healthy, label, counts) in [
            (1, json!({ "app": "x", "role": "master" }), [1, 1, 0, 1]),
            (1, json!({ "app": "x" }), [2, 1, 1, 3]),
            (2, json!({ "app": "y" }), [0, 2, 0, 0]),
        ] {
            let mut budget = json!({ "metadata": { "generation": 1 },
                                     "spec": { "minAvailable": healthy, "selector": { "matchLabels": label } } });
            let told = status(&budget, &pods, now).unwrap();
            let seen =
                ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"].map(|key| told[key].clone());
            assert_eq!(seen, counts.map(Value::from), "{budget}");
            budget["status"] = told;
            assert_eq!(status(&budget, &pods, Timestamp::now()), None);
        }
    }
}
