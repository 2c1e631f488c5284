//! One object as YAML, read again while somebody looks.

use std::time::Duration;

use serde_json::Value;

use super::client::Server;
use super::dialect;
use super::watch::encode;
use crate::fault::Fault;
use crate::fleet::seen::Seen;
use crate::id::{ClusterId, Text};
use crate::plane::{Clock, Sink};
use crate::work::secrets::hide;

/// Read again this often.
const EVERY: Duration = Duration::from_secs(5);

/// Reads until it is dropped.
pub async fn keep(server: Server, cluster: ClusterId, object: Text, sink: Sink, clock: Clock) {
    loop {
        let text = read(&server, &cluster, &object).await;
        sink.send(Seen::Manifest { cluster: cluster.clone(), object: object.clone(), text, at: clock() });
        tokio::time::sleep(EVERY).await;
    }
}

async fn read(server: &Server, cluster: &ClusterId, object: &str) -> Result<Text, Fault> {
    let namespace = encode(&cluster.namespace);
    let path = match object.strip_prefix("pod/") {
        Some(pod) => format!("/api/v1/namespaces/{namespace}/pods/{}", encode(pod)),
        None => dialect::usual().path(cluster),
    };
    let mut value = server.get_json(&path).await?;
    strip(&mut value);
    let yaml = serde_saphyr::to_string(&value);
    yaml.map(Text::from).map_err(|error| Fault::Malformed { what: object.into(), place: path, why: error.to_string() })
}

/// Takes out what nobody reads (managedFields) and what nobody may (secrets that people write into a CR's `clone`, or into
/// the environment).
fn strip(value: &mut Value) {
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    hide(value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_that_people_wrote_into_objects_are_hidden() {
        let mut value = json!({"metadata": {"managedFields": [1]}, "spec": {
            "clone": {"s3_secret_access_key": "CANARY-1", "cluster": "a"},
            "env": [{"name": "PGPASSWORD", "value": "CANARY-2"}, {"name": "X", "value": "CANARY-3"}, {"name": "USE_WALG_BACKUP", "value": "kept"}]}});
        strip(&mut value);
        let text = value.to_string();
        assert!(!text.contains("CANARY") && !text.contains("managedFields") && text.contains("kept"), "{text}");
    }
}
