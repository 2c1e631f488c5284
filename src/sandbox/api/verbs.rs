//! What the verbs do to the store: list, get, create, update, patch, delete.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Call;
use super::kinds::{KINDS, Kind};
use super::patch;
use super::refusal::Refusal;
use super::removal;
use super::reply::{self, Reply};
use super::seed;
use super::select::Selector;
use super::store::{Store, Stored};
use super::table;
use super::validation;

/// What a client takes, and what it sends.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    pub accept: String,
    pub content_type: String,
    pub gzip: bool,
}

impl Manner {
    /// It wants a table, as kubectl does.
    pub fn wants_table(&self) -> bool {
        self.accept.contains("as=Table")
    }

    /// It wants metadata alone.
    pub fn wants_metadata(&self) -> bool {
        self.accept.contains("as=PartialObjectMetadata")
    }
}

/// A list, whole or by pages.
pub fn list(store: &Store, call: &Call, manner: &Manner, now: Timestamp) -> Result<Reply, Refusal> {
    let kind = &KINDS[call.kind];
    let selector = selector(call)?;
    let from = page_token(call.query.get("continue"))?;
    let after = from.as_ref().map(|(_, namespace, name)| (namespace.clone(), name.clone()));
    let (newest, objects) = store.list_after(call.kind, call.namespace.as_deref(), after);
    // All pages carry the first one's version: a watch from there repeats what changed in between.
    let version = from.map_or(newest, |(version, _, _)| version);
    if store.changes_after(call.kind, version).is_none() {
        return Err(Refusal::page_gone());
    }
    let limit = call.query.number("limit").filter(|limit| *limit > 0);
    let most = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let selected = |stored: &&std::sync::Arc<Stored>| selector.matches(&stored.sight);
    let mut page: Vec<_> = objects.iter().filter(selected).take(most.saturating_add(1)).collect();
    let more = page.len() > most;
    page.truncate(most);
    let token = page.last().filter(|_| more).map(|last| format!("{version}/{}/{}", last.namespace, last.name));
    if manner.wants_table() {
        let values: Vec<Value> = page.iter().map(|stored| stored.value()).collect();
        let mut table = table::table(kind, &values, version, true, now);
        if let Some(token) = token {
            table["metadata"]["continue"] = token.into();
        }
        return Ok(reply::json(200, &table));
    }
    let metadata = json!({"resourceVersion": version.to_string(), "continue": token.unwrap_or_default()});
    let (list_kind, api_version) = if manner.wants_metadata() {
        ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned())
    } else {
        (format!("{}List", kind.kind), kind.api_version())
    };
    let items: Vec<String> = if manner.wants_metadata() {
        page.iter().map(|stored| table::partial(stored).to_string()).collect()
    } else {
        page.iter().map(|stored| stored.text.to_string()).collect()
    };
    let text = format!(
        r#"{{"kind":"{list_kind}","apiVersion":"{api_version}","metadata":{metadata},"items":[{}]}}"#,
        items.join(",")
    );
    Ok(reply::long_json(text, manner.gzip))
}

/// A continue token: the version of the first page, and the last object that was sent.
fn page_token(token: &str) -> Result<Option<(u64, String, String)>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let mut parts = token.splitn(3, '/');
    let read = || Some((parts.next()?.parse().ok()?, parts.next()?.to_owned(), parts.next()?.to_owned()));
    let mut read = read;
    read().map(Some).ok_or_else(|| Refusal::bad_request("continue key is not valid"))
}

/// The selector of a call.
pub fn selector(call: &Call) -> Result<Selector, Refusal> {
    Selector::parse(call.query.get("labelSelector"), call.query.get("fieldSelector")).map_err(Refusal::bad_request)
}

/// One object.
pub fn get(store: &Store, call: &Call, manner: &Manner, now: Timestamp) -> Result<Reply, Refusal> {
    let stored = stands(store, call)?;
    if manner.wants_table() {
        let table = table::table(&KINDS[call.kind], &[stored.value()], stored.version, true, now);
        return Ok(reply::json(200, &table));
    }
    if manner.wants_metadata() {
        return Ok(reply::json(200, &table::partial(&stored)));
    }
    Ok(object(200, &stored))
}

pub fn object(code: u16, stored: &Stored) -> Reply {
    reply::text(code, "application/json", stored.text.to_string())
}

pub fn stands(store: &Store, call: &Call) -> Result<std::sync::Arc<Stored>, Refusal> {
    let name = call.name.as_deref().unwrap_or_default();
    let namespace = call.namespace.as_deref().unwrap_or_default();
    store.get(call.kind, namespace, name).ok_or_else(|| Refusal::not_found(&KINDS[call.kind], name))
}

/// Creates an object: names it, stamps it.
pub fn create(store: &Store, call: &Call, body: &[u8], now: Timestamp) -> Result<Reply, Refusal> {
    let kind = &KINDS[call.kind];
    let mut value = read_body(body)?;
    let generated = value["metadata"]["generateName"].as_str().map(str::to_owned);
    if value["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        let prefix = generated.ok_or_else(|| Refusal::invalid("name or generateName is required"))?;
        value["metadata"]["name"] = format!("{prefix}{:05x}", store.version()).into();
    }
    complete(kind, call, &mut value)?;
    let warnings = validation::prune(store, call, &mut value)?;
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    if !is_name(name) {
        return Err(Refusal::invalid(format!(
            "{} \"{name}\" is invalid: metadata.name: Invalid value",
            kind.qualified()
        )));
    }
    validation::check_lengths(kind, &value)?;
    let metadata = &mut value["metadata"];
    metadata["uid"] = uid(store.version(), kind, now).into();
    metadata["creationTimestamp"] = stamp(now).into();
    if counts_generations(kind) {
        metadata["generation"] = 1.into();
    }
    seed::complete(store, kind, &mut value, now);
    if call.query.get("dryRun") == "All" {
        let namespace = call.namespace.as_deref().unwrap_or_default();
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        return match store.get(call.kind, namespace, name) {
            Some(_) => Err(Refusal::exists(kind, name)),
            None => Ok(reply::warning(reply::json(201, &value), &warnings)),
        };
    }
    if let Some(namespace) = &call.namespace {
        seed::namespace(store, namespace, now)?;
    }
    let stored = store.put(call.kind, None, value)?;
    Ok(reply::warning(object(201, &stored), &warnings))
}

/// Of the core group pods alone know how often their spec was changed.
fn counts_generations(kind: &Kind) -> bool {
    kind.plural == "pods" || (!kind.group.is_empty() && (kind.status || kind.group == "acid.zalan.do"))
}

/// A name fit for a DNS subdomain (or, as RBAC and CRDs have them, with dots).
fn is_name(name: &str) -> bool {
    name.len() <= 253
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
}

/// Random enough to be unique within one API: version, kind and time.
pub fn uid(version: u64, kind: &Kind, now: Timestamp) -> String {
    let nanos = u128::try_from(now.as_nanosecond()).unwrap_or_default();
    let mixed = (nanos ^ (u128::from(version) << 64)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let hex = format!("{:032x}", mixed ^ kind.plural.len() as u128);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// A time as Kubernetes writes it, in whole seconds.
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn read_body(body: &[u8]) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("the object provided is unrecognized: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(Refusal::bad_request("the object provided is no object")) }
}

fn complete(kind: &Kind, call: &Call, value: &mut Value) -> Result<(), Refusal> {
    let sent = value["kind"].as_str().unwrap_or(kind.kind);
    if sent != kind.kind {
        let message = format!("the API version in the data ({sent}) does not match the expected {}", kind.kind);
        return Err(Refusal::bad_request(message));
    }
    value["kind"] = kind.kind.into();
    value["apiVersion"] = kind.api_version().into();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        let is_empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        metadata.retain(|key, value| !(["annotations", "labels"].contains(&key.as_str()) && is_empty(value)));
    }
    match (&call.namespace, kind.namespaced) {
        (Some(namespace), true) => value["metadata"]["namespace"] = namespace.clone().into(),
        (None, true) => return Err(Refusal::bad_request("an empty namespace may not be set during creation")),
        (_, false) => {
            if let Some(metadata) = value["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
        }
    }
    Ok(())
}

/// Replaces or patches an object, or its status alone.
pub fn change(store: &Store, call: &Call, manner: &Manner, body: &[u8], now: Timestamp) -> Result<Reply, Refusal> {
    let kind = &KINDS[call.kind];
    let mut tries = 0;
    loop {
        let before = match stands(store, call) {
            Ok(before) => before,
            // Server-side apply creates what is not there.
            Err(_) if manner.content_type.starts_with("application/apply-patch+yaml") => {
                let mut value = json!({"kind": kind.kind});
                patch::apply(&manner.content_type, &mut value, body)?;
                return create(store, call, value.to_string().as_bytes(), now);
            }
            Err(refusal) => return Err(refusal),
        };
        let old = before.value();
        let mut new = if call.verb == "update" {
            read_body(body)?
        } else {
            let mut patched = old.clone();
            patch::apply(&manner.content_type, &mut patched, body)?;
            patched
        };
        let named = new["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok());
        if named.is_some_and(|named| named != before.version) {
            return Err(Refusal::conflict(kind, &before.name));
        }
        let warnings = validation::prune(store, call, &mut new)?;
        keep(kind, call, &old, &mut new)?;
        if new == old || call.query.get("dryRun") == "All" {
            return Ok(reply::warning(reply::json(200, &new), &warnings));
        }
        if removal::is_over(&new) {
            // The last finalizer let go.
            return removal::remove(store, call.kind, &before, removal::Owned::Goes).map(|last| object(200, &last));
        }
        match store.put(call.kind, Some(before.version), new) {
            Ok(stored) => return Ok(reply::warning(object(200, &stored), &warnings)),
            // A patch without a version is tried again on what came between, as the API server does.
            Err(refusal) if refusal.reason == "Conflict" && call.verb == "patch" && tries < 5 => tries += 1,
            Err(refusal) => return Err(refusal),
        }
    }
}

/// Restores what a change may not touch: identity, and status or the rest, by the path that was called.
fn keep(kind: &Kind, call: &Call, old: &Value, new: &mut Value) -> Result<(), Refusal> {
    complete(kind, call, new)?;
    for key in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "resourceVersion",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        match old["metadata"].get(key) {
            Some(value) => new["metadata"][key] = value.clone(),
            None => {
                if let Some(metadata) = new["metadata"].as_object_mut() {
                    metadata.remove(key);
                }
            }
        }
    }
    let only_status = call.subresource.as_deref() == Some("status");
    if only_status {
        let status = new["status"].clone();
        let metadata = new["metadata"].clone();
        *new = old.clone();
        new["status"] = status;
        // Patroni and kubelets patch annotations through the status path too.
        new["metadata"]["annotations"] = metadata["annotations"].clone();
        new["metadata"]["labels"] = metadata["labels"].clone();
        prune_null(&mut new["metadata"], &["annotations", "labels"]);
    } else if kind.status {
        match old.get("status") {
            Some(status) => new["status"] = status.clone(),
            None => {
                if let Some(object) = new.as_object_mut() {
                    object.remove("status");
                }
            }
        }
    }
    if !only_status && counts_generations(kind) && old["spec"] != new["spec"] {
        let generation = old["metadata"]["generation"].as_u64().unwrap_or(0);
        new["metadata"]["generation"] = (generation + 1).into();
    }
    Ok(())
}

fn prune_null(object: &mut Value, keys: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        object.retain(|key, value| !(keys.contains(&key.as_str()) && value.is_null()));
    }
}
