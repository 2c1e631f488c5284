//! Deletion: the grace of pods, finalizers, preconditions, and what goes with its owner.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call::Call;
use super::kinds::KINDS;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::store::{Store, Stored};
use super::verbs::{self, stamp};

/// What becomes of what an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned {
    Goes,
    Stays,
}

/// Deletes one object. A pod on a node gets its grace: it is marked, and whoever runs it deletes it with grace 0. What has
/// finalizers is marked until they are gone.
pub fn delete(store: &Store, call: &Call, body: &[u8], now: Timestamp) -> Result<Reply, Refusal> {
    let kind = &KINDS[call.kind];
    let stored = verbs::stands(store, call)?;
    let options = options(call, body);
    let value = stored.value();
    let wanted = &options["preconditions"]["uid"];
    if wanted.is_string() && *wanted != value["metadata"]["uid"] {
        return Err(Refusal::conflict(kind, &stored.name));
    }
    let wanted = &options["preconditions"]["resourceVersion"];
    if wanted.is_string() && *wanted != value["metadata"]["resourceVersion"] {
        return Err(Refusal::conflict(kind, &stored.name));
    }
    if options["dryRun"][0] == "All" {
        return Ok(verbs::object(200, &stored));
    }
    let grace = grace(call.kind, &value, options["gracePeriodSeconds"].as_u64());
    if grace > 0 || has_finalizers(&value) {
        return mark(store, call.kind, &stored, grace, now).map(|marked| verbs::object(200, &marked));
    }
    let owned = if options["propagationPolicy"] == "Orphan" { Owned::Stays } else { Owned::Goes };
    remove(store, call.kind, &stored, owned).map(|last| verbs::object(200, &last))
}

/// How to delete: what the body says, or, if there is none, the query.
fn options(call: &Call, body: &[u8]) -> Value {
    if !body.is_empty() {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let (grace, policy) = (call.query.number("gracePeriodSeconds"), call.query.get("propagationPolicy"));
    json!({"dryRun": [call.query.get("dryRun")], "gracePeriodSeconds": grace, "propagationPolicy": policy})
}

/// Deletes everything that is selected.
pub fn delete_all(store: &Store, call: &Call, body: &[u8], now: Timestamp) -> Result<Reply, Refusal> {
    let selector = verbs::selector(call)?;
    let (version, objects) = store.list(call.kind, call.namespace.as_deref());
    for stored in objects.iter().filter(|stored| selector.matches(&stored.sight)) {
        let one = Call { name: Some(stored.name.clone()), namespace: Some(stored.namespace.clone()), ..call.clone() };
        match delete(store, &one, body, now) {
            Ok(_) => {}
            // Somebody was faster.
            Err(refusal) if refusal.code == 404 => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let kind = &KINDS[call.kind];
    let list = json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
                      "metadata": {"resourceVersion": version.to_string()}, "items": []});
    Ok(reply::json(200, &list))
}

/// Whether a changed object has nothing left to wait for: it was marked, without grace, and no finalizer holds it.
pub fn is_over(value: &Value) -> bool {
    let metadata = &value["metadata"];
    metadata["deletionTimestamp"].is_string()
        && metadata["deletionGracePeriodSeconds"].as_u64().unwrap_or(0) == 0
        && !has_finalizers(value)
}

/// Takes an object away, and what it owns or holds with it.
pub fn remove(store: &Store, kind: usize, stored: &Stored, owned: Owned) -> Result<Arc<Stored>, Refusal> {
    let last = store.remove(kind, &stored.namespace, &stored.name)?;
    if owned == Owned::Stays {
        return Ok(last);
    }
    let namespace = (KINDS[kind].plural == "namespaces").then_some(stored.name.as_str());
    for (kind, dependent) in store.dependents(stored, namespace) {
        let value = dependent.value();
        let grace = grace(kind, &value, None);
        let gone = if grace > 0 || has_finalizers(&value) {
            mark(store, kind, &dependent, grace, Timestamp::now())
        } else {
            remove(store, kind, &dependent, Owned::Goes)
        };
        match gone {
            Ok(_) => {}
            // Somebody was faster, or the object lives on under a newer version and is found by the next deletion.
            Err(refusal) if matches!(refusal.code, 404 | 409) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(last)
}

fn grace(kind: usize, value: &Value, asked: Option<u64>) -> u64 {
    let runs = KINDS[kind].plural == "pods" && value["spec"]["nodeName"].is_string();
    if !runs {
        return 0;
    }
    asked.or_else(|| value["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30)
}

fn has_finalizers(value: &Value) -> bool {
    value["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

fn mark(store: &Store, kind: usize, stored: &Arc<Stored>, grace: u64, now: Timestamp) -> Result<Arc<Stored>, Refusal> {
    let mut value = stored.value();
    if value["metadata"]["deletionTimestamp"].is_string() {
        return Ok(stored.clone());
    }
    value["metadata"]["deletionTimestamp"] = stamp(now + SignedDuration::from_secs(grace.cast_signed())).into();
    value["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    store.put(kind, Some(stored.version), value)
}
