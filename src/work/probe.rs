//! Questions with one exact answer: gates, preflights and the doctor ask these, never samples.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::patroni::PatroniView;
use crate::fault::Fault;
use crate::fleet::cluster::Cluster;
use crate::fleet::surroundings::Budget;
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::metric::{Rows, SurveyId};

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Who we are and which versions answer: API server, operator, CRD.
    Versions(PlaneId),
    /// Which of pgdeck's features the user's rights allow.
    Rights { plane: PlaneId, namespace: Option<Text> },
    /// Whether the instance's SQL port answers and the login works; says server version and role.
    Reach(InstanceId),
    /// Which cluster is there under that name: the CR's uid; on plain hosts the system identifier of that member.
    Identity(InstanceId),
    /// The cluster's objects as they stand this moment.
    Objects(ClusterId),
    /// Every layer that decides on the cluster's backups.
    Backups(ClusterId),
    /// The base backups that the member's own tool lists.
    BaseBackups(InstanceId),
    /// Its disruption budgets.
    Budgets(ClusterId),
    /// What there is still of a cluster that was deleted.
    Remains(ClusterId),
    /// What the Patroni of a member says.
    Patroni(InstanceId),
    /// One sample.
    Sample { instance: InstanceId, surveys: Vec<SurveyId> },
    /// Whether the user may do that in the cluster's namespace.
    May { cluster: ClusterId, access: Access },
}

/// A right that an order needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    pub verb: &'static str,
    pub group: &'static str,
    /// `postgresqls`, `pods/portforward`.
    pub resource: &'static str,
}

impl fmt::Display for Access {
    /// As rights are named: `patch postgresqls.acid.zalan.do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            "" => write!(f, "{} {}", self.verb, self.resource),
            group => write!(f, "{} {}.{group}", self.verb, self.resource),
        }
    }
}

impl Probe {
    /// The plane that answers it.
    pub fn plane(&self) -> &PlaneId {
        match self {
            Probe::Versions(plane) | Probe::Rights { plane, .. } => plane,
            Probe::Reach(instance)
            | Probe::Identity(instance)
            | Probe::Patroni(instance)
            | Probe::BaseBackups(instance)
            | Probe::Sample { instance, .. } => &instance.cluster.plane,
            Probe::Objects(cluster)
            | Probe::Backups(cluster)
            | Probe::Budgets(cluster)
            | Probe::Remains(cluster)
            | Probe::May { cluster, .. } => &cluster.plane,
        }
    }

    /// What is asked, in messages.
    pub fn what(&self) -> String {
        match self {
            Probe::Versions(plane) | Probe::Rights { plane, .. } => plane.to_string(),
            Probe::Reach(instance) | Probe::Sample { instance, .. } => instance.to_string(),
            Probe::Identity(instance) => format!("the identity of {}", instance.shown()),
            Probe::Patroni(instance) => format!("Patroni of {instance}"),
            Probe::Objects(cluster) | Probe::Remains(cluster) => cluster.to_string(),
            Probe::BaseBackups(instance) => format!("base backups of {}", instance.cluster),
            Probe::Budgets(cluster) => format!("disruption budgets of {cluster}"),
            Probe::Backups(cluster) => format!("backups of {cluster}"),
            Probe::May { access, .. } => access.to_string(),
        }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Versions(Versions),
    Rights(Vec<Right>),
    Reached {
        version: u32,
        primary: bool,
        tls: bool,
    },
    /// None where no CR is there.
    Identity(Option<Text>),
    Objects(Box<Objects>),
    Backups(Box<Backups>),
    BaseBackups(BaseBackups),
    Budgets(Vec<Budget>),
    /// What is left, kind by kind.
    Remains(Vec<Left>),
    Patroni(Box<PatroniView>),
    Sample(Vec<(SurveyId, Result<Rows, Fault>)>),
    May(bool),
}

/// One object that carries the cluster's label still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// As the API has it: `pods`.
    pub kind: &'static str,
    pub name: Text,
    pub uid: Text,
    /// It was asked to go, and does when nothing holds it any more.
    pub leaving: bool,
}

/// A cluster read for an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    pub cluster: Cluster,
    /// The CR's `resourceVersion`: an order is refused where it is newer by then.
    pub version: Text,
    /// The CR itself, without its status and the book-keeping of who wrote what.
    pub resource: Value,
    /// The CR's annotations.
    pub annotations: BTreeMap<Text, Text>,
    /// Its finalizers: it goes when they are gone.
    pub finalizers: Vec<Text>,
    /// The pods' uids by name: a pod made anew has another.
    pub pods: BTreeMap<Text, Text>,
    pub rules: Rules,
}

/// What the operator is configured to do with clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// `min_instances` and `max_instances`: what lies outside is changed without a word.
    pub limits: (Option<u32>, Option<u32>),
    /// The annotation with which a CR goes beyond the limits.
    pub ignore_limits: Option<Text>,
    /// `enable_persistent_volume_claim_deletion`: volumes go with the CR.
    pub deletes_volumes: bool,
    /// `enable_secrets_deletion`.
    pub deletes_secrets: bool,
    /// Annotations that a CR must carry before the operator deletes its cluster: one with today's date, one with its name.
    pub delete_date: Option<Text>,
    pub delete_name: Option<Text>,
    /// `CONTROLLER_ID` of the operators that can be seen; looked for only where a CR names one.
    pub controllers: Vec<Text>,
    /// Whether this was read; the operator's own defaults are assumed otherwise.
    pub known: bool,
}

impl Default for Rules {
    /// The operator's own defaults.
    fn default() -> Self {
        Rules {
            limits: (None, None),
            ignore_limits: None,
            deletes_volumes: true,
            deletes_secrets: true,
            delete_date: None,
            delete_name: None,
            controllers: Vec::new(),
            known: false,
        }
    }
}

/// What decides on the backups of a cluster, layer by layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Backups {
    /// `spec.env` of the CR as it stands.
    pub env: Vec<Value>,
    /// `spec.enableLogicalBackup`.
    pub logical: bool,
    /// `spec.enableWALArchiving`; none where it is not set.
    pub archiving: Option<bool>,
    /// Whether the CRD has `enableWALArchiving`; none if that cannot be read.
    pub has_archiving: Option<bool>,
    pub job: Option<CronJob>,
    /// Jobs of the logical backup, newest first.
    pub runs: Vec<JobRun>,
}

/// The logical backup's `CronJob`.
#[derive(Debug, Clone, PartialEq)]
pub struct CronJob {
    pub name: Text,
    pub uid: Text,
    pub schedule: Text,
    pub suspended: bool,
    pub last_successful: Option<Text>,
    /// `spec.jobTemplate`.
    pub template: Value,
}

/// What a member's own tool lists, and what became of the backup that pgdeck began there last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BaseBackups {
    /// Names with the times when they were made, oldest first.
    pub listed: Vec<(Text, Text)>,
    /// The exit status and the last words of one that has ended; none while it runs.
    pub ended: Option<(i32, Text)>,
}

/// One `Job`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRun {
    pub name: Text,
    pub succeeded: bool,
    /// Why it failed, if it did.
    pub failed: Option<Text>,
    pub active: bool,
}

/// Versions that answer on a plane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Versions {
    pub server: Option<Text>,
    /// The CRD's served versions, or why it is not known.
    pub crd: Option<Text>,
    /// The operator's image tag, where its Deployment can be read.
    pub operator: Option<Text>,
    /// Where the operator's configuration was found; the defaults that were assumed otherwise.
    pub configuration: Option<Text>,
}

/// One right: what it is for, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Right {
    /// The feature of pgdeck that needs it.
    pub feature: Text,
    /// `get pods/portforward`.
    pub right: Text,
    pub allowed: Result<bool, Fault>,
}
