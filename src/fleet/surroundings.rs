//! What stands around a cluster: services, volumes, budgets, poolers, backup jobs. Known only while somebody looks.

use jiff::Timestamp;
use serde::Serialize;

use crate::fault::Fault;
use crate::id::Text;
use crate::metric::lsn::Bytes;

/// What stands around a cluster: fetched only while its view is open.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Surroundings {
    pub services: Vec<Service>,
    pub volumes: Vec<Volume>,
    pub budgets: Vec<Budget>,
    pub poolers: Vec<Pooler>,
    pub backups: Vec<BackupJob>,
    /// Kinds that could not be read, with the right that would bring them.
    pub missing: Vec<(Text, Fault)>,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Service {
    pub name: Text,
    pub kind: Text,
    pub address: Option<Text>,
    pub ports: Vec<u16>,
    pub role: Option<Text>,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Volume {
    pub name: Text,
    pub phase: Text,
    pub capacity: Option<Bytes>,
    pub storage_class: Option<Text>,
    /// Its ordinal is beyond the StatefulSet: it stayed behind a scale-down.
    pub left_over: bool,
}

/// A `PodDisruptionBudget`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    pub name: Text,
    pub rule: Text,
    /// So many more pods may be evicted now.
    pub allowed: Option<i32>,
    /// So many pods it is for.
    pub covered: Option<i32>,
    /// It is for pods that are labelled as critical: the operator labels them so while it upgrades the major version.
    pub critical: bool,
}

/// A connection pooler's Deployment, by its pods.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pooler {
    pub name: Text,
    pub ready: u32,
    pub desired: Option<u32>,
}

/// A logical backup's `CronJob`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupJob {
    pub name: Text,
    pub schedule: Text,
    pub suspended: bool,
    pub last_scheduled: Option<Timestamp>,
    pub last_successful: Option<Timestamp>,
}
