//! Questions with one exact answer: gates, preflights and the doctor ask these, never samples.

use serde::Serialize;

use crate::fault::Fault;
use crate::id::{InstanceId, PlaneId, Text};

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Who we are and which versions answer: API server, operator, CRD.
    Versions(PlaneId),
    /// Which of pgdeck's features the user's rights allow.
    Rights { plane: PlaneId, namespace: Option<Text> },
    /// Whether the instance's SQL port answers and the login works; says server version and role.
    Reach(InstanceId),
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Versions(Versions),
    Rights(Vec<Right>),
    Reached { version: u32, primary: bool, tls: bool },
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
