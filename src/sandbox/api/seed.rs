//! What a cluster has before anybody writes to it, and what the server adds to what is written.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::{self, KINDS, Kind};
use super::refusal::Refusal;
use super::store::Store;
use super::verbs::{stamp, uid};

/// Puts in the namespaces, the API's own endpoints, and the operator's definitions.
pub fn fill(store: &Store, address: SocketAddr, now: Timestamp) -> Result<(), Refusal> {
    namespace(store, "default", now)?;
    namespace(store, "kube-system", now)?;
    let metadata = json!({"name": "kubernetes", "namespace": "default"});
    let endpoints = json!({
        "metadata": metadata,
        "subsets": [{
            "addresses": [{"ip": address.ip().to_string()}],
            "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}],
        }],
    });
    put(store, "", "endpoints", endpoints, now)?;
    let spec = json!({"type": "ClusterIP", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]});
    put(store, "", "services", json!({"metadata": metadata, "spec": spec}), now)?;
    for definition in definitions() {
        put(store, "apiextensions.k8s.io", "customresourcedefinitions", definition, now)?;
    }
    Ok(())
}

/// Makes a namespace that is not there, as a real server with the plugin `NamespaceAutoProvision` does.
pub fn namespace(store: &Store, name: &str, now: Timestamp) -> Result<(), Refusal> {
    let Some(kind) = kinds::find("", "v1", "namespaces") else { return Ok(()) };
    if store.get(kind, "", name).is_some() {
        return Ok(());
    }
    let labels = json!({"kubernetes.io/metadata.name": name});
    match put(store, "", "namespaces", json!({"metadata": {"name": name, "labels": labels}}), now) {
        // Somebody was faster.
        Err(refusal) if refusal.reason == "AlreadyExists" => Ok(()),
        done => done,
    }
}

fn put(store: &Store, group: &str, plural: &str, mut value: Value, now: Timestamp) -> Result<(), Refusal> {
    let Some(idx) = kinds::find(group, "v1", plural) else { return Ok(()) };
    let kind = &KINDS[idx];
    value["apiVersion"] = kind.api_version().into();
    value["kind"] = kind.kind.into();
    value["metadata"]["uid"] = uid(store.version(), kind, now).into();
    value["metadata"]["creationTimestamp"] = stamp(now).into();
    complete(store, kind, &mut value, now);
    store.put(idx, None, value).map(drop)
}

/// Sets what the server sets at creation: first statuses and a service's address.
pub fn complete(store: &Store, kind: &Kind, value: &mut Value, now: Timestamp) {
    let set = |value: &mut Value, key: &str, default: Value| {
        if value[key].is_null() {
            value[key] = default;
        }
    };
    match (kind.group, kind.plural) {
        ("", "pods") => value["status"] = json!({"phase": "Pending", "qosClass": "Burstable"}),
        ("", "namespaces") => value["status"] = json!({"phase": "Active"}),
        // No controller binds claims here: whoever makes one says that it is bound.
        ("", "persistentvolumeclaims") => set(value, "status", json!({"phase": "Pending"})),
        ("", "services") => {
            let version = store.version();
            let address = format!("10.96.{}.{}", (version >> 8) & 0xff, version & 0xff);
            set(&mut value["spec"], "clusterIP", json!(address));
            set(&mut value["spec"], "type", json!("ClusterIP"));
            set(value, "status", json!({"loadBalancer": {}}));
        }
        ("apiextensions.k8s.io", _) => {
            let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": stamp(now)});
            value["status"] = json!({
                "acceptedNames": value["spec"]["names"], "storedVersions": ["v1"],
                "conditions": [condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")],
            });
        }
        // A node registers itself with its status, a volume is what it says.
        ("", "nodes" | "persistentvolumes") => {}
        _ if kind.status => {
            if let Some(object) = value.as_object_mut() {
                object.shift_remove("status");
            }
        }
        _ => {}
    }
}

/// Fields of `spec` of a postgresql and their types: what tells a client what this operator knows.
const SPEC: &str = "additionalVolumes:array allowedSourceRanges:array clone:object connectionPooler:object databases:object \
    dockerImage:string enableConnectionPooler:boolean enableLogicalBackup:boolean enableMasterLoadBalancer:boolean \
    enableMasterPoolerLoadBalancer:boolean enableReplicaConnectionPooler:boolean enableReplicaLoadBalancer:boolean \
    enableReplicaPoolerLoadBalancer:boolean enableShmVolume:boolean env:array initContainers:array \
    logicalBackupRetention:string logicalBackupSchedule:string maintenanceWindows:array masterServiceAnnotations:object \
    nodeAffinity:object numberOfInstances:integer patroni:object podAnnotations:object podPriorityClassName:string \
    postgresql:object preparedDatabases:object replicaServiceAnnotations:object resources:object schedulerName:string \
    serviceAnnotations:object sidecars:array spiloFSGroup:integer spiloRunAsGroup:integer spiloRunAsUser:integer \
    standby:object streams:array teamId:string tls:object tolerations:array topologySpreadConstraints:array users:object \
    usersIgnoringSecretRotation:array usersWithInPlaceSecretRotation:array usersWithSecretRotation:array volume:object";

/// Fields of `spec.patroni`.
const PATRONI: &str = "failsafe_mode:boolean initdb:object loop_wait:integer maximum_lag_on_failover:integer pg_hba:array \
    retry_timeout:integer slots:object synchronous_mode:boolean synchronous_mode_strict:boolean \
    synchronous_node_count:integer ttl:integer";

fn properties(fields: &str) -> Value {
    let field = |field: &str| {
        let (name, kind) = field.split_once(':')?;
        let open = json!({"type": kind, "x-kubernetes-preserve-unknown-fields": true});
        let schema = match kind {
            "array" => json!({"type": kind, "items": {"x-kubernetes-preserve-unknown-fields": true}}),
            "object" => open,
            _ => json!({"type": kind}),
        };
        Some((name.to_owned(), schema))
    };
    Value::Object(fields.split_whitespace().filter_map(field).collect())
}

fn definitions() -> [Value; 3] {
    let mut spec = json!({
        "type": "object", "properties": properties(SPEC),
        "required": ["numberOfInstances", "teamId", "postgresql", "volume"],
    });
    spec["properties"]["patroni"] = json!({"type": "object", "properties": properties(PATRONI)});
    spec["properties"]["postgresql"] = json!({
        "type": "object", "required": ["version"],
        "properties": {
            "version": {"type": "string", "enum": ["13", "14", "15", "16", "17", "18"]},
            "parameters": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    });
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let postgresql = json!({"type": "object", "required": ["kind", "apiVersion", "spec"], "properties": {"spec": spec, "status": open}});
    let configuration = json!({"type": "object", "properties": {"configuration": open, "status": open}});
    let team = json!({"type": "object", "properties": {"spec": open}});
    [
        definition("postgresqls", &postgresql),
        definition("operatorconfigurations", &configuration),
        definition("postgresteams", &team),
    ]
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
