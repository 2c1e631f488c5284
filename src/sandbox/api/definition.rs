//! The definitions of the operator's kinds (`CustomResourceDefinition`): what tells a client, and this API, which fields there are.

use serde_json::{Map, Value, json};

use super::kinds::KINDS;

/// The three that the operator brings.
pub fn all() -> [Value; 3] {
    let mut spec = schema(&spec());
    spec["required"] = json!(["numberOfInstances", "teamId", "postgresql", "volume"]);
    spec["properties"]["postgresql"]["required"] = json!(["version"]);
    spec["properties"]["postgresql"]["properties"]["version"]["enum"] = json!(["13", "14", "15", "16", "17"]);
    let open = schema(&json!("object"));
    let postgresql = json!({"type": "object", "required": ["kind", "apiVersion", "spec"], "properties": {"spec": spec, "status": open}});
    let configuration = json!({"type": "object", "properties": {"configuration": open, "status": open}});
    let team = json!({"type": "object", "properties": {"spec": open}});
    [
        definition("postgresqls", &postgresql),
        definition("operatorconfigurations", &configuration),
        definition("postgresteams", &team),
    ]
}

/// What operator 1.15.1 knows of a cluster's `spec`: a word is a type (`object` and `array` take anything inside), a table
/// is an object of these fields and no others, a list is one of such items, and the field `*` stands for any name.
fn spec() -> Value {
    let mut fields = json!({
        "additionalVolumes": "array", "allowedSourceRanges": "array", "databases": {"*": "string"}, "dockerImage": "string",
        "env": "array", "initContainers": "array", "init_containers": "array",
        "logicalBackupRetention": "string", "logicalBackupSchedule": "string", "maintenanceWindows": "array",
        "masterServiceAnnotations": {"*": "string"}, "nodeAffinity": "object", "numberOfInstances": "integer",
        "podAnnotations": {"*": "string"}, "podPriorityClassName": "string", "pod_priority_class_name": "string",
        "postgresql": {"version": "string", "parameters": {"*": "string"}},
        "preparedDatabases": "object", "replicaServiceAnnotations": {"*": "string"}, "schedulerName": "string",
        "serviceAnnotations": {"*": "string"}, "sidecars": "array", "spiloFSGroup": "integer",
        "spiloRunAsGroup": "integer", "spiloRunAsUser": "integer", "teamId": "string", "users": {"*": "array"},
        "usersIgnoringSecretRotation": "array", "usersWithInPlaceSecretRotation": "array",
        "usersWithSecretRotation": "array",
        "standby": {
            "gs_wal_path": "string", "s3_wal_path": "string", "standby_host": "string", "standby_port": "string",
        },
        "tls": {
            "caFile": "string", "caSecretName": "string", "certificateFile": "string", "privateKeyFile": "string",
            "secretName": "string",
        },
        "tolerations": [{
            "effect": "string", "key": "string", "operator": "string", "tolerationSeconds": "integer", "value": "string",
        }],
        "volume": {
            "iops": "integer", "isSubPathExpr": "boolean", "selector": "object", "size": "string",
            "storageClass": "string", "subPath": "string", "throughput": "integer",
        },
    });
    for flag in [
        "enableConnectionPooler",
        "enableLogicalBackup",
        "enableMasterLoadBalancer",
        "enableMasterPoolerLoadBalancer",
        "enableReplicaConnectionPooler",
        "enableReplicaLoadBalancer",
        "enableReplicaPoolerLoadBalancer",
        "enableShmVolume",
        "replicaLoadBalancer",
        "useLoadBalancer",
    ] {
        fields[flag] = "boolean".into();
    }
    for (name, inner) in [
        ("clone", clone()),
        ("connectionPooler", pooler()),
        ("patroni", patroni()),
        ("resources", resources()),
        ("streams", json!([stream()])),
    ] {
        fields[name] = inner;
    }
    fields
}

fn clone() -> Value {
    json!({
        "cluster": "string", "s3_access_key_id": "string", "s3_endpoint": "string", "s3_force_path_style": "boolean",
        "s3_secret_access_key": "string", "s3_wal_path": "string", "timestamp": "string", "uid": "string",
    })
}

fn pooler() -> Value {
    json!({
        "dockerImage": "string", "maxDBConnections": "integer", "mode": "string", "numberOfInstances": "integer",
        "resources": {
            "limits": {"cpu": "string", "memory": "string"}, "requests": {"cpu": "string", "memory": "string"},
        },
        "schema": "string", "user": "string",
    })
}

fn patroni() -> Value {
    json!({
        "failsafe_mode": "boolean", "initdb": {"*": "string"}, "loop_wait": "integer",
        "maximum_lag_on_failover": "integer", "pg_hba": "array", "retry_timeout": "integer",
        "slots": {"*": {"*": "string"}}, "synchronous_mode": "boolean", "synchronous_mode_strict": "boolean",
        "synchronous_node_count": "integer", "ttl": "integer",
    })
}

fn resources() -> Value {
    let amounts = json!({"cpu": "string", "hugepages-1Gi": "string", "hugepages-2Mi": "string", "memory": "string"});
    json!({"limits": amounts, "requests": amounts})
}

fn stream() -> Value {
    json!({
        "applicationId": "string", "batchSize": "integer", "cpu": "string", "database": "string",
        "enableRecovery": "boolean", "filter": {"*": "string"}, "memory": "string", "tables": "object",
    })
}

/// The schema that such a table describes.
fn schema(fields: &Value) -> Value {
    match fields {
        Value::Object(fields) => {
            if let Some(any) = fields.get("*") {
                return json!({"type": "object", "additionalProperties": schema(any)});
            }
            let properties: Map<String, Value> =
                fields.iter().map(|(name, inner)| (name.clone(), schema(inner))).collect();
            json!({"type": "object", "properties": properties})
        }
        Value::Array(items) => json!({"type": "array", "items": items.first().map(schema)}),
        word if word == "object" => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        word if word == "array" => {
            json!({"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": true}})
        }
        word => json!({"type": word}),
    }
}

fn definition(plural: &str, schema: &Value) -> Value {
    let kind = KINDS.iter().find(|kind| kind.plural == plural);
    let (name, short) = kind.map_or(("", &[][..]), |kind| (kind.kind, kind.short));
    let subresources = if plural == "postgresteams" { json!({}) } else { json!({"status": {}}) };
    json!({
        "metadata": {"name": format!("{plural}.acid.zalan.do")},
        "spec": {
            "group": "acid.zalan.do", "scope": "Namespaced", "conversion": {"strategy": "None"},
            "names": {
                "kind": name, "listKind": format!("{name}List"), "plural": plural, "singular": name.to_lowercase(),
                "shortNames": short, "categories": ["all"],
            },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": subresources,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}
