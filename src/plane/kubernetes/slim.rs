//! The fields of Kubernetes objects that pgdeck reads, and no others: a pod costs a few hundred bytes instead of fifty KiB.

use std::collections::BTreeMap;
use std::fmt;

use compact_str::CompactString;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What every object carries.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: CompactString,
    pub namespace: CompactString,
    pub uid: CompactString,
    pub resource_version: CompactString,
    pub creation_timestamp: Option<CompactString>,
    pub deletion_timestamp: Option<CompactString>,
    pub labels: BTreeMap<CompactString, CompactString>,
    pub annotations: BTreeMap<CompactString, Note>,
    pub managed_fields: Vec<Managed>,
}

impl Meta {
    /// An annotation that is text, as all should be.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key)?.0.as_deref()
    }
}

/// The name and labels of an object that cannot be parsed as a whole.
pub fn salvage(text: &str) -> Option<Meta> {
    let value: Value = serde_json::from_str(text).ok()?;
    let text = |key: &str| -> CompactString { value["metadata"][key].as_str().unwrap_or_default().into() };
    let labels = value["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.into(), value.as_str()?.into()))).collect();
    let (name, namespace, resource_version) = (text("name"), text("namespace"), text("resourceVersion"));
    let meta = Meta { name, namespace, resource_version, labels, ..Meta::default() };
    (!meta.name.is_empty()).then_some(meta)
}

/// An annotation's value; none where it is no text.
#[derive(Debug, Clone, Default)]
pub struct Note(pub Option<CompactString>);

impl<'de> Deserialize<'de> for Note {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NoteVisitor)
    }
}

struct NoteVisitor;

impl<'de> Visitor<'de> for NoteVisitor {
    type Value = Note;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Note, E> {
        Ok(Note(Some(text.into())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Note, E> {
        Ok(Note(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Note, E> {
        Ok(Note(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Note, E> {
        Ok(Note(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Note, E> {
        Ok(Note(None))
    }

    fn visit_unit<E>(self) -> Result<Note, E> {
        Ok(Note(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Note, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Note(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Note, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Note(None))
    }
}

/// An entry of managedFields, without the fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Managed {
    pub time: Option<CompactString>,
    pub subresource: Option<CompactString>,
}

/// Anything with metadata.
#[derive(Debug, Clone, Deserialize)]
pub struct Bare {
    pub metadata: Meta,
}

/// A postgresql CR: read leniently, since people write it.
#[derive(Debug, Clone, Deserialize)]
pub struct Resource {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: Value,
    #[serde(default)]
    pub status: Value,
}

/// A pod.
#[derive(Debug, Clone, Deserialize)]
pub struct Pod {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: PodSpec,
    #[serde(default)]
    pub status: PodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Option<CompactString>,
    pub containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    pub name: CompactString,
    pub image: Option<CompactString>,
    pub env: Vec<Env>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Env {
    pub name: CompactString,
    pub value: Option<CompactString>,
    pub value_from: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Option<CompactString>,
    pub reason: Option<CompactString>,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<CompactString>,
    pub conditions: Vec<Condition>,
    pub container_statuses: Vec<ContainerStatus>,
    pub init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: CompactString,
    pub status: CompactString,
    pub reason: Option<CompactString>,
    pub message: Option<CompactString>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    pub name: CompactString,
    pub ready: bool,
    pub restart_count: u32,
    pub state: ContainerState,
    pub last_state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub waiting: Option<Reason>,
    pub terminated: Option<Reason>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reason {
    pub reason: Option<CompactString>,
    pub message: Option<CompactString>,
    pub finished_at: Option<CompactString>,
}

/// A StatefulSet.
#[derive(Debug, Clone, Deserialize)]
pub struct StatefulSet {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: StatefulSetSpec,
    #[serde(default)]
    pub status: StatefulSetStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StatefulSetSpec {
    pub replicas: Option<u32>,
    pub template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Template {
    pub spec: PodSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetStatus {
    pub ready_replicas: u32,
    pub update_revision: Option<CompactString>,
}

/// An Event.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub metadata: Meta,
    #[serde(default)]
    pub involved_object: Reference,
    #[serde(default, rename = "type")]
    pub kind: Option<CompactString>,
    #[serde(default)]
    pub reason: Option<CompactString>,
    #[serde(default)]
    pub message: Option<CompactString>,
    #[serde(default)]
    pub count: Option<u32>,
    #[serde(default)]
    pub first_timestamp: Option<CompactString>,
    #[serde(default)]
    pub last_timestamp: Option<CompactString>,
    #[serde(default)]
    pub event_time: Option<CompactString>,
    #[serde(default)]
    pub source: EventSource,
    #[serde(default)]
    pub reporting_component: Option<CompactString>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Reference {
    pub kind: CompactString,
    pub name: CompactString,
    pub namespace: CompactString,
    pub uid: CompactString,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EventSource {
    pub component: Option<CompactString>,
}
