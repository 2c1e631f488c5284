//! Questions with one exact answer: gates, preflights and the doctor ask these, never samples.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::patroni::PatroniView;
use crate::fault::Fault;
use crate::fleet::cluster::Cluster;
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
    /// The cluster's objects as they stand this moment.
    Objects(ClusterId),
    /// What the Patroni of a member says.
    Patroni(InstanceId),
    /// One sample.
    Sample { instance: InstanceId, surveys: Vec<SurveyId> },
    /// Whether the user may do that in the cluster's namespace.
    May { cluster: ClusterId, access: Access },
}

/// A right that an order needs.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            Probe::Reach(instance) | Probe::Patroni(instance) | Probe::Sample { instance, .. } => {
                &instance.cluster.plane
            }
            Probe::Objects(cluster) | Probe::May { cluster, .. } => &cluster.plane,
        }
    }

    /// What is asked, in messages.
    pub fn what(&self) -> String {
        match self {
            Probe::Versions(plane) | Probe::Rights { plane, .. } => plane.to_string(),
            Probe::Reach(instance) | Probe::Sample { instance, .. } => instance.to_string(),
            Probe::Patroni(instance) => format!("Patroni of {instance}"),
            Probe::Objects(cluster) => cluster.to_string(),
            Probe::May { access, .. } => access.to_string(),
        }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Versions(Versions),
    Rights(Vec<Right>),
    Reached { version: u32, primary: bool, tls: bool },
    Objects(Box<Objects>),
    Patroni(Box<PatroniView>),
    Sample(Vec<(SurveyId, Result<Rows, Fault>)>),
    May(bool),
}

/// A cluster read for an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    pub cluster: Cluster,
    /// The CR's `resourceVersion`: an order is refused where it is newer by then.
    pub version: Text,
    /// The CR's annotations.
    pub annotations: BTreeMap<Text, Text>,
    /// How few and how many members the operator allows.
    pub limits: (Option<u32>, Option<u32>),
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
