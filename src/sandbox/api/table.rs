//! Lists as kubectl prints them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::store::Stored;

/// A `Table` of these objects. Columns are named in the first one of a watch only.
pub fn table(kind: &Kind, objects: &[Value], version: u64, with_columns: bool, now: Timestamp) -> Value {
    let columns: Vec<Value> = if with_columns {
        titles(kind)
            .iter()
            .map(|title| json!({"name": title, "type": "string", "format": "", "description": "", "priority": 0}))
            .collect()
    } else {
        Vec::new()
    };
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
            json!({"cells": cells(kind, object, now), "object": partial})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version.to_string()},
        "columnDefinitions": columns, "rows": rows,
    })
}

/// A list of metadata alone.
pub fn partial(object: &Stored) -> Value {
    let value = object.value();
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

fn titles(kind: &Kind) -> &'static [&'static str] {
    match kind.plural {
        "pods" => &["Name", "Ready", "Status", "Restarts", "Age", "IP", "Role"],
        "postgresqls" => &["Name", "Team", "Version", "Pods", "Volume", "Age", "Status"],
        "statefulsets" => &["Name", "Ready", "Age"],
        "services" => &["Name", "Type", "Cluster-IP", "Age"],
        "events" => &["Last seen", "Type", "Reason", "Object", "Message"],
        "configmaps" | "secrets" => &["Name", "Data", "Age"],
        _ => &["Name", "Age"],
    }
}

fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<String> {
    let text = |path: &str| match path.split('.').fold(object, |value, part| &value[part]) {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".into(),
        other => other.to_string(),
    };
    let age = |path: &str| {
        let at = text(path).parse::<Timestamp>().ok();
        at.map_or_else(|| "<unknown>".into(), |at| short(now.duration_since(at)))
    };
    let (name, created) = (text("metadata.name"), age("metadata.creationTimestamp"));
    match kind.plural {
        "pods" => {
            let statuses = object["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
            let ready = statuses.iter().filter(|status| status["ready"] == true).count();
            let containers = object["spec"]["containers"].as_array().map_or(0, Vec::len);
            let restarts: u64 = statuses.iter().filter_map(|status| status["restartCount"].as_u64()).sum();
            let waiting = statuses.iter().find_map(|status| status["state"]["waiting"]["reason"].as_str());
            let deleting = object["metadata"].get("deletionTimestamp").is_some().then_some("Terminating");
            let status = deleting.or(waiting).map_or_else(|| text("status.phase"), str::to_owned);
            let role = object["metadata"]["labels"]["spilo-role"].as_str().unwrap_or("<none>").to_owned();
            vec![
                name,
                format!("{ready}/{containers}"),
                status,
                restarts.to_string(),
                created,
                text("status.podIP"),
                role,
            ]
        }
        "postgresqls" => vec![
            name,
            text("spec.teamId"),
            text("spec.postgresql.version"),
            text("spec.numberOfInstances"),
            text("spec.volume.size"),
            created,
            text("status.PostgresClusterStatus"),
        ],
        "statefulsets" => {
            let ready = object["status"]["readyReplicas"].as_u64().unwrap_or(0);
            vec![name, format!("{ready}/{}", text("spec.replicas")), created]
        }
        "services" => vec![name, text("spec.type"), text("spec.clusterIP"), created],
        "events" => {
            let about = format!("{}/{}", text("involvedObject.kind").to_lowercase(), text("involvedObject.name"));
            vec![age("lastTimestamp"), text("type"), text("reason"), about, text("message")]
        }
        "configmaps" | "secrets" => {
            vec![name, object["data"].as_object().map_or(0, serde_json::Map::len).to_string(), created]
        }
        _ => vec![name, created],
    }
}

fn short(age: SignedDuration) -> String {
    match age.as_secs() {
        seconds @ ..120 => format!("{}s", seconds.max(0)),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
