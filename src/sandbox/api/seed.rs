//! What a cluster has before anybody writes to it, and what the server adds to what is written.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::definition;
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
    for definition in definition::all() {
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
        ("", "pods") => value["status"] = json!({"phase": "Pending", "qosClass": quality(value)}),
        ("", "namespaces") => value["status"] = json!({"phase": "Active"}),
        // No controller binds claims here: whoever makes one says that it is bound.
        ("", "persistentvolumeclaims") => set(value, "status", json!({"phase": "Pending"})),
        ("", "services") => {
            let version = store.version();
            let address = format!("10.96.{}.{}", (version >> 8) & 0xff, version & 0xff);
            set(&mut value["spec"], "clusterIP", json!(address));
            let addresses = json!([value["spec"]["clusterIP"]]);
            set(&mut value["spec"], "clusterIPs", addresses);
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
        ("batch", "cronjobs") => value["status"] = json!({}),
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

/// The class of a pod by what its containers ask for.
fn quality(pod: &Value) -> &'static str {
    let containers = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let given = |container: &Value, what: &str, of: &str| {
        let given = &container["resources"][what][of];
        (!given.is_null()).then(|| given.clone())
    };
    let asks = |container: &Value| {
        ["requests", "limits"]
            .iter()
            .any(|what| ["cpu", "memory"].iter().any(|of| given(container, what, of).is_some()))
    };
    let is_fixed = |container: &Value| {
        ["cpu", "memory"].iter().all(|of| {
            let limit = given(container, "limits", of);
            limit.is_some() && given(container, "requests", of).is_none_or(|request| Some(request) == limit)
        })
    };
    if !containers.iter().any(asks) {
        "BestEffort"
    } else if containers.iter().all(is_fixed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}
