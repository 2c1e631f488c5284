//! What the world tells us while we watch it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::cluster::Cluster;
use crate::fault::Fault;
use crate::id::{ClusterId, DbName, InstanceId, PlaneId, Text};
use crate::metric::{Rows, SurveyId};

/// One thing seen. Only `Cluster` and `Rows` may be merged on the way (latest wins); everything else keeps its order.
#[derive(Debug, Clone)]
pub enum Seen {
    /// A cluster, whole. `at` is when the plane read it.
    Cluster { cluster: Box<Cluster>, at: Timestamp },
    /// After a list: these clusters exist on that plane, and no others.
    Census { plane: PlaneId, clusters: BTreeSet<ClusterId>, at: Timestamp },
    /// The cluster is gone.
    Gone(ClusterId),
    /// A sample, or the fault that stands in its place.
    Rows {
        instance: InstanceId,
        database: Option<DbName>,
        survey: SurveyId,
        at: Timestamp,
        /// How long the server took to answer the whole sample, in milliseconds.
        took_ms: u32,
        rows: Result<Rows, Fault>,
    },
    /// Log lines of one container, in order; `dropped` lines before them were lost to back pressure.
    Log { instance: InstanceId, container: Text, lines: Vec<LogLine>, dropped: u64 },
    /// An event about an object of a cluster.
    Event(Event),
    /// An object as YAML, for its view.
    Manifest { cluster: ClusterId, object: Text, text: Result<Text, Fault>, at: Timestamp },
    /// How a source stands.
    Source { source: Source, state: SourceState, at: Timestamp },
    /// Nobody asks a source any more: how it stood says nothing from now on.
    Closed(Source),
}

/// One line of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub at: Option<Timestamp>,
    pub text: Text,
}

/// A Kubernetes event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub cluster: ClusterId,
    pub uid: Text,
    /// `postgresql acid-shop`, `Pod acid-shop-0`.
    pub about: Text,
    pub warning: bool,
    pub reason: Text,
    pub message: Text,
    pub count: u32,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// The reporting component.
    pub from: Text,
}

/// Something that tells us things and can fall silent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Source {
    /// A whole plane: its API server, or the hosts file.
    Plane { plane: PlaneId },
    /// One kind of object on a plane, in one namespace or in all (`None`).
    Kind { plane: PlaneId, kind: Text, namespace: Option<Text> },
    /// One instance's SQL.
    Instance { instance: InstanceId },
    /// One container's log stream.
    Log { instance: InstanceId, container: Text },
}

/// How a source stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SourceState {
    /// Asked, nothing answered yet.
    Connecting,
    /// It answers; `polled` where watching is forbidden and it is listed every 30 s.
    Live { polled: bool },
    /// The old rows stand, a new list is under way (after 410 Gone, say).
    Relisting,
    /// It does not answer, or not as it should.
    Lost { why: Fault },
    /// Something is known to be missing, and what it takes is said: a namespace skipped, a default assumed.
    Limited { why: Fault },
}
