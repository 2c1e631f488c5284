//! Zalando's postgres-operator: its CR, StatefulSet, pods and events, read into the nouns of the fleet. Pure.

use std::collections::BTreeMap;

use compact_str::CompactString;
use jiff::Timestamp;
use serde_json::Value;

use super::patroni::{self, time};
use super::pool::Pool;
use super::quantity;
use super::settings::Settings;
use super::slim::{self, Env};
use crate::fleet::cluster::{
    ARCHIVE_VARIABLES, Member, PatroniMember, PatroniSpec, Pod, Role, Spec, Unreadable, Waiting, Warning, Workload,
};
use crate::fleet::seen;
use crate::id::{ClusterId, PlaneId, Text};
use crate::work::secrets;

/// The container that runs Patroni and Postgres; pooler pods have none of that name.
pub const CONTAINER: &str = "postgres";
/// The reason of its Events about switchovers.
const SWITCHOVER: &str = "Switchover";

/// The CR, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub uid: Text,
    pub created: Option<Timestamp>,
    pub spec: Spec,
    pub status: Option<Text>,
    pub controller: Option<Text>,
    pub unreadable: Vec<Unreadable>,
}

/// An operator leaves every CR alone whose annotation names another one.
pub const CONTROLLER: &str = "acid.zalan.do/controller";

/// Reads a CR leniently: what cannot be read is named, the rest counts.
pub fn resource(object: &slim::Resource, pool: &mut Pool) -> Resource {
    let name = format!("postgresql {}/{}", object.metadata.namespace, object.metadata.name);
    let mut reader = Reader { object: name.into(), unreadable: Vec::new() };
    let status = match &object.status {
        Value::Null => None,
        // Very old operators wrote a bare string.
        Value::String(word) => Some(pool.text(word)),
        Value::Object(status) => {
            status.get("PostgresClusterStatus").and_then(Value::as_str).map(|word| pool.text(word))
        }
        other => {
            reader.complain("status", &format!("an object was expected, not {}", kind_of(other)));
            None
        }
    }
    .filter(|word| !word.is_empty());
    let spec = spec(&object.spec, &mut reader, pool);
    let controller = object.metadata.annotation(CONTROLLER).filter(|id| !id.is_empty());
    let changed = object.metadata.managed_fields.iter().filter(|entry| entry.subresource.is_none());
    let changed = changed.filter_map(|entry| time(entry.time.as_deref()?)).max();
    Resource {
        uid: object.metadata.uid.as_str().into(),
        created: object.metadata.creation_timestamp.as_deref().and_then(time),
        spec: Spec { changed, ..spec },
        status,
        controller: controller.map(|id| pool.text(id)),
        unreadable: reader.unreadable,
    }
}

struct Reader {
    object: Text,
    unreadable: Vec<Unreadable>,
}

impl Reader {
    fn complain(&mut self, place: &str, why: &str) {
        self.unreadable.push(Unreadable { object: self.object.clone(), place: place.into(), why: why.into() });
    }

    /// A value that is there must be read by `read`, else it is named.
    fn take<T>(
        &mut self,
        value: &Value,
        place: &str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        if value.is_null() {
            return None;
        }
        let taken = read(value);
        if taken.is_none() {
            self.complain(place, &format!("{wanted} was expected, not {}", kind_of(value)));
        }
        taken
    }

    fn flag(&mut self, value: &Value, place: &str) -> Option<bool> {
        self.take(value, place, "true or false", Value::as_bool)
    }

    fn number(&mut self, value: &Value, place: &str) -> Option<u32> {
        self.take(value, place, "a whole number", |value| u32::try_from(value.as_u64()?).ok())
    }
}

fn kind_of(value: &Value) -> String {
    let text: String = value.to_string().chars().take(40).collect();
    text
}

fn spec(spec: &Value, reader: &mut Reader, pool: &mut Pool) -> Spec {
    if !spec.is_object() {
        reader.complain("spec", "it is missing");
        return Spec::default();
    }
    let text =
        |value: &Value| value.as_str().map(str::to_owned).or_else(|| value.is_number().then(|| value.to_string()));
    for required in ["numberOfInstances", "teamId", "volume", "postgresql"] {
        if spec[required].is_null() {
            reader.complain(&format!("spec.{required}"), "it is missing");
        }
    }
    let version = reader.take(&spec["postgresql"]["version"], "spec.postgresql.version", "a version", text);
    let volume =
        reader.take(&spec["volume"]["size"], "spec.volume.size", "a quantity", |value| quantity::bytes(&text(value)?));
    let patroni = &spec["patroni"];
    let parameters = spec["postgresql"]["parameters"].as_object().into_iter().flatten();
    let pooler = spec["enableConnectionPooler"].as_bool().unwrap_or(spec["connectionPooler"].is_object());
    Spec {
        team: reader.take(&spec["teamId"], "spec.teamId", "text", text).map(|team| pool.text(&team)),
        version: version.map(|version| pool.text(&version)),
        instances: reader.number(&spec["numberOfInstances"], "spec.numberOfInstances"),
        volume,
        synchronous: reader.flag(&patroni["synchronous_mode"], "spec.patroni.synchronous_mode").unwrap_or(false),
        synchronous_strict: reader
            .flag(&patroni["synchronous_mode_strict"], "spec.patroni.synchronous_mode_strict")
            .unwrap_or(false),
        parameters: parameters
            .filter_map(|(name, value)| Some((pool.text(name), Text::from(secrets::setting(name, &text(value)?)))))
            .collect(),
        patroni: patroni_spec(patroni, reader, pool),
        logical_backup: reader.flag(&spec["enableLogicalBackup"], "spec.enableLogicalBackup").unwrap_or(false),
        pooler,
        replica_pooler: spec["enableReplicaConnectionPooler"].as_bool().unwrap_or(false),
        archive_env: written_env(&spec["env"], pool),
        standby: spec["standby"].is_object(),
        windows: spec["maintenanceWindows"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|window| pool.text(window))
            .collect(),
        docker_image: spec["dockerImage"].as_str().map(|image| pool.text(image)),
        changed: None,
    }
}

fn patroni_spec(patroni: &Value, reader: &mut Reader, pool: &mut Pool) -> PatroniSpec {
    // The operator takes 0 as "not set".
    let mut number =
        |key: &str| reader.number(&patroni[key], &format!("spec.patroni.{key}")).filter(|number| *number > 0);
    let (ttl, loop_wait, retry_timeout) = (number("ttl"), number("loop_wait"), number("retry_timeout"));
    let lag = patroni["maximum_lag_on_failover"].as_u64().filter(|lag| *lag > 0);
    PatroniSpec {
        ttl,
        loop_wait,
        retry_timeout,
        maximum_lag_on_failover: lag.map(crate::metric::lsn::Bytes),
        failsafe: patroni["failsafe_mode"].as_bool(),
        slots: patroni["slots"].as_object().into_iter().flatten().map(|(name, _)| pool.text(name)).collect(),
    }
}

fn written_env(env: &Value, pool: &mut Pool) -> BTreeMap<Text, Text> {
    let entries = env.as_array().into_iter().flatten();
    let named = entries.filter_map(|entry| Some((entry["name"].as_str()?, entry)));
    named
        .filter(|(name, _)| ARCHIVE_VARIABLES.contains(name))
        .map(|(name, entry)| (pool.text(name), pool.text(entry["value"].as_str().unwrap_or_default())))
        .collect()
}

fn archive_env(env: &[Env], pool: &mut Pool) -> BTreeMap<Text, Text> {
    let archiving = env.iter().filter(|entry| ARCHIVE_VARIABLES.contains(&entry.name.as_str()));
    archiving
        .map(|entry| {
            let value = match (&entry.value, &entry.value_from) {
                (Some(value), _) => value.as_str(),
                (None, Some(_)) => "(from a secret)",
                (None, None) => "",
            };
            (pool.text(&entry.name), pool.text(value))
        })
        .collect()
}

/// Reads the StatefulSet.
pub fn workload(object: &slim::StatefulSet, pool: &mut Pool) -> Workload {
    let container = object.spec.template.spec.containers.iter().find(|container| container.name == CONTAINER);
    Workload {
        uid: object.metadata.uid.as_str().into(),
        replicas: object.spec.replicas.unwrap_or(0),
        ready: object.status.ready_replicas,
        image: container.and_then(|container| container.image.as_deref()).map(|image| pool.text(image)),
        update_revision: object.status.update_revision.as_deref().map(|revision| pool.text(revision)),
        archive_env: container.map(|container| archive_env(&container.env, pool)).unwrap_or_default(),
    }
}

/// Reads a pod as a member; none if it is no member (a pooler's, say). What cannot be read in it is named.
pub fn member(object: &slim::Pod, settings: &Settings, pool: &mut Pool) -> Option<(Member, Option<Unreadable>)> {
    let container = object.spec.containers.iter().find(|container| container.name == CONTAINER)?;
    let meta = &object.metadata;
    let role = meta.labels.get(settings.pod_role_label.as_str()).map_or(Role::Unknown, |word| Role::from_word(word));
    let (patroni, unreadable) = patroni_status(object, pool);
    let main = object.status.container_statuses.iter().find(|status| status.name == CONTAINER);
    let mut containers: Vec<Text> = object.spec.containers.iter().map(|container| pool.text(&container.name)).collect();
    containers.sort_by_key(|name| **name != *CONTAINER);
    let rolling = meta.annotation("zalando-postgres-operator-rolling-update-required") == Some("true");
    let pod = Pod {
        phase: pool.text(object.status.phase.as_deref().unwrap_or("Unknown")),
        ready: object.status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True"),
        restarts: object.status.container_statuses.iter().map(|status| status.restart_count).sum(),
        last_ended: main.and_then(|status| time(status.last_state.terminated.as_ref()?.finished_at.as_deref()?)),
        waiting: waiting(object, pool),
        node: object.spec.node_name.as_deref().map(|node| pool.text(node)),
        image: container.image.as_deref().map(|image| pool.text(image)),
        created: meta.creation_timestamp.as_deref().and_then(time),
        deleting: meta.deletion_timestamp.is_some(),
        revision: meta.labels.get("controller-revision-hash").map(|revision| pool.text(revision)),
        rolling_update: rolling,
        archive_env: archive_env(&container.env, pool),
        containers,
    };
    let member = Member {
        name: meta.name.as_str().into(),
        uid: Some(meta.uid.as_str().into()),
        pod: Some(pod),
        patroni,
        label_role: role,
        address: object.status.pod_ip.as_deref().map(Text::from),
    };
    Some((member, unreadable))
}

fn patroni_status(object: &slim::Pod, pool: &mut Pool) -> (Option<PatroniMember>, Option<Unreadable>) {
    let meta = &object.metadata;
    match meta.annotation("status").map(|text| patroni::member(text, pool)) {
        None => (None, None),
        Some(Ok(member)) => (Some(member), None),
        Some(Err(why)) => {
            let object = format!("pod {}/{}", meta.namespace, meta.name).into();
            (None, Some(Unreadable { object, place: "metadata.annotations.status".into(), why: why.into() }))
        }
    }
}

/// Why the pod does not run: a container's reason, the scheduler's, or the pod's own.
fn waiting(object: &slim::Pod, pool: &mut Pool) -> Option<Waiting> {
    let statuses = object.status.init_container_statuses.iter().chain(&object.status.container_statuses);
    for status in statuses {
        if let Some(reason) = &status.state.waiting {
            return Some(Waiting {
                container: pool.text(&status.name),
                reason: pool.text(reason.reason.as_deref().unwrap_or("waiting")),
                message: reason.message.as_deref().map(Text::from),
            });
        }
    }
    // A scheduler that was late writes its failure with an earlier pod of this name onto the one that runs, for good.
    let is_pending = object.status.phase.as_deref() != Some("Running");
    let unscheduled = object
        .status
        .conditions
        .iter()
        .find(|condition| is_pending && condition.kind == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Some(Waiting {
            container: pool.text(""),
            reason: pool.text(condition.reason.as_deref().unwrap_or("Unschedulable")),
            message: condition.message.as_deref().map(Text::from),
        });
    }
    let reason = object.status.reason.as_deref()?;
    Some(Waiting { container: pool.text(""), reason: pool.text(reason), message: None })
}

/// Reads an event about one of a cluster's objects.
pub fn event(object: &slim::Event, cluster: ClusterId) -> seen::Event {
    let at = |text: &Option<CompactString>| text.as_deref().and_then(time);
    let from = object.source.component.as_deref().or(object.reporting_component.as_deref()).unwrap_or_default();
    seen::Event {
        cluster,
        uid: object.metadata.uid.as_str().into(),
        about: format!("{} {}", object.involved_object.kind, object.involved_object.name).into(),
        warning: object.kind.as_deref() == Some("Warning") || is_failure(object),
        reason: object.reason.as_deref().unwrap_or_default().into(),
        message: object.message.as_deref().unwrap_or_default().into(),
        count: object.count.unwrap_or(1),
        first: at(&object.first_timestamp).or_else(|| at(&object.event_time)),
        last: at(&object.last_timestamp).or_else(|| at(&object.event_time)),
        from: from.into(),
    }
}

/// The operator says that a switchover failed by an Event of the type of those that went well.
fn is_failure(object: &slim::Event) -> bool {
    let message = object.message.as_deref().unwrap_or_default();
    object.reason.as_deref() == Some(SWITCHOVER) && message.contains(" FAILED: ")
}

/// The newest warning of two. That limits were raised to the least is one too, and explains no failure (1.9.0 and 1.15.1).
pub fn newer(known: Option<Warning>, event: &seen::Event) -> Option<Warning> {
    let is_trouble = event.warning && &*event.reason != "ResourceLimits";
    let new = Warning { reason: event.reason.clone(), message: event.message.clone(), at: event.last.or(event.first) };
    match known {
        Some(known) if !is_trouble || known.at > new.at => Some(known),
        known if !is_trouble => known,
        _ => Some(new),
    }
}

/// The cluster that an object's labels name.
pub fn cluster_of(meta: &slim::Meta, settings: &Settings, plane: &PlaneId) -> Option<ClusterId> {
    let name = meta.labels.get(settings.cluster_name_label.as_str()).filter(|name| !name.is_empty())?;
    Some(ClusterId { plane: plane.clone(), namespace: meta.namespace.as_str().into(), name: name.as_str().into() })
}
