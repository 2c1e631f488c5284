//! One cluster as its plane reports it: what was asked for, what exists, and what Patroni says.
//!
//! Everything here is observed, nothing judged: verdicts are `fleet::health`'s, and SQL truth lives beside it in
//! [`super::instance`]. A plane sends a whole [`Cluster`] whenever any of its parts changed; the latest one wins.

mod dcs;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::surroundings::Surroundings;
use crate::id::{ClusterId, Text};
use crate::metric::lsn::{Bytes, Lsn};
pub use dcs::{Dcs, DcsConfig, Held, HistoryEntry, Lease, Switchover};

/// Variables of which one that is not empty turns WAL archiving on in a pod (Spilo's `configure_spilo.py`).
pub const ARCHIVE_VARIABLES: [&str; 11] = [
    "WAL_S3_BUCKET",
    "WALE_S3_PREFIX",
    "WALG_S3_PREFIX",
    "WALG_AZ_PREFIX",
    "WALG_SSH_PREFIX",
    "WAL_GS_BUCKET",
    "WAL_GCS_BUCKET",
    "WALE_GS_PREFIX",
    "WALG_GS_PREFIX",
    "WAL_SWIFT_BUCKET",
    "WALE_SWIFT_PREFIX",
];

/// One cluster, as the objects of its plane show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cluster {
    pub id: ClusterId,
    /// The CR's uid, or the system identifier of plain hosts.
    pub uid: Option<Text>,
    pub origin: Origin,
    pub created: Option<Timestamp>,
    pub spec: Spec,
    /// The operator's status word, as it stands; it is not the truth.
    pub status: Option<Text>,
    /// Another operator than the usual one, as the CR's annotation names it: the usual one leaves the cluster alone.
    pub controller: Option<Text>,
    pub workload: Option<Workload>,
    pub dcs: Option<Dcs>,
    /// Sorted by name, numbers in order.
    pub members: Vec<Arc<Member>>,
    /// Its pods, or Patroni's objects, are still being listed for the first time: what is not there may yet come.
    #[serde(skip)]
    pub coming: bool,
    /// The newest Warning event about the CR, if any.
    pub warning: Option<Warning>,
    /// What in its objects could not be read; shown, never fatal.
    pub unreadable: Vec<Unreadable>,
    /// Present only while a view of the cluster is open.
    pub surroundings: Option<Box<Surroundings>>,
}

/// Where a cluster comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It has a CR.
    Resource,
    /// Pods carry its name, but no CR does: being deleted, or orphaned.
    Orphan,
    /// Plain Postgres hosts.
    Hosts,
}

/// What was asked for: the part of the CR that rows and verdicts read.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Spec {
    pub team: Option<Text>,
    /// The wanted major version, as written.
    pub version: Option<Text>,
    pub instances: Option<u32>,
    pub volume: Option<Bytes>,
    pub synchronous: bool,
    pub synchronous_strict: bool,
    /// `spec.postgresql.parameters`.
    pub parameters: BTreeMap<Text, Text>,
    /// The managed part of `spec.patroni` that can be compared with Patroni's configuration.
    pub patroni: PatroniSpec,
    pub logical_backup: bool,
    pub pooler: bool,
    pub replica_pooler: bool,
    /// Environment variables that decide WAL archiving, by name (zalando.md §2.2), as `spec.env` writes them.
    pub archive_env: BTreeMap<Text, Text>,
    pub standby: bool,
    /// `spec.maintenanceWindows`, as written.
    pub windows: Vec<Text>,
    pub docker_image: Option<Text>,
    /// When the spec last changed, from managedFields; none where they do not tell.
    pub changed: Option<Timestamp>,
}

/// `spec.patroni`, where set.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PatroniSpec {
    pub ttl: Option<u32>,
    pub loop_wait: Option<u32>,
    pub retry_timeout: Option<u32>,
    pub maximum_lag_on_failover: Option<Bytes>,
    pub failsafe: Option<bool>,
    /// Names of the permanent slots.
    pub slots: Vec<Text>,
}

/// The StatefulSet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Workload {
    pub uid: Text,
    pub replicas: u32,
    pub ready: u32,
    pub image: Option<Text>,
    pub update_revision: Option<Text>,
    pub archive_env: BTreeMap<Text, Text>,
}

/// One member: a pod with a container `postgres`, or a plain host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    pub name: Text,
    pub uid: Option<Text>,
    pub pod: Option<Pod>,
    /// The member's own `status` annotation.
    pub patroni: Option<PatroniMember>,
    /// The role in its label (`master`, `primary`, `replica`), or in the hosts' answer.
    pub label_role: Role,
    /// `host:port` of a plain host, or the pod's address.
    pub address: Option<Text>,
}

/// A member's part in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Primary,
    Standby,
    Unknown,
}

/// What the kubelet says of a pod.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Pod {
    pub phase: Text,
    pub ready: bool,
    pub restarts: u32,
    /// When a container last ended, from `lastState.terminated`.
    pub last_ended: Option<Timestamp>,
    /// Why a container (or the scheduler) waits: `ImagePullBackOff`, `CrashLoopBackOff`, `Unschedulable`, …
    pub waiting: Option<Waiting>,
    pub node: Option<Text>,
    pub image: Option<Text>,
    pub created: Option<Timestamp>,
    pub deleting: bool,
    /// `controller-revision-hash`.
    pub revision: Option<Text>,
    /// The operator's flag: it will recreate this pod.
    pub rolling_update: bool,
    pub archive_env: BTreeMap<Text, Text>,
    /// Names of all containers, `postgres` first; for logs.
    pub containers: Vec<Text>,
}

/// A container that does not run, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub container: Text,
    pub reason: Text,
    pub message: Option<Text>,
}

/// Patroni's annotation `status` on a pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatroniMember {
    /// `running`, `streaming`, `starting`, `creating replica`, `crashed`, …
    pub state: Text,
    pub role: Role,
    pub version: Option<Text>,
    pub timeline: Option<u32>,
    pub position: Option<Lsn>,
    pub received: Option<Lsn>,
    pub replayed: Option<Lsn>,
    pub replication_state: Option<Text>,
    pub pending_restart: bool,
    /// Parameter → (old, new), from Patroni 4.
    pub pending_reason: BTreeMap<Text, (Text, Text)>,
    pub pause: bool,
    pub tags: BTreeMap<Text, Text>,
}

/// A Warning event about the CR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    pub reason: Text,
    pub message: Text,
    pub at: Option<Timestamp>,
}

/// A part of an object that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// `postgresql production/acid-shop`, `pod …`.
    pub object: Text,
    /// JSON path within it.
    pub place: Text,
    pub why: Text,
}

impl Cluster {
    /// A cluster of which nothing but its name is known.
    pub fn named(id: ClusterId, origin: Origin) -> Self {
        Cluster {
            id,
            uid: None,
            origin,
            created: None,
            spec: Spec::default(),
            status: None,
            controller: None,
            workload: None,
            dcs: None,
            members: Vec::new(),
            coming: false,
            warning: None,
            unreadable: Vec::new(),
            surroundings: None,
        }
    }

    /// Members that the kubelet calls ready; for plain hosts see the samples.
    pub fn n_ready(&self) -> usize {
        self.members.iter().filter(|member| member.pod.as_ref().is_some_and(|pod| pod.ready && !pod.deleting)).count()
    }

    /// How many members there should be, by the CR; for plain hosts, how many are known.
    pub fn n_desired(&self) -> Option<usize> {
        match self.origin {
            Origin::Resource => self.spec.instances.and_then(|n| usize::try_from(n).ok()),
            Origin::Orphan => Some(0),
            Origin::Hosts => Some(self.members.len()),
        }
    }

    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().map(Arc::as_ref).find(|member| &*member.name == name)
    }

    /// Whether two reports differ only in the leader's lease and position: a heartbeat, which changes no verdict by itself.
    pub fn is_heartbeat_after(&self, before: &Cluster) -> bool {
        let (Some(now), Some(then)) = (&self.dcs, &before.dcs) else { return false };
        now.lease != then.lease
            && now.leader == then.leader
            && self.status == before.status
            && self.controller == before.controller
            && self.members == before.members
            && self.coming == before.coming
            && self.workload == before.workload
            && self.spec == before.spec
            && self.origin == before.origin
            && self.warning == before.warning
            && self.unreadable == before.unreadable
            && self.surroundings == before.surroundings
            && now.is_same_but_for_time(then)
    }
}

impl Member {
    /// The role by Patroni's word, else by the label. A Patroni that has not got Postgres to run yet calls itself a primary
    /// too, and gives no label.
    pub fn role(&self) -> Role {
        let means_it = |patroni: &&PatroniMember| match patroni.role {
            Role::Primary => &*patroni.state == "running" || self.label_role != Role::Unknown,
            Role::Standby => true,
            Role::Unknown => false,
        };
        self.patroni.as_ref().filter(means_it).map_or(self.label_role, |patroni| patroni.role)
    }
}

impl Role {
    /// Reads every spelling in use: `master`, `primary`, `standby_leader`; `replica`, `sync_standby`, `standby`.
    pub fn from_word(word: &str) -> Role {
        match word {
            "master" | "primary" | "leader" | "standby_leader" => Role::Primary,
            "replica" | "standby" | "sync_standby" | "quorum_standby" => Role::Standby,
            _ => Role::Unknown,
        }
    }

    /// As in JSON and on screen.
    pub fn word(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Standby => "standby",
            Role::Unknown => "unknown",
        }
    }
}
