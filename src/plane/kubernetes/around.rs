//! What stands around one cluster: services, volumes, budgets, poolers, backup jobs, events. Looked at while its view is
//! open.

use std::time::Duration;

use serde_json::Value;

use super::client::Server;
use super::patroni::time;
use super::quantity;
use super::settings::Settings;
use super::slim;
use super::watch::encode;
use super::zalando;
use crate::fault::Fault;
use crate::fleet::seen::Seen;
use crate::fleet::surroundings::{BackupJob, Budget, Pooler, Service, Surroundings, Volume};
use crate::id::{ClusterId, Text};
use crate::plane::Sink;

/// Looked at again this often.
pub const EVERY: Duration = Duration::from_secs(10);

/// Looks once. Events go to the sink as they are.
pub async fn look(server: &Server, settings: &Settings, id: &ClusterId, sink: &Sink) -> Surroundings {
    let labels = format!("{}={}", settings.cluster_name_label, id.name);
    let list = |root: &'static str, kind: &'static str| {
        let path = format!("{root}/namespaces/{}/{kind}?labelSelector={}", encode(&id.namespace), encode(&labels));
        async move { (kind, server.items(&path).await) }
    };
    let (services, volumes, budgets, poolers, jobs, told) = futures::join!(
        list("/api/v1", "services"),
        list("/api/v1", "persistentvolumeclaims"),
        list("/apis/policy/v1", "poddisruptionbudgets"),
        list("/apis/apps/v1", "deployments"),
        list("/apis/batch/v1", "cronjobs"),
        events(server, id),
    );
    let mut around = Surroundings::default();
    let mut missing = Vec::new();
    let mut items = |(kind, answer): (&'static str, Result<Vec<Value>, Fault>)| match answer {
        Ok(items) => items,
        Err(why) => {
            missing.push((Text::from(kind), why));
            Vec::new()
        }
    };
    around.services = items(services).iter().map(|object| service(object, &settings.pod_role_label)).collect();
    around.volumes = items(volumes).iter().map(volume).collect();
    around.budgets = items(budgets).iter().map(budget).collect();
    around.poolers = items(poolers).iter().map(pooler).collect();
    around.backups = items(jobs).iter().map(backup).collect();
    for event in items(told) {
        if let Ok(event) = serde_json::from_value::<slim::Event>(event) {
            sink.send(Seen::Event(zalando::event(&event, id.clone())));
        }
    }
    around.missing = missing;
    around
}

/// A cluster's disruption budgets.
pub async fn budgets(server: &Server, settings: &Settings, id: &ClusterId) -> Result<Vec<Budget>, Fault> {
    let labels = encode(&format!("{}={}", settings.cluster_name_label, id.name));
    let path =
        format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets?labelSelector={labels}", encode(&id.namespace));
    Ok(server.items(&path).await?.iter().map(budget).collect())
}

/// Events about the cluster's pods and its StatefulSet, which tells why it cannot make one: by name, since events carry no labels.
async fn events(server: &Server, id: &ClusterId) -> (&'static str, Result<Vec<Value>, Fault>) {
    let list = |selector: String| {
        let path = format!("/api/v1/namespaces/{}/events?fieldSelector={}", encode(&id.namespace), encode(&selector));
        async move { server.items(&path).await }
    };
    let (pods, set) = futures::join!(
        list("involvedObject.kind=Pod".to_owned()),
        list(format!("involvedObject.kind=StatefulSet,involvedObject.name={}", id.name)),
    );
    let answer = pods.and_then(|mut events| {
        events.retain(|event| {
            let name = event["involvedObject"]["name"].as_str().unwrap_or_default();
            name.rsplit_once('-').is_some_and(|(stem, ordinal)| *stem == *id.name && ordinal.parse::<u32>().is_ok())
        });
        events.extend(set?);
        Ok(events)
    });
    ("events", answer)
}

fn text(value: &Value) -> Text {
    value.as_str().unwrap_or_default().into()
}

fn service(object: &Value, role_label: &str) -> Service {
    let spec = &object["spec"];
    let external = object["status"]["loadBalancer"]["ingress"][0].clone();
    let address = [&external["hostname"], &external["ip"], &spec["clusterIP"]];
    let ports = spec["ports"].as_array().into_iter().flatten();
    Service {
        name: text(&object["metadata"]["name"]),
        kind: text(&spec["type"]),
        address: address.into_iter().find_map(Value::as_str).map(Text::from),
        ports: ports.filter_map(|port| u16::try_from(port["port"].as_u64()?).ok()).collect(),
        role: object["metadata"]["labels"][role_label].as_str().map(Text::from),
    }
}

fn volume(object: &Value) -> Volume {
    Volume {
        name: text(&object["metadata"]["name"]),
        phase: text(&object["status"]["phase"]),
        capacity: object["status"]["capacity"]["storage"].as_str().and_then(quantity::bytes),
        storage_class: object["spec"]["storageClassName"].as_str().map(Text::from),
        left_over: false,
    }
}

fn budget(object: &Value) -> Budget {
    let spec = &object["spec"];
    let rule = ["minAvailable", "maxUnavailable"].into_iter().find_map(|key| {
        let value = spec.get(key)?;
        Some(format!("{key} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    });
    let status = |key: &str| object["status"][key].as_i64().and_then(|count| i32::try_from(count).ok());
    let (allowed, covered) = (status("disruptionsAllowed"), status("expectedPods"));
    let critical = spec["selector"]["matchLabels"].get("critical-operation").is_some();
    Budget {
        name: text(&object["metadata"]["name"]),
        rule: rule.unwrap_or_default().into(),
        allowed,
        covered,
        critical,
    }
}

fn pooler(object: &Value) -> Pooler {
    let count = |value: &Value| value.as_u64().and_then(|count| u32::try_from(count).ok());
    Pooler {
        name: text(&object["metadata"]["name"]),
        ready: count(&object["status"]["readyReplicas"]).unwrap_or(0),
        desired: count(&object["spec"]["replicas"]),
    }
}

/// A backup's `CronJob`.
pub fn backup(object: &Value) -> BackupJob {
    let at = |value: &Value| value.as_str().and_then(time);
    BackupJob {
        name: text(&object["metadata"]["name"]),
        schedule: text(&object["spec"]["schedule"]),
        suspended: object["spec"]["suspend"].as_bool().unwrap_or(false),
        last_scheduled: at(&object["status"]["lastScheduleTime"]),
        last_successful: at(&object["status"]["lastSuccessfulTime"]),
    }
}

/// Marks volumes whose ordinal is beyond the StatefulSet: they stayed behind a scale-down.
pub fn mark_left_over(around: &mut Surroundings, replicas: Option<u32>) {
    let Some(replicas) = replicas else { return };
    for volume in &mut around.volumes {
        let ordinal = volume.name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<u32>().ok());
        volume.left_over = ordinal.is_some_and(|ordinal| ordinal >= replicas);
    }
}
